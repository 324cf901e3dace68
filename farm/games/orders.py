"""Whether a seat may ask for these moves, by what its own frame shows and nothing else. Pure.

What lies in the fog is accepted whatever it is: a refusal would tell what it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.errors import GameError
from farm.spec import tiles

Move = tuple[int, int, int]
"""Start, end, half."""


class Action(NamedTuple):
    """What a seat asks for; no moves: it passes."""

    key: str = ""
    expected_tick: int | None = None
    clear: bool = False
    moves: tuple[Move, ...] = ()


class Sight(NamedTuple):
    """What a seat sees of the board."""

    height: int
    width: int
    army: NDArray[np.uint16]
    """uint16[n_cells]."""
    tile: NDArray[np.uint8]
    """uint8[n_cells]."""
    n_allies: int


def sight_of(frame: NDArray[np.uint8], height: int, width: int, n_allies: int) -> Sight:
    """The board of a frame (spec.observation)."""
    n = height * width
    return Sight(height, width, frame[: 2 * n].view("<u2"), frame[2 * n : 3 * n], n_allies)


def check_moves(sight: Sight, moves: Sequence[Move], *, is_next: bool) -> None:
    """Refuse moves that cannot be; all of a request or none.

    Args:
        sight: of the seat.
        moves: in their order.
        is_next: whether nothing waits before them, so that the first is for the next tick.

    Raises:
        GameError: with the number of the move.
    """
    for number, (start, end, _) in enumerate(moves):
        _check_move(sight, number, start, end)
        if number == 0 and is_next:
            _check_owner(sight, start)
        _check_ground(sight, number, end)
        if number == 0 and is_next:
            _check_army(sight, start, end)


def _check_move(sight: Sight, number: int, start: int, end: int) -> None:
    n_cells = sight.height * sight.width
    for cell in (start, end):
        if not 0 <= cell < n_cells:
            raise GameError(
                "OFF_BOARD",
                f"cell {cell} on a board of {sight.height}x{sight.width} cells",
                move=number,
            )
    step = abs(start - end)
    beside = step == 1 and start // sight.width == end // sight.width
    if step != sight.width and not beside:
        raise GameError("NOT_ADJACENT", f"cells {start} and {end} are no neighbours", move=number)


def _check_owner(sight: Sight, start: int) -> None:
    if sight.tile[start] & tiles.OWNER_MASK != tiles.SELF:
        raise GameError("NOT_YOUR_CELL", f"cell {start} is not yours")


def _check_ground(sight: Sight, number: int, end: int) -> None:
    if sight.tile[end] >> tiles.OWNER_BITS == tiles.MOUNTAIN:
        raise GameError("MOUNTAIN", f"cell {end} is a mountain", move=number)


def _check_army(sight: Sight, start: int, end: int) -> None:
    army = int(sight.army[start])
    owner = int(sight.tile[end]) & tiles.OWNER_MASK
    is_ally = tiles.SELF < owner <= tiles.SELF + sight.n_allies
    if army > 1 or (army == 1 and is_ally):
        return
    raise GameError("NOTHING_TO_MOVE", f"cell {start} has an army of {army}")
