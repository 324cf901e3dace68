"""What each seat has seen: its memory, where the games were allocated with one (farm.jit).

A memory follows from the seat's frames alone (spec.observation), so that it cannot know more than
they did. It is brought up to date at the end of a tick, from the frame: what came into sight and
was lost again within a tick was never shown, and is not remembered. That takes a pass over the
cells, without a branch; games without a memory pay for one comparison a tick.
"""

import numpy as np
from numpy.typing import NDArray

from farm.engine.state import Game, score_start
from farm.jit import inline
from farm.spec import tiles

_OWNER = np.uint8(tiles.OWNER_MASK)
_FOG = np.uint8(tiles.FOG)
_NEVER_SEEN = np.uint8(tiles.NEVER_SEEN)


@inline
def remembers(game: Game) -> bool:
    """Whether the game keeps a memory."""
    return bool(game.memory_tile.shape[1] > 0)


@inline
def remember(game: Game) -> None:
    """Take what each seat's frame shows into its memory.

    Writes:
        game.memory_tile, game.memory_army.
    """
    n = game.n_cells
    for seat in range(game.n_seats):
        # Rows as arrays of their own, all of a cell loaded before the choice: so it is vectorised,
        # 22 ns for 400 cells instead of 240.
        tile, old_tile = game.frames[seat, 2 * n : 3 * n], game.memory_tile[seat]
        army, old_army = game.frames16[seat], game.memory_army[seat]
        for cell in range(n):
            new, old = army[cell], old_army[cell]
            old_army[cell] = new if (tile[cell] & _OWNER) != _FOG else old
        for cell in range(n):
            shown, known = tile[cell], old_tile[cell]
            old_tile[cell] = shown if (shown & _OWNER) != _FOG else known


@inline
def write_memory(game: Game, seat: int, out: NDArray[np.uint8], out16: NDArray[np.uint16]) -> None:
    """Write what a seat remembers and does not see now, as a trajectory carries it.

    Args:
        game: read.
        seat: whose memory.
        out: uint8[at least memory_bytes] (spec.observation).
        out16: the same memory.

    Writes:
        out.
    """
    tile_start = 2 * game.n_cells
    for cell in range(game.n_cells):
        in_sight = (game.frames[seat, tile_start + cell] & _OWNER) != _FOG
        out16[cell] = np.uint16(0) if in_sight else game.memory_army[seat, cell]
        out[tile_start + cell] = _NEVER_SEEN if in_sight else game.memory_tile[seat, cell]
    for index in range(3 * game.n_cells, score_start(game)):
        out[index] = 0
