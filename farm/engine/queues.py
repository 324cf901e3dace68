"""Orders that wait: a queue for each seat, for hosted games and replays (farm.jit).

A rollout gives each seat's one action straight to `step_game`; here a player may send many orders
ahead, and each tick takes the first valid one (RULES, steps 1 and 2). A player who is dead has no
valid orders, so a queue empties by itself.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64
from farm.engine.combat import carry_out
from farm.engine.leave import neutralise, surrender
from farm.engine.order import add_move, is_descending, is_valid, order_moves
from farm.engine.state import TICK, Game, Games, view
from farm.engine.step import finish_tick
from farm.jit import inline, kernel

_ORDER_FIELDS = 3


class Queues(NamedTuple):
    """The waiting orders of a batch of games; Q is the capacity of each queue."""

    orders: NDArray[np.int32]
    """int32[n_games, n_seats, Q, 3]: start, destination, half of each order, in a circle."""
    first: NDArray[np.int32]
    """int32[n_games, n_seats]: place of the oldest order."""
    n_orders: NDArray[np.int32]
    """int32[n_games, n_seats]: orders that wait."""


def allocate_queues(n_games: int, n_seats: int, capacity: int) -> Queues:
    """Empty queues of `capacity` orders each."""
    return Queues(
        np.zeros((n_games, n_seats, capacity, _ORDER_FIELDS), np.int32),
        np.zeros((n_games, n_seats), np.int32),
        np.zeros((n_games, n_seats), np.int32),
    )


def try_enqueue(queues: Queues, g: int, seat: int, order: tuple[int, int, int]) -> bool:
    """Add an order (start, destination, half) to a seat's queue, unless the queue is full."""
    capacity = queues.orders.shape[2]
    waiting = int(queues.n_orders[g, seat])
    if waiting == capacity:
        return False
    queues.orders[g, seat, (queues.first[g, seat] + waiting) % capacity] = order
    queues.n_orders[g, seat] += 1
    return True


def forget_orders(queues: Queues, g: int, seat: int) -> None:
    """Empty a seat's queue."""
    queues.first[g, seat] = 0
    queues.n_orders[g, seat] = 0


@kernel
def step_queued(games: Games, queues: Queues, g: int) -> None:
    """Play one tick of game `g` with the orders that wait.

    Whether the game is over is left to the caller: a recording goes on when all have left.

    Writes:
        games: row `g`; queues: row `g`.
    """
    game = view(games, g)
    n_moves = select_orders(game, queues, g)
    order_moves(game, n_moves)
    carry_out(game, n_moves)
    finish_tick(game)


@kernel
def surrender_player(games: Games, g: int, player: int) -> None:
    """Let a player leave between two ticks.

    Writes:
        games: row `g`.
    """
    game = view(games, g)
    surrender(game, player, int64(game.status[TICK]))


@kernel
def neutralise_player(games: Games, g: int, player: int) -> None:
    """Neutralise a player who left, between two ticks: only replays ask for it.

    Writes:
        games: row `g`.
    """
    neutralise(view(games, g), player)


@inline
def select_orders(game: Game, queues: Queues, g: int) -> int:
    """Take orders off each queue until one is valid; see `order.select_moves`."""
    n_moves = 0
    capacity = queues.orders.shape[2]
    descending = is_descending(game)
    for i in range(game.n_seats):
        seat = game.n_seats - 1 - i if descending else i
        chosen = False
        while queues.n_orders[g, seat] > 0 and not chosen:
            order = queues.orders[g, seat, queues.first[g, seat]]
            start, destination, half = int64(order[0]), int64(order[1]), int64(order[2])
            queues.first[g, seat] = (queues.first[g, seat] + 1) % capacity
            queues.n_orders[g, seat] -= 1
            if _adjacent(game, start, destination) and is_valid(game, seat, start, destination):
                add_move(game, n_moves, seat, start, destination, half)
                n_moves += 1
                chosen = True
    return n_moves


@inline
def _adjacent(game: Game, start: int, destination: int) -> bool:
    """Whether both are cells of the board, and neighbours."""
    if not (0 <= start < game.n_cells and 0 <= destination < game.n_cells):
        return False
    if abs(start - destination) == game.width:
        return True
    return abs(start - destination) == 1 and start // game.width == destination // game.width
