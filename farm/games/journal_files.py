"""The journals of one host as files: one a game, appended to, moved aside when the game ends.

    FOLDER/17.journal          of a game that goes on, or did when its host died
    FOLDER/ended/16.journal    of one that ended, kept as its replay, bounded by count and bytes
    FOLDER/ended/15.damaged    of one that could not be read when a host took over

An entry is one `write` to a file that nobody buffers: it is there whatever becomes of this process.
It is not forced to the disk, so that a power cut may take the last seconds. What a write left
unfinished is taken back: a file always ends with a whole entry, or is closed for good.

Journals take half of the files that the process may have open; connections have the other. Where
there are more games than that, those opened first are closed, and opened again as they are needed.
"""

import contextlib
import fcntl
import os
import resource
from collections import OrderedDict
from pathlib import Path
from typing import Final

from farm.errors import FileAccessError
from farm.replay.folders import PRIVATE_FILE, Kept, make_private
from farm.replay.journal import HEAD

SUFFIX: Final = ".journal"
DAMAGED_SUFFIX: Final = ".damaged"

_CLOSED: Final = -1
_MOST_FILES: Final = 1 << 16
"""Asked for where the machine sets no limit."""
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class _File:
    """A journal that is written."""

    __slots__ = ("fd", "n_bytes", "path")

    def __init__(self, path: Path, n_bytes: int = 0) -> None:
        self.path = path
        self.fd = _CLOSED
        self.n_bytes = n_bytes


class JournalFiles:
    """The journals of a host, by game id.

    Args:
        folder: of this host; is made if need be.
        keep: journals of ended games that are kept.
        max_bytes: that those may take together.
        max_open: files that are open at once; None takes what the process is allowed.

    Raises:
        FileAccessError: the folder cannot be used, or another host uses it.
    """

    def __init__(
        self, folder: Path, *, keep: int, max_bytes: int, max_open: int | None = None
    ) -> None:
        self.folder = make_private(folder)
        self._lock = _lock(folder)
        self._kept = Kept(folder / "ended", keep=keep, max_bytes=max_bytes)
        self._max_open = _open_limit() if max_open is None else max_open
        self._files: dict[int, _File] = {}
        self._open_files: OrderedDict[_File, None] = OrderedDict()
        """In the order in which they were opened."""

    @property
    def n_kept(self) -> int:
        """Journals of ended games."""
        return len(self._kept)

    def limit(self, *, keep: int, max_bytes: int) -> None:
        """Keep more or fewer journals of ended games."""
        self._kept.limit(keep=keep, max_bytes=max_bytes)

    def unfinished(self) -> list[Path]:
        """The journals of games that have not ended, by id."""
        paths = [path for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        return sorted(paths, key=lambda path: int(path.stem))

    def create(self, game_id: int, data: bytes) -> None:
        """Begin the journal of a game.

        Raises:
            FileAccessError: it cannot be written, and is not there.
        """
        path = self.folder / f"{game_id}{SUFFIX}"
        self._files[game_id] = file = _File(path)
        try:
            self._open(file, os.O_CREAT | os.O_EXCL)
        except OSError as error:
            self._forget(game_id)
            raise _refusal(path, error) from error
        try:
            self.append(game_id, HEAD + data)
        except FileAccessError:
            self._forget(game_id)
            path.unlink(missing_ok=True)
            raise

    def resume(self, game_id: int, n_bytes: int) -> None:
        """Go on with the journal of a game, behind its last whole entry.

        Raises:
            FileAccessError: it cannot be written.
        """
        path = self.folder / f"{game_id}{SUFFIX}"
        self._files[game_id] = file = _File(path, n_bytes)
        try:
            os.truncate(path, n_bytes)
            self._open(file)
        except OSError as error:
            self._forget(game_id)
            raise _refusal(path, error) from error

    def n_bytes(self, game_id: int) -> int:
        """Bytes of the journal of a game."""
        return self._files[game_id].n_bytes

    def append(self, game_id: int, data: bytes) -> None:
        """Add whole entries to the journal of a game.

        Raises:
            FileAccessError: they cannot be written, and nothing of them is there.
        """
        file = self._files[game_id]
        try:
            if file.fd == _CLOSED:
                self._open(file)
            written = os.write(file.fd, data)
            while written < len(data):
                # A full disk takes what fits; the rest says why.
                written += os.write(file.fd, data[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(file.path, file.n_bytes)
            raise _refusal(file.path, error) from error
        file.n_bytes += len(data)

    def end(self, game_id: int) -> None:
        """Move the journal of a game that is over to those that are kept.

        Raises:
            FileAccessError: it cannot be moved: the next host will take the game for unfinished.
        """
        path = self._forget(game_id).path
        self._keep_as(path, path.name)

    def remove(self, game_id: int) -> None:
        """Remove the journal of a game that is not worth keeping."""
        self._forget(game_id).path.unlink(missing_ok=True)

    def put_away(self, path: Path) -> None:
        """Move a journal that nobody writes to those that are kept.

        Raises:
            FileAccessError: it cannot be moved.
        """
        self._keep_as(path, path.name)

    def set_aside(self, path: Path) -> Path:
        """Move a journal that cannot be read to those that are kept, by another name.

        Returns:
            Where it is now.

        Raises:
            FileAccessError: it cannot be moved.
        """
        return self._keep_as(path, f"{path.stem}{DAMAGED_SUFFIX}")

    def close(self) -> None:
        """Close every file; games that have not ended go on from theirs."""
        for game_id in list(self._files):
            self._forget(game_id)
        if self._lock != _CLOSED:
            os.close(self._lock)
            self._lock = _CLOSED

    def _keep_as(self, path: Path, name: str) -> Path:
        kept = self._kept.folder / name
        try:
            path.rename(kept)
            self._kept.add(name, kept.stat().st_size)
        except OSError as error:
            raise _refusal(path, error) from error
        return kept

    def _open(self, file: _File, flags: int = 0) -> None:
        while len(self._open_files) >= self._max_open:
            self._close(next(iter(self._open_files)))
        file.fd = os.open(file.path, _FLAGS | flags, PRIVATE_FILE)
        self._open_files[file] = None

    def _close(self, file: _File) -> None:
        if file.fd != _CLOSED:
            os.close(file.fd)
            file.fd = _CLOSED
            del self._open_files[file]

    def _forget(self, game_id: int) -> _File:
        file = self._files.pop(game_id)
        self._close(file)
        return file


def _lock(folder: Path) -> int:
    """An open file that keeps other hosts out of the folder for as long as it is.

    Raises:
        FileAccessError: another host is in it, or it cannot be locked.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise FileAccessError(
            f"{folder}: another games host writes its journals there; stop it, or set "
            "games.journal_dir"
        ) from None
    except OSError as error:
        os.close(fd)
        raise _refusal(folder, error) from error
    return fd


def _open_limit() -> int:
    """Journals that may be open at once, after asking for as many files as there can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else hard
    if soft < wanted and soft != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(1, (_MOST_FILES if soft == resource.RLIM_INFINITY else soft) // 2)


def _refusal(path: Path, error: OSError) -> FileAccessError:
    return FileAccessError(f"{path}: {error.strerror or error}")
