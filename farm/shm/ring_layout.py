"""The layout of a ring segment, and plain reads of it (its offsets enter kernels: farm.jit).

    offset  field                written by   read by                       ordering
    0       header page          creator      attach                        segment.py
    4096    tail                 producer     consumer, every poll          release / acquire
    4104    fate                 supervisor   consumer, every poll          plain: no producer lives
    4224    head                 consumer     producer, when it looks full  release / acquire
    4352    parked               producer     consumer, after a release     fence on both sides
    4480    checkpoint 0         producer     the next producer, tools      release
    4608    checkpoint 1         producer     the next producer, tools      release
    4736    attempts             producer     the next producer, tools      release
    8192    data, `capacity` bytes

Each line has 128 bytes of its own: two processes that write neighbours would take the cache line
from each other, and processors fetch lines in pairs. What one side knows of the other (the cached
head, claims not yet published) is in its own memory, the cursor (ring.py).

`tail` is the next byte the producer publishes, `head` the next byte the consumer takes (the Linux
kernel's text has them the other way round). Both are monotonic 64-bit byte positions, multiples
of 8; the place in the data is `position & (capacity - 1)`. Arithmetic wraps: differences count.

A record, 8-byte aligned, in one piece:

    +0  length    u32   bytes of payload; 0xFFFFFFFF = skip: go on at the start of the data
    +4  lap       u32   position / 8, low 32 bits: what is left of an earlier lap is no record here
    +8  payload, then 0 to 7 bytes of anything

A checkpoint: stamp, tail, sequence, experiences, games, then records and experiences dropped
because the ring was full, sampled out on purpose, and aborted. The producer writes the one that is
not in force (stamp 0, the fields, the stamp), then stores `tail`. In force is the one whose stamp
is not 0 and whose tail is the ring's; if both qualify, the later stamp. A producer killed anywhere
leaves in force the one before or the one after, and its replacement continues from exactly there.
Stamps are even in slot 0 and odd in slot 1.

Attempts are two words that only grow, records and experiences: what the producer ever claimed room
for or dropped, stored at each claim. What they have beyond a checkpoint in force is with a living
producer, or aborted with a dead one; so at any time, whoever died where,

    attempted = published + dropped + sampled + aborted (+ claimed and not yet published)

in records and in experiences, where sequence = published + dropped + sampled. The next producer
puts what was aborted into a checkpoint of its own before its first claim.

`fate` is what becomes of a ring that shall have another capacity (successor.py): in use; ending, as
its producer is gone, and comes back once everything in it is released; overdue, and groups that
hold no ring let go of it; replaced, and the ring of the name is another segment, at the same
positions. A segment only comes to `replaced` when it has lost its name.
"""

from dataclasses import dataclass
from enum import IntEnum

from farm.errors import CorruptDataError, SegmentError
from farm.shm.segment import HEADER_BYTES, Segment, SegmentKind, list_segments, segment_name

RING_LAYOUT = 3
"""Bump with any change of offsets or meaning above."""

LINE_BYTES = 128
TAIL_OFFSET = HEADER_BYTES
FATE_OFFSET = TAIL_OFFSET + 8
HEAD_OFFSET = TAIL_OFFSET + LINE_BYTES
PARKED_OFFSET = HEAD_OFFSET + LINE_BYTES
CHECKPOINT_OFFSET = PARKED_OFFSET + LINE_BYTES
ATTEMPTED_RECORDS_OFFSET = CHECKPOINT_OFFSET + 2 * LINE_BYTES
ATTEMPTED_EXPERIENCES_OFFSET = ATTEMPTED_RECORDS_OFFSET + 8
DATA_OFFSET = 2 * HEADER_BYTES

# Words of a checkpoint, as byte offsets within its line.
STAMP = 0
SAVED_TAIL = 8
SAVED_SEQUENCE = 16
SAVED_EXPERIENCES = 24
SAVED_GAMES = 32
SAVED_DROPPED_RECORDS = 40
SAVED_DROPPED_EXPERIENCES = 48
SAVED_SAMPLED_RECORDS = 56
SAVED_SAMPLED_EXPERIENCES = 64
SAVED_ABORTED_RECORDS = 72
SAVED_ABORTED_EXPERIENCES = 80
SAVED_END = 88

FIRST_STAMP = 2
"""Of the checkpoint that a new ring has; 0 stands for one that is being written."""

RECORD_HEADER_BYTES = 8
ALIGNMENT = 8
SKIP_LENGTH = 0xFFFF_FFFF
"""Length of the marker that fills the end of the data."""
LAP_SHIFT = 29
"""`position << LAP_SHIFT` is the lap in place: position / 8 in the upper half of a word."""

MIN_CAPACITY = 4096
MAX_CAPACITY = 1 << 34
MAX_RECORD_BYTES = 1 << 31
"""Of a record in a ring that could hold larger ones; well below the skip marker."""

_ROLE = "ring"
_TRIES = 64


class Fate(IntEnum):
    """What becomes of a ring."""

    IN_USE = 0
    ENDING = 1
    """Nobody produces any more: whoever reads it is waited for."""
    OVERDUE = 2
    """So long that groups which hold no ring let go of it."""
    REPLACED = 3
    """Another segment has its name and its positions."""


_ENDING = (Fate.ENDING, Fate.OVERDUE)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a producer had published at some point."""

    slot: int
    """0 or 1: where it is kept."""
    stamp: int
    """Number of the checkpoint; never wraps."""
    tail: int
    """Byte position after the last record."""
    sequence: int
    """Sequence of the next record; dropped ones have used theirs up."""
    experiences: int
    """Experiences in the records published since the ring was made."""
    games: int
    """Games finished within them."""
    dropped_records: int
    """Records the producer dropped because the ring was full."""
    dropped_experiences: int
    """Experiences in those."""
    sampled_records: int
    """Records it left out on purpose (`ring.when_full` = sample)."""
    sampled_experiences: int
    """Experiences in those."""
    aborted_records: int
    """Records claimed and never published: their producer died, or gave them up. The sequences are
    those of the records that came instead."""
    aborted_experiences: int
    """Experiences in those."""

    @property
    def records(self) -> int:
        """Records published since the ring was made."""
        return self.sequence - self.dropped_records - self.sampled_records

    @property
    def accounted_experiences(self) -> int:
        """Experiences published, dropped and sampled out; of records, that is `sequence`."""
        return self.experiences + self.dropped_experiences + self.sampled_experiences


def ring_name(instance: str, worker: int) -> str:
    """Name of the ring of one worker."""
    return segment_name(instance, f"{_ROLE}{worker}")


def ring_indexes(instance: str) -> list[int]:
    """Workers of an instance that have a ring, alive or not, ascending."""
    prefix = segment_name(instance, _ROLE)
    numbers = (name.removeprefix(prefix) for name in list_segments(instance))
    return sorted(int(number) for number in numbers if number.isdecimal())


def ring_segment_bytes(capacity_bytes: int) -> int:
    """Size of the segment of a ring, in bytes."""
    return DATA_OFFSET + capacity_bytes


def record_bytes(payload_bytes: int) -> int:
    """Bytes that a record of this payload takes in the ring."""
    return RECORD_HEADER_BYTES + -(-payload_bytes // ALIGNMENT) * ALIGNMENT


def max_payload_bytes(capacity_bytes: int) -> int:
    """The largest payload a ring takes: a record of half the ring fits whatever the position."""
    return min(capacity_bytes // 2, MAX_RECORD_BYTES) - RECORD_HEADER_BYTES


def create_ring(instance: str, worker: int, capacity_bytes: int) -> Segment:
    """Make the empty ring of one worker, ready to attach to.

    Args:
        instance: name of the instance.
        worker: index of the worker.
        capacity_bytes: bytes of data, a power of two.

    Raises:
        SharedMemoryFullError: there is not enough room.
        SegmentError: the ring exists, or the capacity is no power of two within bounds.
    """
    return create_ring_segment(ring_name(instance, worker), capacity_bytes)


def create_ring_segment(name: str, capacity_bytes: int) -> Segment:
    """Make an empty ring under any name; raises what `create_ring` raises."""
    if not MIN_CAPACITY <= capacity_bytes <= MAX_CAPACITY or capacity_bytes.bit_count() != 1:
        raise SegmentError(
            f"a ring of {capacity_bytes} bytes: the capacity must be a power of two "
            f"from {MIN_CAPACITY} to {MAX_CAPACITY}"
        )
    segment = Segment.create(
        name,
        kind=SegmentKind.RING,
        layout=RING_LAYOUT,
        n_bytes=ring_segment_bytes(capacity_bytes),
        parameter=capacity_bytes,
    )
    segment.store(CHECKPOINT_OFFSET + STAMP, FIRST_STAMP)
    segment.make_ready()
    return segment


def attach_ring(instance: str, worker: int, *, readonly: bool = False) -> Segment:
    """Map the ring of one worker; raises what `Segment.attach` raises."""
    return attach_ring_segment(ring_name(instance, worker), readonly=readonly)


def attach_ring_segment(name: str, *, readonly: bool = False) -> Segment:
    """Map the ring that has this name now; raises what `Segment.attach` raises."""
    return Segment.attach(name, kind=SegmentKind.RING, layout=RING_LAYOUT, readonly=readonly)


def is_replaced(segment: Segment) -> bool:
    """Whether another segment has this one's name by now."""
    return segment.load(FATE_OFFSET) == Fate.REPLACED


def read_checkpoint(segment: Segment) -> Checkpoint:
    """The checkpoint in force, as long as no producer writes.

    Raises:
        CorruptDataError: neither qualifies, which no death of a producer can cause.
    """
    saved = _in_force(segment)
    if saved is None:
        raise CorruptDataError(
            f"{segment.name}: no checkpoint agrees with its tail {segment.load(TAIL_OFFSET)}; "
            "stop the farm and start it again with fresh rings"
        )
    return saved


def unpublished(segment: Segment, saved: Checkpoint) -> tuple[int, int]:
    """Records and experiences attempted that came to nothing, or to nothing yet.

    Of a dead producer all of them are aborted; of a living one, those beyond what `saved` says are
    claims that it has not published.
    """
    records = segment.load(ATTEMPTED_RECORDS_OFFSET) - saved.sequence
    experiences = segment.load(ATTEMPTED_EXPERIENCES_OFFSET) - saved.accounted_experiences
    # An attempt is stored before the checkpoint that covers it: fewer of them are a stray write.
    return max(records, saved.aborted_records), max(experiences, saved.aborted_experiences)


class RingView:
    """What a ring says of itself, alive or dead; reads only, for metrics and tools.

    Args:
        segment: a ring, read-only or not.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.capacity = segment.parameter

    @property
    def head(self) -> int:
        """Byte position the consumer takes next."""
        return self.segment.load(HEAD_OFFSET)

    @property
    def tail(self) -> int:
        """Byte position the producer publishes next."""
        return self.segment.load(TAIL_OFFSET)

    @property
    def used_bytes(self) -> int:
        """Bytes published and not released, 0 to capacity."""
        head = self.head
        # Head first: it cannot pass a tail that is read later.
        return min((self.tail - head) % (1 << 64), self.capacity)

    @property
    def is_ending(self) -> bool:
        """Whether its producer waits for another ring, until everything in this one is released."""
        return self.segment.load(FATE_OFFSET) in _ENDING

    @property
    def parked(self) -> bool:
        """Whether the producer sleeps until there is room."""
        return self.segment.load(PARKED_OFFSET) != 0

    @property
    def records(self) -> int:
        """Records published since the ring was made."""
        return self.checkpoint().records

    @property
    def experiences(self) -> int:
        """Experiences in the records published."""
        return self.checkpoint().experiences

    @property
    def games(self) -> int:
        """Games finished within the records published."""
        return self.checkpoint().games

    @property
    def dropped(self) -> int:
        """Records dropped by the producer because the ring was full."""
        return self.checkpoint().dropped_records

    def checkpoint(self) -> Checkpoint:
        """The checkpoint in force, or a recent one if the producer is too quick to be caught."""
        for _ in range(_TRIES):
            saved = _in_force(self.segment)
            if saved is not None:
                return saved
        recent = _intact_checkpoints(self.segment)
        if not recent:
            raise CorruptDataError(f"{self.segment.name}: both checkpoints are torn")
        return max(recent, key=lambda saved: saved.stamp)


def _in_force(segment: Segment) -> Checkpoint | None:
    tail = segment.load(TAIL_OFFSET)
    found = [saved for saved in _intact_checkpoints(segment) if saved.tail == tail]
    return max(found, key=lambda saved: saved.stamp, default=None)


def _intact_checkpoints(segment: Segment) -> list[Checkpoint]:
    found = []
    for slot in range(2):
        line = CHECKPOINT_OFFSET + slot * LINE_BYTES
        stamp = segment.load(line + STAMP)
        words = [segment.load(line + at) for at in range(SAVED_TAIL, SAVED_END, 8)]
        # The same stamp before and after: nobody wrote in between.
        if stamp != 0 and segment.load(line + STAMP) == stamp:
            found.append(Checkpoint(slot, stamp, *words))
    return found
