"""Where compiled kernels and what is known of them are kept; needs nothing but Python.

The first of these that can be written to: `$FARM_CACHE_DIR`, `$XDG_CACHE_HOME/farm`,
`~/.cache/farm`, `farm-cache-<uid>` in the folder for temporary files, and at last a folder of this
process alone. What is loaded from there is executed, so a folder in a place where others may write
is taken only if it is this user's and closed to everyone else.
"""

import functools
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_root() -> Path:
    """The folder, made if need be."""
    for folder in _own_folders():
        if _can_be_written(folder):
            return folder
    shared = Path(tempfile.gettempdir()) / f"farm-cache-{os.getuid()}"
    if _can_be_written(shared) and _is_private(shared):
        return shared
    return _last_resort()


def _own_folders() -> Iterator[Path]:
    explicit = os.environ.get("FARM_CACHE_DIR")
    if explicit:
        yield Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        yield Path(base) / "farm"
    try:
        yield Path.home() / ".cache" / "farm"
    except RuntimeError:  # no HOME, and a user whom the system does not know
        return


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return is_ours and not found.st_mode & 0o077


@functools.cache
def _last_resort() -> Path:
    return Path(tempfile.mkdtemp(prefix="farm-cache-"))
