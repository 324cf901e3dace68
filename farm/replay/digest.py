"""The digest of a state that recordings carry for every tick."""

import hashlib
from collections.abc import Sequence
from typing import Final

from farm.replay.model import DIGEST_BYTES

_DROPPED: Final = str.maketrans("", "", "[] ")


def digest_bytes(owners: Sequence[int], armies: Sequence[int], generals: Sequence[int]) -> bytes:
    """The beginning of the md5 of `owners|armies|generals`, each list joined by commas.

    Args:
        owners: of each cell; -1 neutral, -2 mountain.
        armies: of each cell.
        generals: cell of each player's general, -1 once captured or neutralised.
    """
    # The text of a list without brackets and spaces is made much faster than a join of strings.
    text = f"{list(owners)}|{list(armies)}|{list(generals)}".translate(_DROPPED)
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()[:DIGEST_BYTES]
