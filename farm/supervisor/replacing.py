"""The rings of workers that are to have another capacity (`ring.bytes`), until they have it.

    asked for       a successor of the new capacity is made: without the room, nothing changes
    worker ended    the ring is ENDING: the service tells its clients that it waits for them
    after OVERDUE_NS  groups that hold no ring let go of it
    settled         the successor takes its place (shm/successor.py), and the worker comes back

A ring that a lossless group, or nobody at all, has yet to take is waited for, however long that is:
its worker would have filled it, and waited likewise. The log says so, and again each time it has
lasted ten times as long. Asked for another capacity meanwhile, or for the one it has, the ring gets
another successor, or none, and stays as it is until then.

A death leaves rings of both capacities, each of them whole, and successors that the next farm
sweeps: it has the config of the dead one, and goes on waiting (segments.py).
"""

from contextlib import ExitStack, suppress

from farm.config.schema import FarmConfig
from farm.errors import CorruptDataError, SharedMemoryFullError
from farm.shm.control import ChildSlot, ChildState, ControlBlock
from farm.shm.groups import SUBMITTED_RING, GroupsBlock
from farm.shm.ring_layout import (
    FATE_OFFSET,
    HEAD_OFFSET,
    TAIL_OFFSET,
    Fate,
    attach_ring,
    ring_indexes,
    ring_segment_bytes,
)
from farm.shm.room import SHM_DIR, free_bytes
from farm.shm.segment import Segment
from farm.shm.successor import create_successor, is_settled, succeed, sweep_successors
from farm.supervisor.deadlines import NS_PER_S
from farm.supervisor.specs import ROLLOUT_ROLE
from farm.telemetry import log

OVERDUE_NS = NS_PER_S
"""Several rounds of the service: who reads has had the time to take what there is."""
SAY_NS = NS_PER_S
"""A ring that is waited for so long is told, and again at ten times as long each."""
_AGAIN = 10


class _Waiting:
    """A ring that waits to be replaced.

    Args:
        segment: the ring; closed with this.
        successor: likewise.
    """

    def __init__(self, segment: Segment, successor: Segment) -> None:
        self.segment = segment
        self.successor = successor
        self.since_ns: int | None = None
        self.say_ns = SAY_NS
        self.head = -1

    @property
    def unread_bytes(self) -> int:
        """Published and not released."""
        return self.segment.load(TAIL_OFFSET) - self.segment.load(HEAD_OFFSET)

    def waited_ns(self, now_ns: int) -> int:
        """Time since its worker was first seen to have ended."""
        if self.since_ns is None:
            self.since_ns = now_ns
        return now_ns - self.since_ns

    def moves(self) -> bool:
        """Whether something was released since the last look."""
        before, self.head = self.head, self.segment.load(HEAD_OFFSET)
        return self.head != before

    def let_go(self) -> None:
        """It stays as it is."""
        self.segment.store(FATE_OFFSET, Fate.IN_USE)
        self.successor.unlink()
        self.close()

    def close(self) -> None:
        """Drop both mappings."""
        self.segment.close()
        self.successor.close()


class Replacements:
    """The rings of a running farm that wait to be replaced.

    Args:
        control: the control block, with the lease.
        groups: who may be owed what they hold.
    """

    def __init__(self, control: ControlBlock, groups: GroupsBlock) -> None:
        self._control = control
        self._groups = groups
        self._waiting: dict[int, _Waiting] = {}
        sweep_successors(control.instance)
        for ring in _workers_rings(control.instance):
            with attach_ring(control.instance, ring) as segment:
                segment.store(FATE_OFFSET, Fate.IN_USE)

    @property
    def workers(self) -> frozenset[int]:
        """Workers that have to be down until then."""
        return frozenset(self._waiting)

    def prepare(self, config: FarmConfig) -> None:
        """Have the rings that a config's workers have replaced by such as it says.

        Raises:
            SharedMemoryFullError: there is not enough room; nothing has changed.
        """
        wanted = config.ring.bytes
        others = {
            ring
            for ring, capacity in _capacities(self._control.instance).items()
            if ring < config.worker.count and capacity != wanted
        }
        kept = {
            ring
            for ring, waiting in self._waiting.items()
            if ring in others and waiting.successor.parameter == wanted
        }
        made = self._make(sorted(others - kept), wanted)
        for ring in self._waiting.keys() - kept:
            self._waiting.pop(ring).let_go()
        self._waiting |= made

    def poll(self, now_ns: int) -> bool:
        """Replace what is settled, and look after the rest; whether a worker can come back."""
        if not self._waiting:
            return False
        slots = {slot.index: slot for slot in self._control.children if slot.role == ROLLOUT_ROLE}
        n_before = len(self._waiting)
        for ring, waiting in list(self._waiting.items()):
            slot = slots.get(ring)
            if slot is not None and slot.pid:
                continue
            if is_settled(waiting.segment):
                del self._waiting[ring]
                _replace(ring, waiting, now_ns)
            else:
                self._wait(ring, waiting, slot, now_ns)
        return len(self._waiting) < n_before

    @property
    def is_moving(self) -> bool:
        """Whether one of them may be replaced soon: its worker is ending, or it is being read."""
        return any(one.since_ns is None or one.moves() for one in self._waiting.values())

    def owed_bytes(self) -> dict[int, dict[str, int]]:
        """Of each ring whose worker waits: bytes that a group has not settled, by its name."""
        return {
            ring: self._owed(ring, waiting)
            for ring, waiting in self._waiting.items()
            if waiting.since_ns is not None
        }

    def close(self) -> None:
        """Wait no more: the rings stay as they are. Idempotent."""
        for waiting in self._waiting.values():
            waiting.let_go()
        self._waiting.clear()

    def _make(self, rings: list[int], capacity: int) -> dict[int, _Waiting]:
        instance = self._control.instance
        wanted, free = len(rings) * ring_segment_bytes(capacity), free_bytes()
        if wanted > free:
            raise SharedMemoryFullError(
                f"ring.bytes={capacity} needs {wanted} bytes for {len(rings)} rings beside those "
                f"that they replace, and {free} are free in {SHM_DIR}; ask for less, stop another "
                f"farm, or enlarge {SHM_DIR}"
            )
        made = {}
        with ExitStack() as undo:
            for ring in rings:
                successor = create_successor(instance, ring, capacity)
                undo.callback(successor.close)
                undo.callback(successor.unlink)
                made[ring] = _Waiting(attach_ring(instance, ring), successor)
                undo.callback(made[ring].segment.close)
            undo.pop_all()
        return made

    def _wait(self, ring: int, waiting: _Waiting, slot: ChildSlot | None, now_ns: int) -> None:
        waited_ns = waiting.waited_ns(now_ns)
        fate = Fate.OVERDUE if waited_ns >= OVERDUE_NS else Fate.ENDING
        waiting.segment.store(FATE_OFFSET, fate)
        if slot is not None and slot.state is ChildState.FAILED:
            slot.state = ChildState.STOPPED  # however it ended: it is not missed now
        if waited_ns < waiting.say_ns:
            return
        while waited_ns >= waiting.say_ns:
            waiting.say_ns *= _AGAIN
        log.get_logger().warning(
            "ring_waits",
            worker=ring,
            for_s=round(waited_ns / NS_PER_S, 1),
            bytes=waiting.segment.parameter,
            wanted_bytes=waiting.successor.parameter,
            unread_bytes=waiting.unread_bytes,
            owed_bytes=self._owed(ring, waiting),
            hint="its worker comes back, with a ring of the size that is wanted, once everything "
            "in this one is taken: connect a client of the groups named, or of any group if "
            "there is none; or set ring.bytes back",
        )

    def _owed(self, ring: int, waiting: _Waiting) -> dict[str, int]:
        tail = waiting.segment.load(TAIL_OFFSET)
        owed = {}
        for slot in self._groups.slots():
            with suppress(CorruptDataError):  # the service will say so
                owed[slot.name] = tail - slot.settled(ring).position
        return {name: n_bytes for name, n_bytes in owed.items() if n_bytes > 0}


def _replace(ring: int, waiting: _Waiting, now_ns: int) -> None:
    succeed(waiting.segment, waiting.successor)
    log.get_logger().info(
        "ring_replaced",
        worker=ring,
        old_bytes=waiting.segment.parameter,
        new_bytes=waiting.successor.parameter,
        waited_s=round(waiting.waited_ns(now_ns) / NS_PER_S, 3),
    )
    waiting.close()


def _workers_rings(instance: str) -> list[int]:
    return [ring for ring in ring_indexes(instance) if ring < SUBMITTED_RING]


def _capacities(instance: str) -> dict[int, int]:
    """Bytes of every worker's ring that there is."""
    found = {}
    for ring in _workers_rings(instance):
        with attach_ring(instance, ring, readonly=True) as segment:
            found[ring] = segment.parameter
    return found
