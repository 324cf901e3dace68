"""Who plays in a bench: `random` seats, unless its overrides choose a match, which has its own."""

from collections.abc import Sequence
from typing import Final

DEFAULT_SEATS: Final = "match.seats=[random,random]"


def with_seats(overrides: Sequence[str]) -> list[str]:
    """Overrides with the default seats before them, if they choose no match.

    An override of one value wins over a file of a group, wherever it stands: put before
    `match=ffa8`, the default seats would turn it into a duel.
    """
    chosen = any(override.startswith("match=") for override in overrides)
    return list(overrides) if chosen else [DEFAULT_SEATS, *overrides]
