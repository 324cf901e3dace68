"""What a dead farm left: what it holds for whom, and whether a new farm can go on with it.

Whoever calls holds the instance's lease, so that nothing moves. A farm can go on with what is there
if every segment is whole, of this build's layout and spec, and of the size that the config wants;
otherwise `differences` says why not, in words.

    no groups segment, or one that is half made    nothing was ever delivered from here, or it is
                                                   being removed: nobody is owed anything
    a ring that is half made                       the dead farm was growing: made again
    a ring that is missing, or anything else       it may hold, or have held, what somebody is owed
      that cannot be read
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack

from msgspec import Struct

from farm.errors import (
    CorruptDataError,
    SegmentAbsentError,
    SegmentError,
    SegmentLayoutError,
    SegmentNotReadyError,
)
from farm.shm.balance import Balance, read_balance
from farm.shm.control import ControlBlock
from farm.shm.groups import (
    FIRST_HOST_RING,
    MAX_HOSTS,
    MAX_RINGS,
    SUBMITTED_RING,
    GroupsBlock,
    attach_groups,
)
from farm.shm.ring_layout import attach_ring, read_checkpoint, ring_indexes, ring_name
from farm.shm.segment import Segment, list_segments, shm_path, unlink_segment


class Leftovers(Struct, frozen=True):
    """What a dead farm left."""

    segments: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    """Why a farm cannot go on with it; empty if it can."""
    resized: tuple[str, ...] = ()
    """Rings of workers whose capacity is to be another; they can be gone on with, and replaced."""
    balance: Balance | None = None
    """None if it cannot be read, or there is none."""
    may_owe: bool = False
    """What cannot be read may hold something that a group is owed."""
    unfinished: tuple[int, ...] = ()
    """Rings that are half made."""

    @property
    def adoptable(self) -> bool:
        """Whether a farm can go on with it."""
        return self.balance is not None and not self.differences

    def owed(self, *, besides: Collection[str] = ()) -> dict[str, int]:
        """Records that wait for a lossless group, by group, but for some groups."""
        owed = self.balance.owed if self.balance else {}
        return {group: records for group, records in owed.items() if group not in besides}


def look(
    instance: str,
    *,
    capacity: int,
    submitted_capacity: int,
    host_capacity: int,
    experiences_at: int,
) -> Leftovers:
    """Look at what a dead farm left; it changes nothing.

    Args:
        instance: name of the instance, its lease held.
        capacity: of a worker's ring, as the new farm wants it.
        submitted_capacity: of the ring of submitted trajectories, 0 for none.
        host_capacity: of a games host's ring.
        experiences_at: as of `read_balance`.
    """
    names = tuple(name for name in list_segments(instance) if _size(name))
    with ExitStack() as stack:
        try:
            groups = stack.enter_context(attach_groups(instance, readonly=True))
        except (SegmentAbsentError, SegmentNotReadyError):
            return Leftovers(names, ("there are no groups in it",) if names else ())
        except SegmentError as error:
            return Leftovers(names, (str(error),), may_owe=True)
        differences = list(_control_differences(instance))
        rings, unfinished, unreadable = _attach_rings(instance, stack)
        differences += unreadable
        wanted = dict.fromkeys(range(SUBMITTED_RING), capacity)
        wanted[SUBMITTED_RING] = submitted_capacity
        wanted |= dict.fromkeys(range(FIRST_HOST_RING, MAX_RINGS), host_capacity)
        resized = dict(_other_capacities(rings, wanted))
        differences += [reason for ring, reason in resized.items() if ring >= SUBMITTED_RING]
        differences += _ring_differences(groups, rings)
        try:
            balance = read_balance(groups, rings, experiences_at=experiences_at, running=False)
        except CorruptDataError as error:
            return Leftovers(names, (*differences, str(error)), may_owe=True)
        differences += balance.differences
    return Leftovers(
        names,
        tuple(differences),
        tuple(reason for ring, reason in resized.items() if ring < SUBMITTED_RING),
        balance,
        may_owe=bool(unreadable or balance.missing),
        unfinished=tuple(unfinished),
    )


def remove_unfinished(instance: str, left: Leftovers) -> None:
    """Remove the rings that are half made."""
    for ring in left.unfinished:
        unlink_segment(ring_name(instance, ring))


def _control_differences(instance: str) -> Iterator[str]:
    try:
        control = ControlBlock.attach(instance, readonly=True)
    except SegmentError as error:
        yield str(error)
        return
    try:
        control.load_config()
    except CorruptDataError as error:
        yield str(error)
    finally:
        control.close()


def _attach_rings(
    instance: str, stack: ExitStack
) -> tuple[list[tuple[int, Segment]], list[int], list[str]]:
    """The rings that can be read, the indexes of half-made ones, and what keeps others unread."""
    rings: list[tuple[int, Segment]] = []
    unfinished: list[int] = []
    unreadable: list[str] = []
    for ring in ring_indexes(instance):
        try:
            segment = stack.enter_context(attach_ring(instance, ring, readonly=True))
        except SegmentNotReadyError:
            unfinished.append(ring)
        except SegmentLayoutError as error:
            unreadable.append(str(error))
        else:
            rings.append((ring, segment))
    return rings, unfinished, unreadable


def _other_capacities(
    rings: list[tuple[int, Segment]], wanted: dict[int, int]
) -> Iterator[tuple[int, str]]:
    for ring, segment in rings:
        if segment.parameter != wanted[ring]:
            key = _capacity_key(ring)
            yield ring, f"{key} was {segment.parameter} and is {wanted[ring]} now (ring {ring})"


def _ring_differences(groups: GroupsBlock, rings: list[tuple[int, Segment]]) -> Iterator[str]:
    if groups.n_rings > SUBMITTED_RING:
        yield f"{groups.segment.name} says it has {groups.n_rings} rings"
    if groups.n_host_rings > MAX_HOSTS:
        yield f"{groups.segment.name} says it has rings of {groups.n_host_rings} games hosts"
    for _, segment in rings:
        try:
            read_checkpoint(segment)
        except CorruptDataError as error:
            yield str(error)


def _capacity_key(ring: int) -> str:
    if ring < SUBMITTED_RING:
        return "ring.bytes"
    return "ring.submitted_bytes" if ring == SUBMITTED_RING else "games.ring_bytes"


def _size(name: str) -> int:
    try:
        return shm_path(name).stat().st_size
    except FileNotFoundError:
        return 0
