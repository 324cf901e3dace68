"""The control block: what the processes of a farm know of each other (in kernels too: farm.jit).

    offset  field              written by               read by
    0       header page        supervisor               attach; owner pid = the instance's pid
    4096    next game          workers, fetch_add       workers: games are numbered as they start
    4224    seed               supervisor, once         workers
    4232    started            supervisor, once         tools: wall clock, ns
    4240    farm state         supervisor               tools: FarmState
    4248    children           supervisor               everyone: slots in use
    4264    draining           supervisor               service: take nothing new in
    4272    drain deadline     `farm drain`             supervisor, on SIGUSR1: milliseconds
    4280    reloads            supervisor               tools: done, refused, whether the last one
                                                        was done, its duration in us
    4352    address            experiences service      supervisor, tools: HOST:PORT once bound
    4608    metrics address    metrics child            service, tools: HOST:PORT once bound
    4864    4 host addresses   games hosts, each its    supervisor, service, tools: likewise, 256
                               own                      bytes each
    5888    reload histogram   supervisor               tools: uint64[16], as those of a slot
    8192    config             supervisor               children: see store_config
    143360  80 slots of 1152 bytes, one a child
    235520  request            tools, in turns          supervisor, on SIGHUP: requests.py
    243712  answer             supervisor               tools

    +0      state              child while it runs, supervisor before and after: ChildState
    +8      heartbeat          child (supervisor at spawn): time.monotonic_ns
    +16     config epoch       child: the epoch it has applied
    +32     exit reason        supervisor, after each death
    +128    pid, generation, started, restarts, index        supervisor
    +168    name               supervisor, once
    +208    role               supervisor, once
    +256    counters           child: uint64[32], labelled by COUNTERS, carried on by replacements
    +512    restarts by reason supervisor: uint64[16], labelled by RESTART_REASONS; sum = restarts
    +640    4 histograms       child: uint64[16] each, the buckets of HISTOGRAMS, last word the sum

A farm that takes over from a dead one of its name goes on in the same block: with its next game,
its seed, its generations and its counters (`take_over`).

Every word has one writer at a time and is written with one store, so none is torn. A text is a word
of length and CRC-32, then bytes; one that does not match its CRC is being written and reads as "".
The config has two places, used in turn, each with stamp and CRC-32: a reader never waits for a
writer, not even for one that was stopped halfway.
"""

import time
import zlib
from bisect import bisect_left
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from farm.errors import CorruptDataError, SegmentError
from farm.shm.cells import CellView, TextCell, WordCell
from farm.shm.control_labels import COUNTERS, HISTOGRAMS, RELOAD_US, RESTART_REASONS
from farm.shm.groups import MAX_HOSTS
from farm.shm.lease import CONTROL_ROLE, Lease, acquire_instance, unlink_instance
from farm.shm.segment import Segment, SegmentKind, segment_name

CONTROL_LAYOUT = 5
"""Bump with any change of offsets or meaning above, labels included."""

MAX_CHILDREN = 80
MAX_CONFIG_BYTES = 64 << 10

NEXT_GAME_OFFSET = 4096
"""Byte offset in `ControlBlock.mem` of the number of the next game; workers fetch_add it."""
_FARM_OFFSET = 4224
_HOSTS_OFFSET = 4864
_HOST_BYTES = 256
_RELOADS_OFFSET = 5888
_CONFIG_OFFSET = 8192
_CONFIG_BLOB_AT = 128
_CONFIG_PLACE_BYTES = _CONFIG_BLOB_AT + MAX_CONFIG_BYTES
_SLOTS_OFFSET = 143_360
_SLOT_BYTES = 1152
_COUNTERS_OFFSET = 256
_RESTARTS_OFFSET = 512
_HISTOGRAMS_OFFSET = 640
_HISTOGRAM_BYTES = 128
_SUM_AT = _HISTOGRAM_BYTES - 8
_REQUEST_OFFSET = _SLOTS_OFFSET + MAX_CHILDREN * _SLOT_BYTES
_REQUEST_BYTES = 8192
_ANSWER_OFFSET = _REQUEST_OFFSET + _REQUEST_BYTES
MAX_REQUEST_BYTES = _REQUEST_BYTES - 8
"""Of a request or an answer."""
CONTROL_BYTES = _ANSWER_OFFSET + _REQUEST_BYTES

_COUNTER_AT = {name: _COUNTERS_OFFSET + 8 * place for place, name in enumerate(COUNTERS)}
_RESTART_AT = {name: _RESTARTS_OFFSET + 8 * place for place, name in enumerate(RESTART_REASONS)}
_HISTOGRAM_AT = {
    name: _HISTOGRAMS_OFFSET + _HISTOGRAM_BYTES * place for place, name in enumerate(HISTOGRAMS)
}
_CONFIG_TRIES = 1_000


class FarmState(IntEnum):
    """What the farm as a whole is doing."""

    STARTING = 0
    RUNNING = 1
    DRAINING = 2
    STOPPED = 3
    FAILED = 4


class ChildState(IntEnum):
    """What one child is doing."""

    EMPTY = 0
    """Nobody has this slot."""
    STARTING = 1
    """Spawned, no first piece of work yet."""
    READY = 2
    """At work."""
    DRAINING = 3
    """Takes nothing new and finishes."""
    STOPPED = 4
    """Ended as asked."""
    FAILED = 5
    """Ended otherwise, or was given up."""


class Histogram(NamedTuple):
    """What was observed so far."""

    counts: tuple[int, ...]
    """Observations in each bucket of HISTOGRAMS, then those above the last bound."""
    total: int
    """Sum of what was observed."""


class ChildSlot(CellView):
    """One child's part of the control block.

    Written by the child while it runs: `state`, `heartbeat_ns`, `config_epoch`, the counters and
    the histograms. The rest, and those before it runs and after its death, by the supervisor.
    """

    __slots__ = ()

    heartbeat_ns = WordCell(8)
    config_epoch = WordCell(16)
    exit_reason = TextCell(32, 8 + 64)
    pid = WordCell(128)
    generation = WordCell(136)
    started_ns = WordCell(144)
    restarts = WordCell(152)
    index = WordCell(160)
    name = TextCell(168, 8 + 32)
    role = TextCell(208, 8 + 40)

    _state = WordCell(0)

    @property
    def state(self) -> ChildState:
        """What the child is doing."""
        return ChildState(self._state)

    @state.setter
    def state(self, value: ChildState) -> None:
        self._state = value

    def assign(self, name: str, role: str, index: int) -> None:
        """Give the slot to a child spec: everything else is zero, the counters too."""
        self.segment.write(self.base, bytes(_SLOT_BYTES))
        self.name = name
        self.role = role
        self.index = index

    def retire(self) -> None:
        """Its process died with its farm; name, generation and counters stay for the next one."""
        if self.pid:
            self.exit_reason = "ended with its farm"
            self.pid = 0
            self.state = ChildState.STOPPED

    def beat(self, now_ns: int) -> None:
        """Say that the working loop is alive at this `time.monotonic_ns`."""
        self.heartbeat_ns = now_ns

    def add(self, counter: str, n: int) -> None:
        """Add to a counter; only the child itself may."""
        at = self.counter_offset(counter)
        self.segment.store(at, self.segment.load(at) + n)

    def set(self, counter: str, n: int) -> None:
        """Set a counter, such as one that is a level or is kept elsewhere."""
        self.segment.store(self.counter_offset(counter), n)

    def counter(self, name: str) -> int:
        """Value of a counter."""
        return self.segment.load(self.counter_offset(name))

    def counters_dict(self) -> dict[str, int]:
        """All counters by name."""
        return {name: self.segment.load(self.base + at) for name, at in _COUNTER_AT.items()}

    def counter_offset(self, counter: str) -> int:
        """Byte offset of a counter in `ControlBlock.mem`, for kernels."""
        return self.base + _COUNTER_AT[counter]

    def count_restart(self, reason: str) -> None:
        """Say that the next process follows one that ended for this reason, as the supervisor."""
        at = self.base + _RESTART_AT[reason]
        self.segment.store(at, self.segment.load(at) + 1)

    def restarts_by_reason(self) -> dict[str, int]:
        """Restarts by the names of RESTART_REASONS."""
        return {name: self.segment.load(self.base + at) for name, at in _RESTART_AT.items()}

    def observe(self, histogram: str, value: int) -> None:
        """Count a value in its bucket; only the child itself may."""
        _observe(self.segment, self.base + _HISTOGRAM_AT[histogram], HISTOGRAMS[histogram], value)

    def histogram(self, name: str) -> Histogram:
        """A histogram; what is observed meanwhile may be in its buckets and not in its sum."""
        return _histogram(self.segment, self.base + _HISTOGRAM_AT[name], len(HISTOGRAMS[name]))


class _HostCell(CellView):
    """Where a games host listens; written by the host."""

    __slots__ = ()

    address = TextCell(0, _HOST_BYTES)


class ControlBlock(CellView):
    """The control block of one instance.

    Attributes:
        instance: name of the instance.
        lease: held by the process that created the block, None in the others.
    """

    __slots__ = ("_hosts", "_slots", "instance", "lease")

    seed = WordCell(_FARM_OFFSET)
    started_ns = WordCell(_FARM_OFFSET + 8)
    n_children = WordCell(_FARM_OFFSET + 24)
    draining = WordCell(_FARM_OFFSET + 40)
    drain_ms = WordCell(_FARM_OFFSET + 48)
    reloads = WordCell(_FARM_OFFSET + 56)
    reloads_refused = WordCell(_FARM_OFFSET + 64)
    last_reload_ok = WordCell(_FARM_OFFSET + 72)
    reload_took_us = WordCell(_FARM_OFFSET + 80)
    address = TextCell(_FARM_OFFSET + 128, 8 + 248)
    metrics_address = TextCell(_FARM_OFFSET + 384, 8 + 248)
    next_game = WordCell(NEXT_GAME_OFFSET)
    request = TextCell(_REQUEST_OFFSET, _REQUEST_BYTES)
    answer = TextCell(_ANSWER_OFFSET, _REQUEST_BYTES)

    _state = WordCell(_FARM_OFFSET + 16)
    _config_stamp = WordCell(_FARM_OFFSET + 32)

    def __init__(self, instance: str, segment: Segment, lease: Lease | None = None) -> None:
        super().__init__(segment, 0)
        self.instance = instance
        self.lease = lease
        self._slots = tuple(
            ChildSlot(segment, _SLOTS_OFFSET + place * _SLOT_BYTES) for place in range(MAX_CHILDREN)
        )
        self._hosts = tuple(
            _HostCell(segment, _HOSTS_OFFSET + host * _HOST_BYTES) for host in range(MAX_HOSTS)
        )

    @classmethod
    def create(
        cls, instance: str, n_children: int, *, seed: int = 0, lease: Lease | None = None
    ) -> Self:
        """Make the control block of an instance, as its supervisor.

        Args:
            instance: name of the instance.
            n_children: slots in use, up to MAX_CHILDREN; `n_children` can be set later.
            seed: of every game, below 2**63.
            lease: if held already; else it is taken here, as `acquire_instance` does.

        Raises:
            InstanceRunningError: a live farm has the instance.
            SharedMemoryFullError: there is not enough room.
        """
        if not 0 <= n_children <= MAX_CHILDREN:
            raise SegmentError(f"{n_children} children: a control block has {MAX_CHILDREN} slots")
        lease = lease or acquire_instance(instance)
        try:
            segment = Segment.create(
                segment_name(instance, CONTROL_ROLE),
                kind=SegmentKind.CONTROL,
                layout=CONTROL_LAYOUT,
                n_bytes=CONTROL_BYTES,
                fd=lease.fd,
            )
        except BaseException:
            lease.close()
            raise
        block = cls(instance, segment, lease)
        block.seed = seed
        block.last_reload_ok = 1
        block.n_children = n_children
        block.started_ns = time.time_ns()
        segment.make_ready()
        return block

    @classmethod
    def take_over(cls, lease: Lease, *, seed: int | None = None) -> Self:
        """Go on in the control block of a dead farm, as its new supervisor.

        A death on the way leaves a block that can be taken over again.

        Args:
            lease: of the instance, on the dead farm's control segment.
            seed: of every game from here on; None keeps the dead farm's.

        Raises:
            SegmentError: what `Segment.attach` raises.
        """
        block = cls.attach(lease.instance)
        block.lease = lease
        block.segment.adopt(block.segment.generation + 1)
        for slot in block.children:
            slot.retire()
        block.state = FarmState.STARTING
        block.address = block.metrics_address = block.request = block.answer = ""
        for host in range(MAX_HOSTS):
            block.set_game_address(host, "")
        block.draining = block.drain_ms = 0
        block.last_reload_ok = 1
        block.started_ns = time.time_ns()
        if seed is not None:
            block.seed = seed
        return block

    @classmethod
    def attach(cls, instance: str, *, readonly: bool = False) -> Self:
        """Map the control block of an instance; raises what `Segment.attach` raises."""
        segment = Segment.attach(
            segment_name(instance, CONTROL_ROLE),
            kind=SegmentKind.CONTROL,
            layout=CONTROL_LAYOUT,
            readonly=readonly,
        )
        return cls(instance, segment)

    @property
    def mem(self) -> NDArray[np.uint8]:
        """uint8[CONTROL_BYTES], for kernels."""
        return self.segment.mem

    @property
    def pid(self) -> int:
        """Process of the supervisor, alive or dead."""
        return self.segment.owner_pid

    @property
    def state(self) -> FarmState:
        """What the farm is doing; written by the supervisor."""
        return FarmState(self._state)

    @state.setter
    def state(self, value: FarmState) -> None:
        self._state = value

    @property
    def children(self) -> list[ChildSlot]:
        """The slots in use."""
        return list(self._slots[: min(self.n_children, MAX_CHILDREN)])

    @property
    def game_addresses(self) -> tuple[str, ...]:
        """HOST:PORT of every games host by its index, "" before it has bound one."""
        return tuple(cell.address for cell in self._hosts)

    def set_game_address(self, host: int, address: str) -> None:
        """Say where a games host listens, as that host."""
        self._hosts[host].address = address

    def observe_reload(self, took_us: int) -> None:
        """Count a reload that took so long, as the supervisor."""
        self.reload_took_us = took_us
        _observe(self.segment, _RELOADS_OFFSET, RELOAD_US, took_us)

    def reload_histogram(self) -> Histogram:
        """The durations of all reloads, in microseconds, by the bounds of RELOAD_US."""
        return _histogram(self.segment, _RELOADS_OFFSET, len(RELOAD_US))

    @property
    def config_stamp(self) -> int:
        """Another one with every config that is stored: one word, to be looked at often."""
        return self._config_stamp

    def store_config(self, epoch: int, blob: bytes) -> None:
        """Publish a config; readers get this one or the one before, whole.

        Args:
            epoch: its number, above the one before.
            blob: at most MAX_CONFIG_BYTES.
        """
        if len(blob) > MAX_CONFIG_BYTES:
            raise SegmentError(f"a config of {len(blob)} bytes: at most {MAX_CONFIG_BYTES} fit")
        stamp = self._config_stamp + 1
        at = _config_place(stamp)
        head = (stamp, epoch, len(blob))
        self.segment.store(at, 0)
        self.segment.write(at + _CONFIG_BLOB_AT, blob)
        for place, word in enumerate((*head, _config_checksum(head, blob))):
            self.segment.store(at + 8 * place, word)
        self._config_stamp = stamp

    def load_config(self) -> tuple[int, bytes]:
        """The newest config, `(epoch, blob)`; `(0, b"")` before the first.

        Raises:
            CorruptDataError: it fails its checksum, time and again.
        """
        for _ in range(_CONFIG_TRIES):
            stamp = self._config_stamp
            if stamp == 0:
                return 0, b""
            at = _config_place(stamp)
            *head, checksum = (self.segment.load(at + 8 * place) for place in range(4))
            found, epoch, length = head
            blob = self.segment.read(at + _CONFIG_BLOB_AT, min(length, MAX_CONFIG_BYTES))
            # A reader that was overtaken twice finds another stamp or a torn blob: once more.
            if found == stamp and checksum == _config_checksum((found, epoch, length), blob):
                return epoch, blob
        raise CorruptDataError(f"{self.segment.name}: the config fails its checksum")

    def unlink(self) -> list[str]:
        """Remove every segment of the instance, this one last; only the lease's holder may.

        Returns:
            The names removed.
        """
        if self.lease is None:
            raise SegmentError(f"{self.segment.name}: only the farm's supervisor removes segments")
        return unlink_instance(self.lease)

    def close(self) -> None:
        """Drop the mapping and give the lease back; the segment stays."""
        self.segment.close()
        if self.lease is not None:
            self.lease.close()


def _observe(segment: Segment, at: int, bounds: tuple[int, ...], value: int) -> None:
    bucket = at + 8 * bisect_left(bounds, value)
    segment.store(bucket, segment.load(bucket) + 1)
    segment.store(at + _SUM_AT, segment.load(at + _SUM_AT) + value)


def _histogram(segment: Segment, at: int, n_bounds: int) -> Histogram:
    counts = tuple(segment.load(at + 8 * bucket) for bucket in range(n_bounds + 1))
    return Histogram(counts, segment.load(at + _SUM_AT))


def _config_place(stamp: int) -> int:
    return _CONFIG_OFFSET + stamp % 2 * _CONFIG_PLACE_BYTES


def _config_checksum(head: tuple[int, int, int], blob: bytes) -> int:
    return zlib.crc32(blob, zlib.crc32(repr(head).encode()))
