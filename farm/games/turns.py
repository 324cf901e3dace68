"""Ticks: one kernel call plays all that are due; here is what follows from them, game by game."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from farm.config.schema import RewardConfig
from farm.engine import rewards
from farm.engine.state import OUTCOME
from farm.games import kernels
from farm.games.events import Kind, TicksPlayed
from farm.games.game import HostedGame
from farm.games.journal import Played
from farm.games.lifecycle import Phase
from farm.games.register import Register
from farm.games.scripts import NO_SCRIPT, Script
from farm.games.slots import NO_BOT
from farm.replay.journal import SeatMove
from farm.spec.actions import DOWN, LEFT, N_DIRECTIONS, UP

_KINDS: Mapping[int, Kind] = {
    kernels.ELIMINATED: Kind.PLAYER_ELIMINATED,
    kernels.GENERAL_TAKEN: Kind.GENERAL_CAPTURED,
    kernels.CITY_TAKEN: Kind.CITY_CAPTURED,
}
_NO_MOVES: tuple[SeatMove, ...] = ()
_TICK_NS: Final = 50
"""Of a tick, for each cell and seat: 120 games of 64x64 cells and 16 hunters took 450 ms together,
on a busy machine of two cores."""
_SHARE: Final = 2
"""Games that nobody but bots plays take one part in so many of the time."""


class Turns:
    """Plays what is due.

    Attributes:
        has_more: a game in lockstep that played in the last call waits for nobody again, as moves
            of all its agents wait.

    Args:
        register: the games.
        reward: what a tick is worth.
    """

    def __init__(self, register: Register, reward: RewardConfig) -> None:
        n_slots = register.slots.n_slots
        self._register = register
        self.has_more = False
        self._rows = np.zeros(n_slots, np.int64)
        self._happened = np.zeros((n_slots * kernels.MAX_HAPPENINGS, kernels.N_COLUMNS), np.int32)
        self._counts = np.zeros(2, np.int64)
        self.follow(reward)

    def follow(self, reward: RewardConfig) -> None:
        """What a tick is worth from now on."""
        self._weights = rewards.of_names(structs.asdict(reward))
        self._is_shaped = rewards.is_shaped(self._weights)

    def play(self, now_ns: int, wall_ns: int, act_timeout_ns: int) -> int:
        """Play a tick of every game that is due; how many did."""
        self._advance(now_ns, act_timeout_ns)
        n_rows, n_happened = self._counts.tolist()
        self.has_more = False
        if n_rows:
            rows = self._rows[:n_rows].copy()
            self._make_wait(rows, now_ns)
            self._follow_up(rows, n_happened, now_ns, wall_ns)
            self.has_more = self._is_any_ready(rows)
        return int(n_rows)

    def _make_wait(self, rows: NDArray[np.int64], now_ns: int) -> None:
        """Have games that only bots play wait in their turn, however many: no agent shall for them.

        Args:
            rows: int64[n], that have played.
            now_ns: monotonic.
        """
        slots = self._register.slots
        games, clocks = slots.games, slots.clocks
        agents = (clocks.bot == NO_BOT) & (games.alive > 0)
        agents &= np.arange(agents.shape[1]) < games.n_seats[:, None]
        is_idle = (clocks.runs > 0) & ~agents.any(axis=1)
        some = rows[is_idle[rows]]
        if not some.size:
            return
        costs = _SHARE * _TICK_NS * games.height * games.width * games.n_seats.astype(np.int64)
        # One behind the other, so that from the next round on each comes alone.
        turn_ns = costs[is_idle].sum() + np.cumsum(costs[some]) - costs[some]
        clocks.due_ns[some] = np.maximum(clocks.due_ns[some], now_ns + turn_ns)

    def play_again(self, game: HostedGame, script: Script) -> None:
        """Play a game as it was played before, while no clock runs.

        Raises:
            ValueError: no game can be played like that.
        """
        done = 0
        while done < script.steps.shape[0]:
            n_steps = self._advance(0, 0, script._replace(steps=script.steps[done:]))
            n_ticks, n_happened = self._counts.tolist()
            if not n_steps and not n_happened:
                raise ValueError(
                    "a tick after the end of the game, or more moves of a seat than games.max_queue"
                )
            done += n_steps
            until = game.tick + n_ticks
            for _row, *happened in self._happened[:n_happened].tolist():
                game.tick = happened[-1]
                self._tell(game, *happened)
            game.tick = until

    def _advance(self, now_ns: int, act_timeout_ns: int, script: Script = NO_SCRIPT) -> int:
        slots = self._register.slots
        return kernels.advance(
            slots.games,
            slots.queues,
            slots.clocks,
            self._weights,
            self._is_shaped,
            now_ns,
            act_timeout_ns,
            script,
            self._rows,
            self._happened,
            self._counts,
        )

    def _follow_up(
        self, rows: NDArray[np.int64], n_happened: int, now_ns: int, wall_ns: int
    ) -> None:
        register = self._register
        by_row = register.by_row
        playing = self._write(rows, now_ns, wall_ns)
        if len(playing) != rows.size:
            rows = np.array([game.row for game in playing], np.int64)
        for game in playing:
            game.tick += 1
        for row, *happened in self._happened[:n_happened].tolist():
            game = by_row[row]
            if game is None or game.is_over:
                continue
            try:
                self._tell(game, *happened)
            except Exception as error:  # noqa: BLE001 - one game's fault is that game's end
                register.fail(game, error, now_ns, wall_ns)
        register.bus.tell_ticks(TicksPlayed(rows, playing))
        over = register.slots.games.status[rows, OUTCOME].nonzero()[0]
        for index in over.tolist():
            game = playing[index]
            try:
                if game.is_open:
                    register.end(game, Phase.ENDED, now_ns, wall_ns, "")
            except Exception as error:  # noqa: BLE001 - likewise
                register.fail(game, error, now_ns, wall_ns)

    def _is_any_ready(self, rows: NDArray[np.int64]) -> bool:
        """Whether one of these in lockstep has moves of every living agent waiting already."""
        slots = self._register.slots
        n_orders = slots.queues.n_orders[rows]
        if not n_orders.any():
            return False
        clocks = slots.clocks
        asked = (slots.games.alive[rows] > 0) & (clocks.bot[rows] == NO_BOT)
        is_ready = asked.any(1) & ~(asked & (n_orders == 0)).any(1)
        return bool((is_ready & (clocks.tick_ns[rows] == 0) & (clocks.runs[rows] > 0)).any())

    def _write(self, rows: NDArray[np.int64], now_ns: int, wall_ns: int) -> list[HostedGame]:
        """Have the ticks in the journal before anybody is told of them.

        Returns:
            The games that go on: all, but those whose tick is not written.
        """
        by_row = self._register.by_row
        games = [game for row in rows.tolist() if (game := by_row[row]) is not None]
        journal = self._register.journal
        if journal is None:
            return games
        moves = self._unwritten(rows)
        played = [
            Played(game.game_id, game.tick, moves.get(index, _NO_MOVES))
            for index, game in enumerate(games)
        ]
        for game_id, error in journal.ticked(played):
            self._register.fail(self._register.by_id[game_id], error, now_ns, wall_ns)
        return [game for game in games if game.is_open]

    def _unwritten(self, rows: NDArray[np.int64]) -> dict[int, list[SeatMove]]:
        """By place in `rows`, the orders of the tick that the journal does not have yet."""
        slots = self._register.slots
        places, seats = slots.clocks.unwritten[rows].nonzero()
        if not places.size:
            return {}
        taken = rows[places]
        actions = slots.clocks.chosen[taken, seats]
        starts, directions, halves = actions >> 3, (actions >> 1) & (N_DIRECTIONS - 1), actions & 1
        widths = slots.games.width[taken]
        sideways = np.where(directions == LEFT, -1, 1)
        steps = np.where(directions == UP, -widths, np.where(directions == DOWN, widths, sideways))
        moves: dict[int, list[SeatMove]] = {}
        for place, *move in zip(
            places.tolist(),
            seats.tolist(),
            starts.tolist(),
            (starts + steps).tolist(),
            halves.tolist(),
            strict=True,
        ):
            moves.setdefault(place, []).append(tuple(move))
        return moves

    def _tell(
        self, game: HostedGame, what: int, who: int, by: int, cell: int, viewers: int, _tick: int
    ) -> None:
        if what == kernels.GENERAL_TAKEN:
            game.seats[by].kills += 1
        if cell < 0:
            self._register.tell(game, _KINDS[what], seat=who, by=by if by >= 0 else None)
            return
        self._register.tell(
            game,
            _KINDS[what],
            seat=who if who >= 0 else None,
            by=by,
            cell=cell,
            seen_by=0xFFFF if game.spec.no_fog else viewers,
        )
