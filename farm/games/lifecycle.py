"""The phases of a game, and every move between them.

    LOBBY ──> RUNNING <──> PAUSED
      │          │            │
      │          ├──> ENDED   │        over by the rules, or at its last tick
      └──────────┴──> CANCELLED <┘     called off, or nobody came or came back
    any of the three ──> ERROR         a fault of the host's own

PAUSED goes to ENDED too: a surrender may end a game that is paused.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from farm.errors import LifecycleError


class Phase(IntEnum):
    """What a game is doing; numbered as in games.proto."""

    LOBBY = 1
    RUNNING = 2
    PAUSED = 3
    ENDED = 4
    CANCELLED = 5
    ERROR = 6


OPEN = frozenset({Phase.LOBBY, Phase.RUNNING, Phase.PAUSED})
"""The phases of a game that is not over."""
PLAYED = frozenset({Phase.RUNNING, Phase.PAUSED})
"""Those in which actions are taken."""

MOVES: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.LOBBY: frozenset({Phase.RUNNING, Phase.CANCELLED, Phase.ERROR}),
        Phase.RUNNING: frozenset({Phase.PAUSED, Phase.ENDED, Phase.CANCELLED, Phase.ERROR}),
        Phase.PAUSED: frozenset({Phase.RUNNING, Phase.ENDED, Phase.CANCELLED, Phase.ERROR}),
        Phase.ENDED: frozenset(),
        Phase.CANCELLED: frozenset(),
        Phase.ERROR: frozenset(),
    }
)


def checked(before: Phase, after: Phase) -> Phase:
    """The phase after a move.

    Raises:
        LifecycleError: the table has no such move.
    """
    if after not in MOVES[before]:
        raise LifecycleError(f"a game does not go from {before.name} to {after.name}")
    return after
