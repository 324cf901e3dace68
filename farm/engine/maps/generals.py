"""Where the generals of official maps stand (farm.jit).

Works on a map in the making (maps/rows.py); generals are places until the map is written.
"""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ONE, ZERO, int64, popcount
from farm.engine.maps.rows import (
    CITIES,
    NEAR,
    OPEN,
    ROOM,
    add_around,
    any_around,
    bit_at,
    column_of,
    count,
    cut_around,
    distance,
    nth_place,
    row_of,
)
from farm.engine.rng import below
from farm.engine.state import N_SIDES, Game
from farm.jit import inline

DUEL = 2
"""Seats of a game whose generals are drawn as a pair."""

_PAIRS = 1000
"""Tries for a pair of generals, over which the threshold falls to nothing."""
_FAIR = 0.626
_STEPS = 9
_FIRST_WEIGHT, _WEIGHT_FALLS = 20.0, 1.35
_TEAMMATES_APART, _TEAMMATES_NEAR = 4, 11
_CITY_NEAR = 6
_SEATS_WITH_CITIES = 8
"""In games of no more seats every general has a city nearby."""


@inline
def official_spacing(n_sides: int) -> int:
    """Least Manhattan distance of enemy generals: more than max(9, 9 (1.8 - 0.1 s)) for s sides."""
    return max(90, 9 * (18 - n_sides)) // 10 + 1


@inline
def place_pair(game: Game, rows: NDArray[np.uint64], height: int, spacing: int) -> bool:
    """Draw the two generals of a duel; whether a pair far enough apart and fair was found.

    Writes:
        game.general, game.rng; the scratch sets of rows.
    """
    stream = game.rng.size - 1
    n_open = count(rows[OPEN], height)
    for tried in range(_PAIRS):
        first = below(game.rng, stream, n_open)
        second = below(game.rng, stream, n_open - 1)
        second += second >= first
        one = nth_place(rows[OPEN], height, first)
        other = nth_place(rows[OPEN], height, second)
        game.general[0] = one
        game.general[1] = other
        if distance(one, other) >= spacing:
            here = _openness(rows, one, height)
            there = _openness(rows, other, height)
            wanted = _FAIR * (1.0 - (tried + 1) / _PAIRS)
            if min(here, there) >= wanted * max(here, there):
                return True
    return False


@inline
def _openness(rows: NDArray[np.uint64], place: int, height: int) -> float:
    """Open cells at 1 to 9 steps from a place, each step's weighing 1.35 times less."""
    row = row_of(place)
    top = max(row - _STEPS, 0)
    bottom = min(row + _STEPS + 1, height)
    left, front = rows[ROOM], rows[NEAR]
    for near in range(top, bottom):
        left[near] = rows[OPEN, near]
        front[near] = ZERO
    front[row] = bit_at(column_of(place))
    left[row] &= ~front[row]
    score = 0.0
    weight = _FIRST_WEIGHT
    for _ in range(_STEPS):
        cells = 0
        above: np.uint64 = ZERO
        for near in range(top, bottom):
            here = front[near]
            around: np.uint64 = above | (here << ONE) | (here >> ONE)
            if near + 1 < bottom:
                around |= front[near + 1]
            front[near] = around & left[near]
            left[near] &= ~around
            cells += popcount(front[near])
            above = here
        score += weight * cells
        weight /= _WEIGHT_FALLS
    return score


@inline
def place_many(
    game: Game,
    rows: NDArray[np.uint64],
    height: int,
    width: int,
    spacing: int,
    given_up: int,
) -> bool:
    """Draw generals one after the other; whether there was a cell for each.

    Args:
        game: its seats and sides are read.
        rows: the open cells are read.
        height: rows of the map.
        width: columns of the map.
        spacing: least distance of enemies.
        given_up: above 0 if teammates may stand anywhere.

    Writes:
        game.general, game.rng, game.scratch; the scratch sets of rows.
    """
    order = game.scratch[0]
    _shuffle_seats(game, order)
    for turn in range(game.n_seats):
        has_teammate = _draw_room(game, rows, order, turn, height, width, spacing)
        if has_teammate and not given_up:
            for row in range(height):
                rows[ROOM, row] &= rows[NEAR, row]
        n_left = count(rows[ROOM], height)
        if n_left == 0:
            return False
        pick = below(game.rng, game.rng.size - 1, n_left)
        game.general[order[turn]] = nth_place(rows[ROOM], height, pick)
    return True


@inline
def _shuffle_seats(game: Game, order: NDArray[np.int64]) -> None:
    for seat in range(game.n_seats):
        order[seat] = seat
    for last in range(game.n_seats - 1, 0, -1):
        other = below(game.rng, game.rng.size - 1, last + 1)
        seat = order[last]
        order[last] = order[other]
        order[other] = seat


@inline
def _draw_room(
    game: Game,
    rows: NDArray[np.uint64],
    order: NDArray[np.int64],
    turn: int,
    height: int,
    width: int,
    spacing: int,
) -> bool:
    """Draw what earlier generals leave for a seat's, and what is near teammates, if there are any.

    Where everybody is alone, what was left for the seat before is gone on with.
    """
    alone = game.status[N_SIDES] == game.n_seats
    first = max(turn - 1, 0) if alone else 0
    if first == 0:
        for row in range(height):
            rows[ROOM, row] = rows[OPEN, row]
            rows[NEAR, row] = ZERO
    has_teammate = False
    for earlier in range(first, turn):
        other = order[earlier]
        place = int64(game.general[other])
        if game.side[other] == game.side[order[turn]]:
            has_teammate = True
            cut_around(rows[ROOM], place, min(spacing, _TEAMMATES_APART) - 1, height, width)
            add_around(rows[NEAR], place, _TEAMMATES_NEAR, height, width)
        else:
            cut_around(rows[ROOM], place, spacing - 1, height, width)
    return has_teammate


@inline
def has_cities_near(game: Game, rows: NDArray[np.uint64], height: int, width: int) -> bool:
    """Whether every general has a city nearby, in games in which it must."""
    if game.n_seats > _SEATS_WITH_CITIES:
        return True
    for seat in range(game.n_seats):
        place = int64(game.general[seat])
        if not any_around(rows[CITIES], place, _CITY_NEAR, height, width):
            return False
    return True
