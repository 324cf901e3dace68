"""What one seat sees, apart from everything else of a game (farm.jit).

A `Sight` holds the seat's own rows and nothing of another seat's, so that a policy written on it
cannot look behind the fog. Sets of cells that follow from the frame are taken from the engine's
bitmaps, cut to what is in sight.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ZERO, bit_of, int64, word_ahead, word_behind
from farm.engine.state import Game, score_start
from farm.jit import inline
from farm.spec.actions import ACTIONS_PER_CELL, DOWN, LEFT, UP

# Rows of `maps` that `look` fills; those from FIRST_FREE on are room.
FRIENDS: Final = 0
"""Cells of the seat's side."""
FOES: Final = 1
"""Cells in sight that belong to enemies."""
TOWNS: Final = 2
"""Cities and generals in sight."""
WASTE: Final = 3
"""Swamps, and deserts in sight: land that yields nothing."""
FIRST_FREE: Final = 4

# Rows of `note_maps` that stand for the board itself.
FIRST_COLUMN: Final = 0
LAST_COLUMN: Final = 1


class Sight(NamedTuple):
    """What a seat observes, its own notes, and room to think in."""

    height: int
    width: int
    n_cells: int
    n_words: int
    home: int
    """Cell of the seat's general, negative if it has none."""
    total_army: int
    """Own army, from the scoreboard."""
    land: int
    """Own cells, from the scoreboard."""
    army: NDArray[np.uint16]
    """uint16[n]: armies in sight by cell, from the frame; read."""
    tile: NDArray[np.uint8]
    """uint8[n]: tile codes by cell, from the frame; read."""
    mine: NDArray[np.uint64]
    """uint64[W]: own cells; read."""
    movable: NDArray[np.uint64]
    """uint64[W]: own cells with army above 1; read."""
    seen: NDArray[np.uint64]
    """uint64[W]: cells in sight; read."""
    maps: NDArray[np.uint64]
    """uint64[SCRATCH_BITMAPS, W]: the sets above, and room; forgotten after the tick."""
    lists: NDArray[np.int32]
    """int32[SCRATCH_LISTS, C]: room; forgotten after the tick."""
    notes: NDArray[np.int32]
    """int32[N_NOTES]: what the seat keeps between ticks; 0 at the start of a game."""
    note_maps: NDArray[np.uint64]
    """uint64[N_NOTE_MAPS, W]: likewise, sets of cells."""


@inline
def look(game: Game, seat: int) -> Sight:
    """The sight of a seat.

    Writes:
        game.scratch_maps: the rows above.
    """
    side = int64(game.side[seat])
    seen = game.seen[side]
    maps = game.scratch_maps
    for word in range(game.n_words):
        maps[FRIENDS, word] = ZERO
        maps[FOES, word] = ZERO
        maps[TOWNS, word] = game.structure[word] & seen[word]
        maps[WASTE, word] = game.swamp[word] | (game.desert[word] & seen[word])
    allies = np.uint64(game.side_seats[side])
    for player in range(game.n_seats):
        cells = game.mine[player]
        row = FRIENDS if allies & bit_of(player) else FOES
        for word in range(game.n_words):
            maps[row, word] |= cells[word] & seen[word]
    n_cells = game.n_cells
    scores = score_start(game)
    return Sight(
        game.height,
        game.width,
        n_cells,
        game.n_words,
        int64(game.general[seat]),
        int64(game.frames32[seat, scores >> 2]),
        int64(game.frames16[seat, (scores >> 1) + 2 * game.n_seats]),
        game.frames16[seat],
        game.frames[seat, 2 * n_cells : 3 * n_cells],
        game.mine[seat],
        game.movable[seat],
        seen,
        maps,
        game.scratch_lists,
        game.notes[seat],
        game.note_maps[seat],
    )


@inline
def has(cells: NDArray[np.uint64], cell: int) -> bool:
    """Whether a cell is in a set."""
    return bool(cells[cell >> 6] & bit_of(cell))


@inline
def step(sight: Sight, cell: int, direction: int) -> int:
    """The neighbour of a cell in a direction, negative beyond the edge."""
    if direction == UP:
        return cell - sight.width
    if direction == DOWN:
        return cell + sight.width if cell + sight.width < sight.n_cells else -1
    if direction == LEFT:
        return -1 if has(sight.note_maps[FIRST_COLUMN], cell) else cell - 1
    return -1 if has(sight.note_maps[LAST_COLUMN], cell) else cell + 1


@inline
def distance(sight: Sight, cell: int, other: int) -> int:
    """Steps between two cells on an empty board."""
    row = cell // sight.width
    other_row = other // sight.width
    columns = (cell - row * sight.width) - (other - other_row * sight.width)
    return abs(row - other_row) + abs(columns)


@inline
def move(cell: int, direction: int) -> int:
    """Action index of a move with the whole army."""
    return cell * ACTIONS_PER_CELL + direction * 2


@inline
def beside(sight: Sight, cells: NDArray[np.uint64], word: int) -> np.uint64:
    """Cells of one word that have a neighbour in a set; there may be some beyond the board."""
    near: np.uint64 = word_behind(cells, word, sight.width)
    near |= word_ahead(cells, sight.n_words, word, sight.width)
    near |= word_behind(cells, word, 1) & ~sight.note_maps[FIRST_COLUMN, word]
    near |= word_ahead(cells, sight.n_words, word, 1) & ~sight.note_maps[LAST_COLUMN, word]
    return near


@inline
def spread(sight: Sight, reached: int, ground: int, room: int) -> bool:
    """Widen a set by its neighbours on some ground; whether there are any.

    Args:
        sight: whose `maps` has these rows.
        reached: row of the set.
        ground: row of the cells that may be added.
        room: row to work in.

    Writes:
        sight.maps.
    """
    maps = sight.maps
    grown: np.uint64 = ZERO
    for word in range(sight.n_words):
        near = beside(sight, maps[reached], word) & maps[ground, word] & ~maps[reached, word]
        grown |= near
        maps[room, word] = maps[reached, word] | near
    for word in range(sight.n_words):
        maps[reached, word] = maps[room, word]
    return bool(grown)
