"""Which games are due, and when they are again: parts of the kernels of a host (farm.jit)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.queues import Queues
from farm.engine.state import Games
from farm.games.slots import NO_BOT, Clocks
from farm.jit import inline

BOTS_NS: Final = 1_000_000
"""Between two ticks of a game that nobody but bots plays in lockstep."""


@inline
def find_due(
    games: Games, queues: Queues, clocks: Clocks, now_ns: int, rows: NDArray[np.int64]
) -> tuple[int, int]:
    """Which games are due: how many, and what they are expected to take together.

    Writes:
        rows: the first of it.
    """
    n = all_ns = 0
    for g in range(clocks.runs.size):
        if clocks.runs[g] and _is_due(games, queues, clocks, g, now_ns):
            rows[n] = g
            all_ns += clocks.cost_ns[g]
            n += 1
    return n, all_ns


@inline
def wind(games: Games, clocks: Clocks, g: int, now_ns: int, act_timeout_ns: int) -> None:
    """Set the time of the next tick. A clock that is late goes on from now: no ticks in a row.

    A game in lockstep that asks nobody, as only bots play, takes a rest of BOTS_NS a tick.
    """
    clocks.asked_ns[g] = now_ns
    clocks.acted[g, :] = 0
    if clocks.tick_ns[g]:
        due_ns = clocks.due_ns[g] + clocks.tick_ns[g]
        clocks.due_ns[g] = due_ns if due_ns > now_ns else now_ns + clocks.tick_ns[g]
    else:
        is_asking = False
        for seat in range(games.n_seats[g]):
            is_asking |= bool(games.alive[g, seat]) and clocks.bot[g, seat] == NO_BOT
        clocks.due_ns[g] = now_ns + (act_timeout_ns if is_asking else BOTS_NS)


@inline
def _is_due(games: Games, queues: Queues, clocks: Clocks, g: int, now_ns: int) -> bool:
    if clocks.due_ns[g] <= now_ns:
        return True
    if clocks.tick_ns[g]:
        return False
    n_asked = 0
    for seat in range(games.n_seats[g]):
        if games.alive[g, seat] and clocks.bot[g, seat] == NO_BOT:
            n_asked += 1
            if not clocks.acted[g, seat] and queues.n_orders[g, seat] == 0:
                return False
    return n_asked > 0
