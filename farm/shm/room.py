"""How much shared memory can still be taken.

A mount's own figure is not enough: /dev/shm may be larger than what the machine or this process's
control group still has, and pages beyond that cost somebody's life (the kernel's out-of-memory
killer) instead of an error.
"""

import os
from pathlib import Path

SHM_DIR = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory, see shm_overview(7)

_MEMINFO = Path("/proc/meminfo")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_KIB = 1024


def free_bytes() -> int:
    """Bytes of shared memory to be had now: the least of mount, machine and control group."""
    return max(0, min(_mount_free(), _machine_free(), _cgroup_free()))


def _mount_free() -> int:
    stat = os.statvfs(SHM_DIR)
    return stat.f_bavail * stat.f_frsize


def _machine_free() -> int:
    """MemAvailable and free swap, from proc(5)."""
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return sum(int(fields[key].split()[0]) * _KIB for key in ("MemAvailable", "SwapFree"))


def _cgroup_free() -> int:
    """Room below the tightest `memory.max` (cgroup v2) that this process lives under."""
    room = _mount_free()
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        return room
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    folder = _CGROUPS / own
    for group in (folder, *folder.parents):
        if not group.is_relative_to(_CGROUPS):
            break
        try:
            limit = (group / "memory.max").read_text().strip()
            used = int((group / "memory.current").read_text())
        except (OSError, ValueError):
            continue
        if limit != "max":
            room = min(room, int(limit) - used + _reclaimable(group))
    return room


def _reclaimable(group: Path) -> int:
    """Page cache that the kernel would give up first; tmpfs pages count as `shmem`, not here."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    stat = dict(line.split(" ", 1) for line in lines)
    return int(stat.get("inactive_file", "0")) + int(stat.get("active_file", "0"))
