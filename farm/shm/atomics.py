"""Atomic words in shared memory, for kernels (farm.jit).

An aligned 8-byte load or store is never torn anyway; what these add is order. LLVM hoists plain
loads out of loops, so that a consumer would wait for ever on a value it read once; and weakly
ordered processors (Graviton) let plain stores overtake each other, so that a tail would be seen
before its records.

    store_release   everything stored before it is visible to whoever sees it
    load_acquire    nothing after it is read before it
    fence           additionally orders a store before a later load, which those two do not
    fetch_add       for cells with several writers; acquires and releases
    load_word, store_word   no order: words that a tail or a head guards

All words are int64: mixing uint64 with int64 gives float64 in Numba. Arithmetic wraps, so that an
unsigned position beyond 2**63 is only seen as negative; compare differences, never positions.

`mem` is a one-dimensional C-contiguous array of uint8, int64 or uint64 and `at` the index in it,
whose address must be a multiple of 8. Nothing is checked at run time.
"""

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np import arrayobj
from numpy.typing import NDArray

from farm.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

Words: TypeAlias = NDArray[np.uint8] | NDArray[np.int64] | NDArray[np.uint64]

_WORD = ir.IntType(64)
_WORD_BYTES = 8
_ITEMS = (types.uint8, types.int64, types.uint64)
_structure_of: Any = arrayobj.make_array


def _check(mem: Any, *, writes: bool) -> None:
    fits = isinstance(mem, types.Array) and mem.ndim == 1 and mem.layout == "C"
    if not fits or mem.dtype not in _ITEMS:
        raise TypingError(f"{mem}: an atomic word needs a contiguous array of uint8, int64, uint64")
    if writes and not mem.mutable:
        raise TypingError(f"{mem}: this segment is attached read-only")


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Address of `mem[at]` as that of a 64-bit word."""
    array: Any = _structure_of(signature.args[0])(context, builder, args[0])
    address = builder.gep(array.data, [args[1]], inbounds=True)
    return builder.bitcast(address, _WORD.as_pointer())


def _load_acquire(_typing: Any, mem: Any, _at: Any) -> Any:
    _check(mem, writes=False)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        return builder.load_atomic(pointer, "acquire", _WORD_BYTES)

    return types.int64(mem, types.int64), generate


def _store_release(_typing: Any, mem: Any, _at: Any, _value: Any) -> Any:
    _check(mem, writes=True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        builder.store_atomic(args[2], pointer, "release", _WORD_BYTES)
        return context.get_dummy_value()

    return types.void(mem, types.int64, types.int64), generate


def _fetch_add(_typing: Any, mem: Any, _at: Any, _delta: Any) -> Any:
    _check(mem, writes=True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(mem, types.int64, types.int64), generate


def _fence(_typing: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _load_word(_typing: Any, mem: Any, _at: Any) -> Any:
    _check(mem, writes=False)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, args), align=_WORD_BYTES)

    return types.int64(mem, types.int64), generate


def _store_word(_typing: Any, mem: Any, _at: Any, _value: Any) -> Any:
    _check(mem, writes=True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        builder.store(args[2], pointer, align=_WORD_BYTES)
        return context.get_dummy_value()

    return types.void(mem, types.int64, types.int64), generate


load_acquire = cast("Callable[[Words, int], int]", intrinsic(_load_acquire))
store_release = cast("Callable[[Words, int, int], None]", intrinsic(_store_release))
fetch_add = cast("Callable[[Words, int, int], int]", intrinsic(_fetch_add))
fence = cast("Callable[[], None]", intrinsic(_fence))
load_word = cast("Callable[[Words, int], int]", intrinsic(_load_word))
store_word = cast("Callable[[Words, int, int], None]", intrinsic(_store_word))


@kernel
def add_to_cell(mem: Words, at: int, delta: int) -> int:
    """`fetch_add` for Python: add to a word and return what it was before."""
    return fetch_add(mem, at, delta)
