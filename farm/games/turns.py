"""Ticks: one kernel call plays what is due; here is what follows from it, game by game.

A call plays all, or so much of it as is expected to take ROUND_NS, ALONE_NS where all games are of
one client: then actions are taken and streams are served, and the next call plays more. Whose games
come first is in shares.py.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from farm.config.schema import RewardConfig
from farm.engine import rewards
from farm.engine.state import OUTCOME
from farm.games import kernels
from farm.games.bus import TicksPlayed
from farm.games.events import Kind
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
ROUND_NS: Final = 4_000_000
"""What one call may be expected to take, with what it sets off: a game of another client waits for
the rest of one, and plays in the next."""
ALONE_NS: Final = 10_000_000
"""The same where there is no other client: 256 duels of one learner, 3 ms, are not torn apart."""
_SHARE: Final = 2
"""Games that nobody but bots plays take one part in so many of the time."""


class Turns:
    """Plays what is due.

    Attributes:
        has_more: the last call left something that is due, or a game in lockstep that played in
            it waits for nobody again, as moves of all its agents wait.

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
        self._counts = np.zeros(3, np.int64)
        self.follow(reward)

    def follow(self, reward: RewardConfig) -> None:
        """What a tick is worth from now on."""
        self._weights = rewards.of_names(structs.asdict(reward))
        self._is_shaped = rewards.is_shaped(self._weights)

    def play(self, now_ns: int, wall_ns: int, act_timeout_ns: int) -> int:
        """Play a tick of games that are due, of all unless that takes too long; how many did."""
        most_ns = ROUND_NS if self._register.shares.n_clients > 1 else ALONE_NS
        self._advance(now_ns, act_timeout_ns, most_ns=most_ns)
        n_rows, n_happened, n_due = self._counts.tolist()
        if n_due > n_rows:
            n_chosen = self._choose(n_due, most_ns)
            self._advance(now_ns, act_timeout_ns, n_chosen=n_chosen)
            n_rows, n_happened, _ = self._counts.tolist()
        self.has_more = n_due > n_rows
        if n_rows:
            rows = self._rows[:n_rows].copy()
            self._register.shares.charge(rows, self._register.slots.clocks.cost_ns[rows])
            self._make_wait(rows, now_ns)
            self._follow_up(rows, n_happened, now_ns, wall_ns)
            self.has_more = self.has_more or self._is_any_ready(rows)
        return int(n_rows)

    def settle(self, took_ns: int) -> None:
        """Say how long the last call took, with what it set off."""
        register = self._register
        register.shares.settle(register.slots.clocks.cost_ns, took_ns)

    def _choose(self, n_due: int, most_ns: int) -> int:
        """Have those that play in front of the rows that are due; how many."""
        clocks, due = self._register.slots.clocks, self._rows[:n_due]
        chosen = self._register.shares.choose(
            due, clocks.cost_ns[due], clocks.asked_ns[due], most_ns
        )
        self._rows[: chosen.size] = chosen
        return int(chosen.size)

    def _make_wait(self, rows: NDArray[np.int64], now_ns: int) -> None:
        """Have games that only bots play rest as long as they took: no agent shall wait for them.

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
        until_ns = now_ns + _SHARE * int(clocks.cost_ns[some].sum())
        clocks.due_ns[is_idle] = np.maximum(clocks.due_ns[is_idle], until_ns)

    def play_again(self, game: HostedGame, script: Script) -> None:
        """Play a game as it was played before, while no clock runs.

        Raises:
            ValueError: no game can be played like that.
        """
        done = 0
        while done < script.steps.shape[0]:
            n_steps = self._advance(0, 0, script._replace(steps=script.steps[done:]))
            n_ticks, n_happened, _ = self._counts.tolist()
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

    def _advance(
        self,
        now_ns: int,
        act_timeout_ns: int,
        script: Script = NO_SCRIPT,
        *,
        most_ns: int = 0,
        n_chosen: int = 0,
    ) -> int:
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
            most_ns,
            n_chosen,
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
        self._tell_ticks(TicksPlayed(rows, playing), now_ns, wall_ns)
        over = register.slots.games.status[rows, OUTCOME].nonzero()[0]
        for index in over.tolist():
            game = playing[index]
            try:
                if game.is_open:
                    register.end(game, Phase.ENDED, now_ns, wall_ns, "")
            except Exception as error:  # noqa: BLE001 - likewise
                register.fail(game, error, now_ns, wall_ns)

    def _tell_ticks(self, played: TicksPlayed, now_ns: int, wall_ns: int) -> None:
        register = self._register
        for error in register.bus.tell_ticks(played):
            register.report(None, error)
        for game, error in played.faults:
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
