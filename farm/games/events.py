"""What happens in games, and the bus that tells it: synchronous and typed.

A bus calls whoever subscribed in the order in which they did, before `tell` returns: the journal
before the streams. What a subscriber to events raises goes to who told. Ticks are told of many
games at once: who cannot take those of one game says so in `TicksPlayed.faults`, and that is the
game's end; who raises is told no more, so that no other game and nobody else pays for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from farm.games.game import HostedGame

EVERYBODY: Final = (1 << 16) - 1
"""Mask of all seats."""


class Kind(IntEnum):
    """What happened; numbered as EventKind in games.proto, which says what each carries."""

    GAME_CREATED = 1
    PLAYER_JOINED = 2
    GAME_STARTED = 3
    GAME_PAUSED = 4
    GAME_RESUMED = 5
    PLAYER_DISCONNECTED = 6
    PLAYER_RECONNECTED = 7
    PLAYER_REPLACED = 8
    PLAYER_ELIMINATED = 9
    GENERAL_CAPTURED = 10
    CITY_CAPTURED = 11
    GAME_ENDED = 12
    GAME_CANCELLED = 13
    GAME_FAILED = 14


ENDS: Final = frozenset({Kind.GAME_ENDED, Kind.GAME_CANCELLED, Kind.GAME_FAILED})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in one game."""

    sequence: int
    """Counts up within the game, from 1."""
    kind: Kind
    tick: int
    seat: int | None = None
    by: int | None = None
    cell: int | None = None
    winners: tuple[int, ...] = ()
    n_turns: int = 0
    duration_ms: int = 0
    text: str = ""
    seen_by: int = EVERYBODY
    """Bit s is set if seat s may learn of it; spectators learn everything."""


@dataclass(frozen=True, slots=True)
class TicksPlayed:
    """Ticks of several games, one of each, that one call played."""

    rows: NDArray[np.int64]
    """int64[n]: their slots."""
    games: "Sequence[HostedGame]"
    """Beside `rows`."""
    faults: "list[tuple[HostedGame, Exception]]" = field(default_factory=list)
    """Games that a listener cannot take any more, and why: each is over with this tick."""


OnEvent = Callable[["HostedGame", Event], None]
OnTicks = Callable[[TicksPlayed], None]


class EventBus:
    """From the host to who listens."""

    def __init__(self) -> None:
        self._of_kind: dict[Kind, list[OnEvent]] = {kind: [] for kind in Kind}
        self._of_ticks: list[OnTicks] = []

    def subscribe(self, listener: OnEvent, *kinds: Kind) -> None:
        """Have events of some kinds told, or of all if none is named."""
        for kind in kinds or Kind:
            self._of_kind[kind].append(listener)

    def unsubscribe(self, listener: OnEvent) -> None:
        """Have none told any more."""
        for listeners in self._of_kind.values():
            if listener in listeners:
                listeners.remove(listener)

    def subscribe_ticks(self, listener: OnTicks) -> None:
        """Have played ticks told."""
        self._of_ticks.append(listener)

    def unsubscribe_ticks(self, listener: OnTicks) -> None:
        """Have them told no more."""
        if listener in self._of_ticks:
            self._of_ticks.remove(listener)

    def tell(self, game: "HostedGame", event: Event) -> None:
        """Tell an event."""
        for listener in tuple(self._of_kind[event.kind]):
            listener(game, event)

    def tell_ticks(self, played: TicksPlayed) -> list[Exception]:
        """Tell played ticks.

        Returns:
            What listeners raised, which are told no more.
        """
        errors: list[Exception] = []
        for listener in tuple(self._of_ticks):
            try:
                listener(played)
            except Exception as error:  # noqa: BLE001 - one listener's fault is its own alone
                errors.append(error)
                self._of_ticks.remove(listener)
        return errors
