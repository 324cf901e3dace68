"""The slots of a host: one batch of engine games, and beside it what the clock goes by (farm.jit).

A game has a row while it is open; what is kept of it afterwards is a copy. Kernels and the host
write here, everybody else reads. G slots, S seats of the largest game, B bytes of a frame.
"""

import heapq
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.config.schema import GamesConfig
from farm.engine.queues import Queues, allocate_queues
from farm.engine.rewards import N_STOCK
from farm.engine.state import Games, allocate
from farm.errors import GameError
from farm.spec.limits import MAX_SEATS

NO_BOT: Final = -1
"""In place of a policy's code: an agent plays, or nobody."""
N_BEFORE: Final = 6
"""Rows of `Clocks.before`."""
STILL: Final = np.iinfo(np.int64).max
"""In place of a time: not by itself."""


class Clocks(NamedTuple):
    """What decides when a slot plays a tick, and what came of the last one."""

    runs: NDArray[np.uint8]
    """uint8[G]: 1 while the game runs."""
    tick_ns: NDArray[np.int64]
    """int64[G]: length of a tick; 0 in lockstep."""
    due_ns: NDArray[np.int64]
    """int64[G]: monotonic time at which the next tick is played whoever has acted; STILL for never
    by itself."""
    asked_ns: NDArray[np.int64]
    """int64[G]: since when the game waits for actions of this tick."""
    cost_ns: NDArray[np.int64]
    """int64[G]: what a tick is expected to take, with what it sets off."""
    acted: NDArray[np.uint8]
    """uint8[G, S]: 1 where the seat has acted for this tick."""
    bot: NDArray[np.int32]
    """int32[G, S]: code of the policy that plays the seat, or NO_BOT."""
    written: NDArray[np.int32]
    """int32[G, S]: so many orders at the front of the seat's queue are in the journal."""
    chosen: NDArray[np.int32]
    """int32[G, S]: what the seat did in the last tick, as an action index."""
    unwritten: NDArray[np.uint8]
    """uint8[G, S]: 1 where that was an order that the journal does not have."""
    reward: NDArray[np.float32]
    """float32[G, S]: what that was worth."""
    accepted: NDArray[np.int64]
    """int64[G, S]: actions taken."""
    rejected: NDArray[np.int64]
    """int64[G, S]: packed actions that were not legal."""
    act_ns: NDArray[np.int64]
    """int64[G, S, 3]: times to act: sum, longest, how many."""
    clear: NDArray[np.uint8]
    """uint8[G, S, B]: the whole board as each seat would see it, of games without fog."""
    shows_all: NDArray[np.uint8]
    """uint8[G]: 1 where there is no fog."""
    stock: NDArray[np.int32]
    """int32[S, N_STOCK]: of the tick in the making; of no game."""
    before: NDArray[np.int64]
    """int64[N_BEFORE, MAX_SEATS]: what happened is told from it (kernels.py), likewise."""


class Slots:
    """Rows for games.

    Attributes:
        games: the boards.
        queues: orders that wait.
        clocks: see there.

    Args:
        config: how many games there can be, and how large.
    """

    def __init__(self, config: GamesConfig) -> None:
        n_games, n_seats = config.max_games, config.max_seats
        self.games: Games = allocate(n_games, config.max_side**2, n_seats)
        self.queues: Queues = allocate_queues(n_games, n_seats, config.max_queue)
        per_seat = (n_games, n_seats)
        self.clocks = Clocks(
            runs=np.zeros(n_games, np.uint8),
            tick_ns=np.zeros(n_games, np.int64),
            due_ns=np.full(n_games, STILL, np.int64),
            asked_ns=np.zeros(n_games, np.int64),
            cost_ns=np.zeros(n_games, np.int64),
            acted=np.zeros(per_seat, np.uint8),
            bot=np.full(per_seat, NO_BOT, np.int32),
            written=np.zeros(per_seat, np.int32),
            chosen=np.zeros(per_seat, np.int32),
            unwritten=np.zeros(per_seat, np.uint8),
            reward=np.zeros(per_seat, np.float32),
            accepted=np.zeros(per_seat, np.int64),
            rejected=np.zeros(per_seat, np.int64),
            act_ns=np.zeros((*per_seat, 3), np.int64),
            clear=np.zeros_like(self.games.frames),
            shows_all=np.zeros(n_games, np.uint8),
            stock=np.zeros((n_seats, N_STOCK), np.int32),
            before=np.zeros((N_BEFORE, MAX_SEATS), np.int64),
        )
        self._free = list(range(n_games))
        self.n_slots = n_games

    @property
    def n_taken(self) -> int:
        """Rows that have a game."""
        return self.n_slots - len(self._free)

    def take(self) -> int:
        """The lowest free row, empty.

        Raises:
            GameError: LIMIT, all have a game.
        """
        if not self._free:
            raise GameError(
                "LIMIT",
                f"{self.n_slots} games are open (games.max_games); try again when one has ended",
                retry_after_s=1.0,
            )
        row = heapq.heappop(self._free)
        self._clear(row)
        return row

    def give_back(self, row: int) -> None:
        """The game of a row needs it no longer."""
        self.clocks.runs[row] = 0
        self.clocks.due_ns[row] = STILL
        self.games.n_seats[row] = 0
        heapq.heappush(self._free, row)

    def frames(self, row: int) -> NDArray[np.uint8]:
        """uint8[S, B]: what the seats of a row are shown."""
        frames: NDArray[np.uint8] = (
            self.clocks.clear[row] if self.clocks.shows_all[row] else self.games.frames[row]
        )
        return frames

    def _clear(self, row: int) -> None:
        clocks, queues = self.clocks, self.queues
        clocks.runs[row] = 0
        clocks.due_ns[row] = STILL
        clocks.bot[row] = NO_BOT
        for array in (
            clocks.acted,
            clocks.written,
            clocks.chosen,
            clocks.unwritten,
            clocks.reward,
            clocks.accepted,
            clocks.rejected,
            clocks.act_ns,
            clocks.shows_all,
            queues.first,
            queues.n_orders,
        ):
            array[row] = 0
