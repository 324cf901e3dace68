"""The segments of a farm: made, taken over from a dead farm, kept for the next, or removed.

    start   nothing is there                          make them
            a dead farm's, and they fit               go on with them: rings, groups, run id, next
                                                      game, generations, counters
            a dead farm's, they do not fit, and
              nobody is owed anything, or --discard   remove them, then make them
              a lossless group is owed something      refuse: nothing is touched
    stop    a lossless group is owed something        keep them for the next start
            else                                      remove them

Owed is what was published and a lossless group has not settled. Groups that go with the farm (the
one of `farm up --tail`) are owed nothing. Rings of more workers or games hosts than the config has
stay until they are removed with the rest, and are served; those that are missing are made.

Rings of workers whose capacity is not `ring.bytes` fit all the same while somebody is owed
something: they wait for another capacity, as those of a running farm do (replacing.py).
"""

import time
from collections.abc import Iterable
from contextlib import ExitStack

from farm.config.memory import RING_OVERHEAD_BYTES, shared_memory_bytes
from farm.config.schema import FarmConfig
from farm.errors import CorruptDataError, LeftoversError, SegmentError, SharedMemoryFullError
from farm.shm.balance import Balance, lag_bytes, read_instance
from farm.shm.control import ControlBlock
from farm.shm.groups import (
    GroupKind,
    GroupsBlock,
    GroupSlot,
    attach_groups,
    create_groups,
)
from farm.shm.lease import Lease, lock_instance
from farm.shm.leftovers import Leftovers, look, remove_unfinished
from farm.shm.ring_layout import attach_ring, create_ring, ring_indexes, ring_name
from farm.shm.room import SHM_DIR, free_bytes
from farm.shm.segment import unlink_segment
from farm.spec.trajectory import N_STEPS_OFFSET
from farm.supervisor import ports
from farm.supervisor.capacities import capacities
from farm.supervisor.companion import TAIL_GROUP
from farm.supervisor.replacing import Replacements
from farm.telemetry import log

OWN_GROUPS = (TAIL_GROUP,)
"""Groups that go with the farm."""


class Segments:
    """The segments of a running farm, held by its supervisor.

    Attributes:
        control: the control block, with the lease.
        replacements: rings that wait for another capacity.

    Args:
        control: ready to be attached to.
        groups: likewise.
    """

    def __init__(self, control: ControlBlock, groups: GroupsBlock) -> None:
        self.control = control
        self.replacements = Replacements(control, groups)
        self._groups = groups
        self._has_ended = False
        self._last: Balance | None = None

    def lags(self) -> dict[str, int]:
        """Bytes that each lossless group is owed, by name; those with none are left out."""
        instance = self.control.instance
        with ExitStack() as stack:
            rings = [
                (ring, stack.enter_context(attach_ring(instance, ring, readonly=True)))
                for ring in ring_indexes(instance)
            ]
            lags = {slot.name: lag_bytes(slot, rings) for slot in self._lossless()}
        return {name: n_bytes for name, n_bytes in lags.items() if n_bytes}

    def prepare(self, config: FarmConfig) -> None:
        """Make what a config's workers need: rings of more of them, successors of another capacity.

        The rings of fewer workers stay, and are served.

        Raises:
            SharedMemoryFullError: there is not enough room; nothing has changed.
        """
        with ExitStack() as undo:
            self._grow(config, undo)
            self.replacements.prepare(config)
            undo.pop_all()
        self._groups.n_rings = max(self._groups.n_rings, config.worker.count)

    def _grow(self, config: FarmConfig, undo: ExitStack) -> None:
        instance = self.control.instance
        missing = sorted(capacities(config).keys() - set(ring_indexes(instance)))
        wanted, free = sum(capacities(config)[ring] for ring in missing), free_bytes()
        if wanted > free:
            raise SharedMemoryFullError(
                f"worker.count={config.worker.count} needs {len(missing)} more rings of ring.bytes="
                f"{config.ring.bytes}, and {free} bytes are free in {SHM_DIR}; ask for fewer "
                f"workers, stop another farm, or enlarge {SHM_DIR}"
            )
        for ring in missing:
            create_ring(instance, ring, capacities(config)[ring]).close()
            undo.callback(unlink_segment, ring_name(instance, ring))

    def balance(self) -> Balance:
        """Where every record is, once no child is left.

        Raises:
            SegmentError: a segment cannot be attached to.
            CorruptDataError: checkpoints are torn or say what cannot be.
        """
        instance = self.control.instance
        return read_instance(instance, experiences_at=N_STEPS_OFFSET, running=False)

    def end(self) -> Balance | None:
        """Say where everything is; keep the segments if somebody is owed something. Idempotent.

        Returns:
            The balance; None if it cannot be read.
        """
        if self._has_ended:
            return self._last
        self._has_ended = True
        self.replacements.close()
        balance = self._last = self._last_balance()
        self._groups.close()
        if balance is None or owed_records(balance):
            log.get_logger().warning(
                "rings_kept",
                owed_records=owed_records(balance) if balance else None,
                hint="they are delivered by the next `farm up` of this instance, or by `farm drain "
                f"--instance {self.control.instance}`; `farm up --discard` throws them away",
            )
        else:
            self.control.unlink()
        self.control.close()
        return balance

    def _last_balance(self) -> Balance | None:
        try:
            balance = self.balance()
        except (SegmentError, CorruptDataError) as error:
            log.get_logger().error("balance_unreadable", error=str(error))
            return None
        _log_balance(balance)
        return balance

    def _lossless(self) -> Iterable[GroupSlot]:
        return (
            slot
            for slot in self._groups.slots()
            if slot.kind is GroupKind.LOSSLESS and slot.name not in OWN_GROUPS
        )


def owed_records(balance: Balance) -> dict[str, int]:
    """Records owed to the groups that outlive the farm, by name; those with none are left out."""
    return {name: n for name, n in balance.owed.items() if name not in OWN_GROUPS}


def take_segments(config: FarmConfig, *, seed: int, discard: bool = False) -> Segments:
    """Take the instance, and make its segments or go on with those of a dead farm.

    Args:
        config: checked.
        seed: of every game, unless the segments of a dead farm have one and the config has none.
        discard: remove what a dead farm left, whoever is owed something of it.

    Raises:
        InstanceRunningError: a live farm has the instance.
        LeftoversError: a dead farm's segments hold what somebody is owed, and do not fit.
        AddressInUseError: the port is taken.
        SharedMemoryFullError: there is not enough room; what was left can be gone on with.
    """
    lease = lock_instance(config.instance)
    with ExitStack() as undo:
        undo.callback(lease.withdraw)
        _check_ports(config)
        left = _look(config)
        owed = left.owed(besides=OWN_GROUPS)
        adopting = left.adoptable and not discard and bool(owed or not left.resized)
        if not adopting:
            _clear(lease, left, owed, discard=discard)
        _check_room(config, left if adopting else None)
        undo.pop_all()  # the control block has the lease from here on
    if not adopting:
        return _create(config, lease, seed)
    segments = _adopt(config, lease, left)
    with ExitStack() as undo:
        undo.callback(segments.control.close)
        segments.prepare(config)
        undo.pop_all()
    return segments


def take_leftovers(config: FarmConfig) -> Segments:
    """Take the instance and go on with a dead farm's segments, which have to be there and fit.

    Raises:
        InstanceRunningError: a live farm has the instance.
        LeftoversError: there is nothing that can be gone on with.
        AddressInUseError: the port is taken.
    """
    lease = lock_instance(config.instance)
    with ExitStack() as undo:
        undo.callback(lease.withdraw)
        _check_ports(config)
        left = _look(config)
        if not left.adoptable:
            reasons = "; ".join(left.differences) or "there is none"
            raise LeftoversError(f"no farm {config.instance!r} can be drained: {reasons}")
        undo.pop_all()
    return _adopt(config, lease, left)


def _look(config: FarmConfig) -> Leftovers:
    return look(
        config.instance,
        capacity=config.ring.bytes,
        submitted_capacity=config.ring.submitted_bytes,
        host_capacity=config.games.ring_bytes,
        experiences_at=N_STEPS_OFFSET,
    )


def _clear(lease: Lease, left: Leftovers, owed: dict[str, int], *, discard: bool) -> None:
    """Remove what is left, if it may be."""
    if not left.segments:
        return
    if not discard and (owed or left.may_owe):
        raise LeftoversError(_refusal(lease.instance, left, owed))
    removed = lease.clear()
    log.get_logger().warning(
        "segments_discarded" if discard else "segments_reclaimed",
        instance=lease.instance,
        segments=list(removed),
        reasons=[*left.differences, *left.resized],
        owed_records=owed,
    )


def _refusal(instance: str, left: Leftovers, owed: dict[str, int]) -> str:
    what = ", ".join(f"{n} records to group {name}" for name, n in sorted(owed.items()))
    return (
        f"a farm {instance!r} that has ended still owes {what or 'what cannot be read'}, and this "
        f"one cannot go on with it: {'; '.join(left.differences)}. Start it with the settings and "
        f"the build it had, or deliver with `farm drain --instance {instance}`; "
        "`farm up --discard` throws it away"
    )


def _check_ports(config: FarmConfig) -> None:
    ports.check_free(config.serve.address, key="serve.address")
    if config.telemetry.metrics_address is not None:
        ports.check_free(config.telemetry.metrics_address, key="telemetry.metrics_address")
    for address in config.games.addresses:
        ports.check_free(address, key="games.address")


def _check_room(config: FarmConfig, left: Leftovers | None) -> None:
    """Refuse what does not fit into shared memory, before any of it is taken.

    Going on with what is left, only the rings that are missing need any.
    """
    wanted, free = shared_memory_bytes(config), free_bytes()
    if left is not None and left.balance is not None:
        there = {ring.ring for ring in left.balance.rings}
        missing = capacities(config).keys() - there
        wanted = sum(capacities(config)[ring] + RING_OVERHEAD_BYTES for ring in missing)
    if wanted > free:
        raise SharedMemoryFullError(
            f"the farm wants {wanted} bytes of shared memory (worker.count="
            f"{config.worker.count} rings of ring.bytes={config.ring.bytes}, games.hosts="
            f"{config.games.hosts} of games.ring_bytes={config.games.ring_bytes}) and {free} are "
            f"free in {SHM_DIR}; ask for less, stop another farm, or enlarge {SHM_DIR}"
        )


def _create(config: FarmConfig, lease: Lease, seed: int) -> Segments:
    control = ControlBlock.create(config.instance, 0, seed=seed, lease=lease)
    with ExitStack() as undo:
        undo.callback(control.close)
        undo.callback(control.unlink)
        for ring, capacity in capacities(config).items():
            create_ring(config.instance, ring, capacity).close()
        # Last: without it, nobody can have been delivered anything from the rings.
        groups = create_groups(
            config.instance,
            run_id=time.time_ns(),
            capacity=config.ring.bytes,
            n_rings=config.worker.count,
            n_host_rings=config.games.hosts,
        )
        undo.pop_all()
    return Segments(control, groups)


def _adopt(config: FarmConfig, lease: Lease, left: Leftovers) -> Segments:
    """Go on with what is left; a death on the way leaves it as adoptable as before."""
    assert left.balance is not None
    instance = config.instance
    with ExitStack() as undo:
        undo.callback(lease.close)
        remove_unfinished(instance, left)
        missing = capacities(config).keys() - set(ring_indexes(instance))
        for ring in sorted(missing):
            create_ring(instance, ring, capacities(config)[ring]).close()
            undo.callback(unlink_segment, ring_name(instance, ring))
        groups = attach_groups(instance)
        groups.n_rings = max(groups.n_rings, config.worker.count)
        groups.n_host_rings = max(groups.n_host_rings, config.games.hosts)
        groups.adoptions += 1
        for slot in groups.slots():
            if slot.name in OWN_GROUPS:
                slot.release()
        control = ControlBlock.take_over(lease, seed=config.seed)
        undo.pop_all()
    log.get_logger().warning(
        "rings_adopted",
        instance=instance,
        rings=len(left.balance.rings),
        new_rings=len(missing),
        waiting_records=left.balance.sums()["in_ring"].records,
        owed_records=left.owed(besides=OWN_GROUPS),
        next_game=control.next_game,
        adoptions=groups.adoptions,
    )
    return Segments(control, groups)


def _log_balance(balance: Balance) -> None:
    sums = balance.sums()
    say = log.get_logger().info if balance.exact else log.get_logger().error
    say(
        "balance",
        exact=balance.exact,
        records={name: amount.records for name, amount in sums.items()},
        experiences={name: amount.experiences for name, amount in sums.items()},
        **({} if balance.exact else {"differences": list(balance.differences)}),
    )
    for group in balance.groups:
        log.get_logger().info(
            "balance_group",
            group=group.group,
            policy=str(group.kind),
            acknowledged_records=group.acknowledged.records,
            filtered_records=group.filtered.records,
            passed_records=group.passed.records,
            corrupt_records=group.corrupt.records,
            before_records=group.before.records,
            waiting_records=group.waiting.records,
        )
