"""Notices that the files of a config have changed, however they were written.

A look at the status of a handful of files, through all symlinks, by the loop that is there anyway:
it sees writes in place, atomic replaces, a mode that lets the farm read at last, and the swap of a
symlink to a whole folder (which a configuration manager does) as one and the same, a file of
another inode, time of change or size. Hidden files are locks and versions of editors. A watch by
the kernel (inotify) would have to follow every symlink on the way by itself, and watchfiles brings
a thread. A change counts once two looks in a row agree: whoever writes several files has then done.
"""

import os
from collections.abc import Sequence
from pathlib import Path

LOOK_NS = 500_000_000
"""Between two looks: they cost about 10 us a file."""

_Signature = frozenset[tuple[str, int, int, int]]


class FileWatch:
    """Watches the YAML files below some folders.

    Args:
        folders: may be symlinks, and hold some.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._known = self._last = _look(self._folders)
        self._next_ns = 0

    def poll(self, now_ns: int) -> bool:
        """Whether the files are others than when this was last true; looks every LOOK_NS."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + LOOK_NS
        before, self._last = self._last, _look(self._folders)
        if self._last != before or self._last == self._known:
            return False
        self._known = self._last
        return True


def _look(folders: Sequence[Path]) -> _Signature:
    """Path, inode, time of the last change of it or its mode, and size of every file there is."""
    found = set()
    for folder in folders:
        for place, subfolders, names in os.walk(folder, followlinks=True):
            depth = len(Path(place).parts) - len(folder.parts)
            # Groups have no groups, and a symlink may lead round in circles.
            seen = [] if depth >= 1 else [name for name in subfolders if not name.startswith(".")]
            subfolders[:] = seen
            for name in names:
                if name.endswith(".yaml") and not name.startswith("."):
                    path = os.path.join(place, name)  # noqa: PTH118 - thousands of looks an hour
                    try:
                        status = os.stat(path)  # noqa: PTH116 - likewise
                    except OSError:
                        continue
                    found.add((path, status.st_ino, status.st_ctime_ns, status.st_size))
    return frozenset(found)
