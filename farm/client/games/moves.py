"""What a seat does: moves, and everything that an agent may answer in their place."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from farm.errors import GameRejectedError, UsageError
from farm.rpc.v1 import games_pb2
from farm.spec.actions import (
    ACTIONS_PER_CELL,
    DOWN,
    LEFT,
    RIGHT,
    UP,
    decode_action,
    encode_action,
    pass_action,
)


@dataclass(frozen=True, slots=True)
class Move:
    """An army on its way from a cell to the one beside it. Cells are row * width + column."""

    start: int
    end: int
    half: bool = False
    """Half of the army, rounded down, instead of all but one."""


Action: TypeAlias = Move | Sequence[Move] | SupportsIndex | None
"""What an agent answers: a move; moves, made tick by tick in this order; the index of an action
(farm.spec.encode_action); or None, which passes."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What the game said to an action."""

    key: str
    """The action's."""
    tick: int
    """Tick that the game was at; the update of a later tick shows what came of it."""
    queued: int
    """Moves of the seat that wait."""
    error: GameRejectedError | None = None
    """Why it was refused; None if it was accepted, and is in the journal."""


def moves_of(action: Action, height: int, width: int) -> tuple[Move, ...]:
    """The moves of an answer; none for a pass.

    Raises:
        UsageError: it is none of what `Action` says.
    """
    if action is None:
        return ()
    if isinstance(action, Move):
        return (action,)
    if isinstance(action, Sequence) and not isinstance(action, str | bytes):
        if all(isinstance(move, Move) for move in action):
            return tuple(action)
        raise UsageError(f"an action of {action!r}: each of several moves is a Move(start, end)")
    try:
        index = operator.index(action)
    except TypeError:
        raise UsageError(
            f"an action of {action!r}: a Move, several in a list, an index, or None to pass"
        ) from None
    return _moves_of_index(index, height, width)


def move_of(index: int, height: int, width: int) -> Move | None:
    """The move of an action index; None for the pass.

    Raises:
        UsageError: there is no such index, or it leads off the board.
    """
    moves = _moves_of_index(index, height, width)
    return moves[0] if moves else None


def index_of(move: Move, height: int, width: int) -> int:
    """The action index of a move.

    Raises:
        UsageError: its cells are not side by side on the board.
    """
    for direction, step in ((UP, -width), (DOWN, width), (LEFT, -1), (RIGHT, 1)):
        is_beside = move.end == move.start + step
        if is_beside and _stays(move.start, direction, height, width):
            return encode_action(move.start, direction, int(move.half))
    raise UsageError(f"{move} is no step on a board of {height}x{width}")


def action_message(
    moves: Sequence[Move], *, key: str = "", expected_tick: int | None = None, clear: bool = False
) -> games_pb2.Action:
    """An Action as its message.

    Raises:
        UsageError: a cell is no cell of any board.
    """
    try:
        return games_pb2.Action(
            key=key,
            expected_tick=expected_tick,
            clear=clear,
            moves=[
                games_pb2.Move(start=int(move.start), end=int(move.end), half=bool(move.half))
                for move in moves
            ],
        )
    except ValueError as error:
        raise UsageError(f"moves {list(moves)}: {error}") from error


def _moves_of_index(index: int, height: int, width: int) -> tuple[Move, ...]:
    n_cells = height * width
    if index == pass_action(n_cells):
        return ()
    if not 0 <= index < ACTIONS_PER_CELL * n_cells:
        raise UsageError(
            f"no action {index} on {n_cells} cells: 0 to {pass_action(n_cells)}, the pass"
        )
    cell, direction, half = decode_action(index)
    if not _stays(cell, direction, height, width):
        raise UsageError(f"action {index} leads off the board: legal_mask tells which are legal")
    step = {UP: -width, DOWN: width, LEFT: -1, RIGHT: 1}[direction]
    return (Move(cell, cell + step, half=bool(half)),)


def _stays(cell: int, direction: int, height: int, width: int) -> bool:
    """Whether a step from a cell stays on the board."""
    row, column = divmod(cell, width)
    if not 0 <= row < height:
        return False
    return {
        UP: row > 0,
        DOWN: row < height - 1,
        LEFT: column > 0,
        RIGHT: column < width - 1,
    }[direction]
