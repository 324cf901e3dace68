"""The duty cycle of the service: look at the rings, serve who waits, release, beat.

Handlers of calls ask for a batch, and wait if none is due; everything else happens here, one `poll`
after another, in one thread. The heartbeat comes from here as well: where the pump hangs, it stops.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from farm.errors import FarmError, StoppingError
from farm.serve.batch import Limits
from farm.serve.hub import Hub, Opening
from farm.serve.member import Member
from farm.serve.rings import Ring
from farm.serve.stats import Statistics
from farm.serve.stream import Stream
from farm.shm.control import ChildSlot

MAX_SCANS = 64
"""Calls of `Ring.scan` for one ring in a row, before others get their turn."""


class Pump:
    """Polls the rings and serves the readers.

    Attributes:
        limits: the live part of the config.
        hub: the readers.
        statistics: of every record seen.

    Args:
        hub: the readers.
        statistics: of every record seen.
        slot: this child's part of the control block: heartbeat and counters.
        limits: the live part of the config.
    """

    def __init__(self, hub: Hub, statistics: Statistics, slot: ChildSlot, limits: Limits) -> None:
        self.hub = hub
        self.statistics = statistics
        self.limits = limits
        self.wake = asyncio.Event()
        self._slot = slot
        self._requests: dict[Member | Stream, asyncio.Future[bytes]] = {}
        self._is_closed = False

    def poll(self, now_ns: int) -> int:
        """One round; how many records were new and messages were made."""
        n_new = sum(self.scan(ring) for ring in self.hub.rings)
        self.hub.follow_rings()
        n_messages = self._serve(now_ns)
        skipped = self.hub.release()
        if skipped:
            self._slot.add("skipped_records", skipped)
        self._slot.beat(now_ns)
        return n_new + n_messages

    def scan(self, ring: Ring) -> int:
        """Take in what was published in a ring; how many records of it were new."""
        n_new, n_corrupt = 0, ring.n_corrupt
        for _ in range(MAX_SCANS):
            n_headers, may_be_more = ring.scan(self.statistics.room())
            self.statistics.add(n_headers)
            n_new += n_headers
            if not may_be_more:
                break
        if ring.n_corrupt > n_corrupt:
            self._slot.add("corrupt_records", ring.n_corrupt - n_corrupt)
        return n_new

    @property
    def has_requests(self) -> bool:
        """Whether somebody waits for a batch."""
        return bool(self._requests)

    @property
    def is_closed(self) -> bool:
        """Whether it serves nobody any more."""
        return self._is_closed

    async def next_batch(self, reader: Member | Stream) -> bytes:
        """Wait until a message for a reader is due.

        Raises:
            StoppingError: the service stops.
            SilentClientError: the member has used up its credit for too long.
        """
        if self._is_closed:
            raise StoppingError("the farm is stopping")
        message = self._batch_for(reader, time.monotonic_ns())
        if message is not None:
            return message
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._requests[reader] = future
        try:
            return await future
        finally:
            self._requests.pop(reader, None)

    @contextmanager
    def membership(self, opening: Opening) -> Iterator[Member]:
        """A subscriber, for as long as its call lasts; raises what `Hub.join` raises."""
        limit_bytes = self.limits.credit_bytes
        member = self.hub.join(opening, time.monotonic_ns(), limit_bytes=limit_bytes)
        self._slot.add("subscriptions", 1)
        try:
            yield member
        finally:
            self.hub.leave(member, time.monotonic_ns())
            self.wake.set()

    def acknowledge(self, member: Member, batch_ids: list[int]) -> None:
        """A client is done with batches; raises what `Member.acknowledge` raises."""
        amount = member.acknowledge(batch_ids, time.monotonic_ns())
        self._slot.add("acknowledged_records", amount.records)
        self._slot.add("acknowledged_experiences", amount.experiences)
        member.trail.acknowledged(amount.records, amount.experiences)
        self.wake.set()

    def close(self) -> None:
        """Turn away who waits, and who comes from now on."""
        self._is_closed = True
        for future in self._requests.values():
            if not future.done():
                future.set_exception(StoppingError("the farm is stopping"))

    def _serve(self, now_ns: int) -> int:
        n_messages = 0
        for reader, future in list(self._requests.items()):
            if future.done():
                continue
            try:
                message = self._batch_for(reader, now_ns)
            except FarmError as error:
                future.set_exception(error)
                continue
            if message is not None:
                future.set_result(message)
                n_messages += 1
        return n_messages

    def _batch_for(self, reader: Member | Stream, now_ns: int) -> bytes | None:
        if isinstance(reader, Stream):
            sent = reader.try_batch(now_ns, self.limits)
            if sent is None:
                return None
            self._count(*sent)
            reader.trail.batch(len(sent[0]), sent[1], sent[2], 0)
            return sent[0]
        leased = reader.try_batch(now_ns, self.limits)
        if leased is None and self.hub.relieve(reader, now_ns, self.limits):
            leased = reader.try_batch(now_ns, self.limits)
        if leased is None:
            return self.hub.try_last_word(reader, now_ns, self.limits)
        message, lease = leased
        self._count(message, lease.records, lease.experiences)
        if lease.redelivered_records:
            self._slot.add("redelivered_records", lease.redelivered_records)
        reader.trail.batch(
            len(message), lease.records, lease.experiences, lease.redelivered_records
        )
        return message

    def _count(self, message: bytes, records: int, experiences: int) -> None:
        self._slot.add("served_batches", 1)
        self._slot.add("served_bytes", len(message))
        self._slot.add("served_records", records)
        self._slot.add("served_experiences", experiences)
        self._slot.observe("served_batch_bytes", len(message))
