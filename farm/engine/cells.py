"""The only writers of a cell: `set_army` and `take_cell`, and what follows from them (farm.jit).

Both keep, besides owner and army: land and total army of the players, the bitmaps of own cells,
what each side sees, and for every seat that sees the cell the bytes of its frame and its dirty
bits. So a frame is right after every call, except for its scoreboard, which `write_scores` fills
in at the end of a tick. The one other writer is `growth.grow_land`: it changes all owned cells.

Fog is never recomputed: what a frame says of a cell out of sight was written when the cell was last
lost from sight (or at the start). A general that becomes a city out of a seat's sight therefore
stays hidden from it; `secret` remembers it, for a cell that is in sight only within a tick.
"""

import numpy as np

from farm.engine.bits import bit_of, int64, lowest
from farm.engine.state import Game, score_start
from farm.jit import inline
from farm.spec import tiles
from farm.spec.limits import MAX_ARMY_SEEN

_ONE_SEAT = np.uint16(1)
_FOG_PLAIN = (tiles.PLAIN << tiles.OWNER_BITS) | tiles.FOG
_FOG_SWAMP = (tiles.SWAMP << tiles.OWNER_BITS) | tiles.FOG
_FOG_OBSTACLE = (tiles.OBSTACLE << tiles.OWNER_BITS) | tiles.FOG


@inline
def set_army(game: Game, cell: int, army: int) -> None:
    """Change the army of a cell that keeps its owner.

    Writes:
        game: as the module says.
    """
    owner = int64(game.owner[cell])
    if owner >= 0:
        game.total_army[owner] += army - game.army[cell]
        _mark_army(game, owner, cell, army)
    game.army[cell] = army
    viewers = np.uint64(game.seen_by[cell])
    while viewers:
        show_army(game, lowest(viewers), cell, army)
        viewers &= viewers - np.uint64(1)


@inline
def take_cell(game: Game, cell: int, owner: int, army: int) -> None:
    """Give a cell to another owner (a seat or NEUTRAL_OWNER) with an army.

    Writes:
        game: as the module says.
    """
    before = int64(game.owner[cell])
    old_side = int64(-1)
    new_side = int64(-1)
    if before >= 0:
        old_side = int64(game.side[before])
        _lose(game, before, cell)
    game.owner[cell] = owner
    game.army[cell] = army
    if owner >= 0:
        new_side = int64(game.side[owner])
        _gain(game, owner, cell, army)
    if old_side != new_side:
        if new_side >= 0:
            _look(game, new_side, cell)
        if old_side >= 0:
            _look_away(game, old_side, cell)
    show_cell(game, cell)


@inline
def show_cell(game: Game, cell: int) -> None:
    """Write army and tile of a cell into the frames of all who see it."""
    viewers = np.uint64(game.seen_by[cell])
    while viewers:
        seat = lowest(viewers)
        show_army(game, seat, cell, int64(game.army[cell]))
        show_tile(game, seat, cell, tile_code(game, seat, cell))
        viewers &= viewers - np.uint64(1)


@inline
def show_army(game: Game, seat: int, cell: int, army: int) -> None:
    """Write an army into a seat's frame, marking the cell when that changes it."""
    seen = np.uint16(min(army, MAX_ARMY_SEEN))
    changed = game.frames16[seat, cell] != seen
    game.frames16[seat, cell] = seen
    game.dirty_army[seat, cell >> 6] |= np.uint64(changed) << np.uint64(cell & 63)


@inline
def show_tile(game: Game, seat: int, cell: int, tile: int) -> None:
    """Write a tile code into a seat's frame, marking the cell when that changes it."""
    at = 2 * game.n_cells + cell
    seen = np.uint8(tile)
    changed = game.frames[seat, at] != seen
    game.frames[seat, at] = seen
    game.dirty_tile[seat, cell >> 6] |= np.uint64(changed) << np.uint64(cell & 63)


@inline
def tile_code(game: Game, seat: int, cell: int) -> int:
    """Tile code of a cell that the seat sees (spec.tiles)."""
    owner = int64(game.owner[cell])
    relative = tiles.NEUTRAL
    if owner >= 0:
        relative = tiles.SELF + int64(game.rank[seat, owner])
    return (int64(game.terrain[cell]) << tiles.OWNER_BITS) | relative


@inline
def fog_tile(game: Game, side: int, cell: int) -> int:
    """Tile code of a cell out of a side's sight."""
    terrain = int64(game.terrain[cell])
    if terrain == tiles.MOUNTAIN:
        return _FOG_OBSTACLE
    if terrain == tiles.CITY:
        unknown = game.secret[side, cell >> 6] & bit_of(cell)
        return _FOG_PLAIN if unknown else _FOG_OBSTACLE
    if terrain == tiles.SWAMP:
        return _FOG_SWAMP
    return _FOG_PLAIN


@inline
def write_scores(game: Game) -> None:
    """Write the scoreboard of every seat's frame.

    Writes:
        game.frames.
    """
    start = score_start(game)
    for seat in range(game.n_seats):
        for player in range(game.n_seats):
            row = int64(game.rank[seat, player])
            game.frames32[seat, (start >> 2) + row] = game.total_army[player]
            game.frames16[seat, (start >> 1) + 2 * game.n_seats + row] = game.land[player]
            game.frames[seat, start + 6 * game.n_seats + row] = game.alive[player]


@inline
def _mark_army(game: Game, owner: int, cell: int, army: int) -> None:
    word = cell >> 6
    at = np.uint64(cell & 63)
    bit = bit_of(cell)
    game.movable[owner, word] = (game.movable[owner, word] & ~bit) | (np.uint64(army > 1) << at)
    game.single[owner, word] = (game.single[owner, word] & ~bit) | (np.uint64(army == 1) << at)


@inline
def _lose(game: Game, owner: int, cell: int) -> None:
    others = ~bit_of(cell)
    word = cell >> 6
    game.mine[owner, word] &= others
    game.movable[owner, word] &= others
    game.single[owner, word] &= others
    game.land[owner] -= 1
    game.total_army[owner] -= game.army[cell]


@inline
def _gain(game: Game, owner: int, cell: int, army: int) -> None:
    game.mine[owner, cell >> 6] |= bit_of(cell)
    game.land[owner] += 1
    game.total_army[owner] += army
    _mark_army(game, owner, cell, army)


@inline
def _look(game: Game, side: int, cell: int) -> None:
    row = cell // game.width
    column = cell - row * game.width
    left = max(column - 1, 0)
    right = min(column + 2, game.width)
    for near_row in range(max(row - 1, 0), min(row + 2, game.height)):
        start = near_row * game.width
        for near in range(start + left, start + right):
            if game.sight[side, near] == 0:
                _reveal(game, side, near)
            game.sight[side, near] += np.uint8(1)


@inline
def _look_away(game: Game, side: int, cell: int) -> None:
    row = cell // game.width
    column = cell - row * game.width
    left = max(column - 1, 0)
    right = min(column + 2, game.width)
    for near_row in range(max(row - 1, 0), min(row + 2, game.height)):
        start = near_row * game.width
        for near in range(start + left, start + right):
            game.sight[side, near] -= np.uint8(1)
            if game.sight[side, near] == 0:
                _hide(game, side, near)


@inline
def _reveal(game: Game, side: int, cell: int) -> None:
    game.seen_by[cell] |= game.side_seats[side]
    game.seen[side, cell >> 6] |= bit_of(cell)
    seats = np.uint64(game.side_seats[side])
    while seats:
        seat = lowest(seats)
        show_army(game, seat, cell, int64(game.army[cell]))
        show_tile(game, seat, cell, tile_code(game, seat, cell))
        seats &= seats - np.uint64(1)


@inline
def _hide(game: Game, side: int, cell: int) -> None:
    game.seen_by[cell] &= ~game.side_seats[side]
    game.seen[side, cell >> 6] &= ~bit_of(cell)
    seats = np.uint64(game.side_seats[side])
    while seats:
        seat = lowest(seats)
        show_army(game, seat, cell, 0)
        show_tile(game, seat, cell, fog_tile(game, side, cell))
        seats &= seats - np.uint64(1)
