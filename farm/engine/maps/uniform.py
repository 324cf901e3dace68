"""The `uniform` map: a fixed size, mountains and cities anywhere, generals apart (farm.jit).

Every general can reach every other without passing a mountain or a city. Scattering is tried a
bounded number of times; after that, mountains and cities between the generals give way.
"""

import math

import numpy as np

from farm.engine.bits import ONE, ZERO, bit_of, int64, word_ahead, word_behind
from farm.engine.maps.official import official_spacing
from farm.engine.rng import below
from farm.engine.rules import CITY_ARMY_HIGH, CITY_ARMY_LOW
from farm.engine.state import N_SIDES, NEVER, Game
from farm.jit import inline, kernel
from farm.spec import tiles

_ATTEMPTS = 12
"""Maps drawn before the last one is mended."""
_TRIES = 32
"""Cells drawn for a general before the spacing is relaxed by one."""
_TEAMMATES_APART = 4
_OPEN, _REACHED = 0, 1


@kernel
def scatter(game: Game, mountains: int, n_cities: int) -> None:
    """Lay out a uniform map on a cleared board.

    Args:
        game: its size, seats and sides are read; random numbers come from its map stream.
        mountains: cells that are mountains, in thousandths.
        n_cities: neutral cities.

    Writes:
        game.terrain, game.army, game.general, game.rng.
    """
    room = game.n_cells - 2 * game.n_seats
    n_mountains = max(0, min(game.n_cells * mountains // 1000, room))
    n_cities = max(0, min(n_cities, (game.n_cells - n_mountains - game.n_seats) // 2))
    for _ in range(_ATTEMPTS):
        game.terrain[:] = tiles.PLAIN
        game.army[:] = 0
        for _ in range(n_mountains):
            game.terrain[_plain_cell(game)] = tiles.MOUNTAIN
        _place_generals(game)
        for _ in range(n_cities):
            city = _plain_cell(game)
            game.terrain[city] = tiles.CITY
            low = int64(game.rules[CITY_ARMY_LOW])
            spread = int64(game.rules[CITY_ARMY_HIGH]) - low + 1
            game.army[city] = low + below(game.rng, game.rng.size - 1, spread)
        if _connected(game):
            return
    _mend(game)


@inline
def _plain_cell(game: Game) -> int:
    """A plain cell, every one as likely; there must be one."""
    cell = below(game.rng, game.rng.size - 1, game.n_cells)
    while game.terrain[cell] != tiles.PLAIN:
        cell = below(game.rng, game.rng.size - 1, game.n_cells)
    return cell


@inline
def spacing(n_sides: int, n_cells: int, n_seats: int) -> int:
    """Least Manhattan distance between enemy generals: the official one where the board has room.

    A board holds its seats at about sqrt(1.3 n / seats).
    """
    return min(official_spacing(n_sides), int(math.sqrt(1.3 * n_cells / n_seats)))


@inline
def _place_generals(game: Game) -> None:
    apart = spacing(int64(game.status[N_SIDES]), game.n_cells, game.n_seats)
    game.general[:] = NEVER
    for seat in range(game.n_seats):
        cell = _plain_cell(game)
        tries = 1
        while apart > 1 and not _far_enough(game, seat, cell, apart):
            cell = _plain_cell(game)
            tries += 1
            if tries == _TRIES:
                tries = 0
                apart -= 1
        game.general[seat] = cell
        game.terrain[cell] = tiles.GENERAL


@inline
def _far_enough(game: Game, seat: int, cell: int, apart: int) -> bool:
    row = cell // game.width
    column = cell - row * game.width
    for other in range(seat):
        other_row = game.general[other] // game.width
        other_column = game.general[other] - other_row * game.width
        distance = abs(row - other_row) + abs(column - other_column)
        friends = game.side[other] == game.side[seat]
        if distance < (min(apart, _TEAMMATES_APART) if friends else apart):
            return False
    return True


@inline
def _connected(game: Game) -> bool:
    """Whether every general is reached from the first without passing a mountain or a city."""
    words = game.scratch_maps
    for word in range(game.n_words):
        words[_OPEN, word] = ZERO
        words[_REACHED, word] = ZERO
    for cell in range(game.n_cells):
        if game.terrain[cell] in (tiles.PLAIN, tiles.GENERAL):
            words[_OPEN, cell >> 6] |= bit_of(cell)
    words[_REACHED, game.general[0] >> 6] = bit_of(int64(game.general[0]))
    first_column, last_column = 2, 3
    _draw_columns(game, first_column, last_column)
    growing = True
    while growing:
        growing = False
        for word in range(game.n_words):
            reached = words[_REACHED]
            grown = reached[word]
            grown |= word_ahead(reached, game.n_words, word, game.width)
            grown |= word_behind(reached, word, game.width)
            grown |= word_ahead(reached, game.n_words, word, 1) & ~words[last_column, word]
            grown |= word_behind(reached, word, 1) & ~words[first_column, word]
            grown &= words[_OPEN, word]
            growing |= grown != reached[word]
            reached[word] = grown
    for seat in range(game.n_seats):
        cell = int64(game.general[seat])
        if words[_REACHED, cell >> 6] & bit_of(cell) == ZERO:
            return False
    return True


@inline
def _draw_columns(game: Game, first: int, last: int) -> None:
    """Draw the first and the last column of the board into two scratch bitmaps."""
    words = game.scratch_maps
    for word in range(game.n_words):
        words[first, word] = ZERO
        words[last, word] = ZERO
    for row in range(game.height):
        left = row * game.width
        right = left + game.width - 1
        words[first, left >> 6] |= bit_of(left)
        words[last, right >> 6] |= ONE << np.uint64(right & 63)


@inline
def _mend(game: Game) -> None:
    """Clear a path, along a row and then a column, from the first general to every other."""
    for seat in range(1, game.n_seats):
        cell = int64(game.general[0])
        target = int64(game.general[seat])
        target_row = target // game.width
        target_column = target - target_row * game.width
        while cell != target:
            row = cell // game.width
            column = cell - row * game.width
            if column != target_column:
                cell += 1 if column < target_column else -1
            else:
                cell += game.width if row < target_row else -game.width
            if game.terrain[cell] in (tiles.MOUNTAIN, tiles.CITY):
                game.terrain[cell] = tiles.PLAIN
                game.army[cell] = 0
