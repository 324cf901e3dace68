"""The one way to compile: `@kernel` for entry points, `@inline` for what they are made of.

Kernels run without Numba's reference counts: an atomic increment for every array of a game at every
inlined call made a step thirty times slower. So they cannot allocate: no `np.zeros`, no copy of a
slice into a slice; room is an argument, copies are loops. Code compiled by other means
(`numba.njit`) must not call a part that returns arrays: it would drop references that nobody holds.

Compiled code is cached on disk (cache.py), in a folder named by a digest over every file that has
a kernel, Numba's version and the processor. Numba itself looks only at the file a function stands
in, so that an edited helper in another file would run stale; here any edit starts a fresh folder.
"""

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite
import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

from farm.cache import cache_root

P = ParamSpec("P")
R = TypeVar("R")

_njit: Any = numba.njit
"""Untyped: its annotations know nothing of these options."""
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}

WARM_MARKER = "warm"
"""File in a folder that a warm-up has filled."""
KEPT_CACHES = 4
"""Digest folders kept; the least recently used beyond these are removed."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile an entry point: called from Python, releases the GIL, cached on disk.

    From another kernel it is called, not inlined. Integer division follows NumPy (no
    ZeroDivisionError), so guard it. Globals are frozen into the cache: tunables are arguments.
    """
    return _compile(function)


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a part of kernels that LLVM inlines at every call: arrays travel in registers.

    A call that is not inlined passes seven words an array; inside a step of a few hundred
    nanoseconds that shows. Called from Python it is compiled like a kernel, on the first call.
    """
    return _compile(function, forceinline=True)


def _compile(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    compiled = _njit(cache=True, **_OPTIONS, **options)(function)
    part = _njit(no_cpython_wrapper=True, pipeline_class=_PartCompiler, **_OPTIONS, **options)(
        function
    )
    # What other compiled code asks a dispatcher for: it gets the part.
    compiled.get_call_template = part.get_call_template
    compiled.get_overload = part.get_overload
    return cast("Callable[P, R]", compiled)


def cache_dir() -> Path:
    """The folder of this build's compiled kernels on this machine, made if need be."""
    folder = cache_root() / _digest()
    folder.mkdir(exist_ok=True)
    return folder


def mark_warm() -> None:
    """Record that every kernel is compiled, and drop the folders of older builds.

    Raises:
        OSError: the disk is full or the folder was taken away.
    """
    current = cache_dir()
    (current / WARM_MARKER).touch()
    others = sorted(
        (path for path in current.parent.iterdir() if path.is_dir() and path != current),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for folder in others[KEPT_CACHES - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


class _PartLibrary(JITCodeLibrary):
    """The code of a function that a kernel calls: kept as it is, for linking into the kernel.

    Numba optimises and translates each function together with everything it calls, and again in
    every caller. With functions several levels deep that took two thirds of the time that compiling
    the rollout took (120 s; 47 s without).
    """

    def _optimize_final_module(self) -> None:
        """Leave it to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """No address: there is no machine code."""
        del name
        self._ensure_finalized()
        return 0


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):
    """Lowers into a `_PartLibrary`."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        codegen = state.targetctx.codegen()
        state.library = _PartLibrary(codegen, state.func_id.func_qualname)
        # Code without an address has no environment to be told; kernels have no use for one.
        codegen.set_env = lambda _name, _env: None
        try:
            return bool(super().run_pass(state))
        finally:
            del codegen.set_env


class _PartCompiler(CompilerBase):
    """Numba's own pipeline but for the lowering."""

    def define_pipelines(self) -> list[Any]:
        builder = DefaultPassBuilder
        lowering = builder.define_nopython_lowering_pipeline(self.state)
        lowering.passes = [
            (_PartLowering if pass_class is NativeLowering else pass_class, description)
            for pass_class, description in lowering.passes
        ]
        untyped = builder.define_untyped_pipeline(self.state)
        typed = builder.define_typed_pipeline(self.state)
        whole = builder.define_nopython_pipeline(self.state)
        whole.passes = [*untyped.passes, *typed.passes, *lowering.passes]
        whole.finalize()
        return [whole]


@functools.cache  # what this process has loaded, whatever becomes of the files
def _digest() -> str:
    package = Path(__file__).resolve().parent
    digest = hashlib.blake2b(digest_size=8)
    # The place too: Numba files what it compiles under the path of its source.
    versions = (numba.__version__, llvmlite.__version__, llvmlite.binding.get_host_cpu_name())
    digest.update("|".join((*versions, str(package))).encode())
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if b"farm.jit" in text or path.parent.name == "spec":
            digest.update(str(path.relative_to(package)).encode())
            digest.update(text)
    return digest.hexdigest()


_config: Any = numba.config
_config.CACHE_DIR = str(cache_dir())
