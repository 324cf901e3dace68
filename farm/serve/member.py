"""A member of a group: its batches are leases, handed out as far as its credit goes."""

from collections.abc import Sequence

from farm.errors import SilentClientError
from farm.serve.batch import Buffer, Limits, Patience
from farm.serve.credit import Credit
from farm.serve.filters import RecordFilter
from farm.serve.leases import Group, Lease, Span
from farm.serve.rings import Ring

_EVERYTHING = RecordFilter()
_NS_PER_S = 1_000_000_000


class Member:
    """One subscriber.

    Attributes:
        credit: what it may hold.

    Args:
        group: the group it has joined.
        rings: every ring, in the group's order.
        credit: what it may hold.
        buffer: shared by all members: a batch is put together in one go.
    """

    def __init__(self, group: Group, rings: Sequence[Ring], credit: Credit, buffer: Buffer) -> None:
        self.credit = credit
        self._group = group
        self._rings = rings
        self._buffer = buffer
        self._number = group.join()
        self._patience = Patience()
        self._first_ring = 0
        self._heard_ns = 0

    def try_batch(self, now_ns: int, limits: Limits) -> tuple[bytes, Lease] | None:
        """The next message and its lease, if one is due.

        Raises:
            SilentClientError: the credit has been used up for too long.
        """
        ready_bytes = self._ready_bytes()
        if ready_bytes == 0:
            self._patience.reset()
            return None
        room = self.credit.room_bytes(limits.min_batch_bytes)
        if room == 0:
            self._check_silence(now_ns, limits)
            return None
        enough = ready_bytes >= min(limits.min_batch_bytes, room)
        if not enough and not self._patience.is_over(now_ns, limits.max_wait_ns):
            return None
        return self._make_batch(room, now_ns, limits)

    def acknowledge(self, batch_ids: Sequence[int], now_ns: int) -> list[Lease]:
        """The client is done with batches; those of them that it had not lost.

        Raises:
            InvalidRequestError: it does not have one of them; then it is done with none.
        """
        self._heard_ns = now_ns
        leases = self._group.acknowledge(self._number, batch_ids)
        self.credit.give_back(sum(lease.n_bytes for lease in leases))
        return [lease for lease in leases if not lease.lost]

    def is_hungry(self, limits: Limits) -> bool:
        """Whether it could take a batch and there is nothing for one."""
        room = self.credit.room_bytes(limits.min_batch_bytes)
        return room > 0 and self._ready_bytes() == 0

    def is_silent(self, now_ns: int, limits: Limits) -> bool:
        """Whether it has had something for `serve.lease_s` and acknowledged nothing meanwhile."""
        return self.credit.outstanding_bytes > 0 and now_ns - self._heard_ns > limits.lease_ns

    def reclaim(self) -> int:
        """Give what it has to the others, though it stays; how many records."""
        return self._group.reclaim(self._number)

    def leave(self) -> None:
        """The client is gone; what it has goes to the others."""
        self._group.leave(self._number)

    def _ready_bytes(self) -> int:
        """Bytes of ring that wait to be handed out: a little more than they make in a message."""
        ready_bytes = self._group.returned_bytes()
        for index, ring in enumerate(self._rings):
            ready_bytes += ring.tail.position - self._group.cursor(index).position
        return ready_bytes

    def _check_silence(self, now_ns: int, limits: Limits) -> None:
        blocked_ns = self.credit.blocked_ns(now_ns)
        if blocked_ns > limits.client_timeout_ns:
            raise SilentClientError(
                f"{self.credit.outstanding_bytes} bytes were handed out and none acknowledged for "
                f"{blocked_ns / _NS_PER_S:.1f} s; acknowledge sooner or ask for more credit"
            )

    def _make_batch(self, room: int, now_ns: int, limits: Limits) -> tuple[bytes, Lease] | None:
        filling = _Filling(self._group, self._rings, self._buffer)
        filling.fill(min(room, limits.max_batch_bytes), self._first_ring)
        alone = filling.wanted_bytes
        if filling.is_empty and alone:
            # One trajectory is larger than a batch may be: it travels alone, in any credit.
            if alone > room and self.credit.outstanding_bytes > 0:
                self._check_silence(now_ns, limits)
                return None
            filling.fill(alone, self._first_ring)
        self._first_ring = (self._first_ring + 1) % len(self._rings)
        self._patience.reset()
        if filling.is_empty:
            filling.discard()
            return None
        lease = self._group.lease(
            self._number,
            filling.spans,
            n_bytes=self._buffer.n_bytes,
            records=filling.records,
            experiences=filling.experiences,
            redelivered_records=filling.redelivered_records,
        )
        if self.credit.outstanding_bytes == 0:
            self._heard_ns = now_ns
        self.credit.take(lease.n_bytes)
        message = self._buffer.finish(
            batch_id=lease.batch_id, redelivered=lease.redelivered_records > 0
        )
        return message, lease


class _Filling:
    """A batch in the making."""

    def __init__(self, group: Group, rings: Sequence[Ring], buffer: Buffer) -> None:
        self._group = group
        self._rings = rings
        self._buffer = buffer
        self.spans: list[Span] = []
        self.records = 0
        self.experiences = 0
        self.redelivered_records = 0
        self.wanted_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return self.records == 0

    def fill(self, limit_bytes: int, first_ring: int) -> None:
        """Take what came back from other members, then what is new, up to `limit_bytes`."""
        self._buffer.n_bytes = 0
        self._buffer.reserve(limit_bytes)
        self.wanted_bytes = 0
        self._add_returned(limit_bytes)
        n_rings = len(self._rings)
        for step in range(n_rings):
            # Nothing new before what came back: a sole member meets each game in order.
            if self.wanted_bytes:
                return
            self._add_new((first_ring + step) % n_rings, limit_bytes)

    def discard(self) -> None:
        """The spans hold nothing to deliver."""
        for span in self.spans:
            self._group.settle(span)

    def _add_returned(self, limit_bytes: int) -> None:
        while (span := self._group.take_returned()) is not None:
            ring = self._rings[span.ring]
            filled = (self._buffer.n_bytes, limit_bytes)
            drained = ring.drain(
                span.start, span.end.position, self._buffer.data, filled, _EVERYTHING
            )
            self._count(drained.n_bytes, drained.records, drained.experiences)
            self.redelivered_records += drained.records
            if drained.mark.position == span.start.position:
                self._group.put_back(span)
            elif drained.mark.position < span.end.position:
                taken, rest = self._group.split(span, drained.mark)
                self.spans.append(taken)
                self._group.put_back(rest)
            else:
                self.spans.append(span)
            if drained.wanted_bytes:
                self.wanted_bytes = drained.wanted_bytes
                return

    def _add_new(self, index: int, limit_bytes: int) -> None:
        ring = self._rings[index]
        start = self._group.cursor(index)
        if start.position == ring.tail.position:
            return
        filled = (self._buffer.n_bytes, limit_bytes)
        drained = ring.drain(start, ring.tail.position, self._buffer.data, filled, _EVERYTHING)
        self._count(drained.n_bytes, drained.records, drained.experiences)
        if drained.mark.position > start.position:
            self.spans.append(self._group.read(index, drained.mark))
        self.wanted_bytes = drained.wanted_bytes

    def _count(self, n_bytes: int, records: int, experiences: int) -> None:
        self._buffer.n_bytes = n_bytes
        self.records += records
        self.experiences += experiences
