"""A segment: a named block of shared memory with a header page that says what it is.

    /dev/shm/farm-<instance>-<role>, mode 0600, little-endian 64-bit words

    offset  field          written by             read by
    0       magic          creator, once          attach: is this ours at all
    8       layout         creator, stored last   attach: 0 = not ready, else the layout's version
    16      size           creator, once          attach: bytes of the whole segment
    24      kind           creator, once          attach: SegmentKind
    32      fingerprint    creator, once          attach: spec_fingerprint() of its build
    40      parameter      creator, once          its kind's module: a ring's capacity, for one
    48      checksum       creator, once          attach: CRC-32 of bytes 16-47
    128     generation     owner                  anyone: incarnation of the child that fills it
    136     owner pid      owner                  anyone: who created or adopted it, for messages
    144     created        creator, once          tools: wall clock, ns
    4096    the kind's own fields

`layout` is stored after everything else, so that attach meets a named state (absent, not ready,
wrong layout) and never a race. Python has no fences: where the processor may reorder plain stores,
the checksum keeps a half-seen header from passing. Words are aligned and written with one store
each, so none is ever torn. A segment outlives its processes until its owner unlinks it.

`posix_fallocate` takes the pages before `mmap`: a full /dev/shm is an error here, no SIGBUS later.
`multiprocessing.shared_memory` is not used: its resource tracker unlinks other people's segments
(CPython gh-82300).
"""

import contextlib
import errno
import mmap
import os
import re
import time
import zlib
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import posix_ipc

from farm.errors import (
    SegmentAbsentError,
    SegmentError,
    SegmentLayoutError,
    SegmentNotReadyError,
    SharedMemoryFullError,
)
from farm.shm.room import SHM_DIR, free_bytes
from farm.spec.fingerprint import spec_fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADER_BYTES = 4096
"""The header page; the kind's own fields begin here."""
MAGIC = int.from_bytes(b"FARMSEG1", "little")
MODE = 0o600
OWNER_PID_OFFSET = 136

_MAGIC_AT = 0
_LAYOUT_AT = 8
_SIZE_AT = 16
_KIND_AT = 24
_FINGERPRINT_AT = 32
_PARAMETER_AT = 40
_CHECKSUM_AT = 48
_GENERATION_AT = 128
_CREATED_AT = 144

_NO_ROOM = (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT)
_ROLE = re.compile(r"[a-z0-9_]+")


class SegmentKind(IntEnum):
    """What a segment holds."""

    CONTROL = 1
    RING = 2
    GROUPS = 3


def segment_name(instance: str, role: str) -> str:
    """`/farm-<instance>-<role>`. A role has no dash, so that a name has one reading only."""
    if not _ROLE.fullmatch(role):
        raise SegmentError(f"segment role {role!r} has other characters than a-z, 0-9 and _")
    return f"/farm-{instance}-{role}"


def list_segments(instance: str) -> list[str]:
    """Names of the segments of one instance, ready or not, sorted."""
    prefix = f"farm-{instance}"
    return [
        f"/{path.name}"
        for path in sorted(SHM_DIR.glob("farm-*-*"))
        if path.name.rpartition("-")[0] == prefix
    ]


def unlink_segment(name: str) -> bool:
    """Remove a name; who has it mapped keeps the memory. False if nobody had made it."""
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        return False
    return True


class Segment:
    """One mapped segment.

    Attributes:
        name: `/farm-<instance>-<role>`.
        mem: uint8[size], the whole mapping from its header on; not writable if attached read-only.
    """

    def __init__(self, name: str, fd: int, n_bytes: int, *, readonly: bool) -> None:
        self.name = name
        self._pending_layout = 0
        access = mmap.ACCESS_READ if readonly else mmap.ACCESS_WRITE
        self._map = mmap.mmap(fd, n_bytes, access=access)
        self._bytes = memoryview(self._map)
        self._words = self._bytes[: n_bytes & ~7].cast("Q")
        self.mem: NDArray[np.uint8] = np.frombuffer(self._map, dtype=np.uint8)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        kind: SegmentKind,
        layout: int,
        n_bytes: int,
        parameter: int = 0,
        fd: int | None = None,
    ) -> Self:
        """Make a segment of zeros and its header; nobody can attach before `make_ready`.

        Args:
            name: from `segment_name`.
            kind: what it holds.
            layout: version of the kind's layout, above 0.
            n_bytes: size of the whole segment in bytes, header included.
            parameter: the kind's own number.
            fd: an empty segment that is open already (the lease's); stays open, stays the caller's.

        Raises:
            SharedMemoryFullError: there is not enough room.
            SegmentError: the name is taken.
        """
        own_fd = _open_new(name) if fd is None else fd
        try:
            # A umask may have taken bits away: make the mode exact.
            os.fchmod(own_fd, MODE)
            _allocate(name, own_fd, n_bytes)
            segment = cls(name, own_fd, n_bytes, readonly=False)
        except BaseException:
            unlink_segment(name)
            raise
        finally:
            if fd is None:
                os.close(own_fd)
        segment.store(_MAGIC_AT, MAGIC)
        segment.store(_SIZE_AT, n_bytes)
        segment.store(_KIND_AT, kind)
        segment.store(_FINGERPRINT_AT, spec_fingerprint())
        segment.store(_PARAMETER_AT, parameter)
        segment.store(_CHECKSUM_AT, segment._checksum())
        segment.store(_CREATED_AT, time.time_ns())
        segment.adopt(1)
        segment._pending_layout = layout
        return segment

    @classmethod
    def attach(cls, name: str, *, kind: SegmentKind, layout: int, readonly: bool = False) -> Self:
        """Map a segment that somebody made ready.

        Raises:
            SegmentAbsentError: no such name.
            SegmentNotReadyError: its creator has not finished, or died before it had.
            SegmentLayoutError: another magic, kind, layout, size or spec than this build's.
            SegmentError: it belongs to another user.
        """
        fd = _open_existing(name, readonly=readonly)
        try:
            n_bytes = os.fstat(fd).st_size
            if n_bytes < HEADER_BYTES:
                raise SegmentNotReadyError(f"{name} has {n_bytes} bytes: its maker is not done")
            segment = cls(name, fd, n_bytes, readonly=readonly)
        finally:
            os.close(fd)
        try:
            segment._check_header(kind=kind, layout=layout, n_bytes=n_bytes)
        except SegmentError:
            segment.close()
            raise
        return segment

    def make_ready(self) -> None:
        """Store the layout version: from here on others can attach."""
        self.store(_LAYOUT_AT, self._pending_layout)

    def adopt(self, generation: int) -> None:
        """Stamp this process as the owner and `generation` as the incarnation that fills it."""
        self.store(_GENERATION_AT, generation)
        self.store(OWNER_PID_OFFSET, os.getpid())

    @property
    def generation(self) -> int:
        """Incarnation of the child that fills the segment."""
        return self.load(_GENERATION_AT)

    @property
    def owner_pid(self) -> int:
        """Process that created or adopted the segment last."""
        return self.load(OWNER_PID_OFFSET)

    @property
    def parameter(self) -> int:
        """The kind's own number, fixed at creation."""
        return self.load(_PARAMETER_AT)

    def load(self, offset: int) -> int:
        """The word at a byte offset that is a multiple of 8; never torn."""
        return self._words[offset >> 3]

    def store(self, offset: int, value: int) -> None:
        """Write the word at a byte offset that is a multiple of 8; never torn."""
        self._words[offset >> 3] = value

    def read(self, offset: int, n_bytes: int) -> bytes:
        """A copy of some bytes; may be torn if another process writes them."""
        return self._bytes[offset : offset + n_bytes].tobytes()

    def write(self, offset: int, payload: bytes) -> None:
        """Write some bytes."""
        self._bytes[offset : offset + len(payload)] = payload

    def close(self) -> None:
        """Drop this process's mapping; the segment itself stays."""
        self._words.release()
        self._bytes.release()
        self.mem = np.empty(0, dtype=np.uint8)
        # Somebody may still hold a view of `mem`; the mapping then goes with the last one.
        with contextlib.suppress(BufferError):
            self._map.close()

    def unlink(self) -> None:
        """Remove the name, as its owner does; mappings stay valid until closed."""
        unlink_segment(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _checksum(self) -> int:
        return zlib.crc32(self.read(_SIZE_AT, _CHECKSUM_AT - _SIZE_AT))

    def _check_header(self, *, kind: SegmentKind, layout: int, n_bytes: int) -> None:
        found_layout = self.load(_LAYOUT_AT)
        magic = self.load(_MAGIC_AT)
        if found_layout == 0 and magic in {0, MAGIC}:
            raise SegmentNotReadyError(
                f"{self.name} is being made by process {self.owner_pid}; try again in a moment"
            )
        if magic != MAGIC:
            raise SegmentLayoutError(f"{self.name} is no segment of a farm: magic {magic:#x}")
        if found_layout != layout:
            raise SegmentLayoutError(
                f"{self.name} has layout {found_layout}, this build reads {layout}; "
                f"stop the farm that owns it (process {self.owner_pid})"
            )
        if self.load(_CHECKSUM_AT) != self._checksum():
            raise SegmentNotReadyError(f"{self.name} has a half-written header; try again")
        if self.load(_KIND_AT) != kind:
            raise SegmentLayoutError(f"{self.name} is of kind {self.load(_KIND_AT)}, not {kind!r}")
        if self.load(_SIZE_AT) != n_bytes:
            raise SegmentLayoutError(
                f"{self.name} has {n_bytes} bytes and its header says {self.load(_SIZE_AT)}"
            )
        if self.load(_FINGERPRINT_AT) != spec_fingerprint():
            raise SegmentLayoutError(
                f"{self.name} was made with spec {self.load(_FINGERPRINT_AT):016x}, this build has "
                f"{spec_fingerprint():016x}; stop the farm that owns it (process {self.owner_pid})"
            )


def shm_path(name: str) -> Path:
    """Where a segment shows up in the file system."""
    return SHM_DIR / name.removeprefix("/")


def open_segment(name: str) -> int:
    """Open a segment's name for reading and writing, making an empty one if there is none.

    Returns:
        A file descriptor, closed at exec.

    Raises:
        SegmentError: it belongs to another user.
    """
    try:
        return int(posix_ipc.SharedMemory(name, posix_ipc.O_CREAT, mode=MODE).fd)
    except posix_ipc.PermissionsError as error:
        raise SegmentError(f"{name} belongs to another user; choose another instance") from error


def _open_new(name: str) -> int:
    try:
        return int(posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=MODE).fd)
    except posix_ipc.ExistentialError as error:
        raise SegmentError(f"{name} exists already; unlink it or attach to it") from error


def _open_existing(name: str, *, readonly: bool) -> int:
    try:
        return int(posix_ipc.SharedMemory(name, read_only=readonly).fd)
    except posix_ipc.ExistentialError as error:
        raise SegmentAbsentError(f"there is no segment {name}; is its farm running?") from error
    except posix_ipc.PermissionsError as error:
        raise SegmentError(f"{name} belongs to another user; run as that user") from error


def _allocate(name: str, fd: int, n_bytes: int) -> None:
    free = free_bytes()
    full = SharedMemoryFullError(
        f"{name} needs {n_bytes} bytes of shared memory and {free} are free in {SHM_DIR}; "
        f"ask for less (ring.bytes, worker.count), stop another farm or enlarge {SHM_DIR}"
    )
    if n_bytes > free:
        raise full
    try:
        os.posix_fallocate(fd, 0, n_bytes)
    except OSError as error:
        # Others may have taken the room since it was measured.
        if error.errno in _NO_ROOM:
            raise full from error
        raise
