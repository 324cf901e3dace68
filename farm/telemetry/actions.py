"""Spans of actions on their way: accepted, applied by a tick, told to their seat.

    accepted ── tick_applied ── update_sent

The span begins below the call that brought the action, and only if that is recorded; it ends with
the update that shows what came of it, or after MAX_AGE_S without one. One thread calls all of this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from farm.telemetry.tracing import Attributes, Span, Tracer

MAX_IN_FLIGHT: Final = 1_024
"""Actions that are followed at once; of one more there is no span."""
MAX_AGE_S: Final = 60.0
"""Time for an action to reach its tick, and its seat to be told."""
_NS_PER_S: Final = 1_000_000_000


class Actions:
    """Of a host that traces nothing: follows none.

    Attributes:
        n_in_flight: how many are followed now; while it is 0, nothing needs to be called but
            `accepted`.
    """

    n_in_flight: int = 0

    def accepted(self, game_id: int, seat: int, due_tick: int, now_ns: int) -> None:
        """An action was accepted, in the task of the call that brought it.

        Args:
            game_id: of its game.
            seat: whose it is.
            due_tick: the tick that plays its first move: the game's, and one later for each move
                that waits before it.
            now_ns: a monotonic clock.
        """

    def poll(self, now_ns: int, tick_of: Callable[[int], int | None]) -> None:
        """Ticks may have been played.

        Args:
            now_ns: a monotonic clock.
            tick_of: ticks that a game has played; None of one that is gone.
        """

    def sent(self, game_id: int, seat: int, tick: int) -> None:
        """A seat was sent what it sees after so many ticks."""


NO_ACTIONS: Final = Actions()


@dataclass(slots=True, eq=False)
class _Action:
    span: Span
    seat: int
    due_tick: int
    began_ns: int
    applied_tick: int = 0


class ActionSpans(Actions):
    """Follows them.

    Args:
        tracer: makes the spans.
        max_in_flight: MAX_IN_FLIGHT.
    """

    def __init__(self, tracer: Tracer, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._tracer = tracer
        self._max_in_flight = max_in_flight
        self._games: dict[int, list[_Action]] = {}

    def accepted(self, game_id: int, seat: int, due_tick: int, now_ns: int) -> None:
        """Begin a span, if the call has one and there is room."""
        if self.n_in_flight >= self._max_in_flight or not self._tracer.is_traced():
            return
        about: Attributes = {
            "farm.game_id": str(game_id),
            "farm.seat": seat,
            "farm.due_tick": due_tick,
        }
        span = self._tracer.child("action", about)
        span.add_event("accepted")
        self._games.setdefault(game_id, []).append(_Action(span, seat, due_tick, now_ns))
        self.n_in_flight += 1

    def poll(self, now_ns: int, tick_of: Callable[[int], int | None]) -> None:
        """Note whose tick was played, and end what is too old or whose game is gone."""
        oldest_ns = now_ns - int(MAX_AGE_S * _NS_PER_S)
        for game_id in tuple(self._games):
            tick = tick_of(game_id)
            for action in tuple(self._games[game_id]):
                if tick is not None and tick > action.due_tick and not action.applied_tick:
                    action.applied_tick = tick
                    action.span.add_event("tick_applied", {"farm.tick": tick})
                if tick is None or action.began_ns < oldest_ns:
                    self._end(game_id, action)

    def sent(self, game_id: int, seat: int, tick: int) -> None:
        """End the spans of the actions that the update shows."""
        for action in tuple(self._games.get(game_id, ())):
            if action.seat == seat and 0 < action.applied_tick <= tick:
                action.span.add_event("update_sent", {"farm.tick": tick})
                self._end(game_id, action)

    def _end(self, game_id: int, action: _Action) -> None:
        action.span.end()
        actions = self._games[game_id]
        actions.remove(action)
        if not actions:
            del self._games[game_id]
        self.n_in_flight -= 1
