"""Which moves a tick carries out, and in which order (RULES, steps 2 and 3; farm.jit).

The moves of a tick stand in `game.scratch`, a row for each of the columns below.
"""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64
from farm.engine.rules import ORDER, ORDER_BY_SEAT, ORDER_OFFICIAL
from farm.engine.state import TICK, Game
from farm.jit import inline
from farm.spec import tiles
from farm.spec.actions import ACTIONS_PER_CELL, DOWN, LEFT, UP

# Rows of `scratch`.
SEAT = 0
START = 1
DESTINATION = 2
HALF = 3
KEY = 4
"""Sort key: class, onto a general, army (larger first), base priority; smaller goes first."""
SEQUENCE = 5
"""Column of the k-th move to carry out."""
BLOCKERS = 6
"""Bit j is set when move j ends on the start of this one, head-on pairs not counted."""

_CLASS_SHIFT = 41
_GENERAL_SHIFT = 40
_ARMY_SHIFT = 8
_ARMY_LIMIT = (1 << 32) - 1


@inline
def select_moves(game: Game, actions: NDArray[np.int32]) -> int:
    """Collect the valid moves in order of base priority.

    Args:
        game: read; its scratch is written.
        actions: int32[n_seats], action index of each seat (spec.actions), read.

    Returns:
        Number of moves in `game.scratch`.
    """
    n_moves = 0
    n_seats = game.n_seats
    descending = is_descending(game)
    for i in range(n_seats):
        seat = n_seats - 1 - i if descending else i
        action = int64(actions[seat])
        if action < 0 or action >= ACTIONS_PER_CELL * game.n_cells:
            continue
        start = action >> 3
        destination = neighbour(game, start, (action >> 1) & 3)
        if destination >= 0 and is_valid(game, seat, start, destination):
            add_move(game, n_moves, seat, start, destination, action & 1)
            n_moves += 1
    return n_moves


@inline
def is_descending(game: Game) -> bool:
    """Whether the seats take their turn from the last to the first in this tick."""
    return bool(game.status[TICK] & 1 == 1 and game.rules[ORDER] != ORDER_BY_SEAT)


@inline
def add_move(game: Game, i: int, seat: int, start: int, destination: int, half: int) -> None:
    """Put a valid move into column `i`, the place of its base priority, with its sort key.

    Writes:
        game.scratch.
    """
    moves = game.scratch
    moves[SEAT, i] = seat
    moves[START, i] = start
    moves[DESTINATION, i] = destination
    moves[HALF, i] = half
    owner = int64(game.owner[destination])
    hostile = int64(not is_friendly(game, seat, owner))
    general = int64(owner >= 0 and game.general[owner] == destination)
    army = _ARMY_LIMIT - int64(game.army[start])
    moves[KEY, i] = (
        (hostile << _CLASS_SHIFT) | (general << _GENERAL_SHIFT) | (army << _ARMY_SHIFT) | i
    )


@inline
def neighbour(game: Game, cell: int, direction: int) -> int:
    """The cell next to `cell` in a direction, or -1 off the board."""
    if direction == UP:
        return cell - game.width if cell >= game.width else -1
    if direction == DOWN:
        return cell + game.width if cell + game.width < game.n_cells else -1
    column = cell % game.width
    if direction == LEFT:
        return cell - 1 if column > 0 else -1
    return cell + 1 if column + 1 < game.width else -1


@inline
def is_friendly(game: Game, seat: int, owner: int) -> bool:
    """Whether cells of `owner` (a seat or a negative code) are the seat's or a teammate's."""
    return owner >= 0 and game.side[owner] == game.side[seat]


@inline
def is_valid(game: Game, seat: int, start: int, destination: int) -> bool:
    """Whether the rules carry out a move between these adjacent cells."""
    if game.owner[start] != seat or not game.alive[seat]:
        return False
    if game.terrain[destination] == tiles.MOUNTAIN:
        return False
    owner = int64(game.owner[destination])
    return game.army[start] > 1 or (
        game.army[start] == 1 and owner != seat and is_friendly(game, seat, owner)
    )


@inline
def order_moves(game: Game, n_moves: int) -> None:
    """Bring the moves in `game.scratch` into their order of execution.

    Writes:
        game.scratch: row SEQUENCE.
    """
    moves = game.scratch
    for i in range(n_moves):
        moves[SEQUENCE, i] = i
    if n_moves <= 1 or game.rules[ORDER] != ORDER_OFFICIAL:
        return
    for i in range(1, n_moves):
        column = moves[SEQUENCE, i]
        j = i
        while j > 0 and moves[KEY, moves[SEQUENCE, j - 1]] > moves[KEY, column]:
            moves[SEQUENCE, j] = moves[SEQUENCE, j - 1]
            j -= 1
        moves[SEQUENCE, j] = column
    if _find_blockers(game, n_moves):
        _resolve_blockers(game, n_moves)


@inline
def _find_blockers(game: Game, n_moves: int) -> bool:
    moves = game.scratch
    found = False
    for i in range(n_moves):
        blockers = int64(0)
        for j in range(n_moves):
            ends_here = moves[DESTINATION, j] == moves[START, i]
            if ends_here and moves[DESTINATION, i] != moves[START, j]:
                blockers |= int64(1) << j
        moves[BLOCKERS, i] = blockers
        found |= blockers != 0
    return found


@inline
def _resolve_blockers(game: Game, n_moves: int) -> None:
    """Output, again and again, the first move whose start no other remaining move ends on."""
    moves = game.scratch
    remaining = (int64(1) << n_moves) - 1
    for k in range(n_moves):
        # Row SEQUENCE from k on holds the remaining moves in sorted order.
        pick = k
        for j in range(k, n_moves):
            if moves[BLOCKERS, moves[SEQUENCE, j]] & remaining == 0:
                pick = j
                break
        column = moves[SEQUENCE, pick]
        for j in range(pick, k, -1):
            moves[SEQUENCE, j] = moves[SEQUENCE, j - 1]
        moves[SEQUENCE, k] = column
        remaining &= ~(int64(1) << column)
