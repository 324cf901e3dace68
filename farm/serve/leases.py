"""Leases: which part of which ring is with which member of a group, and what can be released. Pure.

A group reads every ring once. What it reads goes out in batches; a batch is a lease of some spans
to one member, until the member acknowledges it. A ring can be released up to its first byte that is
neither settled nor still unread, so that what a member had when it went away is still there and
goes to the others, before anything new:

    ring    ......[span A][span B][span C]................
                  ^leased         ^acked  ^cursor         ^tail
                  settled up to here

A span knows how much of it nobody gets: left out by a filter, passed over by the group's policy, or
corrupt; what is left is delivered, and acknowledged once the span is settled. As the group's place
moves over settled spans, these amounts are added up: together they are always everything before it.

A member that stays silent while others wait for the room it holds can lose its leases to them; its
acknowledgement, should it still come, changes nothing then, nor does one of what the group has
passed over meanwhile. One `Group` is one named set of members; groups know nothing of each other.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from farm.errors import InvalidRequestError
from farm.shm.groups import Amount, Settled

_NONE = Amount()


class Mark(NamedTuple):
    """A place in a ring."""

    position: int
    """In bytes; monotonic."""
    records: int
    """Published before it, since the ring was made."""
    experiences: int
    """In those."""

    def since(self, start: "Mark") -> Amount:
        """What is between an earlier place and this one."""
        return Amount(self.records - start.records, self.experiences - start.experiences)


class LeftOut(NamedTuple):
    """What of a span nobody gets."""

    filtered: Amount = _NONE
    """By a member's filter."""
    passed: Amount = _NONE
    """By the group's policy."""
    corrupt: Amount = _NONE

    @property
    def total(self) -> Amount:
        """All of it."""
        return self.filtered + self.passed + self.corrupt


NOTHING = LeftOut()


@dataclass(slots=True, eq=False)
class Span:
    """A stretch of one ring that a group has read."""

    ring: int
    start: Mark
    end: Mark
    left_out: LeftOut = NOTHING
    """As of the last time it was read."""
    is_leased: bool = False
    is_settled: bool = False
    """Nobody needs it any longer."""

    @property
    def delivered(self) -> Amount:
        """What a member gets, or got, of it."""
        return self.end.since(self.start) - self.left_out.total


@dataclass(slots=True, eq=False)
class Lease:
    """A batch that a member has."""

    batch_id: int
    spans: tuple[Span, ...]
    n_bytes: int
    records: int
    """Records in the message."""
    experiences: int
    redelivered_records: int
    """Records in it that were handed out before."""
    lost: bool = False
    """Taken from the member: the records went to others."""


class Acknowledged(NamedTuple):
    """What an acknowledgement did."""

    n_bytes: int
    """Bytes of the batches, for the member's credit."""
    amount: Amount
    """What it settled: less than the batches held if some of it was lost or passed over."""


@dataclass(slots=True)
class _Ring:
    """The group's part of one ring: what is settled, where it reads, and the spans between."""

    settled: Settled
    cursor: Mark
    handed: int
    """Position up to which records were handed out, maybe by an earlier service."""
    unsettled: list[tuple[int, int, Span]] = field(default_factory=list)
    """A heap by position."""


class Group:
    """The members of one group and what they hold.

    Args:
        settled: what the group is done with, for each ring; it begins to read behind that.
        handed: position up to which records were handed out, for each ring.

    Attributes:
        leased_records: with a member, and waited for.
    """

    def __init__(self, settled: Sequence[Settled], handed: Sequence[int]) -> None:
        self._rings = [
            _Ring(place, mark_of(place), position)
            for place, position in zip(settled, handed, strict=True)
        ]
        self._returned: deque[Span] = deque()
        self._members: dict[int, dict[int, Lease]] = {}
        self._last_member = 0
        self._last_batch = 0
        self._n_spans = 0
        self.leased_records = 0

    def add_ring(self, settled: Settled, handed: int) -> None:
        """There is one more ring, behind the others."""
        self._rings.append(_Ring(settled, mark_of(settled), handed))

    def join(self) -> int:
        """A new member; its number."""
        self._last_member += 1
        self._members[self._last_member] = {}
        return self._last_member

    def leave(self, member: int) -> None:
        """A member is gone: what it has goes to the others, in the order of the rings."""
        self.reclaim(member)
        del self._members[member]

    def reclaim(self, member: int) -> int:
        """What a member has goes to the others, though it may still be there; how many records."""
        spans = list(self._returned)
        before = self.leased_records
        for lease in self._members[member].values():
            if not lease.lost:
                lease.lost = True
                spans += [span for span in lease.spans if self._take_back(span)]
        spans.sort(key=lambda span: (span.start.position, span.ring))
        self._returned = deque(spans)
        return before - self.leased_records

    def cursor(self, ring: int) -> Mark:
        """Where the group reads on."""
        return self._rings[ring].cursor

    def handed(self, ring: int) -> int:
        """Position up to which records were handed out; a new batch of those is a second one."""
        return self._rings[ring].handed

    def leased(self, ring: int) -> int:
        """Records of one ring that are with a member, and waited for."""
        return sum(
            span.delivered.records
            for _, _, span in self._rings[ring].unsettled
            if span.is_leased and not span.is_settled
        )

    def returned_bytes(self) -> int:
        """Bytes of ring that came back from members and wait for another."""
        return sum(span.end.position - span.start.position for span in self._returned)

    def take_returned(self) -> Span | None:
        """The next span to hand out again, if there is one."""
        return self._returned.popleft() if self._returned else None

    def put_back(self, span: Span) -> None:
        """A span taken with `take_returned` was not needed after all; it stays the next."""
        self._returned.appendleft(span)

    def split(self, span: Span, at: Mark) -> tuple[Span, Span]:
        """Halve a span, for a batch that has room for the first half only."""
        halves = (
            self._hold(Span(span.ring, span.start, at)),
            self._hold(Span(span.ring, at, span.end)),
        )
        span.end, span.left_out, span.is_settled = span.start, NOTHING, True
        return halves

    def read(self, ring: int, end: Mark, left_out: LeftOut = NOTHING) -> Span:
        """Read on to `end`; the span between is unsettled from now on."""
        state = self._rings[ring]
        if end.position < state.cursor.position:
            raise ValueError(f"ring {ring} cannot be read back to {end} from {state.cursor}")
        span = self._hold(Span(ring, state.cursor, end, left_out))
        state.cursor = end
        return span

    def settle(self, span: Span) -> None:
        """Nobody needs a span: it held nothing to deliver."""
        span.is_settled = True

    def pass_over(self, ring: int, end: Mark) -> None:
        """Go on at `end`, by the group's policy: whatever is before it and not settled is passed.

        Members keep what they have of it; acknowledging it changes nothing.
        """
        state = self._rings[ring]
        if end.position > state.cursor.position:
            self.read(ring, end)
        for _, _, span in state.unsettled:
            if not span.is_settled:
                self._take_back(span)
                left = span.left_out
                span.left_out = left._replace(passed=left.passed + span.delivered)
                span.is_settled = True
        self._returned = deque(span for span in self._returned if not span.is_settled)

    def lease(
        self,
        member: int,
        spans: Sequence[Span],
        *,
        n_bytes: int,
        records: int,
        experiences: int,
        redelivered_records: int = 0,
    ) -> Lease:
        """Hand spans to a member, as one batch."""
        self._last_batch += 1
        lease = Lease(
            batch_id=self._last_batch,
            spans=tuple(spans),
            n_bytes=n_bytes,
            records=records,
            experiences=experiences,
            redelivered_records=redelivered_records,
        )
        self._members[member][lease.batch_id] = lease
        for span in spans:
            span.is_leased = True
            self.leased_records += span.delivered.records
            state = self._rings[span.ring]
            state.handed = max(state.handed, span.end.position)
        return lease

    def acknowledge(self, member: int, batch_ids: Sequence[int]) -> Acknowledged:
        """A member is done with batches, in vain with those that it has lost. All or none.

        Raises:
            InvalidRequestError: the member does not have one: it never did, or said so before.
        """
        held = self._members[member]
        seen: set[int] = set()
        for batch_id in batch_ids:
            if batch_id not in held or batch_id in seen:
                raise InvalidRequestError(
                    f"batch {batch_id} is not with this stream: it was acknowledged before, or "
                    "never handed to it"
                )
            seen.add(batch_id)
        leases = [held.pop(batch_id) for batch_id in batch_ids]
        amount = _NONE
        for lease in leases:
            amount += self._settle_lease(lease)
        return Acknowledged(sum(lease.n_bytes for lease in leases), amount)

    def settled(self, ring: int) -> Settled:
        """What the group is done with: up to its first unsettled span, else all that it read."""
        state = self._rings[ring]
        while state.unsettled and state.unsettled[0][2].is_settled:
            state.settled = _settle(state.settled, heapq.heappop(state.unsettled)[2])
        return state.settled

    def _settle_lease(self, lease: Lease) -> Amount:
        amount = _NONE
        if not lease.lost:
            for span in lease.spans:
                if self._take_back(span):
                    amount += span.delivered
                    span.is_settled = True
        return amount

    def _take_back(self, span: Span) -> bool:
        """A member no longer has a span; False if nobody waited for it any more."""
        if span.is_settled:
            return False
        if span.is_leased:
            span.is_leased = False
            self.leased_records -= span.delivered.records
        return True

    def _hold(self, span: Span) -> Span:
        self._n_spans += 1
        entry = (span.start.position, self._n_spans, span)
        heapq.heappush(self._rings[span.ring].unsettled, entry)
        return span


def mark_of(settled: Settled) -> Mark:
    """The place of a group that is done with this much."""
    total = settled.total
    return Mark(settled.position, total.records, total.experiences)


def _settle(settled: Settled, span: Span) -> Settled:
    left_out = span.left_out
    return Settled(
        position=span.end.position,
        before=settled.before,
        acknowledged=settled.acknowledged + span.delivered,
        filtered=settled.filtered + left_out.filtered,
        passed=settled.passed + left_out.passed,
        corrupt=settled.corrupt + left_out.corrupt,
    )
