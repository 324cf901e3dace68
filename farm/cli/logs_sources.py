"""Where log lines come from: a pipe, a file that may be rotated, the journal.

A source is an iterator of chunks; an empty chunk says that a file ended there, so that half a line
before it is not joined with the next. Whoever waits for more also watches standard output: a reader
that went away ends the wait with BrokenPipeError, not only the next line.
"""

import os
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from farm.errors import FileAccessError

CHUNK_BYTES = 1 << 16
LOOK_MS = 100
"""How often a followed file is looked at."""
STDOUT = 1
_READER_GONE = select.POLLERR | select.POLLHUP


def pipe_chunks(fd: int) -> Iterator[bytes]:
    """What comes from a descriptor, as it comes, until its end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(STDOUT, 0)
    while True:
        ready = dict(poll.poll())
        if fd not in ready and ready.get(STDOUT, 0) & _READER_GONE:
            raise BrokenPipeError
        if fd not in ready:  # standard output is closed: the next line says so
            poll.unregister(STDOUT)
            continue
        chunk = os.read(fd, CHUNK_BYTES)
        yield chunk
        if not chunk:
            return


def file_chunks(path: Path, *, follow: bool) -> Iterator[bytes]:
    """A file from its beginning; with `follow` on and on, through truncation and replacement.

    Raises:
        FileAccessError: it cannot be read.
    """
    fd = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            yield from pipe_chunks(fd)
            return
        yield from _rest(fd)
        while follow:
            if _was_truncated(fd):
                os.lseek(fd, 0, os.SEEK_SET)
                yield b""
            elif (successor := _try_successor(path, fd)) is not None:
                yield from _rest(fd)  # written after the last look and before the replacement
                os.close(fd)
                fd = successor
                yield b""
            yield from _rest(fd)
            _pause()
        yield b""
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise _unreadable(path, error) from None
    finally:
        os.close(fd)


def journal_chunks(unit: str, *, follow: bool, since_s: float | None) -> Iterator[bytes]:
    """The journal of a unit, through journalctl(1).

    Args:
        unit: such as `farm` or `farm@blue`.
        follow: go on as lines are logged.
        since_s: from this time on, seconds of the epoch; None for all, or the last ten of a journal
            that is followed.

    Raises:
        FileAccessError: there is no journalctl, or it failed; what it says is on standard error.
    """
    command = ["journalctl", "--output=cat", "--all", "--quiet", "--no-pager", f"--unit={unit}"]
    if since_s is not None:
        command.append(f"--since=@{int(since_s)}")
        command += ["--lines=all"] if follow else []
    command += ["--follow"] if follow else []
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and a word of ours before the unit
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise FileAccessError(
            f"cannot run journalctl: {error.strerror}; give a file, or - for standard input"
        ) from None
    assert process.stdout is not None
    n_bytes = 0
    try:
        for chunk in pipe_chunks(process.stdout.fileno()):
            n_bytes += len(chunk)
            yield chunk
        if process.wait() != 0:
            raise FileAccessError(f"journalctl ended with exit code {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    if n_bytes == 0:
        hint = "is that its name, and may you read the journal (group systemd-journal)?"
        print(f"farm: nothing is logged of {unit}: {hint}", file=sys.stderr)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> FileAccessError:
    return FileAccessError(f"cannot read {path}: {error.strerror}")


def _rest(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, CHUNK_BYTES):
        yield chunk


def _was_truncated(fd: int) -> bool:
    return os.fstat(fd).st_size < os.lseek(fd, 0, os.SEEK_CUR)


def _try_successor(path: Path, fd: int) -> int | None:
    """The file that has this name now, opened, if it is another one."""
    try:
        successor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # renamed, and nothing in its place yet
        return None
    if os.path.sameopenfile(fd, successor):
        os.close(successor)
        return None
    return successor


def _pause() -> None:
    poll = select.poll()
    poll.register(STDOUT, 0)
    if any(state & _READER_GONE for _, state in poll.poll(LOOK_MS)):
        raise BrokenPipeError
