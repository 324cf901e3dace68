"""Sets of cells as words of 64 bits, and the machine instructions that work on them (farm.jit).

Cell `c` is bit `c & 63` of word `c >> 6`. Words are unsigned throughout: a signed number mixed into
an expression would make Numba compute it in float64.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from farm.jit import inline

if TYPE_CHECKING:
    from collections.abc import Callable

int64 = cast("Callable[[Any], int]", np.int64)
"""np.int64 for kernels, a plain number for the type checker."""
ZERO = np.uint64(0)
ONE = np.uint64(1)
_LAST = np.uint64(63)
_STEPS = (np.uint64(32), np.uint64(16), np.uint64(8), np.uint64(4), np.uint64(2), np.uint64(1))


def n_words(n_cells: int) -> int:
    """Words that hold one bit for each of `n_cells` cells."""
    return (n_cells + 63) // 64


def _popcount(_context: Any, word: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(word), generate


def _lowest(_context: Any, word: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(word), generate


popcount = cast("Callable[[np.uint64], int]", intrinsic(_popcount))
"""Set bits of a uint64."""
lowest = cast("Callable[[np.uint64], int]", intrinsic(_lowest))
"""Position of the lowest set bit of a uint64 that is not 0."""


@inline
def bit_of(cell: int) -> np.uint64:
    """The bit of `cell` within its word."""
    return ONE << (np.uint64(cell) & _LAST)


@inline
def nth_set(word: np.uint64, n: int) -> int:
    """Position of the `n`-th set bit (from 0) of a word that has more than `n` of them.

    Halves the word by popcount: six steps, on any processor.
    """
    position = np.uint64(0)
    for width in _STEPS:
        low = word & ((ONE << width) - ONE)
        below = popcount(low)
        if n >= below:
            n -= below
            word >>= width
            position += width
        else:
            word = low
    return int64(position)


@inline
def word_ahead(bitmap: NDArray[np.uint64], n: int, word: int, distance: int) -> np.uint64:
    """Word `word` of the first `n` with every bit `c` taken from bit `c + distance`; 1..64."""
    low: np.uint64 = (bitmap[word] >> np.uint64(distance - 1)) >> ONE
    if word + 1 < n:
        low |= bitmap[word + 1] << np.uint64(64 - distance)
    return low


@inline
def word_behind(bitmap: NDArray[np.uint64], word: int, distance: int) -> np.uint64:
    """Word `word` with every bit `c` taken from bit `c - distance`; 1..64."""
    high: np.uint64 = (bitmap[word] << np.uint64(distance - 1)) << ONE
    if word > 0:
        high |= bitmap[word - 1] >> np.uint64(64 - distance)
    return high
