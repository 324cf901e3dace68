"""Answers of a games host as plain values, so that no protobuf message leaves this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from farm.client.games.moves import ActionResult
from farm.errors import GameRejectedError
from farm.rpc.status import GAME_STATUS
from farm.rpc.v1 import games_pb2


class Phase(IntEnum):
    """Where a game stands; numbers as on the wire."""

    UNKNOWN = 0
    LOBBY = 1
    """Waits for players."""
    RUNNING = 2
    PAUSED = 3
    """No tick is played; moves are queued."""
    ENDED = 4
    """Over by the rules or at its last turn."""
    CANCELLED = 5
    """Called off by its owner, or nobody came or came back in time."""
    ERROR = 6
    """A fault of the host's own."""

    @classmethod
    def _missing_(cls, value: object) -> "Phase":
        """One that this build lacks."""
        del value
        return cls.UNKNOWN

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens in the game."""
        return self >= Phase.ENDED


class EventKind(IntEnum):
    """What happened; numbers as on the wire. `EventKind.UNKNOWN` is one that this build lacks."""

    UNKNOWN = 0
    GAME_CREATED = 1
    PLAYER_JOINED = 2
    GAME_STARTED = 3
    GAME_PAUSED = 4
    GAME_RESUMED = 5
    PLAYER_DISCONNECTED = 6
    PLAYER_RECONNECTED = 7
    PLAYER_REPLACED = 8
    """`seat` is played by a bot from here on."""
    PLAYER_ELIMINATED = 9
    """`seat` is out; `by` took its general, None where it left."""
    GENERAL_CAPTURED = 10
    """`by` took the general of `seat` on `cell`, in sight."""
    CITY_CAPTURED = 11
    """`by` took the city on `cell`, in sight."""
    GAME_ENDED = 12
    GAME_CANCELLED = 13
    GAME_FAILED = 14

    @classmethod
    def _missing_(cls, value: object) -> "EventKind":
        """One that this build lacks."""
        del value
        return cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class GameEvent:
    """Something that happened in a game and that this caller may know."""

    sequence: int
    """Counts up within a game, from 1; gaps are events that others saw."""
    kind: EventKind
    tick: int
    seat: int | None
    by: int | None
    cell: int | None
    winners: tuple[int, ...]
    """Of GAME_ENDED: seats of the side that won."""
    n_turns: int
    """Of GAME_ENDED: its length."""
    duration_ms: int
    """Of GAME_ENDED: without pauses."""
    text: str


@dataclass(frozen=True, slots=True)
class SeatInfo:
    """A place in a game, as anybody may know it."""

    seat: int
    kind: str
    """open, agent or bot."""
    name: str
    """Of the agent, or the bot's policy."""
    team: int
    alive: bool
    connected: bool
    """Of agents: has a stream open, or called a moment ago."""


@dataclass(frozen=True, slots=True)
class GameInfo:
    """A game, as anybody may know it."""

    game_id: int
    name: str
    phase: Phase
    tick: int
    height: int
    width: int
    seats: tuple[SeatInfo, ...]
    tick_ms: int
    """Milliseconds a tick; 0 in lockstep."""
    rules: str
    no_fog: bool
    spectators: bool
    created_ns: int
    """Nanoseconds since the Unix epoch."""
    started_ns: int
    """Likewise; 0 before the start."""
    winners: tuple[int, ...]
    """Seats of the side that won an ended game."""


@dataclass(frozen=True, slots=True)
class CreatedGame:
    """A game that was made for this client."""

    game_id: int
    owner_token: str
    """Secret: pauses, resumes and cancels the game."""
    spectator_token: str
    """Secret: sees everything. Empty where the game has no spectators."""


@dataclass(frozen=True, slots=True)
class JoinedGame:
    """A seat that this client has."""

    game_id: int
    seat: int
    token: str
    """Secret: plays the seat, also after a reconnection or a replacement of the host."""
    info: GameInfo | None = None
    """The game as it was joined."""


@dataclass(frozen=True, slots=True)
class PlayerStats:
    """What one player has done."""

    seat: int
    name: str
    army: int
    land: int
    """Cells."""
    cities: int | None
    """None of enemies while the game runs."""
    kills: int
    """Players whose general this one took."""
    actions_accepted: int
    actions_rejected: Mapping[str, int]
    """By reason, lower case."""
    act_mean_ms: float
    """From when the game waited for this seat to when it acted."""
    act_max_ms: float
    alive: bool


@dataclass(frozen=True, slots=True)
class GameStats:
    """A game and what its players have done."""

    game: GameInfo
    players: tuple[PlayerStats, ...]
    duration_ms: int
    """Since the start, without pauses."""
    ended_ns: int
    """Nanoseconds since the Unix epoch; 0 before the end."""
    seed: int | None
    """Of an ended game."""


def game_info(row: games_pb2.GameInfo) -> GameInfo:
    """From its message."""
    return GameInfo(
        game_id=row.game_id,
        name=row.name,
        phase=Phase(row.phase),
        tick=row.tick,
        height=row.height,
        width=row.width,
        seats=tuple(
            SeatInfo(s.seat, s.kind, s.name, s.team, s.alive, s.connected) for s in row.seats
        ),
        tick_ms=row.tick_ms,
        rules=row.rules,
        no_fog=row.no_fog,
        spectators=row.spectators,
        created_ns=row.created_ns,
        started_ns=row.started_ns,
        winners=tuple(row.winners),
    )


def parse_created(message: bytes) -> CreatedGame:
    """Read a CreateGameResponse."""
    reply = games_pb2.CreateGameResponse.FromString(message)
    return CreatedGame(reply.game_id, reply.owner_token, reply.spectator_token)


def parse_joined(message: bytes) -> JoinedGame:
    """Read a JoinGameResponse."""
    reply = games_pb2.JoinGameResponse.FromString(message)
    return JoinedGame(reply.game.game_id, reply.seat, reply.token, game_info(reply.game))


def parse_page(message: bytes) -> tuple[tuple[GameInfo, ...], str]:
    """Read a ListGamesResponse: its games, and what asks for the next page, empty at the last."""
    reply = games_pb2.ListGamesResponse.FromString(message)
    return tuple(map(game_info, reply.games)), reply.next_page_token


def parse_phase(message: bytes) -> Phase:
    """Read an OwnerResponse."""
    return Phase(games_pb2.OwnerResponse.FromString(message).phase)


def parse_stats(message: bytes) -> GameStats:
    """Read a GameStats."""
    reply = games_pb2.GameStats.FromString(message)
    return GameStats(
        game=game_info(reply.game),
        players=tuple(
            PlayerStats(
                seat=row.seat,
                name=row.name,
                army=row.army,
                land=row.land,
                cities=row.cities if row.HasField("cities") else None,
                kills=row.kills,
                actions_accepted=row.actions_accepted,
                actions_rejected=dict(row.actions_rejected),
                act_mean_ms=row.act_mean_ms,
                act_max_ms=row.act_max_ms,
                alive=row.alive,
            )
            for row in reply.players
        ),
        duration_ms=reply.duration_ms,
        ended_ns=reply.ended_ns,
        seed=reply.seed if reply.HasField("seed") else None,
    )


def parse_result(message: bytes) -> ActionResult:
    """Read an ActionResult."""
    return action_result(games_pb2.ActionResult.FromString(message))


def action_result(row: games_pb2.ActionResult) -> ActionResult:
    """From its message."""
    error = refusal(row.error) if row.HasField("error") else None
    return ActionResult(row.key, row.tick, row.queued, error)


def game_event(row: games_pb2.Event) -> GameEvent:
    """From its message."""
    return GameEvent(
        sequence=row.sequence,
        kind=EventKind(row.kind),
        tick=row.tick,
        seat=row.seat if row.HasField("seat") else None,
        by=row.by if row.HasField("by") else None,
        cell=row.cell if row.HasField("cell") else None,
        winners=tuple(row.winners),
        n_turns=row.n_turns,
        duration_ms=row.duration_ms,
        text=row.text,
    )


def refusal(detail: games_pb2.ErrorDetail, status: str = "") -> GameRejectedError:
    """An ErrorDetail as the error that a caller gets.

    Args:
        detail: the message.
        status: name of the status that it came with; empty takes that of the reason.
    """
    known = detail.reason in games_pb2.Reason.values()
    reason = games_pb2.Reason.Name(detail.reason) if known else "REASON_UNSPECIFIED"
    if not status:
        status = GAME_STATUS[reason].name if reason in GAME_STATUS else "UNKNOWN"
    return GameRejectedError(
        status,
        detail.message,
        reason=reason,
        game_id=detail.game_id,
        move=detail.move,
        tick=detail.tick,
        retry_after_s=detail.retry_after_ms / 1e3,
    )
