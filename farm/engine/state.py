"""The games of a batch as structure-of-arrays, and one game of it as a view (farm.jit).

`Games` has a row for each game; the kernels of a worker take `view(games, g)` once per game and
work on its slices, so that the few kilobytes of one game stay in the first-level cache.

Sizes: G games, S seats and C cells of the largest game, W = ceil(C / 64) words, B bytes of a frame.
Cells are row-major on the game's own height and width; bitmaps as in bits.py. A side is a team, or
a player without one; sides are numbered from 0 by their first seat.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64, n_words
from farm.engine.rules import N_RULES
from farm.jit import inline
from farm.spec.limits import MAX_SEATS, MAX_SIDE
from farm.spec.observation import frame_bytes

NEUTRAL_OWNER: Final = -1
MOUNTAIN_OWNER: Final = -2

# Columns of `status`.
TICK: Final = 0
"""The tick counter."""
OUTCOME: Final = 1
"""`PLAYING`, `TERMINATED` (the rules ended the game) or `TRUNCATED` (it reached its last tick)."""
WINNER: Final = 2
"""Side that won, -1 while none has, or when nobody is left."""
MAX_TICKS: Final = 3
"""Tick at which the game is truncated; 0 for never."""
LAST_MOVE: Final = 4
"""Tick counter before the last tick in which anybody moved; the start counts as a move."""
DEATHS: Final = 5
"""Players who died since the end of the game was last looked at."""
FALLEN: Final = 6
"""Generals' cells that become cities at the end of this tick."""
N_SIDES: Final = 7
SECRETS: Final = 8
"""Bits set in `secret`."""
MAPS_DRAWN: Final = 9
"""Official maps drawn for the game, the last of which it is played on."""
N_STATUS: Final = 10

PLAYING: Final = 0
TERMINATED: Final = 1
TRUNCATED: Final = 2

# Codes of `killer` beside a seat.
NOBODY: Final = -1
"""The player has not been eliminated."""
LEFT: Final = -2
"""The player surrendered or was removed by a rule."""

NEVER: Final = -1
"""A tick that has not come, or a general that is no more."""

SCRATCH_ROWS: Final = 8
SCRATCH_BITMAPS: Final = 6
SCRATCH_ROW_SETS: Final = 5


class Games(NamedTuple):
    """A batch of games."""

    height: NDArray[np.int32]
    """int32[G]: rows of the board."""
    width: NDArray[np.int32]
    """int32[G]: columns of the board."""
    n_seats: NDArray[np.int32]
    """int32[G]: seats of the game."""
    status: NDArray[np.int32]
    """int32[G, N_STATUS]: numbers of the game as a whole, by the columns above."""
    game_number: NDArray[np.uint64]
    """uint64[G]."""
    rules: NDArray[np.int32]
    """int32[G, N_RULES]: the variant (rules.py)."""
    rng: NDArray[np.uint64]
    """uint64[G, S + 1]: state of the stream of each seat, and of the map."""
    owner: NDArray[np.int8]
    """int8[G, C]: seat, NEUTRAL_OWNER or MOUNTAIN_OWNER."""
    army: NDArray[np.int32]
    """int32[G, C]."""
    terrain: NDArray[np.uint8]
    """uint8[G, C]: terrain codes of spec.tiles, never OBSTACLE."""
    seen_by: NDArray[np.uint16]
    """uint16[G, C]: bit s is set while seat s sees the cell."""
    sight: NDArray[np.uint8]
    """uint8[G, S, C]: cells of a side within the 3x3 around a cell; rows are sides."""
    seen: NDArray[np.uint64]
    """uint64[G, S, W]: cells in sight of a side; rows are sides."""
    secret: NDArray[np.uint64]
    """uint64[G, S, W]: cities that were generals and not seen since by a side; rows are sides."""
    mine: NDArray[np.uint64]
    """uint64[G, S, W]: cells of a seat."""
    movable: NDArray[np.uint64]
    """uint64[G, S, W]: cells of a seat with army above 1."""
    single: NDArray[np.uint64]
    """uint64[G, S, W]: cells of a seat with army 1, which may move onto a teammate's cell."""
    dirty_army: NDArray[np.uint64]
    """uint64[G, S, W]: cells whose army in the seat's frame changed since the reader cleared it."""
    dirty_tile: NDArray[np.uint64]
    """uint64[G, S, W]: cells whose tile in the seat's frame changed since the reader cleared it."""
    open_to: NDArray[np.uint64]
    """uint64[G, W, 4]: cells from which direction d leads onto the board and onto no mountain."""
    structure: NDArray[np.uint64]
    """uint64[G, W]: cities and generals."""
    swamp: NDArray[np.uint64]
    """uint64[G, W]."""
    desert: NDArray[np.uint64]
    """uint64[G, W]."""
    side: NDArray[np.int8]
    """int8[G, S]: side of each seat."""
    side_seats: NDArray[np.uint16]
    """uint16[G, S]: bit s is set when seat s is of the side; rows are sides."""
    rank: NDArray[np.uint8]
    """uint8[G, S, S]: place of a player in a seat's view: 0 itself, teammates, then enemies."""
    alive: NDArray[np.uint8]
    """uint8[G, S]: 1 while the player lives."""
    general: NDArray[np.int32]
    """int32[G, S]: cell of the general, NEVER once it is captured or neutralised."""
    fallen: NDArray[np.int32]
    """int32[G, S]: cell of a general that becomes a city at the end of this tick, else NEVER."""
    total_army: NDArray[np.int32]
    """int32[G, S]."""
    land: NDArray[np.int32]
    """int32[G, S]: cells owned."""
    neutral_at: NDArray[np.int32]
    """int32[G, S]: tick at which a player who left is neutralised, else NEVER."""
    last_move: NDArray[np.int32]
    """int32[G, S]: tick counter before the tick of the seat's last executed move, else NEVER."""
    killer: NDArray[np.int8]
    """int8[G, S]: seat that eliminated the player, NOBODY or LEFT."""
    died_at: NDArray[np.int32]
    """int32[G, S]: tick counter before the tick of the player's death, else NEVER."""
    frames: NDArray[np.uint8]
    """uint8[G, S, B]: the current observation of each seat (spec.observation)."""
    frames16: NDArray[np.uint16]
    """uint16[G, S, B / 2]: the same memory."""
    frames32: NDArray[np.uint32]
    """uint32[G, S, B / 4]: the same memory."""
    scratch: NDArray[np.int64]
    """int64[SCRATCH_ROWS, MAX_SEATS]: the moves of the tick in the making; of no game."""
    scratch_maps: NDArray[np.uint64]
    """uint64[SCRATCH_BITMAPS, W]: bitmaps in the making; of no game."""
    scratch_rows: NDArray[np.uint64]
    """uint64[SCRATCH_ROW_SETS, MAX_SIDE]: a map in the making (maps/rows.py); of no game."""


class Game(NamedTuple):
    """One game: its numbers by value, and its rows of the arrays of `Games`, by the same names.

    What only the making of maps needs is left out.
    """

    height: int
    width: int
    n_seats: int
    n_cells: int
    n_words: int
    status: NDArray[np.int32]
    rules: NDArray[np.int32]
    rng: NDArray[np.uint64]
    owner: NDArray[np.int8]
    army: NDArray[np.int32]
    terrain: NDArray[np.uint8]
    seen_by: NDArray[np.uint16]
    sight: NDArray[np.uint8]
    seen: NDArray[np.uint64]
    secret: NDArray[np.uint64]
    mine: NDArray[np.uint64]
    movable: NDArray[np.uint64]
    single: NDArray[np.uint64]
    dirty_army: NDArray[np.uint64]
    dirty_tile: NDArray[np.uint64]
    open_to: NDArray[np.uint64]
    structure: NDArray[np.uint64]
    swamp: NDArray[np.uint64]
    desert: NDArray[np.uint64]
    side: NDArray[np.int8]
    side_seats: NDArray[np.uint16]
    rank: NDArray[np.uint8]
    alive: NDArray[np.uint8]
    general: NDArray[np.int32]
    fallen: NDArray[np.int32]
    total_army: NDArray[np.int32]
    land: NDArray[np.int32]
    neutral_at: NDArray[np.int32]
    last_move: NDArray[np.int32]
    killer: NDArray[np.int8]
    died_at: NDArray[np.int32]
    frames: NDArray[np.uint8]
    frames16: NDArray[np.uint16]
    frames32: NDArray[np.uint32]
    scratch: NDArray[np.int64]
    scratch_maps: NDArray[np.uint64]


def allocate(n_games: int, n_cells: int, n_seats: int) -> Games:
    """Room for `n_games` games of at most `n_cells` cells and `n_seats` seats; none is set up yet.

    Args:
        n_games: G.
        n_cells: C, cells of the largest board.
        n_seats: S, seats of the largest game, at most 16.
    """
    words = n_words(n_cells)
    # A small board with many seats can have a larger frame than its share of the largest: all
    # frames are as long as the largest board and the most seats make them.
    frames = np.zeros((n_games, n_seats, frame_bytes(n_cells, n_seats)), np.uint8)
    per_game = (n_games,)
    per_seat = (n_games, n_seats)
    per_cell = (n_games, n_cells)
    bitmap = (n_games, words)
    bitmaps = (n_games, n_seats, words)
    return Games(
        height=np.zeros(per_game, np.int32),
        width=np.zeros(per_game, np.int32),
        n_seats=np.zeros(per_game, np.int32),
        status=np.zeros((n_games, N_STATUS), np.int32),
        game_number=np.zeros(per_game, np.uint64),
        rules=np.zeros((n_games, N_RULES), np.int32),
        rng=np.zeros((n_games, n_seats + 1), np.uint64),
        owner=np.zeros(per_cell, np.int8),
        army=np.zeros(per_cell, np.int32),
        terrain=np.zeros(per_cell, np.uint8),
        seen_by=np.zeros(per_cell, np.uint16),
        sight=np.zeros((n_games, n_seats, n_cells), np.uint8),
        seen=np.zeros(bitmaps, np.uint64),
        secret=np.zeros(bitmaps, np.uint64),
        mine=np.zeros(bitmaps, np.uint64),
        movable=np.zeros(bitmaps, np.uint64),
        single=np.zeros(bitmaps, np.uint64),
        dirty_army=np.zeros(bitmaps, np.uint64),
        dirty_tile=np.zeros(bitmaps, np.uint64),
        open_to=np.zeros((n_games, words, 4), np.uint64),
        structure=np.zeros(bitmap, np.uint64),
        swamp=np.zeros(bitmap, np.uint64),
        desert=np.zeros(bitmap, np.uint64),
        side=np.zeros(per_seat, np.int8),
        side_seats=np.zeros(per_seat, np.uint16),
        rank=np.zeros((n_games, n_seats, n_seats), np.uint8),
        alive=np.zeros(per_seat, np.uint8),
        general=np.zeros(per_seat, np.int32),
        fallen=np.zeros(per_seat, np.int32),
        total_army=np.zeros(per_seat, np.int32),
        land=np.zeros(per_seat, np.int32),
        neutral_at=np.zeros(per_seat, np.int32),
        last_move=np.zeros(per_seat, np.int32),
        killer=np.zeros(per_seat, np.int8),
        died_at=np.zeros(per_seat, np.int32),
        frames=frames,
        frames16=frames.view(np.uint16),
        frames32=frames.view(np.uint32),
        scratch=np.zeros((SCRATCH_ROWS, MAX_SEATS), np.int64),
        scratch_maps=np.zeros((SCRATCH_BITMAPS, words), np.uint64),
        scratch_rows=np.zeros((SCRATCH_ROW_SETS, MAX_SIDE), np.uint64),
    )


@inline
def view(games: Games, g: int) -> Game:
    """Game `g` of the batch; take it anew after `g` has been reset."""
    height = int64(games.height[g])
    width = int64(games.width[g])
    return Game(
        height,
        width,
        int64(games.n_seats[g]),
        height * width,
        (height * width + 63) >> 6,
        games.status[g],
        games.rules[g],
        games.rng[g],
        games.owner[g],
        games.army[g],
        games.terrain[g],
        games.seen_by[g],
        games.sight[g],
        games.seen[g],
        games.secret[g],
        games.mine[g],
        games.movable[g],
        games.single[g],
        games.dirty_army[g],
        games.dirty_tile[g],
        games.open_to[g],
        games.structure[g],
        games.swamp[g],
        games.desert[g],
        games.side[g],
        games.side_seats[g],
        games.rank[g],
        games.alive[g],
        games.general[g],
        games.fallen[g],
        games.total_army[g],
        games.land[g],
        games.neutral_at[g],
        games.last_move[g],
        games.killer[g],
        games.died_at[g],
        games.frames[g],
        games.frames16[g],
        games.frames32[g],
        games.scratch,
        games.scratch_maps,
    )


@inline
def game_frame_bytes(game: Game) -> int:
    """Bytes of a frame of this game, which may be fewer than the batch has room for."""
    return (score_start(game) + 7 * game.n_seats + 3) & ~3


@inline
def score_start(game: Game) -> int:
    """Offset of the scoreboard within a frame, in bytes."""
    return (3 * game.n_cells + 3) & ~3
