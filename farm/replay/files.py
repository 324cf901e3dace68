"""Reading and writing replay files of every kind; with folders.py all that does I/O here.

| kind         | recognised by               | games  |
|--------------|-----------------------------|--------|
| `.replay`    | its magic                   | many   |
| `.journal`   | its magic                   | one    |
| JSON lines   | `{` at the start, or gzip   | many   |
| `.gior`      | its name                    | one    |

Whatever is wrong with a file becomes one `ReplayError` that names it, and every read is bounded.
"""

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from farm.errors import FileAccessError, ReplayError
from farm.replay import codec, journal
from farm.replay.lines import MAX_LINE_BYTES, read_line
from farm.replay.model import Replay
from farm.replay.official import read_official

MAX_UNPACKED_BYTES: Final = 4 << 30
"""Of JSON lines under gzip."""
MAX_OFFICIAL_BYTES: Final = 16 << 20

_GZIP_MAGIC: Final = b"\x1f\x8b"
_PEEKED_BYTES: Final = 8


class Found(NamedTuple):
    """A game of a file."""

    replay: Replay
    read_bytes: int
    """Bytes of the file that have been read so far."""
    note: str = ""
    """What else the file says of the game."""


def read_replays(path: Path) -> Iterator[Found]:
    """The games of a file one by one, as they are asked for.

    Raises:
        FileAccessError: the file cannot be opened or read.
        ReplayError: it holds no games, or bad ones; those before the bad one have been given.
    """
    try:
        with path.open("rb") as file:
            n_games = 0
            for found in _read(path, file):
                n_games += 1
                yield found
            if n_games == 0:
                raise ReplayError(path, "it holds no games")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReplayError(path, f"damaged gzip data: {error}") from error
    except OSError as error:
        raise FileAccessError(f"{path}: {error.strerror or error}") from error


def write_replays(path: Path, replays: Sequence[Replay]) -> int:
    """Write a `.replay` file, whole or not at all.

    Returns:
        Bytes written.

    Raises:
        FileAccessError: it cannot be written.
        ReplayError: there are more games than a file may hold.
    """
    try:
        data = codec.encode(replays)
    except ValueError as error:
        raise ReplayError(path, str(error)) from error
    write_bytes(path, data)
    return len(data)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        FileAccessError: it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as f:
            temporary = Path(f.name)
            try:
                f.write(data)
                f.flush()
                # NamedTemporaryFile makes it 0600; a replay is no secret.
                os.fchmod(f.fileno(), 0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FileAccessError(f"{path}: {error.strerror or error}") from error


def _read(path: Path, file: BinaryIO) -> Iterator[Found]:
    start = file.read(_PEEKED_BYTES)
    file.seek(0)
    if start.startswith(codec.MAGIC):
        yield from _read_own(path, file)
    elif start.startswith(journal.MAGIC):
        yield from _read_journal(path, file)
    elif start.startswith(_GZIP_MAGIC):
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _read_lines(path, io.BufferedReader(unpacked), file)
    elif path.suffix == ".gior":
        yield from _read_official(path, file)
    elif start.lstrip().startswith(b"{"):
        yield from _read_lines(path, file, file)
    else:
        kinds = "neither a .replay file, nor a journal, nor JSON lines, nor .gior"
        raise ReplayError(path, kinds if start else "it is empty")


def _read_own(path: Path, file: BinaryIO) -> Iterator[Found]:
    data = _bounded(path, file, codec.MAX_FILE_BYTES)
    try:
        replays = codec.decode(data)
    except ValueError as error:
        raise ReplayError(path, str(error)) from error
    for i, replay in enumerate(replays, 1):
        yield Found(replay, len(data) * i // len(replays))


def _read_journal(path: Path, file: BinaryIO) -> Iterator[Found]:
    data = _bounded(path, file, journal.MAX_FILE_BYTES)
    try:
        found = journal.decode(data)
        yield Found(journal.to_replay(found), len(data), found.state)
    except ValueError as error:
        raise ReplayError(path, str(error)) from error


def _read_official(path: Path, file: BinaryIO) -> Iterator[Found]:
    data = _bounded(path, file, MAX_OFFICIAL_BYTES)
    try:
        replay = read_official(data)
    except (ValueError, msgspec.DecodeError) as error:
        raise ReplayError(path, f"no replay the farm reads: {error}") from error
    yield Found(replay, len(data))


def _read_lines(path: Path, lines: BinaryIO, packed: BinaryIO) -> Iterator[Found]:
    unpacked_bytes = 0
    number = 0
    while line := lines.readline(MAX_LINE_BYTES + 1):
        number += 1
        unpacked_bytes += len(line)
        if len(line) > MAX_LINE_BYTES:
            raise ReplayError(path, f"line {number} is longer than {MAX_LINE_BYTES:,} bytes")
        if unpacked_bytes > MAX_UNPACKED_BYTES:
            raise ReplayError(path, f"more than {MAX_UNPACKED_BYTES:,} bytes unpacked")
        if not line.strip():
            continue
        try:
            replay = read_line(line, number)
        except (ValueError, msgspec.DecodeError) as error:
            raise ReplayError(path, f"line {number}: {error}") from error
        yield Found(replay, packed.tell())


def _bounded(path: Path, file: BinaryIO, max_bytes: int) -> bytes:
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ReplayError(path, f"more than {max_bytes:,} bytes")
    return data
