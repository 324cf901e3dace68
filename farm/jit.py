"""The one way to compile: `@kernel` for entry points, `@inline` for what they are made of.

Kernels run without Numba's reference counts: an atomic increment for every array of a game at every
inlined call made a step thirty times slower. So they cannot allocate: no `np.zeros`, no copy of a slice
into a slice; room is an argument, copies are loops.

Compiled code is cached on disk in a folder named by a digest over every file that defines a kernel,
Numba's version and the processor. Numba itself looks only at the file a function stands in, so that
an edited helper in another file would run stale; here any edit starts a fresh folder.

The folder is `$FARM_CACHE_DIR`, else `$XDG_CACHE_HOME/farm`, else `~/.cache/farm`.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import llvmlite
import numba

P = ParamSpec("P")
R = TypeVar("R")

KEPT_CACHES = 4
"""Digest folders kept; the least recently used beyond these are removed."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile an entry point: called from Python, releases the GIL, cached on disk.

    Integer division follows NumPy (no ZeroDivisionError), so guard it. Globals are frozen into the
    cache: tunables are arguments.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    return cast("Callable[P, R]", compiled)


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a part of kernels that LLVM inlines at every call: arrays travel in registers.

    A call that is not inlined passes seven words an array; inside a step of a few hundred
    nanoseconds that shows.
    """
    compiled = numba.njit(
        cache=True, nogil=True, error_model="numpy", forceinline=True, _nrt=False
    )(function)
    return cast("Callable[P, R]", compiled)


def cache_dir() -> Path:
    """The folder of this build's compiled kernels on this machine."""
    return _cache_root() / _digest()


def is_warm() -> bool:
    """Whether a warm-up has marked the folder as filled."""
    return (cache_dir() / "warm").exists()


def mark_warm() -> None:
    """Record that every kernel is compiled, and drop the folders of older builds."""
    (cache_dir() / "warm").touch()
    folders = sorted(
        (path for path in _cache_root().iterdir() if path.is_dir()),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for folder in folders[KEPT_CACHES:]:
        shutil.rmtree(folder, ignore_errors=True)


def _cache_root() -> Path:
    explicit = os.environ.get("FARM_CACHE_DIR")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "farm"


def _digest() -> str:
    package = Path(__file__).resolve().parent
    digest = hashlib.blake2b(digest_size=8)
    versions = (numba.__version__, llvmlite.__version__, llvmlite.binding.get_host_cpu_name())
    digest.update("|".join(versions).encode())
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if b"farm.jit" in text or path.parent.name == "spec":
            digest.update(str(path.relative_to(package)).encode())
            digest.update(text)
    return digest.hexdigest()


numba.config.CACHE_DIR = str(cache_dir())
cache_dir().mkdir(parents=True, exist_ok=True)
