"""The rings as the service sees them: what is published, what is released, and copies out of them.

`scan` is the only place that looks at a ring's tail. Everybody else reads up to what was scanned,
so that each record is counted once before anyone takes it, and a place in a ring can be named by a
position and by how much was published before it, which all readers agree on.

A ring that is replaced by one of another capacity has nothing in it, and neither has the other, at
the same positions: `scan` goes on in whichever has the name now (farm.shm.successor).

Those amounts stay exact whatever the ring holds. Where bytes are no record, nothing says how many
records they were; the producer's checkpoint does: everything up to it is then lost, and counted.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.errors import CorruptDataError
from farm.serve import drain as kernels
from farm.serve.filters import RecordFilter
from farm.serve.leases import LeftOut, Mark
from farm.shm.groups import SUBMITTED_RING, Amount, GroupsBlock, Released
from farm.shm.ring import is_parked, load_head, release
from farm.shm.ring_layout import (
    FATE_OFFSET,
    Fate,
    RingView,
    attach_ring,
    attach_ring_segment,
    ring_indexes,
)
from farm.shm.segment import Segment
from farm.shm.wake import Doorbell

_FULL_EIGHTHS = 7
"""So much of a ring is taken, and it counts as full, though no worker waits for room."""


class Drained(NamedTuple):
    """What one copy out of a ring brought."""

    mark: Mark
    """Where to go on."""
    n_bytes: int
    """Bytes of the buffer that are filled now."""
    records: int
    """Records copied."""
    experiences: int
    """Steps in them."""
    left_out: LeftOut
    """What was gone past and not copied."""
    wanted_bytes: int
    """Bytes of the record that found no room; 0 if everything did."""


class _Stretch(NamedTuple):
    """A part of the ring that is no record."""

    start: Mark
    end: Mark


class Ring:
    """One worker's ring, from its consumer's side.

    Attributes:
        worker: index of the worker.
        view: what the ring says of itself.
        head: what is released.
        tail: what is scanned; readers stop here.
        n_corrupt: records found that are none, since the service started.
        is_ending: its worker waits until everything in it is released, as of the last scan.
        is_overdue: for so long that groups that hold no ring are to let go of it.

    Args:
        worker: index of the worker.
        segment: the ring.
        groups: keeps what the head stands for.
        space_bell: rung after a release if the worker is parked; None where nobody waits.

    Raises:
        CorruptDataError: the head and what is kept of it contradict each other.
    """

    def __init__(
        self, worker: int, segment: Segment, groups: GroupsBlock, space_bell: Doorbell | None
    ) -> None:
        self.worker = worker
        self.view = RingView(segment)
        self._mem = segment.mem
        self._groups = groups
        self._space_bell = space_bell
        self.head = self.tail = self._resume()
        self.n_corrupt = 0
        self.is_ending = self.is_overdue = False
        self._fate: int = Fate.IN_USE
        self._result = np.zeros(kernels.RESULT_WORDS, dtype=np.int64)
        self._stretches: list[_Stretch] = []

    @property
    def is_half_full(self) -> bool:
        """Whether half of the ring is not released."""
        return self.fills_half(self.head)

    @property
    def is_full(self) -> bool:
        """Whether the worker waits for room, or would if it did not drop instead."""
        view = self.view
        return view.parked or _FULL_EIGHTHS * view.capacity <= 8 * view.used_bytes

    def fills_half(self, mark: Mark) -> bool:
        """Whether what is behind a mark takes half of the ring."""
        return 2 * (self.tail.position - mark.position) >= self.view.capacity

    def scan(self, headers: NDArray[np.uint8]) -> tuple[int, bool]:
        """Take in what was published since the last scan.

        Args:
            headers: uint8[64 * n], written.

        Returns:
            How many headers were written, and whether there may be more to take in.

        Raises:
            SegmentError: it was replaced, and what has its name cannot be attached to.
            CorruptDataError: likewise, and that stands elsewhere.
        """
        # Before the tail: of a ring that is ending, this then finds all there will be.
        fate = self.view.segment.load(FATE_OFFSET)
        if fate != self._fate:
            self._meet(fate)
        result = self._result
        kernels.scan(self._mem, self.tail.position, headers, result)
        if result[kernels.WALKED]:
            self.tail = self._walked(self.tail)
            self.n_corrupt += int(result[kernels.CORRUPTED])
        if result[kernels.STRETCH]:
            return int(result[kernels.END]), self._skip_stretch()
        n_headers = int(result[kernels.END])
        return n_headers, n_headers == len(headers) // kernels.HEADER_BYTES

    def drain(
        self,
        start: Mark,
        end: Mark,
        out: NDArray[np.uint8],
        room: tuple[int, int],
        wanted: RecordFilter,
        *,
        sample: int = kernels.ALL_OF_THEM,
        stop: int | None = None,
    ) -> Drained:
        """Copy entries from `start` on, up to `end` at most.

        Args:
            start: first record to look at.
            end: at most `tail`.
            out: uint8[...], the buffer; written.
            room: bytes of it that are filled, and that may be filled.
            wanted: which records to copy.
            sample: of so many of 2**32 records.
            stop: position between two records where to stop before `end`.
        """
        n_filled, limit = room
        for stretch in self._stretches:
            if stretch.start.position <= start.position < stretch.end.position:
                lost = LeftOut(corrupt=stretch.end.since(start))
                return Drained(stretch.end, n_filled, 0, 0, lost, 0)
            if start.position < stretch.start.position < end.position:
                end = stretch.start
                break
        stop = end.position if stop is None else min(stop, end.position)
        kernels.drain(
            self._mem,
            start.position,
            stop,
            out,
            n_filled,
            limit,
            wanted.game_ids,
            wanted.seats,
            wanted.min_last_tick,
            wanted.policies,
            sample,
            self._result,
        )
        return self._drained(start, end)

    def release(self, mark: Mark) -> None:
        """Give everything before a mark back to the worker, and wake it if it waits."""
        if mark.position <= self.head.position:
            return
        self.head = mark
        self._stretches = [one for one in self._stretches if one.end.position > mark.position]
        self._groups.set_released(self.worker, Released(*mark))
        release(self._mem, mark.position)
        if self._space_bell is not None and is_parked(self._mem):
            self._space_bell.ring()

    def _meet(self, fate: int) -> None:
        if fate == Fate.REPLACED:
            self._go_on_in_successor()
            fate = Fate.IN_USE
        self._fate = fate
        self.is_overdue = fate == Fate.OVERDUE
        self.is_ending = self.is_overdue or fate == Fate.ENDING

    def _go_on_in_successor(self) -> None:
        before = self.view.segment
        segment = attach_ring_segment(before.name)
        head = int(load_head(segment.mem))
        if not head == self.head.position == self.tail.position:
            raise CorruptDataError(
                f"{segment.name} was replaced by a ring that is released up to {head}, and "
                f"{self.head.position} of {self.tail.position} were; start the farm with "
                "`farm up --discard`"
            )
        self.view, self._mem = RingView(segment), segment.mem
        self._stretches.clear()
        before.close()

    def _resume(self) -> Mark:
        """Go on where the service before stopped, maybe between keeping and moving the head."""
        kept = self._groups.released(self.worker)
        head, tail = int(load_head(self._mem)), self.view.tail
        if not head <= kept.position <= tail:
            raise CorruptDataError(
                f"{self.view.segment.name} is released up to {head} of {tail} and "
                f"{self._groups.segment.name} says {kept.position}; start the farm with "
                "`farm up --discard`"
            )
        if kept.position > head:
            release(self._mem, kept.position)
        return Mark(kept.position, kept.records, kept.experiences)

    def _walked(self, start: Mark) -> Mark:
        """Where the last call of a kernel came."""
        result = self._result
        return Mark(
            int(result[kernels.POSITION]),
            start.records + int(result[kernels.WALKED]),
            start.experiences + int(result[kernels.WALKED_EXPERIENCES]),
        )

    def _drained(self, start: Mark, end: Mark) -> Drained:
        words = self._result.tolist()
        mark = self._walked(start)
        corrupt = _amount(words, kernels.CORRUPTED)
        # What became garbage since it was scanned: of its end, scan has told how much is before.
        if words[kernels.STRETCH] or mark.position == end.position:
            corrupt += end.since(mark)
            mark = end
        return Drained(
            mark,
            words[kernels.END],
            words[kernels.RECORDS],
            words[kernels.EXPERIENCES],
            LeftOut(_amount(words, kernels.FILTERED), _amount(words, kernels.PASSED), corrupt),
            words[kernels.WANTED],
        )

    def _skip_stretch(self) -> bool:
        """Go on behind bytes that are no record; False if nothing says yet how many they were."""
        saved = self.view.checkpoint()
        if saved.tail != self.view.tail:
            return False  # the producer was quicker than we; next time
        end = Mark(saved.tail, saved.records, saved.experiences)
        self._stretches.append(_Stretch(self.tail, end))
        self.n_corrupt += end.records - self.tail.records
        self.tail = end
        return True


def attach_rings(
    instance: str,
    groups: GroupsBlock,
    space_bells: Sequence[Doorbell],
    wanted: Collection[int],
    *,
    known: Collection[int] = (),
) -> list[Ring]:
    """Attach to every ring of an instance, also those whose producer no longer runs.

    Args:
        instance: name of the instance.
        groups: its groups segment.
        space_bells: by worker; who hands trajectories in, and a games host, waits for no room.
        wanted: rings that have to be there.
        known: rings that are left out.

    Raises:
        SegmentError: what `Segment.attach` raises.
        CorruptDataError: a ring and the groups segment contradict each other.
    """
    return [
        Ring(
            worker,
            attach_ring(instance, worker),
            groups,
            space_bells[worker] if worker < min(SUBMITTED_RING, len(space_bells)) else None,
        )
        for worker in sorted({*ring_indexes(instance), *wanted} - set(known))
    ]


def _amount(words: list[int], kind: int) -> Amount:
    return Amount(words[kind], words[kind + 1])
