"""The shared memory of an instance as this process has it mapped: read-only, and kept in step.

A mapping is made once and kept until the name stands for another inode: a worker whose ring was
made anew, a farm that grew or shrank. What cannot be mapped or read is left out and counted.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from farm.errors import CorruptDataError, SegmentError
from farm.shm.groups import GROUPS_ROLE, GroupsBlock, attach_groups
from farm.shm.ring_layout import RingView, attach_ring, is_replaced
from farm.shm.room import SHM_DIR

_RING = "ring"


class SegmentFile(Struct, frozen=True):
    """A segment as the file system has it."""

    inode: int
    n_bytes: int


class Segments:
    """The segments of one instance.

    Attributes:
        files: by role, as of the last `refresh`.
        unreadable: by role: how often a segment could not be mapped or read.

    Args:
        instance: name of the instance.
    """

    def __init__(self, instance: str) -> None:
        self.files: dict[str, SegmentFile] = {}
        self.unreadable: Counter[str] = Counter()
        self._instance = instance
        self._rings: dict[str, tuple[int, RingView]] = {}
        self._groups: tuple[int, GroupsBlock] | None = None

    def refresh(self) -> None:
        """Look which segments there are, and map or let go of what has changed."""
        self.files = _files(self._instance)
        for role, (inode, view) in list(self._rings.items()):
            if self.files.get(role, None) is None or self.files[role].inode != inode:
                view.segment.close()
                del self._rings[role]
        for role, file in self.files.items():
            if _is_ring(role) and role not in self._rings:
                with self.reading(role):
                    segment = attach_ring(self._instance, _worker(role), readonly=True)
                    self._rings[role] = (file.inode, RingView(segment))
        self._refresh_groups()

    def let_go(self) -> None:
        """Unmap rings that were replaced: their memory is free once nobody has them mapped."""
        for role, (_, view) in list(self._rings.items()):
            if is_replaced(view.segment):
                view.segment.close()
                del self._rings[role]

    @property
    def rings(self) -> Iterator[tuple[int, RingView]]:
        """Rings by worker, in order."""
        by_worker = {_worker(role): view for role, (_, view) in self._rings.items()}
        return iter(sorted(by_worker.items()))

    @property
    def groups(self) -> GroupsBlock | None:
        """The groups segment, if there is one."""
        return self._groups[1] if self._groups else None

    @contextlib.contextmanager
    def reading(self, role: str) -> Iterator[None]:
        """Count what goes wrong while a segment is read, and go on without it."""
        try:
            yield
        except (SegmentError, CorruptDataError, OSError):
            self.unreadable[role] += 1

    def close(self) -> None:
        """Let go of every mapping."""
        for _, view in self._rings.values():
            view.segment.close()
        self._rings.clear()
        if self._groups is not None:
            self._groups[1].close()
            self._groups = None

    def _refresh_groups(self) -> None:
        file = self.files.get(GROUPS_ROLE)
        if self._groups is not None and (file is None or file.inode != self._groups[0]):
            self._groups[1].close()
            self._groups = None
        if file is not None and self._groups is None:
            with self.reading(GROUPS_ROLE):
                self._groups = (file.inode, attach_groups(self._instance, readonly=True))


def _files(instance: str) -> dict[str, SegmentFile]:
    """The segments of an instance by role, rings by number."""
    prefix = f"farm-{instance}-"
    found: dict[str, SegmentFile] = {}
    with os.scandir(SHM_DIR) as entries:
        for entry in entries:
            role = entry.name.removeprefix(prefix)
            # A role has no dash: `farm-a-b-control` is of instance `a-b`, not of `a`.
            if role == entry.name or "-" in role:
                continue
            with contextlib.suppress(FileNotFoundError):
                stat = entry.stat()
                found[role] = SegmentFile(stat.st_ino, stat.st_size)
    return dict(sorted(found.items(), key=_in_order))


def _in_order(item: tuple[str, SegmentFile]) -> tuple[int, str]:
    role = item[0]
    return (_worker(role), role) if _is_ring(role) else (-1, role)


def _is_ring(role: str) -> bool:
    return role.startswith(_RING) and role.removeprefix(_RING).isdigit()


def _worker(role: str) -> int:
    return int(role.removeprefix(_RING))
