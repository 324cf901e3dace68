"""One tick of one game (farm.jit)."""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64
from farm.engine.cells import write_scores
from farm.engine.combat import carry_out
from farm.engine.growth import grow
from farm.engine.leave import (
    apply_limits,
    build_cities,
    discover,
    judge,
    limits_reached,
    neutralise_due,
)
from farm.engine.memory import remember, remembers
from farm.engine.order import order_moves, select_moves
from farm.engine.state import (
    DEATHS,
    FALLEN,
    MAX_TICKS,
    NEVER,
    OUTCOME,
    PLAYING,
    SECRETS,
    TICK,
    TRUNCATED,
    Game,
)
from farm.jit import inline


@inline
def step_game(game: Game, actions: NDArray[np.int32]) -> None:
    """Play one tick: moves, growth, neutralisation, end of the game, scoreboard.

    A game that is over does nothing. Afterwards `game.status[OUTCOME]` and `[WINNER]` say how it
    stands, and `game.killer` and `game.died_at` who was eliminated by whom: those with
    `died_at == status[TICK] - 1` in this tick.

    Args:
        game: the game.
        actions: int32[n_seats], action index of each seat; one that is not legal passes; read.

    Writes:
        game.
    """
    if game.status[OUTCOME] != PLAYING:
        return
    n_moves = select_moves(game, actions)
    order_moves(game, n_moves)
    carry_out(game, n_moves)
    finish_tick(game)


@inline
def finish_tick(game: Game) -> None:
    """Everything of a tick that follows its moves.

    Writes:
        game.
    """
    tick = int64(game.status[TICK]) + 1
    grow(game, tick)
    if _any_leaving(game):
        neutralise_due(game, tick)
    if limits_reached(game, tick):
        apply_limits(game, tick)
    if game.status[FALLEN]:
        build_cities(game)
    if game.status[SECRETS]:
        discover(game)
    if game.status[DEATHS]:
        judge(game)
    # Only now: a death is stamped with the counter before its tick.
    game.status[TICK] = tick
    if game.status[OUTCOME] == PLAYING and tick == game.status[MAX_TICKS]:
        game.status[OUTCOME] = TRUNCATED
    write_scores(game)
    if remembers(game):
        remember(game)


@inline
def _any_leaving(game: Game) -> bool:
    leaving = False
    for seat in range(game.n_seats):
        leaving |= game.neutral_at[seat] != NEVER
    return leaving
