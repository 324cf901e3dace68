"""How an agent is led through one game: what it is told, and when it is due to act. Pure.

It acts once for each tick that waits for it. While an action has no answer it is not asked again,
and an answer that came at tick T makes updates up to T old: only a later one can show what came
of it. In lockstep the action names the tick that it was chosen at, so that the game refuses it
where it has gone on meanwhile; a timed game takes it whenever it comes.

What the game refuses costs that tick: the agent is told and passes, since a lockstep game would
wait for it else.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from farm.client.games.moves import Action, ActionResult, Move, moves_of
from farm.client.games.observation import GameObservation, GameUpdate
from farm.client.games.values import Phase
from farm.errors import GameRejectedError
from farm.spec.limits import TICKS_PER_TURN

Hook: TypeAlias = Literal["on_start", "on_update"]
_LATER: Final = frozenset({"WRONG_PHASE", "SEAT_DEAD", "GAME_FULL", "UNKNOWN_GAME"})
"""Refusals after which a pass would be refused too."""


@dataclass(frozen=True, slots=True)
class GameResult:
    """How a game went for one agent."""

    game_id: int
    seat: int
    phase: Phase
    """ENDED; or CANCELLED or ERROR, for a game that nobody won."""
    winners: tuple[int, ...]
    """Seats of the side that won; none if nobody did."""
    ticks: int
    actions: int
    """Accepted, passes among them."""
    refused: Mapping[str, int]
    """Refused actions, by reason."""

    @property
    def won(self) -> bool:
        """Whether this seat's side did."""
        return self.seat in self.winners

    @property
    def turns(self) -> int:
        """Length of the game: two ticks each."""
        return self.ticks // TICKS_PER_TURN


class Order(NamedTuple):
    """What to send."""

    moves: tuple[Move, ...]
    expected_tick: int | None


class Conduct:
    """One agent in one game.

    Args:
        game_id: of the game.
        seat: of the agent.
        lockstep: whether the game waits for everybody.
    """

    def __init__(self, game_id: int, seat: int, *, lockstep: bool) -> None:
        self._game_id = game_id
        self._seat = seat
        self._lockstep = lockstep
        self._latest: GameUpdate | None = None
        self._is_started = False
        self._is_waiting = False
        self._must_pass = False
        self._has_passed = False
        self._next_tick = 0
        self._n_accepted = 0
        self._refused: Counter[str] = Counter()

    def updated(self, update: GameUpdate) -> tuple[tuple[Hook, GameObservation], ...]:
        """An update came: which hooks to call with what."""
        if self._latest is None or update.tick != self._latest.tick:
            self._must_pass = False
        self._latest = update
        if not isinstance(update, GameObservation):
            return ()
        self._seat = update.seat
        hooks: tuple[tuple[Hook, GameObservation], ...] = (("on_update", update),)
        if not self._is_started:
            self._is_started = True
            hooks = (("on_start", update), *hooks)
        return hooks

    def due(self) -> GameObservation | None:
        """What to choose an action by; None if none is due."""
        if self._is_waiting or self._must_pass or not self._is_open():
            return None
        assert isinstance(self._latest, GameObservation)
        return self._latest

    def acted(self, action: Action) -> Order:
        """The agent has chosen: what to send.

        Raises:
            UsageError: it is no action.
        """
        assert isinstance(self._latest, GameObservation)
        return self._order(moves_of(action, self._latest.height, self._latest.width))

    def passes(self) -> Order | None:
        """What to send in the place of an action that was refused."""
        if self._is_waiting or not self._must_pass or not self._is_open():
            return None
        self._must_pass = False
        return self._order(())

    def answered(self, result: ActionResult) -> GameRejectedError | None:
        """The answer came; the error if it was refused and the agent should know."""
        self._is_waiting = False
        error = result.error
        if error is None:
            self._n_accepted += 1
            self._next_tick = result.tick + 1
            return None
        self._refused[error.reason] += 1
        if error.reason == "WRONG_TICK":
            self._next_tick = max(self._next_tick, error.tick)
            return None
        is_last = self._has_passed or error.reason in _LATER
        self._must_pass = not is_last
        self._next_tick = max(result.tick, self._next_tick) + (1 if is_last else 0)
        return error

    def result(self) -> GameResult:
        """How it went; of use at the end."""
        update = self._latest
        return GameResult(
            game_id=self._game_id,
            seat=self._seat,
            phase=update.phase if update else Phase.UNKNOWN,
            winners=update.winners if update else (),
            ticks=update.tick if update else 0,
            actions=self._n_accepted,
            refused=dict(self._refused),
        )

    def _is_open(self) -> bool:
        """Whether the game waits for an action, by the newest update."""
        update = self._latest
        return (
            isinstance(update, GameObservation)
            and update.to_move
            and update.tick >= self._next_tick
        )

    def _order(self, moves: tuple[Move, ...]) -> Order:
        assert self._latest is not None
        self._is_waiting = True
        self._has_passed = not moves
        return Order(moves, self._latest.tick if self._lockstep else None)
