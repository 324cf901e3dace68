"""Whether the kernels of this build are compiled already, told without loading Numba.

`farm.jit` names its cache folder by asking Numba and LLVM, whose import alone takes longer than a
warm start should. So after a start that went well the supervisor leaves a stamp beside the folders:

    <cache root>/started-<digest of all of the farm's source, its place, versions and processor>

that names the folder which the warm-ups filled, and those warm-ups: a farm without games hosts
compiles nothing for them. The digest covers more than the kernels: at worst a warm-up that finds
everything compiled runs once too often.
"""

import hashlib
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from farm.cache import cache_root
from farm.supervisor.specs import warm_up

_PACKAGE = Path(__file__).resolve().parents[1]
_CPU_INFO = Path("/proc/cpuinfo")
_PREFIX = "started-"
_MARKER = "warm"
"""What `farm.jit.mark_warm` leaves in a folder that is filled."""
_WARM_UP = warm_up().name
KEPT_STAMPS = 8
"""Stamps of older builds beyond these are removed."""


def is_warm(task: str = _WARM_UP) -> bool:
    """Whether a warm-up of this build has run here and its compiled kernels are still there."""
    root = cache_root()
    try:
        folder, *tasks = (root / _stamp_name()).read_text().split()
    except (OSError, ValueError):
        return False
    return task in tasks and (root / folder / _MARKER).exists()


def store(tasks: Iterable[str] = (_WARM_UP,)) -> None:
    """Leave the stamp: these warm-ups have run, now or before, and every child was ready.

    Raises:
        OSError: the disk is full or the folder was taken away; the next start compiles again.
    """
    root = cache_root()
    markers = list(root.glob(f"*/{_MARKER}"))
    if not markers:
        return
    newest = max(markers, key=_age_key)
    (root / _stamp_name()).write_text("\n".join((newest.parent.name, *tasks, "")))
    stamps = sorted(root.glob(f"{_PREFIX}*"), key=_age_key, reverse=True)
    for old in stamps[KEPT_STAMPS:]:
        old.unlink(missing_ok=True)


def _age_key(path: Path) -> int:
    return path.stat().st_mtime_ns


def _stamp_name() -> str:
    digest = hashlib.blake2b(digest_size=8)
    versions = (sys.version, metadata.version("numba"), metadata.version("llvmlite"))
    origin = (platform.machine(), *_processor(), str(_PACKAGE))
    digest.update("|".join((*versions, *origin)).encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode())
        digest.update(path.read_bytes())
    return f"{_PREFIX}{digest.hexdigest()}"


def _processor() -> list[str]:
    """Model and features of the processors, each said once."""
    keys = ("model name", "flags", "CPU part", "Features")
    return sorted({line for line in _CPU_INFO.read_text().splitlines() if line.startswith(keys)})
