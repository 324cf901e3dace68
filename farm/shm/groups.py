"""The groups segment: how far each group has got in each ring, kept beyond any process.

    offset  field              written by              read by
    0       header page        supervisor              attach; parameter = a worker's first capacity
    4096    run id             supervisor, once        service, tools: names the rings' lifetime
    4104    rings              supervisor              service, tools: rings 0 to n - 1 are workers'
    4112    adoptions          supervisor              tools: farms that took these rings over
    4120    hosts              supervisor              tools: rings 65 to 64 + n are games hosts'
    8192    69 x released      service                 the next service, tools
    28672   16 slots of 20480 bytes, one a group

    +0      state              service, last           0: nobody has this slot, 1: in use
    +8      kind, sample, declared, created, members, last ack, leased records     service
    +64     name               service, once
    +128    69 x handed        service                 bytes that were handed out, as a position
    +1024   69 x settled       service                 the next service, tools, the supervisor

The service is the experiences service: the only writer while a farm runs. The supervisor writes
before it starts one. Times are of the wall clock, in ns, as they outlive the machine's uptime.

`released` is what the head of a ring stands for; `settled` is what a group is done with, and how it
was: acknowledged, left out by a filter, passed over by the group's policy, or corrupt. Both are
checkpoints, 256 bytes of two lines each:

    +0 stamp, then 14 words of values, +120 CRC-32 of both; the other line at +128

The writer takes the line that is not in force (stamp 0, values and CRC, the stamp), so that a
service killed anywhere leaves the checkpoint before or the one after; in force is the intact line
with the later stamp. The CRC is for readers beside a living service: where the processor may
reorder plain stores, it keeps a half-seen line from passing.

Order of a release: the settled checkpoints of the groups, the released one of the ring, then its
head. So no settled position of a lossless group is ever behind the head, and a service that starts
sets the head of each ring to its released position once more.
"""

import struct
import time
import zlib
from enum import StrEnum
from typing import Self

from msgspec import Struct

from farm.errors import CorruptDataError, SegmentFullError
from farm.shm.cells import CellView, TextCell, WordCell
from farm.shm.segment import HEADER_BYTES, Segment, SegmentKind, segment_name

GROUPS_LAYOUT = 2
"""Bump with any change of offsets or meaning above."""
GROUPS_ROLE = "groups"

SUBMITTED_RING = 64
"""Index of the ring of trajectories that were handed in; those before it are the workers'."""
FIRST_HOST_RING = SUBMITTED_RING + 1
"""Index of the ring of the first games host; those of the others follow."""
MAX_HOSTS = 4
MAX_RINGS = FIRST_HOST_RING + MAX_HOSTS
MAX_GROUPS = 16
MAX_NAME_BYTES = 32

_FARM_OFFSET = HEADER_BYTES
_RELEASED_OFFSET = 2 * HEADER_BYTES
_SLOTS_OFFSET = 7 * HEADER_BYTES
_SLOT_BYTES = 5 * HEADER_BYTES
_HANDED_AT = 128
_SETTLED_AT = 1024
GROUPS_BYTES = _SLOTS_OFFSET + MAX_GROUPS * _SLOT_BYTES

_LINE_BYTES = 128
_CHECKPOINT_BYTES = 2 * _LINE_BYTES
_N_VALUES = 14
_CHECKPOINT = struct.Struct(f"<{_N_VALUES}QQ")
_STAMP = struct.Struct("<Q")
_IN_USE = 1
_TRIES = 64


class Amount(Struct, frozen=True):
    """A number of records, and of experiences in them."""

    records: int = 0
    experiences: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.records + other.records, self.experiences + other.experiences)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.records - other.records, self.experiences - other.experiences)


class Released(Struct, frozen=True):
    """What the head of a ring stands for."""

    position: int = 0
    """In bytes; the head is here, or gets here next."""
    records: int = 0
    """Before it, since the ring was made; a stretch that was no record counts as one."""
    experiences: int = 0

    @property
    def amount(self) -> Amount:
        """Everything before the position."""
        return Amount(self.records, self.experiences)


class Settled(Struct, frozen=True):
    """What a group is done with in one ring."""

    position: int = 0
    """In bytes: everything before it is settled, nothing behind it is counted here."""
    before: Amount = Amount()
    """Released before the group was made."""
    acknowledged: Amount = Amount()
    filtered: Amount = Amount()
    """Left out by a member's filter."""
    passed: Amount = Amount()
    """Left out by the group's own policy."""
    corrupt: Amount = Amount()
    """Stretches that were no record, and records that were no entry."""

    @property
    def total(self) -> Amount:
        """Everything before the position."""
        return self.before + self.acknowledged + self.filtered + self.passed + self.corrupt


class GroupKind(StrEnum):
    """What a group does to the rings while it is slower than the workers."""

    LOSSLESS = "lossless"
    """It holds them."""
    LATEST = "latest"
    """It goes on at the newest record once it lags too far."""
    SAMPLE = "sample"
    """It takes a part of the records."""


_KINDS = tuple(GroupKind)


class GroupSlot(CellView):
    """One group's part of the segment; written by the experiences service alone."""

    __slots__ = ("_settled",)

    created_ns = WordCell(32)
    n_members = WordCell(40)
    last_ack_ns = WordCell(48)
    """Wall clock of the last acknowledgement; 0 if there was none."""
    leased_records = WordCell(56)
    name = TextCell(64, 8 + MAX_NAME_BYTES)

    _state = WordCell(0)
    _kind = WordCell(8)
    _sample = WordCell(16)
    _declared = WordCell(24)

    def __init__(self, segment: Segment, base: int) -> None:
        super().__init__(segment, base)
        self._settled = tuple(
            _Checkpoint(segment, base + _SETTLED_AT + ring * _CHECKPOINT_BYTES)
            for ring in range(MAX_RINGS)
        )

    @property
    def is_used(self) -> bool:
        """Whether a group has this slot."""
        return self._state == _IN_USE

    @property
    def kind(self) -> GroupKind:
        """What the group does to the rings.

        Raises:
            CorruptDataError: no such kind, which no death of a service can cause.
        """
        code = self._kind
        if code >= len(_KINDS):
            raise CorruptDataError(
                f"{self.segment.name}: group {self.name!r} is of kind {code}; start the farm with "
                "`farm up --discard`"
            )
        return _KINDS[code]

    @property
    def sample(self) -> float:
        """Part of the records that a `sample` group takes; 0 for the other kinds."""
        value: float = struct.unpack("<d", _STAMP.pack(self._sample))[0]
        return value

    @property
    def declared(self) -> bool:
        """Whether the config declares it (`serve.groups`)."""
        return self._declared != 0

    @declared.setter
    def declared(self, value: bool) -> None:
        self._declared = int(value)

    def set_policy(self, kind: GroupKind, sample: float) -> None:
        """The config declares the group with another policy than before."""
        self._sample = _STAMP.unpack(struct.pack("<d", sample))[0]
        self._kind = _KINDS.index(kind)

    def settled(self, ring: int) -> Settled:
        """What the group is done with in a ring; all zeros for a ring that came after the group.

        Raises:
            CorruptDataError: both lines are torn, which no death of a service can cause.
        """
        values = self._settled[ring].read()
        if values is None:
            return Settled()
        position, *counts = values
        amounts = [Amount(*counts[at : at + 2]) for at in range(0, 10, 2)]
        return Settled(position, *amounts)

    def settle(self, ring: int, settled: Settled) -> None:
        """Keep what the group is done with in a ring, before its head moves."""
        self._settled[ring].write(
            settled.position,
            *_words(settled.before),
            *_words(settled.acknowledged),
            *_words(settled.filtered),
            *_words(settled.passed),
            *_words(settled.corrupt),
        )

    def handed(self, ring: int) -> int:
        """Position in a ring up to which the group's records were handed to some member."""
        return self.segment.load(self.base + _HANDED_AT + 8 * ring)

    def set_handed(self, ring: int, position: int) -> None:
        """Keep the position, before the message goes out."""
        self.segment.store(self.base + _HANDED_AT + 8 * ring, position)

    def release(self) -> None:
        """The group is no more: its slot is free, and it holds no ring."""
        self._state = 0

    def assign(
        self,
        name: str,
        kind: GroupKind,
        sample: float,
        starts: dict[int, Released],
        *,
        declared: bool,
    ) -> None:
        """Give a free slot to a group; a death on the way leaves it free."""
        self.segment.write(self.base, bytes(_SLOT_BYTES))
        self.name = name
        self.set_policy(kind, sample)
        self.declared = declared
        self.created_ns = time.time_ns()
        for ring, start in starts.items():
            self.set_handed(ring, start.position)
            self.settle(ring, Settled(start.position, before=start.amount))
        self._state = _IN_USE


class GroupsBlock(CellView):
    """The groups segment of one instance.

    Attributes:
        segment: the mapping.
    """

    __slots__ = ("_released", "_slots")

    run_id = WordCell(_FARM_OFFSET)
    n_rings = WordCell(_FARM_OFFSET + 8)
    adoptions = WordCell(_FARM_OFFSET + 16)
    n_host_rings = WordCell(_FARM_OFFSET + 24)

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, 0)
        self._released = tuple(
            _Checkpoint(segment, _RELEASED_OFFSET + ring * _CHECKPOINT_BYTES)
            for ring in range(MAX_RINGS)
        )
        self._slots = tuple(
            GroupSlot(segment, _SLOTS_OFFSET + place * _SLOT_BYTES) for place in range(MAX_GROUPS)
        )

    @property
    def capacity(self) -> int:
        """Capacity in bytes that every ring of a worker was made with; its segment has today's."""
        return self.segment.parameter

    def slots(self) -> list[GroupSlot]:
        """The groups there are, in the order of their slots."""
        return [slot for slot in self._slots if slot.is_used]

    def find(self, name: str) -> GroupSlot | None:
        """The group of a name, if there is one."""
        return next((slot for slot in self.slots() if slot.name == name), None)

    def claim(
        self,
        name: str,
        kind: GroupKind,
        *,
        sample: float = 0.0,
        declared: bool = False,
        starts: dict[int, Released],
    ) -> GroupSlot:
        """Make a group, as the experiences service.

        Args:
            name: 1 to MAX_NAME_BYTES bytes, of no group that is there.
            kind: what it does to the rings.
            sample: part of the records that a `sample` group takes.
            declared: whether the config declares it.
            starts: where it begins, by ring; in rings that are not named, at their very beginning.

        Raises:
            SegmentFullError: there are MAX_GROUPS groups.
        """
        free = next((slot for slot in self._slots if not slot.is_used), None)
        if free is None:
            raise SegmentFullError(
                f"{self.segment.name} has its {MAX_GROUPS} groups; remove one that nobody needs"
            )
        free.assign(name, kind, sample, starts, declared=declared)
        return free

    def released(self, ring: int) -> Released:
        """What the head of a ring stands for.

        Raises:
            CorruptDataError: both lines are torn, which no death of a service can cause.
        """
        values = self._released[ring].read()
        if values is None:
            return Released()
        return Released(*values[:3])

    def set_released(self, ring: int, released: Released) -> None:
        """Keep what the head of a ring is going to stand for, before it moves."""
        self._released[ring].write(released.position, released.records, released.experiences)

    def close(self) -> None:
        """Drop the mapping; the segment stays."""
        self.segment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ring_label(ring: int) -> str:
    """What a ring is called where people read it: by its number, a games host's by the host."""
    return f"games-{ring - FIRST_HOST_RING}" if ring >= FIRST_HOST_RING else str(ring)


def create_groups(
    instance: str, *, run_id: int, capacity: int, n_rings: int, n_host_rings: int = 0
) -> GroupsBlock:
    """Make the groups segment of an instance, without groups, ready to attach to.

    Args:
        instance: name of the instance.
        run_id: any number that the rings of no other farm have.
        capacity: of every ring of a worker, in bytes, to begin with.
        n_rings: rings of workers.
        n_host_rings: rings of games hosts.

    Raises:
        SharedMemoryFullError: there is not enough room.
        SegmentError: it exists.
    """
    segment = Segment.create(
        segment_name(instance, GROUPS_ROLE),
        kind=SegmentKind.GROUPS,
        layout=GROUPS_LAYOUT,
        n_bytes=GROUPS_BYTES,
        parameter=capacity,
    )
    block = GroupsBlock(segment)
    block.run_id = run_id
    block.n_rings = n_rings
    block.n_host_rings = n_host_rings
    segment.make_ready()
    return block


def attach_groups(instance: str, *, readonly: bool = False) -> GroupsBlock:
    """Map the groups segment of an instance; raises what `Segment.attach` raises."""
    return GroupsBlock(
        Segment.attach(
            segment_name(instance, GROUPS_ROLE),
            kind=SegmentKind.GROUPS,
            layout=GROUPS_LAYOUT,
            readonly=readonly,
        )
    )


class _Checkpoint:
    """Two lines of which one is in force; see the module's page.

    Args:
        segment: where they are.
        at: offset of the first.
    """

    __slots__ = ("_at", "_segment")

    def __init__(self, segment: Segment, at: int) -> None:
        self._segment = segment
        self._at = at

    def read(self) -> tuple[int, ...] | None:
        """The values in force, _N_VALUES of them; None if none were ever written."""
        for _ in range(_TRIES):
            lines = self._intact()
            if lines:
                return max(lines)[1]
            if not any(self._stamps()):
                return None
        raise CorruptDataError(
            f"{self._segment.name}: both lines of the checkpoint at {self._at} are torn; start the "
            "farm with `farm up --discard`"
        )

    def write(self, *values: int) -> None:
        """Put these values in force, zeros behind them."""
        stamp = 1 + max(self._stamps())
        line = self._at + stamp % 2 * _LINE_BYTES
        padded = (*values, *(0,) * (_N_VALUES - len(values)))
        packed = _CHECKPOINT.pack(*padded, _checksum(stamp, padded))
        self._segment.store(line, 0)
        self._segment.write(line + 8, packed)
        self._segment.store(line, stamp)

    def _stamps(self) -> tuple[int, int]:
        return self._segment.load(self._at), self._segment.load(self._at + _LINE_BYTES)

    def _intact(self) -> list[tuple[int, tuple[int, ...]]]:
        """Stamp and values of each line that is whole."""
        found = []
        for line in (self._at, self._at + _LINE_BYTES):
            stamp = self._segment.load(line)
            *values, checksum = _CHECKPOINT.unpack(self._segment.read(line + 8, _CHECKPOINT.size))
            if stamp and checksum == _checksum(stamp, tuple(values)):
                found.append((stamp, tuple(values)))
        return found


def _checksum(stamp: int, values: tuple[int, ...]) -> int:
    return zlib.crc32(struct.pack(f"<{1 + _N_VALUES}Q", stamp, *values))


def _words(amount: Amount) -> tuple[int, int]:
    return amount.records, amount.experiences
