"""The `random` policy: exactly uniform over the legal actions (farm.jit).

Passing is always legal and is left out unless nothing else is.
"""

import math

import numpy as np

from farm.engine.bits import ZERO, nth_set, popcount, word_ahead, word_behind
from farm.engine.rng import below
from farm.engine.state import Game
from farm.jit import inline
from farm.policies.registry import policy_info
from farm.spec.actions import ACTIONS_PER_CELL, DOWN, LEFT, N_DIRECTIONS, UP

INFO = policy_info("random")


@inline
def act(game: Game, seat: int) -> tuple[int, float]:
    """Draw a legal action of the seat.

    Args:
        game: the seat's bitmaps and stream are used.
        seat: the acting seat.

    Returns:
        Action index, and the natural logarithm of its probability.

    Writes:
        game.rng.
    """
    allies = popcount(np.uint64(game.side_seats[game.side[seat]])) > 1
    n_moves = 0
    for word in range(game.n_words):
        for direction in range(N_DIRECTIONS):
            n_moves += popcount(_starts(game, seat, word, direction, allies))
    if n_moves == 0:
        return ACTIONS_PER_CELL * game.n_cells, 0.0
    pick = below(game.rng, seat, 2 * n_moves)
    half = pick & 1
    pick >>= 1
    for word in range(game.n_words):
        for direction in range(N_DIRECTIONS):
            starts = _starts(game, seat, word, direction, allies)
            here = popcount(starts)
            if pick < here:
                cell = (word << 6) + nth_set(starts, pick)
                action = cell * ACTIONS_PER_CELL + direction * 2 + half
                return action, -math.log(2.0 * n_moves)
            pick -= here
    return ACTIONS_PER_CELL * game.n_cells, 0.0


@inline
def _starts(game: Game, seat: int, word: int, direction: int, allies: bool) -> np.uint64:  # noqa: FBT001 - compiled
    """Cells of one word from which the seat may move in a direction."""
    starts: np.uint64 = game.movable[seat, word]
    if allies:
        starts |= game.single[seat, word] & _next_to_allies(game, seat, word, direction)
    starts &= game.open_to[word, direction]
    return starts


@inline
def _next_to_allies(game: Game, seat: int, word: int, direction: int) -> np.uint64:
    """Cells of one word whose neighbour in a direction is a teammate's; edges are not minded."""
    found: np.uint64 = ZERO
    for other in range(game.n_seats):
        if other != seat and game.side[other] == game.side[seat]:
            theirs = game.mine[other]
            if direction == UP:
                found |= word_behind(theirs, word, game.width)
            elif direction == DOWN:
                found |= word_ahead(theirs, game.n_words, word, game.width)
            elif direction == LEFT:
                found |= word_behind(theirs, word, 1)
            else:
                found |= word_ahead(theirs, game.n_words, word, 1)
    return found
