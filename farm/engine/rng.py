"""Random numbers: one splitmix64 stream per purpose, keyed by (seed, game number, purpose).

A stream's state is one uint64 in an array, so that a game draws the same numbers whichever worker
plays it (farm.jit).
"""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64
from farm.jit import inline

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S32 = (
    np.uint64(11),
    np.uint64(27),
    np.uint64(30),
    np.uint64(31),
    np.uint64(32),
)
_ULP = 2.0**-53
_LOW_32 = np.uint64(0xFFFF_FFFF)


@inline
def mix(word: np.uint64) -> np.uint64:
    """Scramble 64 bits, one to one (the finaliser of splitmix64)."""
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@inline
def stream_key(seed: np.uint64, game_number: np.uint64, purpose: int) -> np.uint64:
    """Start of the stream of one purpose in one game: `purpose` is a seat, or one past the last."""
    key = mix(seed + _GOLDEN)
    key = mix(key ^ (game_number * _GOLDEN))
    return mix(key + (np.uint64(purpose) + np.uint64(1)) * _GOLDEN)


@inline
def draw(state: NDArray[np.uint64], i: int) -> np.uint64:
    """The next 64 bits of stream `i`.

    Writes:
        state: uint64[n_streams].
    """
    state[i] += _GOLDEN
    return mix(state[i])


@inline
def unit(state: NDArray[np.uint64], i: int) -> float:
    """A number from 0 to below 1 from stream `i`, a multiple of 2**-53.

    Writes:
        state: uint64[n_streams].
    """
    return float(int64(draw(state, i) >> _S11)) * _ULP


@inline
def below(state: NDArray[np.uint64], i: int, n: int) -> int:
    """A number in 0..n-1 from stream `i`, exactly uniform (Lemire, arXiv 1805.10941); n < 2**32.

    Writes:
        state: uint64[n_streams].
    """
    bound = np.uint64(n)
    product = (draw(state, i) >> _S32) * bound
    if product & _LOW_32 < bound:
        rejected = ((_LOW_32 - bound) + np.uint64(1)) % bound
        while product & _LOW_32 < rejected:
            product = (draw(state, i) >> _S32) * bound
    return int64(product >> _S32)
