"""The `official` map, as the game's own server draws random maps (farm.jit).

What is known of official maps, sizes, spacing, densities and what makes a map accepted, holds of
every map here but those named below. Where that leaves it open, this is how it is done:

- Cities are drawn first, then mountains on what is left, then generals on open cells. (An attempt
  at a mountain that meets a city is lost like one that meets a mountain: this order gives the mean
  shares of mountains of official maps.)
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

from farm.engine.bits import ONE, ZERO, int64, lowest
from farm.engine.maps.generals import (
    DUEL,
    has_cities_near,
    official_spacing,
    place_many,
    place_pair,
)
from farm.engine.maps.rows import (
    CITIES,
    MOUNTAINS,
    OPEN,
    ROOM,
    bit_at,
    column_of,
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
        if game.n_seats == DUEL:
            placed = place_pair(game, rows, height, spacing - given_up)
        else:
            placed = place_many(game, rows, height, width, spacing - given_up, given_up)
        if placed and (given_up > 0 or has_cities_near(game, rows, height, width)):
            flood(rows[ROOM], rows[OPEN], int64(game.general[0]), height)
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
        rows[MOUNTAINS, row] = ZERO
        rows[CITIES, row] = ZERO
        rows[OPEN, row] = everywhere
    size = height * width
    n_cities = int64(math.ceil(5.0 + game.n_seats * (2.0 + unit(game.rng, stream))))
    for city in range(n_cities):
        place = nth_place(rows[OPEN], height, below(game.rng, stream, size - city))
        rows[CITIES, row_of(place)] |= bit_at(column_of(place))
        rows[OPEN, row_of(place)] &= ~bit_at(column_of(place))
    share = 0.20 + 0.08 * unit(game.rng, stream)
    for _ in range(int64(size * share)):
        row = below(game.rng, stream, height)
        bit = bit_at(below(game.rng, stream, width))
        rows[MOUNTAINS, row] |= bit & rows[OPEN, row]
        rows[OPEN, row] &= ~bit


@inline
def _all_reached(game: Game, rows: NDArray[np.uint64]) -> bool:
    for seat in range(game.n_seats):
        place = int64(game.general[seat])
        if not rows[ROOM, row_of(place)] & bit_at(column_of(place)):
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
            rows[MOUNTAINS, row] &= ~bit_at(column)
            rows[CITIES, row] &= ~bit_at(column)


@inline
def _write_map(game: Game, rows: NDArray[np.uint64], height: int, width: int) -> None:
    """Write a map into the upper left of a board, and mountains elsewhere; draw cities' armies."""
    stream = game.rng.size - 1
    for row in range(game.height):
        blocked: np.uint64 = ~ZERO
        if row < height:
            blocked = rows[MOUNTAINS, row] | ~span(0, width - 1, width)
        for column in range(game.width):
            if blocked & bit_at(column):
                game.terrain[row * game.width + column] = tiles.MOUNTAIN
    low = int64(game.rules[CITY_ARMY_LOW])
    spread = int64(game.rules[CITY_ARMY_HIGH]) - low
    for row in range(height):
        cities = rows[CITIES, row]
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
