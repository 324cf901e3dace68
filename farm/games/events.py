"""What happens in games; bus.py tells it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

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
