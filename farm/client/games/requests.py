"""What a games host is asked, as messages, and the options of a new game."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from farm.client.games.values import Phase
from farm.errors import UsageError
from farm.rpc.v1 import games_pb2
from farm.spec.boards import parse_board
from farm.spec.limits import MIN_SEATS

OFFICIAL = "official"
_SIZE = re.compile(r"(\d{1,3})x(\d{1,3})")


class GameOptions(TypedDict, total=False):
    """What a new game is like; what is left out is as the farm has it."""

    seats: int
    """Players, 2 to 16; left out: as many as a board as text has generals, else as there are `bots`
    and one more."""
    map: str
    """`20x20` draws a board of so many rows and columns; `official` one of the official game's;
    `toy:10x10` an open field; and a text of several lines is a board (farm.spec.boards). Left out:
    official."""
    mountains: float
    """Of a drawn board: their share of the cells, 0 to 0.35."""
    cities: int
    """Of a drawn board."""
    teams: Sequence[int]
    """For each seat a number, equal for teammates; left out: everybody alone."""
    bots: Mapping[int, str]
    """Policy by seat: random, expander or hunter."""
    fog: bool
    """False shows everybody the whole board."""
    rules: str
    """official, alternating or simple."""
    seed: int | None
    """The same seed, options and moves make the same game; None lets the farm draw one."""
    tick_ms: int
    """Milliseconds a tick, 10 to 600,000: who does not move in time passes. 0 is lockstep: a tick
    is played when every seat has moved or passed."""
    collect: bool
    """Whether the farm's trainers get the game's experiences."""
    spectators: bool
    """Whether there is a token that sees everything."""
    max_turns: int
    """Turns after which the game ends undecided; 0 takes the farm's."""
    name: str
    """For people."""


def create_message(options: GameOptions, *, key: str = "") -> games_pb2.CreateGameRequest:
    """A CreateGameRequest.

    Raises:
        UsageError: an option is unknown, or not what it says.
    """
    unknown = set(options) - GameOptions.__optional_keys__
    if unknown:
        names = ", ".join(sorted(GameOptions.__optional_keys__))
        raise UsageError(f"no option {', '.join(sorted(unknown))} of a game; there are {names}")
    bots = dict(options.get("bots", {}))
    try:
        request = games_pb2.CreateGameRequest(
            name=options.get("name", ""),
            n_seats=options.get("seats", _usual_seats(options)),
            teams=options.get("teams", ()),
            no_fog=not options.get("fog", True),
            rules=options.get("rules", ""),
            seed=options.get("seed"),
            tick_ms=options.get("tick_ms", 0),
            collect=options.get("collect", False),
            bots=bots,
            spectators=options.get("spectators", False),
            max_turns=options.get("max_turns", 0),
            key=key,
        )
        _set_map(request, options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"options {options} of a game: {error}") from error
    return request


def list_request(phases: Iterable[Phase], page_size: int, page_token: str) -> bytes:
    """A ListGamesRequest."""
    request = games_pb2.ListGamesRequest(
        phases=[games_pb2.Phase.Name(phase) for phase in phases],
        page_size=page_size,
        page_token=page_token,
    )
    return request.SerializeToString()


def join_request(game_id: int, *, seat: int | None, name: str, key: str) -> bytes:
    """A JoinGameRequest."""
    request = games_pb2.JoinGameRequest(game_id=game_id, seat=seat, name=name, key=key)
    return request.SerializeToString()


def submit_request(game_id: int, token: str, action: games_pb2.Action) -> bytes:
    """A SubmitActionRequest."""
    request = games_pb2.SubmitActionRequest(game_id=game_id, token=token, action=action)
    return request.SerializeToString()


def state_request(game_id: int, token: str, *, after_tick: int | None, wait_s: float) -> bytes:
    """A GetGameStateRequest."""
    request = games_pb2.GetGameStateRequest(
        game_id=game_id, token=token, after_tick=after_tick, wait_ms=round(wait_s * 1e3)
    )
    return request.SerializeToString()


def stream_request(game_id: int, token: str, after_event: int) -> games_pb2.StreamGameRequest:
    """A StreamGameRequest, which also opens Play."""
    return games_pb2.StreamGameRequest(game_id=game_id, token=token, after_event=after_event)


def surrender_request(game_id: int, token: str) -> bytes:
    """A SurrenderRequest."""
    return games_pb2.SurrenderRequest(game_id=game_id, token=token).SerializeToString()


def owner_request(game_id: int, owner_token: str) -> bytes:
    """An OwnerRequest."""
    return games_pb2.OwnerRequest(game_id=game_id, owner_token=owner_token).SerializeToString()


def stats_request(game_id: int, token: str) -> bytes:
    """A GetGameStatsRequest."""
    return games_pb2.GetGameStatsRequest(game_id=game_id, token=token).SerializeToString()


def _usual_seats(options: GameOptions) -> int:
    """As many as the board has generals, or as there are bots and one more."""
    text = options.get("map", OFFICIAL)
    if "\n" in text:
        return len(parse_board(text).generals)
    return max(MIN_SEATS, len(options.get("bots", {})) + 1)


def _set_map(request: games_pb2.CreateGameRequest, options: GameOptions) -> None:
    text = options.get("map", OFFICIAL)
    if size := _SIZE.fullmatch(text):
        height, width = map(int, size.groups())
        drawn = games_pb2.UniformMap(
            height=height,
            width=width,
            mountains=options.get("mountains"),
            cities=options.get("cities"),
        )
        request.uniform.CopyFrom(drawn)
        return
    if "mountains" in options or "cities" in options:
        raise UsageError(f"mountains and cities are of a drawn board: map=20x20, not {text!r}")
    if text == OFFICIAL:
        request.official.SetInParent()
    elif "\n" in text:
        request.board = text
    elif size := _SIZE.fullmatch(text.removeprefix("toy:")):
        height, width = map(int, size.groups())
        request.toy.CopyFrom(games_pb2.ToyMap(height=height, width=width))
    else:
        raise UsageError(f"no map {text!r}: 20x20, official, toy:10x10, or a board as text")
