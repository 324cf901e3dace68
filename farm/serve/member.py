"""A member of a group: its batches are leases, handed out as far as its credit goes."""

from collections.abc import Sequence

from farm.errors import SilentClientError
from farm.serve.batch import LAST_WORD, Buffer, Limits, Patience
from farm.serve.credit import Credit
from farm.serve.filters import RecordFilter
from farm.serve.groups import NamedGroup
from farm.serve.leases import Lease, Span
from farm.serve.rings import Drained, Ring
from farm.serve.trail import NO_TRAIL, Trail
from farm.shm.groups import Amount

_NS_PER_S = 1_000_000_000


class Member:
    """One subscriber.

    Attributes:
        group: the group it has joined.
        credit: what it may hold.
        trail: takes notes of its stream.
        n_before: members that the group had when it came.

    Args:
        group: the group it has joined.
        rings: every ring, in the group's order.
        credit: what it may hold.
        wanted: which records it wants; the others are passed over for the whole group.
        buffer: shared by all members: a batch is put together in one go.
        n_before: members that the group has already.
    """

    def __init__(
        self,
        group: NamedGroup,
        rings: Sequence[Ring],
        credit: Credit,
        wanted: RecordFilter,
        buffer: Buffer,
        n_before: int = 0,
    ) -> None:
        self.credit = credit
        self.group = group
        self.n_before = n_before
        self.trail: Trail = NO_TRAIL
        self._leases = group.leases
        self._rings = rings
        self._wanted = wanted
        self._buffer = buffer
        self._number = group.join()
        self._patience = Patience()
        self._first_ring = 0
        self._heard_ns = 0
        self._is_told = False

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

    def try_last_word(self, limits: Limits, *, is_all: bool) -> bytes | None:
        """That it has everything it can have, once after a batch and while it has that.

        Args:
            limits: the live part of the config.
            is_all: whether nothing comes before it acknowledges; else that is so only of a credit
                that was cut, of which the client does not know, once it is used up.
        """
        if self._is_told or self.credit.outstanding_bytes == 0:
            return None
        has_all = is_all and self._ready_bytes() == 0
        is_blocked = self.credit.is_cut and self.credit.room_bytes(limits.min_batch_bytes) == 0
        if not (has_all or is_blocked):
            return None
        self._is_told = True
        return LAST_WORD

    def acknowledge(self, batch_ids: Sequence[int], now_ns: int) -> Amount:
        """The client is done with batches; what that settled.

        Raises:
            InvalidRequestError: it does not have one of them; then it is done with none.
        """
        self._heard_ns = now_ns
        acknowledged = self._leases.acknowledge(self._number, batch_ids)
        self.credit.give_back(acknowledged.n_bytes)
        self.group.heard()
        return acknowledged.amount

    def is_hungry(self, limits: Limits) -> bool:
        """Whether it could take a batch and there is nothing for one."""
        room = self.credit.room_bytes(limits.min_batch_bytes)
        return room > 0 and self._ready_bytes() == 0

    def is_silent(self, now_ns: int, limits: Limits) -> bool:
        """Whether it has had something for `serve.lease_s` and acknowledged nothing meanwhile."""
        return self.credit.outstanding_bytes > 0 and now_ns - self._heard_ns > limits.lease_ns

    def reclaim(self) -> int:
        """Give what it has to the others, though it stays; how many records."""
        return self._leases.reclaim(self._number)

    def leave(self, now_ns: int) -> None:
        """The client is gone; what it has goes to the others."""
        self.group.leave(self._number, now_ns)

    def _ready_bytes(self) -> int:
        """Bytes of ring that wait to be handed out: a little more than they make in a message."""
        ready_bytes = self._leases.returned_bytes()
        for index, ring in enumerate(self._rings):
            ready_bytes += ring.tail.position - self._leases.cursor(index).position
        return ready_bytes

    def _check_silence(self, now_ns: int, limits: Limits) -> None:
        blocked_ns = self.credit.blocked_ns(now_ns)
        if blocked_ns > limits.client_timeout_ns:
            raise SilentClientError(
                f"{self.credit.outstanding_bytes} bytes were handed out and none acknowledged for "
                f"{blocked_ns / _NS_PER_S:.1f} s; acknowledge sooner or ask for more credit"
            )

    def _make_batch(self, room: int, now_ns: int, limits: Limits) -> tuple[bytes, Lease] | None:
        filling = _Filling(self.group, self._rings, self._wanted, self._buffer)
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
        self._is_told = False
        if filling.is_empty:
            return None
        lease = self.group.lease(
            self._number,
            filling.spans,
            n_bytes=self._buffer.n_bytes,
            counts=(filling.records, filling.experiences, filling.redelivered_records),
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

    def __init__(
        self, group: NamedGroup, rings: Sequence[Ring], wanted: RecordFilter, buffer: Buffer
    ) -> None:
        self._leases = group.leases
        self._sample = group.policy.sample
        self._rings = rings
        self._wanted = wanted
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

    def _add_returned(self, limit_bytes: int) -> None:
        while (span := self._leases.take_returned()) is not None:
            ring = self._rings[span.ring]
            filled = (self._buffer.n_bytes, limit_bytes)
            drained = ring.drain(
                span.start, span.end, self._buffer.data, filled, self._wanted, sample=self._sample
            )
            self._count(drained, is_second=True)
            if drained.mark.position == span.start.position:
                self._leases.put_back(span)
            elif drained.mark.position < span.end.position:
                taken, rest = self._leases.split(span, drained.mark)
                self._leases.put_back(rest)
                self._keep(taken, drained)
            else:
                self._keep(span, drained)
            if drained.wanted_bytes:
                return

    def _add_new(self, index: int, limit_bytes: int) -> None:
        ring = self._rings[index]
        start = self._leases.cursor(index)
        if start.position == ring.tail.position:
            return
        # Below it, an earlier service has handed records out.
        handed = self._leases.handed(index)
        is_second = start.position < handed
        drained = ring.drain(
            start,
            ring.tail,
            self._buffer.data,
            (self._buffer.n_bytes, limit_bytes),
            self._wanted,
            sample=self._sample,
            stop=handed if is_second else None,
        )
        self._count(drained, is_second=is_second)
        if drained.mark.position > start.position:
            self._keep(self._leases.read(index, drained.mark), drained)

    def _keep(self, span: Span, drained: Drained) -> None:
        """A span is part of the batch; one that holds nothing to deliver is done with."""
        span.left_out = drained.left_out
        if drained.records:
            self.spans.append(span)
        else:
            self._leases.settle(span)

    def _count(self, drained: Drained, *, is_second: bool) -> None:
        self._buffer.n_bytes = drained.n_bytes
        self.records += drained.records
        self.experiences += drained.experiences
        self.redelivered_records += drained.records if is_second else 0
        self.wanted_bytes = drained.wanted_bytes
