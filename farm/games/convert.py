"""From requests to what the host takes: every field checked that the host does not check itself."""

from farm.errors import GameError
from farm.games.lifecycle import Phase
from farm.games.orders import Action
from farm.games.spec import GameSpec
from farm.rpc.v1 import games_pb2

MAX_PAGE = 500
PAGE = 100
"""Games in a page, if nobody says how many."""
MAX_WAIT_MS = 30_000
_KIND_OF = {"uniform": "uniform", "official": "official", "toy": "toy", "board": "fixed"}


def spec_of(wanted: games_pb2.CreateGameRequest) -> GameSpec:
    """A game as its creator wants it; `farm.games.spec.check` says whether it can be had.

    Raises:
        GameError: BAD_REQUEST, there is no map.
    """
    kind = wanted.WhichOneof("map")
    if kind is None:
        raise GameError("BAD_REQUEST", f"map: one of {', '.join(_KIND_OF)} is needed")
    return GameSpec(
        name=wanted.name,
        n_seats=wanted.n_seats,
        kind=_KIND_OF[kind],
        teams=tuple(wanted.teams),
        no_fog=wanted.no_fog,
        rules=wanted.rules or "official",
        seed=wanted.seed if wanted.HasField("seed") else None,
        tick_ms=wanted.tick_ms,
        collect=wanted.collect,
        bots=dict(wanted.bots),
        spectators=wanted.spectators,
        max_turns=wanted.max_turns,
        **_map_of(wanted, kind),
    )


def action_of(wanted: games_pb2.Action) -> Action:
    """An action of a seat."""
    return Action(
        wanted.key,
        wanted.expected_tick if wanted.HasField("expected_tick") else None,
        wanted.clear,
        tuple((move.start, move.end, int(move.half)) for move in wanted.moves),
    )


def phases_of(wanted: games_pb2.ListGamesRequest) -> frozenset[Phase]:
    """The phases that are listed.

    Raises:
        GameError: BAD_REQUEST, one is none.
    """
    for number in wanted.phases:
        if number not in Phase.__members__.values():
            raise GameError("BAD_REQUEST", f"phases: {number} is no phase of a game")
    return frozenset(map(Phase, wanted.phases)) or frozenset(Phase)


def page_size_of(wanted: games_pb2.ListGamesRequest) -> int:
    """Games in a page.

    Raises:
        GameError: BAD_REQUEST.
    """
    if wanted.page_size > MAX_PAGE:
        raise GameError("BAD_REQUEST", f"page_size: {wanted.page_size}; at most {MAX_PAGE}")
    return wanted.page_size or PAGE


def wait_ms_of(wanted: games_pb2.GetGameStateRequest) -> int:
    """How long to wait for another tick; 0 for not at all.

    Raises:
        GameError: BAD_REQUEST.
    """
    if wanted.wait_ms > MAX_WAIT_MS:
        raise GameError("BAD_REQUEST", f"wait_ms: {wanted.wait_ms}; at most {MAX_WAIT_MS:,}")
    return wanted.wait_ms if wanted.HasField("after_tick") else 0


def _map_of(wanted: games_pb2.CreateGameRequest, kind: str) -> dict[str, int | float | str]:
    if kind == "uniform":
        drawn = wanted.uniform
        fields: dict[str, int | float | str] = {"height": drawn.height, "width": drawn.width}
        if drawn.HasField("mountains"):
            fields["mountains"] = drawn.mountains
        if drawn.HasField("cities"):
            fields["cities"] = drawn.cities
        return fields
    if kind == "toy":
        return {"height": wanted.toy.height, "width": wanted.toy.width}
    return {"board": wanted.board} if kind == "board" else {}
