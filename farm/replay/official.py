"""Official replay files, `.gior`: a JSON array under lz-string (pure).

Later versions of the format append to the array, so that a missing place means its default:

    0 version     5 stars         10 moves         15 neutral armies   20 options
    1 id          6 cities        11 afks          16 swamps           21 modifiers
    2 width       7 city armies   12 teams         17 chat             22 observatories
    3 height      8 generals      13 map title     18 player colours   23 lookouts
    4 names       9 mountains     14 neutrals      19 lights           24 deserts

and presentation after that. A move is [player, start, end, half, tick], an afk [player, tick]. What
the farm's rules do not know is refused, never played wrong: modifiers, observatories, lookouts and
lights, and versions before 5, whose order of moves was another still.
"""

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from farm.engine import rules
from farm.replay.lines import as_asked, by_tick, last_event
from farm.replay.lzstring import decompress
from farm.replay.model import (
    MAX_ORDERS,
    Armies,
    Cells,
    GivenMap,
    Half,
    Int32,
    Name,
    Replay,
    Rules,
    Seat,
    Side,
    Teams,
    Tick,
)

MAX_UNITS: Final = 32 << 20
"""Characters of the JSON."""
OLDEST_VERSION: Final = 5

_Move: TypeAlias = tuple[Seat, Int32, Int32, Half, Tick]
_Event: TypeAlias = tuple[Seat, Tick]


class Official(Struct, frozen=True, array_like=True):
    """The array, place by place; `object` where the farm does not look."""

    version: int
    game_id: Name
    width: Side
    height: Side
    names: Annotated[tuple[Name | None, ...], Meta(max_length=64)]
    stars: object
    cities: Cells
    city_armies: Armies
    generals: Annotated[tuple[int | None, ...], Meta(max_length=64)]
    """None for a place that nobody took."""
    mountains: Cells | None
    moves: Annotated[tuple[_Move, ...], Meta(max_length=MAX_ORDERS)]
    afks: tuple[_Event, ...]
    teams: Teams | None = None
    map_title: object = None
    neutrals: Cells | None = None
    neutral_armies: Armies | None = None
    swamps: Cells | None = None
    chat: object = None
    player_colours: object = None
    lights: object = None
    options: object = None
    modifiers: object = None
    observatories: object = None
    lookouts: object = None
    deserts: Cells | None = None


_DECODER: Final = msgspec.json.Decoder(Official)


def read_official(data: bytes) -> Replay:
    """The game of a `.gior` file.

    Raises:
        ValueError: it is no such file, or a game the farm cannot play; the message says why.
    """
    game = _DECODER.decode(decompress(data, max_units=MAX_UNITS))
    if game.version < OLDEST_VERSION:
        raise ValueError(f"replay version {game.version}; {OLDEST_VERSION} and later are known")
    for name in ("lights", "modifiers", "observatories", "lookouts"):
        if getattr(game, name):
            raise ValueError(f"the game has {name}, which the farm does not play")
    moves = sorted(game.moves, key=lambda move: move[4])
    orders = tuple(as_asked(tick, seat, start, end, half) for seat, start, end, half, tick in moves)
    leaves = by_tick(game.afks)
    return Replay(
        game_id=game.game_id,
        rules=Rules.of(rules.of_replay(game.version)),
        map=_board(game),
        n_ticks=last_event(orders, leaves),
        orders=orders,
        leaves=leaves,
        players=tuple(name or "" for name in game.names),
    )


def _board(game: Official) -> GivenMap:
    return GivenMap(
        height=game.height,
        width=game.width,
        generals=tuple(-1 if cell is None else cell for cell in game.generals),
        mountains=game.mountains or (),
        cities=game.cities,
        city_armies=game.city_armies,
        swamps=game.swamps or (),
        deserts=game.deserts or (),
        neutrals=game.neutrals or (),
        neutral_armies=game.neutral_armies or (),
        teams=game.teams or None,
    )
