"""Where recordings are kept, and how many: the state folder of a farm, and bounded folders.

    ROOT                 configured, $STATE_DIRECTORY, $XDG_STATE_HOME/farm, ~/.local/state/farm
    └─ INSTANCE
       ├─ host-0         a games host: a journal for each game that goes on (farm.games)
       │  └─ ended       those of games that have ended
       └─ rollouts
          └─ 0           replays of a rollout worker (farm.worker.recorder)

Folders are for their owner alone (0700), and so are the files: a journal says what each seat did
while its game goes on.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from farm.errors import FileAccessError

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600


def state_folder(configured: str | None, instance: str, environ: Mapping[str, str]) -> Path:
    """The folder of an instance; nothing is made.

    Args:
        configured: `games.journal_dir`.
        instance: name of the farm.
        environ: the environment; systemd sets STATE_DIRECTORY, of which the first path counts.
    """
    if configured:
        root = Path(configured)
    elif given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        root = Path(given)
    else:
        state = environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
        root = Path(state) / "farm"
    return root.absolute() / instance


def make_private(folder: Path) -> Path:
    """Make a folder and the ones above it, as far as they are missing; the folder itself is 0700.

    Raises:
        FileAccessError: it cannot be made; the message says what to set instead.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise FileAccessError(
            f"{folder}: {error.strerror or error}; set games.journal_dir to a folder that this "
            "user may write to"
        ) from error
    return folder


class Kept:
    """The files of a folder, of which the oldest are removed when there are too many.

    The folder is read once; from then on it is known what is in it, because nobody else adds to it.

    Args:
        folder: is made if need be.
        keep: files at most.
        max_bytes: that they may take together.

    Raises:
        FileAccessError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, *, keep: int, max_bytes: int) -> None:
        self.folder = make_private(folder)
        self._keep, self._max_bytes = keep, max_bytes
        self._files = self._read()
        """Bytes of each by name, oldest first."""
        self._bytes = sum(self._files.values())
        self._shrink()

    def __len__(self) -> int:
        return len(self._files)

    @property
    def n_bytes(self) -> int:
        """That the files take together."""
        return self._bytes

    def limit(self, *, keep: int, max_bytes: int) -> None:
        """Keep more from now on, or fewer at once."""
        self._keep, self._max_bytes = keep, max_bytes
        self._shrink()

    def add(self, name: str, n_bytes: int) -> None:
        """Count a file that was just put into the folder, and remove the oldest as need be."""
        self._bytes += n_bytes - self._files.pop(name, 0)
        self._files[name] = n_bytes
        self._shrink()

    def _read(self) -> dict[str, int]:
        found: list[tuple[int, str, int]] = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        stat = entry.stat(follow_symlinks=False)
                        found.append((stat.st_mtime_ns, entry.name, stat.st_size))
        except OSError as error:
            raise FileAccessError(f"{self.folder}: {error.strerror or error}") from error
        return {name: n_bytes for _, name, n_bytes in sorted(found)}

    def _shrink(self) -> None:
        while self._files and (len(self._files) > self._keep or self._bytes > self._max_bytes):
            name = next(iter(self._files))
            self._bytes -= self._files.pop(name)
            # Somebody else may have removed it; one that cannot be removed is found at the next
            # start.
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
