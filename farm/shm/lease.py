"""The lease of an instance: at most one live farm has an instance name on a machine.

The lease is an exclusive flock(2) on the control segment's file. The kernel drops it when its
holder dies, however it dies, so that nothing has to be cleaned up by hand; descriptors are closed
at exec, so no child keeps it. A lock belongs to an inode and a name can move to another inode,
hence the order:

    open or create the name -> lock, or refuse -> is the name still this inode? else once more
    -> empty file: ours | a dead farm's: take it over in place, or clear it away and once more

What a dead farm left stays until its lease says so: `lock_instance` touches nothing, and
`Lease.clear` removes its segments, the control segment last, so that a death in the middle leaves
something to find. A control segment that is taken over keeps its inode and its size; one that is
cleared away is never reused: a tool may have it mapped, and truncating would kill that (SIGBUS).
"""

import fcntl
import os
from pathlib import Path

from farm.errors import InstanceRunningError
from farm.shm.segment import (
    OWNER_PID_OFFSET,
    list_segments,
    open_segment,
    segment_name,
    shm_path,
    unlink_segment,
)

CONTROL_ROLE = "control"

_ATTEMPTS = 64
"""Each further attempt means that another process removed the name in between."""
_LOCKS = Path("/proc/locks")


class Lease:
    """The held lease of one instance.

    Attributes:
        instance: name of the instance.
        fd: descriptor of the control segment that holds the lock.
        is_fresh: the control segment is empty, to be filled; else it is a dead farm's.
        reclaimed: names of a dead farm's segments that were cleared away.
    """

    def __init__(self, instance: str, fd: int) -> None:
        self.instance = instance
        self.fd = fd
        self.is_fresh = os.fstat(fd).st_size == 0
        self.reclaimed: tuple[str, ...] = ()
        self._open = True

    def clear(self) -> tuple[str, ...]:
        """Remove what a dead farm left; the lease is on a fresh control segment afterwards.

        Returns:
            The names removed.

        Raises:
            InstanceRunningError: another process took the name at the moment it was free.
        """
        name = segment_name(self.instance, CONTROL_ROLE)
        removed = _unlink_all(self.instance, keep=name)
        if not self.is_fresh:
            unlink_segment(name)
            removed.append(name)
            self.close()
            self.fd, self._open, self.is_fresh = _lock(self.instance), True, True
        self.reclaimed = tuple(removed)
        return self.reclaimed

    def withdraw(self) -> None:
        """Give the lease back as if it had never been taken; what a dead farm left stays."""
        if self.is_fresh:
            unlink_segment(segment_name(self.instance, CONTROL_ROLE))
        self.close()

    def close(self) -> None:
        """Give the lease back; segments stay as they are."""
        if not self._open:
            return
        self._open = False
        # A mapping keeps the file, and with it the lock, alive beyond the descriptor.
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)


def lock_instance(instance: str) -> Lease:
    """Take the lease of an instance and touch nothing that a dead farm of that name left.

    Raises:
        InstanceRunningError: a live farm has it; the message names its pid.
    """
    return Lease(instance, _lock(instance))


def acquire_instance(instance: str) -> Lease:
    """Take the lease of an instance, removing what a dead farm of that name left.

    Raises:
        InstanceRunningError: a live farm has it; the message names its pid.
    """
    lease = lock_instance(instance)
    try:
        lease.clear()
    except BaseException:
        lease.close()
        raise
    return lease


def reclaim(instance: str) -> list[str]:
    """Remove every segment that a dead farm of this name left.

    Returns:
        The names removed, the control segment last.

    Raises:
        InstanceRunningError: the farm is alive.
    """
    lease = acquire_instance(instance)
    unlink_segment(segment_name(instance, CONTROL_ROLE))
    lease.close()
    return list(lease.reclaimed)


def unlink_instance(lease: Lease) -> list[str]:
    """Remove every segment of an instance whose lease is held, the control segment last.

    Returns:
        The names removed.
    """
    name = segment_name(lease.instance, CONTROL_ROLE)
    removed = _unlink_all(lease.instance, keep=name)
    if unlink_segment(name):
        removed.append(name)
    return removed


def running_pid(instance: str) -> int | None:
    """Process that holds the lease of an instance; None if no live farm has it.

    For tools: it looks into the kernel's list and takes no lock, not even for a moment in which a
    farm that starts would be refused.
    """
    try:
        with shm_path(segment_name(instance, CONTROL_ROLE)).open("rb") as file:
            return _holder_in_locks(file.fileno()) or None
    except FileNotFoundError:
        return None


def _lock(instance: str) -> int:
    """Open and lock the control segment of an instance; the descriptor."""
    name = segment_name(instance, CONTROL_ROLE)
    for _ in range(_ATTEMPTS):
        fd = open_segment(name)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _holder_pid(fd)
            os.close(fd)
            raise InstanceRunningError(
                f"instance {instance!r} is running as process {pid or 'unknown'}; "
                "stop it or choose another name with instance=NAME"
            ) from error
        if _is_named(fd, name):
            return fd
        os.close(fd)
    raise InstanceRunningError(f"instance {instance!r}: other processes keep taking its name")


def _unlink_all(instance: str, *, keep: str) -> list[str]:
    return [name for name in list_segments(instance) if name != keep and unlink_segment(name)]


def _is_named(fd: int, name: str) -> bool:
    """Whether the name still stands for the inode behind the descriptor."""
    try:
        return os.path.samestat(os.fstat(fd), shm_path(name).stat())
    except FileNotFoundError:
        return False


def _holder_pid(fd: int) -> int:
    """Process that holds the lock; 0 if that cannot be told.

    The kernel's list first: the header still names the farm before while a new one takes over.
    """
    return _holder_in_locks(fd) or int.from_bytes(os.pread(fd, 8, OWNER_PID_OFFSET), "little")


def _holder_in_locks(fd: int) -> int:
    """Look in proc_locks(5); `1: FLOCK  ADVISORY  WRITE 1234 00:1b:5 0 EOF`."""
    inode = os.fstat(fd).st_ino
    device = os.fstat(fd).st_dev
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in _LOCKS.read_text().splitlines():
        words = line.split()
        if "FLOCK" in words and "WRITE" in words and place in words and "->" not in words:
            return max(0, int(words[4]))
    return 0
