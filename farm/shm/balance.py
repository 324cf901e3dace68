"""The balance of an instance: where every record is that its producers ever attempted.

    attempted = published + dropped (ring_full, sampled) + aborted + in hand
    published = released + in the ring
    published = before + acknowledged + filtered + passed + corrupt + waiting    for each group

in records and in experiences, of each ring. The left sides and the sums are counters that producers
and the service keep; what is in the ring, and waits for a group, is counted here, record by record,
by walking it. So the second and third line can fail, and `differences` says where they do.

It works on a live instance and on a dead one. What is in hand of a living producer is aborted of a
dead one. Of a live one, the places of the groups are read before what is published: whatever moves
in between has then been published and not settled, and the sums hold. A record that was overwritten
meanwhile is seen as such by its lap, and the ring is read once more.

Nothing here needs Numba: the supervisor and the tools read dead instances without compiling.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from msgspec import Struct

from farm.shm.groups import (
    FIRST_HOST_RING,
    MAX_RINGS,
    SUBMITTED_RING,
    Amount,
    GroupKind,
    GroupsBlock,
    GroupSlot,
    attach_groups,
    ring_label,
)
from farm.shm.ring_layout import (
    DATA_OFFSET,
    HEAD_OFFSET,
    LAP_SHIFT,
    RECORD_HEADER_BYTES,
    SKIP_LENGTH,
    TAIL_OFFSET,
    RingView,
    attach_ring,
    is_replaced,
    max_payload_bytes,
    record_bytes,
    ring_indexes,
    unpublished,
)
from farm.shm.segment import Segment

RING_FULL, SAMPLED = "ring_full", "sampled"
"""Reasons for which a producer drops."""
READS = 8
"""Times that a ring of a live instance is read, until its sums agree."""

_WORD = (1 << 64) - 1
_COUNT_BYTES, _COUNT_MASK = 2, 0xFFFF


class GroupBalance(Struct, frozen=True):
    """What became of the records of a ring, for one group."""

    group: str
    kind: GroupKind
    before: Amount
    """Released before the group was made."""
    acknowledged: Amount
    filtered: Amount
    passed: Amount
    corrupt: Amount
    waiting: Amount
    """Published and not settled, counted in the ring."""

    @property
    def settled(self) -> Amount:
        """Everything that the group is done with."""
        return self.before + self.acknowledged + self.filtered + self.passed + self.corrupt


class RingBalance(Struct, frozen=True):
    """What became of the records of a ring."""

    ring: int
    """Index of its worker, SUBMITTED_RING, or that of a games host (farm.shm.groups)."""
    attempted: Amount
    published: Amount
    dropped: dict[str, Amount]
    """By reason."""
    aborted: Amount
    in_hand: Amount
    """Claimed by a living producer and not yet published."""
    released: Amount
    """Before the head."""
    in_ring: Amount
    """Behind it, counted in the ring."""
    damaged: Amount
    """Of these, records that cannot be read: the bytes are no records."""
    groups: tuple[GroupBalance, ...]
    differences: tuple[str, ...]
    """Sums that do not come out, in words."""


class GroupTotal(Struct, frozen=True):
    """One group over all rings."""

    group: str
    kind: GroupKind
    declared: bool
    n_members: int
    leased_records: int
    """With a member and not acknowledged; they are among those that wait."""
    before: Amount
    acknowledged: Amount
    filtered: Amount
    passed: Amount
    corrupt: Amount
    waiting: Amount


class Balance(Struct, frozen=True):
    """The balance of an instance."""

    run_id: int
    """Names the lifetime of the rings."""
    rings: tuple[RingBalance, ...]
    groups: tuple[GroupTotal, ...]
    missing: tuple[int, ...] = ()
    """Rings of workers and hosts that were made and are not here: nobody knows what they held."""

    @property
    def differences(self) -> tuple[str, ...]:
        """Sums that do not come out, in words."""
        return (
            *(f"the ring of {_producer(ring)} is missing" for ring in self.missing),
            *(text for ring in self.rings for text in ring.differences),
        )

    @property
    def exact(self) -> bool:
        """Whether every record is accounted for."""
        return not self.differences

    @property
    def owed(self) -> dict[str, int]:
        """Records that wait for a lossless group, by group; those with none are left out."""
        return {
            total.group: total.waiting.records
            for total in self.groups
            if total.kind is GroupKind.LOSSLESS and total.waiting.records
        }

    def sums(self) -> dict[str, Amount]:
        """Attempted, published, each reason to drop, and whatever else there is, over all rings."""
        names = ("attempted", "published", "aborted", "in_hand", "in_ring", "damaged")
        sums = {name: total(getattr(ring, name) for ring in self.rings) for name in names}
        for reason in (RING_FULL, SAMPLED):
            sums[f"dropped_{reason}"] = total(ring.dropped[reason] for ring in self.rings)
        return sums


def read_instance(instance: str, *, experiences_at: int, running: bool) -> Balance:
    """The balance of an instance by its name; arguments as of `read_balance`.

    Raises:
        SegmentError: what `Segment.attach` raises.
        CorruptDataError: checkpoints are torn or say what cannot be.
    """
    for _ in range(READS):
        with ExitStack() as stack:
            groups = stack.enter_context(attach_groups(instance, readonly=True))
            rings = [
                (ring, stack.enter_context(attach_ring(instance, ring, readonly=True)))
                for ring in ring_indexes(instance)
            ]
            balance = read_balance(groups, rings, experiences_at=experiences_at, running=running)
            # One that was replaced meanwhile says nothing of where the groups are now.
            if not any(is_replaced(segment) for _, segment in rings):
                break
    return balance


def read_balance(
    groups: GroupsBlock, rings: Sequence[tuple[int, Segment]], *, experiences_at: int, running: bool
) -> Balance:
    """The balance of an instance.

    Args:
        groups: its groups segment.
        rings: its rings by index.
        experiences_at: where in a record's payload its number of experiences is, a u16.
        running: whether its producers may be alive.

    Raises:
        CorruptDataError: checkpoints are torn or say what cannot be.
    """
    balances = tuple(
        read_ring(groups, ring, segment, experiences_at=experiences_at, running=running)
        for ring, segment in rings
    )
    totals = tuple(_group_total(slot, balances, running=running) for slot in groups.slots())
    made = {
        *range(min(groups.n_rings, SUBMITTED_RING)),
        *range(FIRST_HOST_RING, min(FIRST_HOST_RING + groups.n_host_rings, MAX_RINGS)),
    }
    missing = tuple(sorted(made - {ring for ring, _ in rings}))
    return Balance(groups.run_id, balances, totals, missing)


def read_ring(
    groups: GroupsBlock, ring: int, segment: Segment, *, experiences_at: int, running: bool
) -> RingBalance:
    """The balance of one ring; arguments as of `read_balance`."""
    for _ in range(READS if running else 1):
        found = _read_ring(groups, ring, segment, experiences_at, running=running)
        if not found.differences and not found.damaged.records:
            break
    return found


def lag_bytes(slot: GroupSlot, rings: Iterable[tuple[int, Segment]]) -> int:
    """Bytes of rings that are published and not settled by a group; looks at no record."""
    return sum(
        (segment.load(TAIL_OFFSET) - slot.settled(ring).position) & _WORD for ring, segment in rings
    )


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum of amounts."""
    return sum(amounts, Amount())


def _producer(ring: int) -> str:
    return ring_label(ring) if ring >= FIRST_HOST_RING else f"worker {ring}"


def _read_ring(
    groups: GroupsBlock, ring: int, segment: Segment, experiences_at: int, *, running: bool
) -> RingBalance:
    # In this order: what is read later can only have moved on, and the sums hold all the same.
    head = segment.load(HEAD_OFFSET)
    released = groups.released(ring)
    places = [(slot.name, slot.kind, slot.settled(ring)) for slot in groups.slots()]
    saved = RingView(segment).checkpoint()
    rest = Amount(*unpublished(segment, saved))
    aborted = Amount(saved.aborted_records, saved.aborted_experiences) if running else rest
    published = Amount(saved.records, saved.experiences)
    walk = _Walk(segment, experiences_at, saved.tail)
    marks = {settled.position for _, _, settled in places}
    counted = walk.count(released.position, marks, published - released.amount)
    rows = tuple(
        GroupBalance(
            group=name,
            kind=kind,
            before=settled.before,
            acknowledged=settled.acknowledged,
            filtered=settled.filtered,
            passed=settled.passed,
            corrupt=settled.corrupt,
            waiting=counted.get(settled.position, Amount()),
        )
        for name, kind, settled in places
    )
    in_ring = counted.get(released.position, Amount())
    sums = {"what is released": (released.amount, in_ring)}
    sums.update({f"group {row.group}": (row.settled, row.waiting) for row in rows})
    positions = {name: settled.position for name, _, settled in places}
    return RingBalance(
        ring=ring,
        attempted=Amount(saved.sequence, saved.accounted_experiences) + rest,
        published=published,
        dropped={
            RING_FULL: Amount(saved.dropped_records, saved.dropped_experiences),
            SAMPLED: Amount(saved.sampled_records, saved.sampled_experiences),
        },
        aborted=aborted,
        in_hand=rest - aborted,
        released=released.amount,
        in_ring=in_ring,
        damaged=walk.damaged,
        groups=rows,
        differences=(
            *_unequal(ring, published, sums),
            *_misplaced(ring, head, released.position, positions),
        ),
    )


def _unequal(ring: int, published: Amount, sums: dict[str, tuple[Amount, Amount]]) -> Iterable[str]:
    for name, (done, rest) in sums.items():
        off = published - (done + rest)
        if off != Amount():
            yield (
                f"ring {ring}, {name}: {published.records} records ({published.experiences} "
                f"experiences) published, {done.records} ({done.experiences}) done with, "
                f"{rest.records} ({rest.experiences}) in the ring: off by {off.records} "
                f"({off.experiences})"
            )


def _misplaced(ring: int, head: int, released: int, groups: dict[str, int]) -> Iterable[str]:
    """A head beyond what was kept for it, or beyond a group."""
    if _is_behind(released, head):
        yield f"ring {ring}: the head, {head}, is beyond what was kept as released, {released}"
    for name, position in groups.items():
        if _is_behind(position, released):
            yield f"ring {ring}, group {name}: it stands at {position}, released is {released}"


def _is_behind(position: int, other: int) -> bool:
    """Whether one position comes before another; both wrap."""
    return 0 < (other - position) & _WORD < 1 << 63


def _group_total(slot: GroupSlot, rings: Sequence[RingBalance], *, running: bool) -> GroupTotal:
    name = slot.name
    rows = [row for ring in rings for row in ring.groups if row.group == name]
    return GroupTotal(
        group=name,
        kind=slot.kind,
        declared=slot.declared,
        # With the service went its members and their leases.
        n_members=slot.n_members if running else 0,
        leased_records=slot.leased_records if running else 0,
        before=total(row.before for row in rows),
        acknowledged=total(row.acknowledged for row in rows),
        filtered=total(row.filtered for row in rows),
        passed=total(row.passed for row in rows),
        corrupt=total(row.corrupt for row in rows),
        waiting=total(row.waiting for row in rows),
    )


class _Walk:
    """Goes over the records of a ring.

    Attributes:
        damaged: what was published where no records are.

    Args:
        segment: the ring.
        experiences_at: as of `read_balance`.
        tail: position to stop at.
    """

    def __init__(self, segment: Segment, experiences_at: int, tail: int) -> None:
        self.damaged = Amount()
        self._load = segment.load
        self._capacity = segment.parameter
        self._limit = max_payload_bytes(segment.parameter)
        self._experiences_at = experiences_at
        self._tail = tail

    def count(self, start: int, marks: set[int], expected: Amount) -> dict[int, Amount]:
        """Amounts from each mark to the tail; marks at which no record begins are left out.

        Bytes that are no record cannot be counted. What the producer says it published, `expected`
        from `start` on, stands in for them, and goes to `damaged`.
        """
        passed: dict[int, Amount] = {}
        whole_from = 0
        position, records, experiences = start, 0, 0
        while self._ahead(position) > 0:
            if position in marks or position == start:
                passed[position] = Amount(records, experiences)
            step = self._record(position)
            if step is None:
                whole_from = len(passed)
                position = self._next_mark(position, marks)
                continue
            position = (position + step[0]) & _WORD
            records += 1
            experiences += step[1]
        end = passed[self._tail] = Amount(records, experiences)
        if whole_from:
            self.damaged = expected - end
        return {
            mark: end - before + (self.damaged if nth < whole_from else Amount())
            for nth, (mark, before) in enumerate(passed.items())
        }

    def _ahead(self, position: int) -> int:
        """Bytes from a position to the tail; 0 if it is nowhere in the ring."""
        ahead = (self._tail - position) & _WORD
        return ahead if ahead <= self._capacity else 0

    def _next_mark(self, position: int, marks: set[int]) -> int:
        """Where a record begins behind one that is none: the next mark, or else the tail."""
        ahead = self._ahead(position)
        behind = [mark for mark in marks if 0 < self._ahead(mark) < ahead]
        return max(behind, key=self._ahead, default=self._tail)

    def _record(self, position: int) -> tuple[int, int] | None:
        """Bytes and experiences of the record at a position; None if there is none."""
        place = position & (self._capacity - 1)
        skipped = 0
        length = self._load(DATA_OFFSET + place) ^ (position << LAP_SHIFT) & _WORD
        if length == SKIP_LENGTH:
            skipped, place = self._capacity - place, 0
            length = self._load(DATA_OFFSET) ^ ((position + skipped) << LAP_SHIFT) & _WORD
        if length > self._limit:
            return None
        n_bytes = record_bytes(length)
        if skipped + n_bytes > self._ahead(position) or place + n_bytes > self._capacity:
            return None
        if length < self._experiences_at + _COUNT_BYTES:
            return skipped + n_bytes, 0
        at = DATA_OFFSET + place + RECORD_HEADER_BYTES + self._experiences_at
        return skipped + n_bytes, self._load(at & -8) >> 8 * (at & 7) & _COUNT_MASK
