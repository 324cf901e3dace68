"""The ring: a bounded queue of byte records from one producer to one consumer (ring_layout.py).

The functions below run inside kernels on `mem`, uint8[8192 + capacity], the whole segment. Python
may call them too; the two classes at the end wrap them for tests and cold paths.

    producer    try_claim -> offset of the payload, fill it in, ... publish
                shrink the last claim, abandon all claims, drop records instead of writing them
                park -> sleep on the bell -> unpark
    consumer    load_tail, next_record while position != tail, release(position); is_parked -> ring

The producer's private state is its cursor, int64[16], from `recover`. Claims are visible to nobody
until `publish`, which makes all of them visible with one store: a producer killed before it leaves
nothing but the number of its attempts. The consumer's private state is a position.

A ring may hold garbage (a stray write, a fault): the consumer checks each record against position
and tail and gets CORRUPT instead of reading out of bounds, and goes on at the tail; the producer
takes a head that cannot be for a full ring. There is no loop in here.
"""

from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from farm.errors import CorruptDataError
from farm.jit import inline
from farm.shm.atomics import fence, load_acquire, load_word, store_release, store_word
from farm.shm.ring_layout import (
    ALIGNMENT,
    ATTEMPTED_EXPERIENCES_OFFSET,
    ATTEMPTED_RECORDS_OFFSET,
    CHECKPOINT_OFFSET,
    DATA_OFFSET,
    HEAD_OFFSET,
    LAP_SHIFT,
    LINE_BYTES,
    MAX_RECORD_BYTES,
    PARKED_OFFSET,
    RECORD_HEADER_BYTES,
    SAVED_ABORTED_EXPERIENCES,
    SAVED_ABORTED_RECORDS,
    SAVED_DROPPED_EXPERIENCES,
    SAVED_DROPPED_RECORDS,
    SAVED_EXPERIENCES,
    SAVED_GAMES,
    SAVED_SAMPLED_EXPERIENCES,
    SAVED_SAMPLED_RECORDS,
    SAVED_SEQUENCE,
    SAVED_TAIL,
    SKIP_LENGTH,
    STAMP,
    TAIL_OFFSET,
    max_payload_bytes,
    read_checkpoint,
    unpublished,
)
from farm.shm.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = -1
"""From `try_claim`: no room now."""
TOO_LARGE = -2
"""From `try_claim`: no room ever, the record is larger than half the ring."""
EMPTY = -1
"""From `next_record`: nothing published at this position."""
CORRUPT = -2
"""From `next_record`: the bytes at this position are no record; go on at the position returned."""

# Words of the producer's cursor.
CLAIMED = 0
"""Byte position after the last claim."""
PUBLISHED = 1
"""Byte position others see as the tail."""
CACHED_HEAD = 2
SEQUENCE = 3
"""Sequence of the next record."""
PENDING = 4
"""Claims since the last publish."""
LAST_CLAIM = 5
"""Byte position where the last claim begins, behind a skip marker if it has one."""
EXPERIENCES = 6
"""Published ones."""
GAMES = 7
DROPPED_RECORDS = 8
DROPPED_EXPERIENCES = 9
SAMPLED_RECORDS = 10
SAMPLED_EXPERIENCES = 11
ABORTED_RECORDS = 12
ABORTED_EXPERIENCES = 13
ATTEMPTED_EXPERIENCES = 14
"""Published, dropped, sampled, aborted, and those of the claims."""
LAST_STAMP = 15
CURSOR_WORDS = 16

RING_FULL, SAMPLED = DROPPED_RECORDS, SAMPLED_RECORDS
"""Why records are dropped: there was no room, or on purpose, so that the rest has some."""

Mem: TypeAlias = NDArray[np.uint8]
Cursor: TypeAlias = NDArray[np.int64]

_int64 = cast("Callable[[int], int]", np.int64)


def recover(segment: Segment) -> Cursor:
    """The cursor of a producer that continues where the last one published.

    What a dead producer had claimed and not published never happened; that it was attempted is
    counted as aborted, once, however many producers die before they publish.

    Returns:
        int64[CURSOR_WORDS].

    Raises:
        CorruptDataError: the ring's checkpoints contradict its tail.
    """
    saved = read_checkpoint(segment)
    aborted = unpublished(segment, saved)
    words = np.zeros(CURSOR_WORDS, dtype=np.uint64)
    words[CLAIMED] = words[PUBLISHED] = words[LAST_CLAIM] = saved.tail
    words[CACHED_HEAD] = segment.load(HEAD_OFFSET)
    words[SEQUENCE] = saved.sequence
    words[EXPERIENCES] = saved.experiences
    words[GAMES] = saved.games
    words[DROPPED_RECORDS] = saved.dropped_records
    words[DROPPED_EXPERIENCES] = saved.dropped_experiences
    words[SAMPLED_RECORDS] = saved.sampled_records
    words[SAMPLED_EXPERIENCES] = saved.sampled_experiences
    words[ABORTED_RECORDS], words[ABORTED_EXPERIENCES] = aborted
    words[ATTEMPTED_EXPERIENCES] = saved.accounted_experiences + aborted[1]
    # The other slot may hold the stamp that comes next, never published: skip it, so that a reader
    # who looks twice cannot take two different checkpoints for one. Parity, the slot, stays.
    words[LAST_STAMP] = saved.stamp + 2
    cursor = words.view(np.int64)
    if aborted != (saved.aborted_records, saved.aborted_experiences):
        _checkpoint(segment.mem, cursor)
    return cursor


@inline
def _room(mem: Mem, cursor: Cursor, wanted_bytes: int) -> bool:
    """Whether the ring has this many bytes free; reads the shared head only if it must."""
    capacity = mem.size - DATA_OFFSET
    if cursor[CLAIMED] - cursor[CACHED_HEAD] + wanted_bytes <= capacity:
        return True
    head = load_acquire(mem, HEAD_OFFSET)
    used = cursor[CLAIMED] - head
    # A head beyond the claims or more than a ring behind is garbage: as good as full.
    if used < 0 or used > capacity:
        return False
    cursor[CACHED_HEAD] = head
    return bool(used + wanted_bytes <= capacity)


@inline
def _record_bytes(payload_bytes: int) -> int:
    return RECORD_HEADER_BYTES + ((payload_bytes + (ALIGNMENT - 1)) & -ALIGNMENT)


@inline
def _too_large(mem: Mem, n_bytes: int) -> bool:
    limit = min((mem.size - DATA_OFFSET) >> 1, MAX_RECORD_BYTES) - RECORD_HEADER_BYTES
    return n_bytes < 0 or n_bytes > limit


@inline
def try_claim(mem: Mem, cursor: Cursor, n_bytes: int, n_experiences: int) -> int:
    """Take room for a record; it becomes visible with the next `publish`.

    Args:
        mem: uint8[8192 + capacity], written.
        cursor: int64[CURSOR_WORDS], the producer's, written.
        n_bytes: payload in bytes, 0 or more.
        n_experiences: experiences in the record.

    Returns:
        Offset of the payload in `mem`, a multiple of 8; or, negative, FULL or TOO_LARGE.
    """
    payload = _int64(n_bytes)
    if _too_large(mem, payload):
        return TOO_LARGE
    capacity = mem.size - DATA_OFFSET
    record = _record_bytes(payload)
    position = cursor[CLAIMED]
    place = position & (capacity - 1)
    skip = _int64(0)
    if place + record > capacity:
        skip = capacity - place
    if not _room(mem, cursor, skip + record):
        return FULL
    if skip > 0:
        store_word(mem, DATA_OFFSET + place, (position << LAP_SHIFT) | SKIP_LENGTH)
        position += skip
        place = _int64(0)
    store_word(mem, DATA_OFFSET + place, (position << LAP_SHIFT) | payload)
    cursor[LAST_CLAIM] = position
    cursor[CLAIMED] = position + record
    cursor[PENDING] += 1
    _attempt(mem, cursor, 1, n_experiences)
    return _int64(DATA_OFFSET + place + RECORD_HEADER_BYTES)


@inline
def _attempt(mem: Mem, cursor: Cursor, n_records: int, n_experiences: int) -> None:
    """Count what is claimed or dropped, before anything else is known of it."""
    cursor[SEQUENCE] += _int64(n_records)
    cursor[ATTEMPTED_EXPERIENCES] += _int64(n_experiences)
    store_release(mem, ATTEMPTED_RECORDS_OFFSET, cursor[SEQUENCE] + cursor[ABORTED_RECORDS])
    store_release(mem, ATTEMPTED_EXPERIENCES_OFFSET, cursor[ATTEMPTED_EXPERIENCES])


@inline
def _claimed_experiences(cursor: Cursor) -> int:
    """Experiences of the claims since the last publish."""
    return _int64(
        cursor[ATTEMPTED_EXPERIENCES]
        - cursor[EXPERIENCES]
        - cursor[DROPPED_EXPERIENCES]
        - cursor[SAMPLED_EXPERIENCES]
        - cursor[ABORTED_EXPERIENCES]
    )


@inline
def shrink(mem: Mem, cursor: Cursor, n_bytes: int) -> None:
    """Make the last claim smaller, for records whose size is known once they are written.

    Does nothing if there is no claim, or if it would grow.
    """
    payload = _int64(n_bytes)
    record = _record_bytes(payload)
    held = cursor[CLAIMED] - cursor[LAST_CLAIM]
    if cursor[PENDING] > 0 and payload >= 0 and record <= held:
        capacity = mem.size - DATA_OFFSET
        at = DATA_OFFSET + (cursor[LAST_CLAIM] & (capacity - 1))
        lap = cursor[LAST_CLAIM] << LAP_SHIFT
        if payload <= load_word(mem, at) ^ lap:
            store_word(mem, at, lap | payload)
            cursor[CLAIMED] = cursor[LAST_CLAIM] + record


@inline
def abandon(mem: Mem, cursor: Cursor) -> int:
    """Give up every claim since the last publish; their sequences are used by the next records.

    They count as aborted. What was dropped in the meantime becomes visible.

    Returns:
        How many records were given up.
    """
    n_records = _int64(cursor[PENDING])
    cursor[CLAIMED] = cursor[LAST_CLAIM] = cursor[PUBLISHED]
    cursor[SEQUENCE] -= n_records
    cursor[ABORTED_RECORDS] += n_records
    cursor[ABORTED_EXPERIENCES] += _claimed_experiences(cursor)
    cursor[PENDING] = 0
    _checkpoint(mem, cursor)
    return n_records


@inline
def publish(mem: Mem, cursor: Cursor, n_games: int) -> None:
    """Make every claim since the last publish visible, all at once.

    Args:
        mem: uint8[8192 + capacity], written.
        cursor: int64[CURSOR_WORDS], written.
        n_games: games finished within them.
    """
    cursor[EXPERIENCES] += _claimed_experiences(cursor)
    cursor[GAMES] += _int64(n_games)
    _checkpoint(mem, cursor)
    store_release(mem, TAIL_OFFSET, cursor[CLAIMED])
    cursor[PUBLISHED] = cursor[CLAIMED]
    cursor[PENDING] = 0


@inline
def drop(mem: Mem, cursor: Cursor, reason: int, n_records: int, n_experiences: int) -> None:
    """Count records that are dropped instead of written; each uses up a sequence, so the gap shows.

    Visible at once, or with the claims that wait for their publish. `reason`: RING_FULL or SAMPLED.
    """
    _attempt(mem, cursor, n_records, n_experiences)
    cursor[reason] += _int64(n_records)
    cursor[reason + 1] += _int64(n_experiences)
    if cursor[PENDING] == 0:
        _checkpoint(mem, cursor)


@inline
def _checkpoint(mem: Mem, cursor: Cursor) -> None:
    """Write the checkpoint that is not in force; release stores keep their order."""
    stamp = cursor[LAST_STAMP] + 1
    line = CHECKPOINT_OFFSET + (stamp & 1) * LINE_BYTES
    store_release(mem, line + STAMP, 0)
    store_release(mem, line + SAVED_TAIL, cursor[CLAIMED])
    store_release(mem, line + SAVED_SEQUENCE, cursor[SEQUENCE])
    store_release(mem, line + SAVED_EXPERIENCES, cursor[EXPERIENCES])
    store_release(mem, line + SAVED_GAMES, cursor[GAMES])
    store_release(mem, line + SAVED_DROPPED_RECORDS, cursor[DROPPED_RECORDS])
    store_release(mem, line + SAVED_DROPPED_EXPERIENCES, cursor[DROPPED_EXPERIENCES])
    store_release(mem, line + SAVED_SAMPLED_RECORDS, cursor[SAMPLED_RECORDS])
    store_release(mem, line + SAVED_SAMPLED_EXPERIENCES, cursor[SAMPLED_EXPERIENCES])
    store_release(mem, line + SAVED_ABORTED_RECORDS, cursor[ABORTED_RECORDS])
    store_release(mem, line + SAVED_ABORTED_EXPERIENCES, cursor[ABORTED_EXPERIENCES])
    store_release(mem, line + STAMP, stamp)
    cursor[LAST_STAMP] = stamp


@inline
def next_sequence(cursor: Cursor) -> int:
    """Sequence of the record that is claimed next; goes on over generations without a gap."""
    return _int64(cursor[SEQUENCE])


@inline
def free_bytes(mem: Mem, cursor: Cursor) -> int:
    """Bytes certainly free; exact when less than half seems free, as the head is read again then.

    A record may need up to twice its size: a skip marker fills the end if it does not fit there.
    """
    capacity = mem.size - DATA_OFFSET
    _room(mem, cursor, capacity >> 1)
    return _int64(capacity - (cursor[CLAIMED] - cursor[CACHED_HEAD]))


@inline
def park(mem: Mem, cursor: Cursor, n_bytes: int) -> bool:
    """Announce that the producer is about to sleep until there is room.

    Args:
        mem: uint8[8192 + capacity], written.
        cursor: int64[CURSOR_WORDS], written.
        n_bytes: bytes that have to be free, at most the capacity.

    Returns:
        True: sleep on the bell with a deadline, then `unpark`. False: there is room, go on.
    """
    store_release(mem, PARKED_OFFSET, 1)
    # Flag, then head; `is_parked`: head, then flag. Without fences each could miss the other.
    fence()
    if _room(mem, cursor, _int64(n_bytes)):
        store_release(mem, PARKED_OFFSET, 0)
        return False
    return True


@inline
def unpark(mem: Mem) -> None:
    """Take the announcement back."""
    store_release(mem, PARKED_OFFSET, 0)


@inline
def load_tail(mem: Mem) -> int:
    """Byte position up to which records are published; whatever is before it can be read."""
    return load_acquire(mem, TAIL_OFFSET)


@inline
def load_head(mem: Mem) -> int:
    """Byte position up to which records are released: where a new consumer starts."""
    return load_acquire(mem, HEAD_OFFSET)


@inline
def next_record(mem: Mem, position: int, tail: int) -> tuple[int, int, int]:
    """Find the record at a position.

    Args:
        mem: uint8[8192 + capacity], read.
        position: from `load_head`, or returned before.
        tail: from `load_tail`.

    Returns:
        `(offset, n_bytes, next_position)`: the payload is `mem[offset : offset + n_bytes]` until
        `release`. Offset EMPTY: nothing there. CORRUPT: no record there; `next_position` is the
        tail, the next place where a record can begin.
    """
    capacity = mem.size - DATA_OFFSET
    ready = tail - position
    if ready == 0:
        return EMPTY, 0, position
    if ready < 0 or ready > capacity or (ready | position) & (ALIGNMENT - 1) != 0:
        return CORRUPT, 0, tail
    place = position & (capacity - 1)
    # With another lap than this position's, what is left is out of bounds, or negative.
    length = load_word(mem, DATA_OFFSET + place) ^ (position << LAP_SHIFT)
    start = position
    if length == SKIP_LENGTH:
        start += capacity - place
        if tail - start <= 0:
            return CORRUPT, 0, tail
        place = _int64(0)
        length = load_word(mem, DATA_OFFSET) ^ (start << LAP_SHIFT)
    if _too_large(mem, length):
        return CORRUPT, 0, tail
    record = _record_bytes(length)
    if record > tail - start or place + record > capacity:
        return CORRUPT, 0, tail
    return DATA_OFFSET + place + RECORD_HEADER_BYTES, length, start + record


@inline
def release(mem: Mem, position: int) -> None:
    """Give all before a position back to the producer: copy out what is still needed first."""
    store_release(mem, HEAD_OFFSET, position)


@inline
def is_parked(mem: Mem) -> bool:
    """Whether the producer waits for its bell; ask after `release`."""
    fence()
    return load_acquire(mem, PARKED_OFFSET) != 0


class RingProducer:
    """The producer's end, for Python.

    Attributes:
        mem: uint8[8192 + capacity], for kernels.
        cursor: int64[CURSOR_WORDS], for kernels.

    Args:
        segment: a ring that no living process produces into.
        generation: stamped on the segment.
    """

    def __init__(self, segment: Segment, generation: int = 1) -> None:
        self.segment = segment
        self.mem = segment.mem
        self.cursor = recover(segment)
        segment.adopt(generation)
        unpark(self.mem)

    def try_claim(self, n_bytes: int, n_experiences: int = 0) -> memoryview | None:
        """Room for a payload, to be written before `publish`; None if the ring is full.

        Args:
            n_bytes: payload in bytes.
            n_experiences: experiences in the record.

        Raises:
            ValueError: such a payload never fits.
        """
        offset = try_claim(self.mem, self.cursor, n_bytes, n_experiences)
        if offset == TOO_LARGE:
            limit = max_payload_bytes(self.segment.parameter)
            raise ValueError(f"{n_bytes} bytes: {self.segment.name} takes payloads of 0 to {limit}")
        return None if offset == FULL else self.mem[offset : offset + n_bytes].data

    def publish(self, *, n_games: int = 0) -> None:
        """Make all claims visible."""
        publish(self.mem, self.cursor, n_games)


class RingConsumer:
    """The consumer's end, for Python.

    Attributes:
        mem: uint8[8192 + capacity], for kernels.
        position: byte position of the next record to take.

    Args:
        segment: a ring that no living process consumes.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.mem = segment.mem
        self.position = int(load_head(self.mem))

    def peek(self) -> memoryview | None:
        """The payload of the next record, valid until `release`; None if there is none.

        Raises:
            CorruptDataError: there is garbage; the next call goes on at the tail.
        """
        tail = load_tail(self.mem)
        offset, n_bytes, after = next_record(self.mem, self.position, tail)
        at, self.position = self.position, int(after)
        if offset == CORRUPT:
            raise CorruptDataError(
                f"{self.segment.name}: no record at position {at}; skipped to {after}"
            )
        return None if offset == EMPTY else self.mem[offset : offset + n_bytes].data

    def release(self) -> None:
        """Give everything peeked back to the producer."""
        release(self.mem, self.position)
