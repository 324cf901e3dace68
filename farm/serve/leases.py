"""Leases: which part of which ring is with which member of a group, and what can be released. Pure.

A group reads every ring once. What it reads goes out in batches; a batch is a lease of some spans
to one member, until the member acknowledges it. A ring can be released up to its first byte that is
neither acknowledged nor still unread, so that what a member had when it went away is still there
and goes to the others, before anything new:

    ring    ......[span A][span B][span C]................
                  ^leased         ^acked  ^cursor         ^tail
                  release mark

A member that stays silent while others wait for the room it holds can lose its leases to them; its
acknowledgement, should it still come, changes nothing then. One `Group` is one named set of
members; groups know nothing of each other.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from farm.errors import InvalidRequestError


class Mark(NamedTuple):
    """A place in a ring."""

    position: int
    """In bytes; monotonic."""
    records: int
    """Records before it, since some common origin."""


@dataclass(slots=True, eq=False)
class Span:
    """A stretch of one ring that a group has read."""

    ring: int
    start: Mark
    end: Mark
    settled: bool = False
    """Acknowledged, or replaced by its two halves."""


@dataclass(slots=True, eq=False)
class Lease:
    """A batch that a member has."""

    batch_id: int
    member: int
    spans: tuple[Span, ...]
    n_bytes: int
    records: int
    """Records in the message: without those that a filter left out."""
    experiences: int
    redelivered_records: int
    """Records in it that another member had before."""
    lost: bool = False
    """Taken from the member: the records went to others."""


@dataclass(slots=True)
class _Ring:
    """The group's part of one ring: where it reads, and every span not settled, by position."""

    cursor: Mark
    unsettled: list[tuple[int, int, Span]] = field(default_factory=list)


class Group:
    """The members of one group and what they hold.

    Args:
        starts: where the group begins to read, for each ring.
    """

    def __init__(self, starts: Sequence[Mark]) -> None:
        self._rings = [_Ring(start) for start in starts]
        self._returned: deque[Span] = deque()
        self._members: dict[int, dict[int, Lease]] = {}
        self._last_member = 0
        self._last_batch = 0
        self._n_spans = 0
        self.leased_records = 0

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
        records = 0
        for lease in self._members[member].values():
            if not lease.lost:
                lease.lost = True
                records += lease.records
                spans += lease.spans
        self.leased_records -= records
        spans.sort(key=lambda span: (span.start.position, span.ring))
        self._returned = deque(spans)
        return records

    def cursor(self, ring: int) -> Mark:
        """Where the group reads on."""
        return self._rings[ring].cursor

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
        span.settled = True
        return (
            self._hold(Span(span.ring, span.start, at)),
            self._hold(Span(span.ring, at, span.end)),
        )

    def read(self, ring: int, end: Mark) -> Span:
        """Read on to `end`; the span between is unsettled from now on."""
        state = self._rings[ring]
        if end.position < state.cursor.position:
            raise ValueError(f"ring {ring} cannot be read back to {end} from {state.cursor}")
        span = self._hold(Span(ring, state.cursor, end))
        state.cursor = end
        return span

    def settle(self, span: Span) -> None:
        """Nobody needs a span: it held nothing to deliver."""
        span.settled = True

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
            member=member,
            spans=tuple(spans),
            n_bytes=n_bytes,
            records=records,
            experiences=experiences,
            redelivered_records=redelivered_records,
        )
        self._members[member][lease.batch_id] = lease
        self.leased_records += records
        return lease

    def acknowledge(self, member: int, batch_ids: Sequence[int]) -> list[Lease]:
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
        return [self._settle_lease(held.pop(batch_id)) for batch_id in batch_ids]

    def release_mark(self, ring: int) -> Mark:
        """Up to where a ring is done with: its first unsettled span, else the cursor."""
        state = self._rings[ring]
        while state.unsettled and state.unsettled[0][2].settled:
            heapq.heappop(state.unsettled)
        return state.unsettled[0][2].start if state.unsettled else state.cursor

    def _settle_lease(self, lease: Lease) -> Lease:
        if not lease.lost:
            self.leased_records -= lease.records
            for span in lease.spans:
                span.settled = True
        return lease

    def _hold(self, span: Span) -> Span:
        self._n_spans += 1
        entry = (span.start.position, self._n_spans, span)
        heapq.heappush(self._rings[span.ring].unsettled, entry)
        return span
