"""Whether the kernels of this build are compiled already, told without loading Numba.

`farm.jit` names its cache folder by asking Numba and LLVM, whose import alone takes longer than a
warm start should. So after a start that went well the supervisor leaves a stamp beside the folders:

    <cache root>/started-<digest of all of the farm's source, its place, versions and processor>

that names the folder which the warm-up filled. The digest covers more than the kernels: at worst a
warm-up that finds everything compiled runs once too often.
"""

import hashlib
import platform
import sys
from importlib import metadata
from pathlib import Path

from farm.cache import cache_root

_PACKAGE = Path(__file__).resolve().parents[1]
_CPU_INFO = Path("/proc/cpuinfo")
_PREFIX = "started-"
_MARKER = "warm"
"""What `farm.jit.mark_warm` leaves in a folder that is filled."""
KEPT_STAMPS = 8
"""Stamps of older builds beyond these are removed."""


def is_warm() -> bool:
    """Whether this build was started here before and its compiled kernels are still there."""
    root = cache_root()
    try:
        folder = (root / _stamp_name()).read_text().strip()
    except OSError:
        return False
    return bool(folder) and (root / folder / _MARKER).exists()


def store() -> None:
    """Leave the stamp: the warm-up has run, and every child was ready.

    Raises:
        OSError: the disk is full or the folder was taken away; the next start compiles again.
    """
    root = cache_root()
    markers = list(root.glob(f"*/{_MARKER}"))
    if not markers:
        return
    newest = max(markers, key=_age_key)
    (root / _stamp_name()).write_text(f"{newest.parent.name}\n")
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
