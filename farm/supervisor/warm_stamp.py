"""Whether the kernels of this build are compiled already, told without loading Numba.

`farm.jit` names its cache folder by asking Numba and LLVM, whose import alone takes longer than a
warm start should. So after a start that went well the supervisor leaves a stamp beside the folders:

    <cache root>/started-<digest of all of the farm's source, versions and processor>

that names the folder which the warm-up filled. The digest covers more than the kernels: at worst a
warm-up that finds everything compiled runs once too often.
"""

import hashlib
import os
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CPU_INFO = Path("/proc/cpuinfo")
_PREFIX = "started-"
_MARKER = "warm"
"""What `farm.jit.mark_warm` leaves in a folder that is filled."""
KEPT_STAMPS = 8
"""Stamps of older builds beyond these are removed."""


def is_warm() -> bool:
    """Whether this build was started here before and its compiled kernels are still there."""
    name = _stamp_name()
    for root in _cache_roots():
        try:
            folder = (root / name).read_text().strip()
        except OSError:
            continue
        if folder and (root / folder / _MARKER).exists():
            return True
    return False


def store() -> None:
    """Leave the stamp: the warm-up has run, and every child was ready."""
    markers = [marker for root in _cache_roots() for marker in root.glob(f"*/{_MARKER}")]
    if not markers:
        return
    newest = max(markers, key=_age_key)
    root = newest.parents[1]
    (root / _stamp_name()).write_text(f"{newest.parent.name}\n")
    stamps = sorted(root.glob(f"{_PREFIX}*"), key=_age_key, reverse=True)
    for old in stamps[KEPT_STAMPS:]:
        old.unlink(missing_ok=True)


def _age_key(path: Path) -> int:
    return path.stat().st_mtime_ns


def _stamp_name() -> str:
    digest = hashlib.blake2b(digest_size=8)
    versions = (sys.version, metadata.version("numba"), metadata.version("llvmlite"))
    digest.update("|".join((*versions, platform.machine(), *_processor())).encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode())
        digest.update(path.read_bytes())
    return f"{_PREFIX}{digest.hexdigest()}"


def _processor() -> list[str]:
    """Model and features of the processors, each said once."""
    keys = ("model name", "flags", "CPU part", "Features")
    return sorted({line for line in _CPU_INFO.read_text().splitlines() if line.startswith(keys)})


def _cache_roots() -> list[Path]:
    """As in `farm.jit`: the folder for it, and where it goes if that cannot be written."""
    explicit = os.environ.get("FARM_CACHE_DIR")
    if explicit:
        return [Path(explicit)]
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return [Path(base) / "farm", Path(tempfile.gettempdir()) / f"farm-cache-{os.getuid()}"]
