"""Recorded games as JSON lines, one game a line, as the conformance data has them (pure).

Two kinds, told apart by their fields. Machine-made games have `orders` (a list for each tick, as
received), `surrenders` and perhaps the last state in full; games people played have `moves` and
`afks` with their ticks, and the version of the replay they were taken from. Fields that are not
named here are ignored.
"""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from farm.engine import rules
from farm.replay.digest import digest_bytes
from farm.replay.model import (
    FORGET,
    MAX_ORDERS,
    MAX_TICKS,
    Armies,
    Cells,
    GivenMap,
    Half,
    Int32,
    Leave,
    Name,
    Order,
    Replay,
    Rules,
    Seat,
    Side,
    Teams,
    Tick,
)

MAX_LINE_BYTES: Final = 64 << 20

_NOWHERE: Final = -2
"""A start that is on no board, and nothing else."""

_Queued: TypeAlias = tuple[Seat, Int32, Int32, Half]
_Timed: TypeAlias = tuple[Seat, Int32, Int32, Half, Tick]
_Event: TypeAlias = tuple[Seat, Tick]
_Digest: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
_Generals: TypeAlias = Annotated[tuple[int | None, ...], Meta(max_length=64)]


class State(Struct, frozen=True):
    """A state in full."""

    owner: Armies
    army: Armies
    generals: Armies


class Line(Struct, frozen=True, kw_only=True):
    """A game of either kind."""

    width: Side
    height: Side
    generals: _Generals
    mountains: Cells = ()
    cities: Cells = ()
    city_armies: Armies = ()
    swamps: Cells = ()
    deserts: Cells = ()
    neutrals: Cells = ()
    neutral_armies: Armies = ()
    teams: Teams | None = None
    id: Name = ""
    usernames: tuple[Name, ...] = ()
    hashes: Annotated[tuple[_Digest, ...], Meta(max_length=MAX_TICKS)] = ()
    general_trade: bool | None = None
    """Of machine-made games; they have none unless they say so."""
    orders: Annotated[tuple[tuple[_Queued, ...], ...], Meta(max_length=MAX_TICKS)] | None = None
    surrenders: tuple[_Event, ...] = ()
    final: State | None = None
    replay_version: int | None = None
    moves: Annotated[tuple[_Timed, ...], Meta(max_length=MAX_ORDERS)] | None = None
    afks: tuple[_Event, ...] = ()


_DECODER: Final = msgspec.json.Decoder(Line)


def read_line(line: bytes, number: int) -> Replay:
    """The game of one line.

    Args:
        line: JSON.
        number: of the line, from 1; names a game that has no id.

    Raises:
        ValueError: it is no such game; the message says why.
    """
    game = _DECODER.decode(line)
    if (game.orders is None) == (game.moves is None):
        raise ValueError("a game has either `orders` or `moves`")
    return _machine_made(game, number) if game.moves is None else _recorded(game, number)


def by_tick(events: Sequence[_Event]) -> tuple[Leave, ...]:
    """Pairs of seat and tick as `Leave`s in order of ticks."""
    return tuple(Leave(tick, seat) for seat, tick in sorted(events, key=lambda event: event[1]))


def as_asked(tick: int, seat: int, start: int, end: int, half: int) -> Order:
    """An order of another format, in which no start has a meaning of its own."""
    return Order(tick, seat, _NOWHERE if start == FORGET else start, end, int(half))


def last_event(orders: Sequence[Order], leaves: Sequence[Leave]) -> int:
    """Ticks that must be played for every order and leave to take part."""
    ticks = [order.tick for order in orders] + [leave.tick for leave in leaves]
    return max(ticks, default=-1) + 1


def _machine_made(game: Line, number: int) -> Replay:
    orders = tuple(
        as_asked(tick, seat, start, end, half)
        for tick, queued in enumerate(game.orders or ())
        for seat, start, end, half in queued
    )
    leaves = by_tick(game.surrenders)
    variant = rules.rules_vector({rules.GENERAL_TRADE: int(bool(game.general_trade))})
    n_ticks = max(len(game.orders or ()), len(game.hashes))
    return _replay(game, number, Rules.of(variant), orders, leaves, n_ticks)


def _recorded(game: Line, number: int) -> Replay:
    if game.replay_version is None:
        raise ValueError("`moves` without `replay_version`")
    moves = sorted(game.moves or (), key=lambda move: move[4])
    orders = tuple(as_asked(tick, seat, start, end, half) for seat, start, end, half, tick in moves)
    leaves = by_tick(game.afks)
    # Hashes may end before the game does.
    n_ticks = max(len(game.hashes), last_event(orders, leaves))
    variant = Rules.of(rules.of_replay(game.replay_version))
    return _replay(game, number, variant, orders, leaves, n_ticks)


def _replay(
    game: Line,
    number: int,
    variant: Rules,
    orders: tuple[Order, ...],
    leaves: tuple[Leave, ...],
    n_ticks: int,
) -> Replay:
    final = game.final
    return Replay(
        game_id=game.id or f"line {number}",
        rules=variant,
        map=GivenMap(
            height=game.height,
            width=game.width,
            generals=tuple(-1 if cell is None else cell for cell in game.generals),
            mountains=game.mountains,
            cities=game.cities,
            city_armies=game.city_armies,
            swamps=game.swamps,
            deserts=game.deserts,
            neutrals=game.neutrals,
            neutral_armies=game.neutral_armies,
            teams=game.teams,
        ),
        n_ticks=n_ticks,
        orders=orders,
        leaves=leaves,
        hashes=bytes.fromhex("".join(game.hashes)),
        final_hash=digest_bytes(final.owner, final.army, final.generals) if final else b"",
        players=game.usernames,
    )
