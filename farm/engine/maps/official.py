"""The `official` map, as the game's own server draws random maps (farm.jit).

Everything stated in RULES.md, "Map generation", holds of an accepted map. Where that page leaves
it open, this is how it is done:

- Cities are drawn first, then mountains on what is left, then generals on open cells. (An attempt
  at a mountain that meets a city is lost like one that meets a mountain: this order gives the mean
  shares of mountains that the page has.)
- A pair of generals is drawn anew as a whole when it stands too close or is unfair, and every draw
  counts as a try. Ground is open where there is neither a mountain nor a city. The threshold falls
  in a straight line to nothing at the last try.
- Three and more generals are drawn one after the other, in an order of the seats that is drawn too,
  so that none is favoured: each uniformly over the open cells that the spacing leaves; of a team,
  each but the first near one that is there. If none is left, the map is drawn anew.

A map that is not accepted is drawn anew from its size on; `strict` maps are drawn at most. After
that, each further one asks for a spacing smaller by one, and for no city or teammate nearby. When
generals may stand side by side and are still cut off from each other, ways between them are cleared
and that is the map.

The map is laid out by rows (maps/rows.py) before it is written into the game: it is the same with
and without padding.
"""

import math

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ONE, ZERO, int64, lowest, popcount
from farm.engine.maps.rows import (
    add_around,
    any_around,
    bit_at,
    column_of,
    count,
    cut_around,
    distance,
    flood,
    nth_place,
    row_of,
    span,
)
from farm.engine.rng import below, unit
from farm.engine.rules import CITY_ARMY_HIGH, CITY_ARMY_LOW
from farm.engine.settings import LEAST_HALVES, PAD, RANGE_HALVES, STRICT
from farm.engine.state import MAPS_DRAWN, N_SIDES, Game, Games, view
from farm.jit import inline, kernel
from farm.spec import tiles

# Rows of `scratch_rows`.
_MOUNTAINS, _CITIES, _OPEN, _ROOM, _NEAR = 0, 1, 2, 3, 4
"""The last two: what is left for a general and near its teammates, or a flood and its front."""

_DUEL = 2
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
def lay_official(games: Games, g: int, numbers: NDArray[np.int32]) -> None:
    """Lay out an official map on the cleared board of game `g`.

    Args:
        games: row `g` has the size of the largest board; random numbers come from its map stream.
        g: row.
        numbers: of the settings.

    Writes:
        games: terrain, army, general, rng and status of row `g`; without padding also its size.
    """
    rows = games.scratch_rows
    height, width = _draw_map(view(games, g), rows, numbers)
    if not numbers[PAD]:
        games.height[g] = height
        games.width[g] = width
    _write_map(view(games, g), rows, height, width)


@inline
def official_spacing(n_sides: int) -> int:
    """Least Manhattan distance of enemy generals: more than max(9, 9 (1.8 - 0.1 s)) for s sides."""
    return max(90, 9 * (18 - n_sides)) // 10 + 1


@kernel
def _draw_map(game: Game, rows: NDArray[np.uint64], numbers: NDArray[np.int32]) -> tuple[int, int]:
    """Draw maps until one is accepted.

    Returns:
        Its height and width.

    Writes:
        rows: mountains and cities.
        game: general, as places; rng; status.
    """
    strict = int64(numbers[STRICT])
    spacing = official_spacing(int64(game.status[N_SIDES]))
    height, width = game.height, game.width
    for drawn in range(strict + spacing - 1):
        given_up = max(0, drawn + 1 - strict)
        height = _draw_side(game, numbers, game.height)
        width = _draw_side(game, numbers, game.width)
        _draw_terrain(game, rows, height, width)
        game.status[MAPS_DRAWN] = drawn + 1
        if game.n_seats == _DUEL:
            placed = _place_pair(game, rows, height, spacing - given_up)
        else:
            placed = _place_many(game, rows, height, width, spacing - given_up, given_up)
        if placed and (given_up > 0 or _has_cities_near(game, rows, height, width)):
            flood(rows[_ROOM], rows[_OPEN], int64(game.general[0]), height)
            if _all_reached(game, rows):
                return height, width
    _clear_ways(game, rows)
    return height, width


@inline
def _draw_side(game: Game, numbers: NDArray[np.int32], longest: int) -> int:
    r = unit(game.rng, game.rng.size - 1)
    side = 0.5 * (numbers[LEAST_HALVES] + r * r * numbers[RANGE_HALVES])
    return min(int64(math.floor(side + 0.5)), longest)


@inline
def _draw_terrain(game: Game, rows: NDArray[np.uint64], height: int, width: int) -> None:
    """Draw cities and mountains of a map of that size, and what is open."""
    stream = game.rng.size - 1
    everywhere = span(0, width - 1, width)
    for row in range(height):
        rows[_MOUNTAINS, row] = ZERO
        rows[_CITIES, row] = ZERO
        rows[_OPEN, row] = everywhere
    size = height * width
    n_cities = int64(math.ceil(5.0 + game.n_seats * (2.0 + unit(game.rng, stream))))
    for city in range(n_cities):
        place = nth_place(rows[_OPEN], height, below(game.rng, stream, size - city))
        rows[_CITIES, row_of(place)] |= bit_at(column_of(place))
        rows[_OPEN, row_of(place)] &= ~bit_at(column_of(place))
    share = 0.20 + 0.08 * unit(game.rng, stream)
    for _ in range(int64(size * share)):
        row = below(game.rng, stream, height)
        bit = bit_at(below(game.rng, stream, width))
        rows[_MOUNTAINS, row] |= bit & rows[_OPEN, row]
        rows[_OPEN, row] &= ~bit


@inline
def _place_pair(game: Game, rows: NDArray[np.uint64], height: int, spacing: int) -> bool:
    """Draw the two generals of a duel; whether a pair far enough apart and fair was found."""
    stream = game.rng.size - 1
    n_open = count(rows[_OPEN], height)
    for tried in range(_PAIRS):
        first = below(game.rng, stream, n_open)
        second = below(game.rng, stream, n_open - 1)
        second += second >= first
        one = nth_place(rows[_OPEN], height, first)
        other = nth_place(rows[_OPEN], height, second)
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
    left, front = rows[_ROOM], rows[_NEAR]
    for near in range(top, bottom):
        left[near] = rows[_OPEN, near]
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
def _place_many(
    game: Game,
    rows: NDArray[np.uint64],
    height: int,
    width: int,
    spacing: int,
    given_up: int,
) -> bool:
    """Draw generals one after the other; whether there was a cell for each."""
    order = game.scratch[0]
    _shuffle_seats(game, order)
    for turn in range(game.n_seats):
        has_teammate = _draw_room(game, rows, order, turn, height, width, spacing)
        if has_teammate and not given_up:
            for row in range(height):
                rows[_ROOM, row] &= rows[_NEAR, row]
        n_left = count(rows[_ROOM], height)
        if n_left == 0:
            return False
        pick = below(game.rng, game.rng.size - 1, n_left)
        game.general[order[turn]] = nth_place(rows[_ROOM], height, pick)
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
            rows[_ROOM, row] = rows[_OPEN, row]
            rows[_NEAR, row] = ZERO
    has_teammate = False
    for earlier in range(first, turn):
        other = order[earlier]
        place = int64(game.general[other])
        if game.side[other] == game.side[order[turn]]:
            has_teammate = True
            cut_around(rows[_ROOM], place, min(spacing, _TEAMMATES_APART) - 1, height, width)
            add_around(rows[_NEAR], place, _TEAMMATES_NEAR, height, width)
        else:
            cut_around(rows[_ROOM], place, spacing - 1, height, width)
    return has_teammate


@inline
def _has_cities_near(game: Game, rows: NDArray[np.uint64], height: int, width: int) -> bool:
    """Whether every general has a city nearby, in games in which it must."""
    if game.n_seats > _SEATS_WITH_CITIES:
        return True
    for seat in range(game.n_seats):
        place = int64(game.general[seat])
        if not any_around(rows[_CITIES], place, _CITY_NEAR, height, width):
            return False
    return True


@inline
def _all_reached(game: Game, rows: NDArray[np.uint64]) -> bool:
    for seat in range(game.n_seats):
        place = int64(game.general[seat])
        if not rows[_ROOM, row_of(place)] & bit_at(column_of(place)):
            return False
    return True


@inline
def _clear_ways(game: Game, rows: NDArray[np.uint64]) -> None:
    """Clear a way, along a row and then a column, from the first general to every other."""
    for seat in range(1, game.n_seats):
        row, column = row_of(int64(game.general[0])), column_of(int64(game.general[0]))
        to_row, to_column = row_of(int64(game.general[seat])), column_of(int64(game.general[seat]))
        while row != to_row or column != to_column:
            if column != to_column:
                column += 1 if column < to_column else -1
            else:
                row += 1 if row < to_row else -1
            rows[_MOUNTAINS, row] &= ~bit_at(column)
            rows[_CITIES, row] &= ~bit_at(column)


@inline
def _write_map(game: Game, rows: NDArray[np.uint64], height: int, width: int) -> None:
    """Write a map into the upper left of a board, and mountains elsewhere; draw cities' armies."""
    stream = game.rng.size - 1
    for row in range(game.height):
        blocked: np.uint64 = ~ZERO
        if row < height:
            blocked = rows[_MOUNTAINS, row] | ~span(0, width - 1, width)
        for column in range(game.width):
            if blocked & bit_at(column):
                game.terrain[row * game.width + column] = tiles.MOUNTAIN
    low = int64(game.rules[CITY_ARMY_LOW])
    spread = int64(game.rules[CITY_ARMY_HIGH]) - low
    for row in range(height):
        cities = rows[_CITIES, row]
        while cities:
            cell = row * game.width + lowest(cities)
            cities &= cities - ONE
            game.terrain[cell] = tiles.CITY
            # round(low + spread * R): both ends come half as often.
            rounded = (below(game.rng, stream, 2 * spread) + 1) >> 1 if spread > 0 else 0
            game.army[cell] = low + rounded
    for seat in range(game.n_seats):
        place = int64(game.general[seat])
        game.general[seat] = row_of(place) * game.width + column_of(place)
