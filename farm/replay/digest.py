"""The digest of a state that recordings carry for every tick."""

import hashlib
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from farm.replay.model import DIGEST_BYTES

_LOWEST: Final = -4
_HIGHEST: Final = 9_999
_WORDS: Final = np.array([f"{number}," for number in range(_LOWEST, _HIGHEST + 1)], "S5")
"""Each number and its comma, filled up with zero bytes."""

Numbers: TypeAlias = Sequence[int] | NDArray[np.integer]


def digest_bytes(owners: Numbers, armies: Numbers, generals: Numbers) -> bytes:
    """The beginning of the md5 of `owners|armies|generals`, each list joined by commas.

    Args:
        owners: of each cell; -1 neutral, -2 mountain.
        armies: of each cell.
        generals: cell of each player's general, -1 once captured or neutralised.
    """
    text = b"|".join((_joined(owners), _joined(armies), _joined(generals)))
    return hashlib.md5(text, usedforsecurity=False).digest()[:DIGEST_BYTES]


def _joined(numbers: Numbers) -> bytes:
    """The numbers in decimal, with commas between them."""
    array = np.asarray(numbers, np.int64)
    if not array.size:
        return b""
    if array.min() < _LOWEST or array.max() > _HIGHEST:
        return ",".join(map(str, array.tolist())).encode()
    # Looking words up and dropping what fills them takes a tenth of the time of a join.
    return _WORDS[array - _LOWEST].tobytes().translate(None, b"\0")[:-1]
