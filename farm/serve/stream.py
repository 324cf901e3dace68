"""A stream beside the groups: its own place in every ring, a filter, and no promise."""

from collections.abc import Sequence

from farm.serve.batch import Buffer, Limits, Patience
from farm.serve.filters import RecordFilter
from farm.serve.leases import Mark
from farm.serve.rings import Ring
from farm.serve.trail import NO_TRAIL, Trail


class Stream:
    """One observer.

    What passes the filter is collected here until it makes a batch, so that a filter that lets
    little through does not hold the rings meanwhile; then it waits for the client to take it. One
    that waits longer than the rings do has records pass it by, and is told how many.

    Attributes:
        cursors: where it reads on, for each ring.
        trail: takes notes of it.

    Args:
        rings: every ring.
        cursors: where it begins.
        wanted: which records it wants.
    """

    def __init__(
        self, rings: Sequence[Ring], cursors: Sequence[Mark], wanted: RecordFilter
    ) -> None:
        self.cursors = list(cursors)
        self.trail: Trail = NO_TRAIL
        self._rings = rings
        self._wanted = wanted
        self._buffer = Buffer()
        self._patience = Patience()
        self._first_ring = 0
        self._skipped = 0
        self._records = 0
        self._experiences = 0

    def add_ring(self, start: Mark) -> None:
        """There is one more ring, behind the others; it is read from here on."""
        self.cursors.append(start)

    @property
    def is_caught_up(self) -> bool:
        """Whether it has read and handed on everything that is there."""
        return self._buffer.n_bytes == 0 and all(
            cursor.position >= ring.tail.position
            for cursor, ring in zip(self.cursors, self._rings, strict=True)
        )

    def skip_released(self) -> int:
        """Go on behind what the rings have released; how many records that left out."""
        skipped = 0
        for index, ring in enumerate(self._rings):
            behind = ring.head.records - self.cursors[index].records
            if ring.head.position > self.cursors[index].position:
                self.cursors[index] = ring.head
                skipped += behind
        self._skipped += skipped
        return skipped

    def try_batch(self, now_ns: int, limits: Limits) -> tuple[bytes, int, int] | None:
        """The next message with its records and experiences, if one is due."""
        is_full = self._collect(limits.max_batch_bytes)
        if self._records == 0:
            self._patience.reset()
            return None
        enough = is_full or self._buffer.n_bytes >= limits.min_batch_bytes
        if not enough and not self._patience.is_over(now_ns, limits.max_wait_ns):
            return None
        message = self._buffer.finish(skipped=self._skipped)
        sent = (message, self._records, self._experiences)
        self._patience.reset()
        self._skipped = self._records = self._experiences = 0
        return sent

    def _collect(self, limit_bytes: int) -> bool:
        """Read on in every ring; whether there is no room for more."""
        self._buffer.reserve(limit_bytes)
        n_rings = len(self._rings)
        self._first_ring = (self._first_ring + 1) % n_rings
        for step in range(n_rings):
            index = (self._first_ring + step) % n_rings
            wanted_bytes = self._read(index, limit_bytes)
            if wanted_bytes and self._records == 0:
                # One trajectory is larger than a batch may be: it travels alone.
                self._buffer.reserve(wanted_bytes)
                self._read(index, wanted_bytes)
            if wanted_bytes:
                return True
        return False

    def _read(self, index: int, limit_bytes: int) -> int:
        """Read on in one ring; the size of the record that found no room, if one did not."""
        ring, start = self._rings[index], self.cursors[index]
        if start.position >= ring.tail.position:
            return 0
        drained = ring.drain(
            start,
            ring.tail,
            self._buffer.data,
            (self._buffer.n_bytes, limit_bytes),
            self._wanted,
        )
        self.cursors[index] = drained.mark
        self._buffer.n_bytes = drained.n_bytes
        self._records += drained.records
        self._experiences += drained.experiences
        return drained.wanted_bytes
