"""The bus that tells what happens in games: synchronous and typed.

It calls whoever subscribed in the order in which they did, before `tell` returns: the journal
before the streams. What a subscriber to events raises goes to who told. Ticks are told of many
games at once: who cannot take those of one game says so in `TicksPlayed.faults`, and that is the
game's end; who raises is told no more, so that no other game and nobody else pays for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from farm.games.events import Event, Kind
from farm.games.game import HostedGame


@dataclass(frozen=True, slots=True)
class TicksPlayed:
    """Ticks of several games, one of each, that one call played."""

    rows: NDArray[np.int64]
    """int64[n]: their slots."""
    games: Sequence[HostedGame]
    """Beside `rows`."""
    faults: list[tuple[HostedGame, Exception]] = field(default_factory=list)
    """Games that a listener cannot take any more, and why: each is over with this tick."""


OnEvent = Callable[[HostedGame, Event], None]
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

    def tell(self, game: HostedGame, event: Event) -> None:
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
