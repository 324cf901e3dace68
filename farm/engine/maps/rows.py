"""Sets of places as one word a row, for laying out boards up to 63 columns wide (farm.jit).

Column `c` of a row is bit `c` of its word, so that neighbours are shifts without edges to mind.
A place is `row << 6 | column`, whatever the width of the board.
"""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ONE, ZERO, nth_set, popcount
from farm.jit import inline

_HALVINGS = (1, 2, 4, 8, 16, 32)
NOWHERE = -1


@inline
def row_of(place: int) -> int:
    """Row of a place."""
    return place >> 6


@inline
def column_of(place: int) -> int:
    """Column of a place."""
    return place & 63


@inline
def bit_at(column: int) -> np.uint64:
    """The bit of a column."""
    return ONE << np.uint64(column)


@inline
def span(first: int, last: int, width: int) -> np.uint64:
    """The columns from `first` to `last` that are on the board; some of them are."""
    low = max(first, 0)
    high = min(last, width - 1)
    return bit_at(high + 1) - bit_at(low)


@inline
def count(rows: NDArray[np.uint64], height: int) -> int:
    """Places of a set."""
    places = 0
    for row in range(height):
        places += popcount(rows[row])
    return places


@inline
def nth_place(rows: NDArray[np.uint64], height: int, n: int) -> int:
    """The `n`-th place (from 0) of a set, NOWHERE if it has no more than `n`."""
    for row in range(height):
        here = popcount(rows[row])
        if n < here:
            return (row << 6) + nth_set(rows[row], n)
        n -= here
    return NOWHERE


@inline
def distance(one: int, other: int) -> int:
    """Manhattan distance of two places."""
    return abs(row_of(one) - row_of(other)) + abs(column_of(one) - column_of(other))


@inline
def cut_around(rows: NDArray[np.uint64], place: int, radius: int, height: int, width: int) -> None:
    """Take the places within a Manhattan distance of one out of a set.

    Writes:
        rows.
    """
    row = row_of(place)
    for near in range(max(row - radius, 0), min(row + radius + 1, height)):
        reach = radius - abs(near - row)
        rows[near] &= ~span(column_of(place) - reach, column_of(place) + reach, width)


@inline
def add_around(rows: NDArray[np.uint64], place: int, radius: int, height: int, width: int) -> None:
    """Add the places within a Manhattan distance of one to a set.

    Writes:
        rows.
    """
    row = row_of(place)
    for near in range(max(row - radius, 0), min(row + radius + 1, height)):
        reach = radius - abs(near - row)
        rows[near] |= span(column_of(place) - reach, column_of(place) + reach, width)


@inline
def any_around(rows: NDArray[np.uint64], place: int, radius: int, height: int, width: int) -> bool:
    """Whether a set has a place within a Manhattan distance of one."""
    row = row_of(place)
    found: np.uint64 = ZERO
    for near in range(max(row - radius, 0), min(row + radius + 1, height)):
        reach = radius - abs(near - row)
        found |= rows[near] & span(column_of(place) - reach, column_of(place) + reach, width)
    return bool(found != ZERO)


@inline
def flood(reached: NDArray[np.uint64], ground: NDArray[np.uint64], start: int, height: int) -> None:
    """Find what can be walked to from a place over a set that holds it.

    Sweeps down and up in turn; each fills whole runs of a row, so that the number of sweeps goes
    with the bends of the ways, a handful on a board of the game. Ends when a pair of sweeps adds
    nothing: each other pair adds a place, which bounds them.

    Args:
        reached: uint64[height] or more, set to what is reached.
        ground: the places that can be walked on.
        start: the place.
        height: rows.

    Writes:
        reached.
    """
    for row in range(height):
        reached[row] = ZERO
    reached[row_of(start)] = bit_at(column_of(start))
    growing = True
    while growing:
        growing = False
        above: np.uint64 = ZERO
        for row in range(height):
            grown = _fill_runs((reached[row] | above) & ground[row], ground[row])
            growing |= grown != reached[row]
            reached[row] = grown
            above = grown
        under: np.uint64 = ZERO
        for row in range(height - 1, -1, -1):
            grown = _fill_runs((reached[row] | under) & ground[row], ground[row])
            growing |= grown != reached[row]
            reached[row] = grown
            under = grown


@inline
def _fill_runs(seeds: np.uint64, ground: np.uint64) -> np.uint64:
    """Every run of ground in a row that has a seed.

    Upwards by the carry of an addition, which ripples through a run of ones; downwards by doubled
    shifts.
    """
    filled: np.uint64 = (((ground + seeds) ^ ground) & ground) | seeds
    free: np.uint64 = ground
    for shift in _HALVINGS:
        filled |= free & (filled >> np.uint64(shift))
        free &= free >> np.uint64(shift)
    return filled
