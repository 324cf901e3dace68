"""The action index, and which actions are legal (compiled into kernels, farm.jit).

    index = cell * 8 + direction * 2 + half        pass = 8 * n_cells

Cells are row-major, directions 0 up, 1 down, 2 left, 3 right; half is 1 for half of the army. The
same index is used on the wire, in masks and in replays.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.spec import tiles

ACTIONS_PER_CELL = 8
UP, DOWN, LEFT, RIGHT = 0, 1, 2, 3
N_DIRECTIONS = 4


def n_actions(n_cells: int) -> int:
    """Size of the action space of a board, the pass included."""
    return ACTIONS_PER_CELL * n_cells + 1


def pass_action(n_cells: int) -> int:
    """Index of the action that does nothing."""
    return ACTIONS_PER_CELL * n_cells


def encode_action(cell: int, direction: int, half: int) -> int:
    """Index of a move from `cell` towards `direction`, with half of the army if `half` is 1."""
    return cell * ACTIONS_PER_CELL + direction * 2 + half


def decode_action(action: int) -> tuple[int, int, int]:
    """`(cell, direction, half)` of an index that is not the pass."""
    return action // ACTIONS_PER_CELL, action % ACTIONS_PER_CELL // 2, action % 2


def legal_mask(
    tile: NDArray[np.uint8], army: NDArray[np.uint16], n_allies: int
) -> NDArray[np.bool]:
    """Which actions the rules would carry out, from the observation alone.

    A move is legal from an own cell with army above 1 onto any neighbour that is no mountain, and
    with army 1 only onto a teammate's cell (RULES, Validity). The neighbours of an own cell are
    always in sight, so that the mask is exact. Passing is always legal.

    Args:
        tile: uint8[..., height, width], tile codes, read.
        army: uint16[..., height, width], read.
        n_allies: teammates of the observing seat, itself not counted.

    Returns:
        bool[..., 8 * height * width + 1].
    """
    *batch, height, width = tile.shape
    owner = tile & tiles.OWNER_MASK
    mine = owner == tiles.SELF
    strong = mine & (army > 1)
    open_ground = (tile >> tiles.OWNER_BITS) != tiles.MOUNTAIN
    allied = open_ground & (owner > tiles.SELF) & (owner <= tiles.SELF + n_allies)
    weak = mine & (army == 1)

    mask: NDArray[np.bool] = np.zeros((*batch, n_actions(height * width)), dtype=np.bool_)
    moves = mask[..., :-1].reshape(*batch, height, width, N_DIRECTIONS, 2)
    for direction, (to, start) in enumerate(_SHIFTS):
        legal = strong[start] & open_ground[to]
        if n_allies:
            legal |= weak[start] & allied[to]
        moves[(*start, direction, _ALL)] = legal[..., None]
    mask[..., :-1] = moves.reshape(*batch, -1)
    mask[..., -1] = True
    return mask


def _shift(rows: slice, columns: slice) -> tuple[Any, slice, slice]:
    return (Ellipsis, rows, columns)


_ALL, _HEAD, _TAIL = slice(None), slice(None, -1), slice(1, None)

# For each direction: the cells moved onto, and the cells moved from.
_SHIFTS = (
    (_shift(_HEAD, _ALL), _shift(_TAIL, _ALL)),
    (_shift(_TAIL, _ALL), _shift(_HEAD, _ALL)),
    (_shift(_ALL, _HEAD), _shift(_ALL, _TAIL)),
    (_shift(_ALL, _TAIL), _shift(_ALL, _HEAD)),
)
