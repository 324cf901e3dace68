"""A recorded game: rules, a map or the seed of one, and orders. Pure data, checked as it is made.

A replay says everything that a game depends on. Tick T of `Order` and `Leave` is the tick counter
before the tick: orders of tick T join their queues, then players leave, then the tick is played.
An order that starts on FORGET joins nothing: the seat's orders that wait are forgotten.
"""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import numpy as np
from msgspec import Meta, Struct, structs
from numpy.typing import NDArray

from farm.spec.boards import max_board
from farm.spec.limits import MAX_CELLS, MAX_SEATS, MAX_SIDE, MIN_SEATS, MIN_SIDE

MAX_TICKS: Final = 100_000
"""Twice the length limit of the official rules."""
MAX_ORDERS: Final = 1_000_000
MAX_LEAVES: Final = 1_000
MAX_NAME: Final = 256
"""Characters of the id of a game or the name of a player."""
FORGET: Final = -1
"""Start of an order that empties its seat's queue."""
DIGEST_BYTES: Final = 6
"""The first 12 hex digits of the md5 of a state (simulate.py)."""

Int32: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Uint64: TypeAlias = Annotated[int, Meta(ge=0)]
"""The upper bound, which msgspec cannot state, is checked with the map."""
Natural: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Period: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Flag: TypeAlias = Annotated[int, Meta(ge=0, le=1)]
Half: TypeAlias = Flag | bool
"""As other formats have it."""
Tick: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_TICKS)]
Seat: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_SEATS)]
Side: TypeAlias = Annotated[int, Meta(ge=MIN_SIDE, le=MAX_SIDE)]
Cell: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_CELLS)]
Team: TypeAlias = Annotated[int, Meta(ge=-128, le=127)]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME)]
Cells: TypeAlias = Annotated[tuple[Cell, ...], Meta(max_length=MAX_CELLS)]
Armies: TypeAlias = Annotated[tuple[Int32, ...], Meta(max_length=MAX_CELLS)]
Teams: TypeAlias = Annotated[tuple[Team, ...], Meta(min_length=MIN_SEATS, max_length=MAX_SEATS)]


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The variant of the rules; fields in the order of the indices in `farm.engine.rules`."""

    order: Annotated[int, Meta(ge=0, le=2)]
    general_trade: Flag
    city_growth_below: Natural
    production_period: Period
    land_period: Period
    start_army: Natural
    city_army_low: Natural
    city_army_high: Natural
    capture_halves: Flag
    general_becomes_city: Flag
    neutralise_after: Natural
    """0: the replay says when, by a second `Leave` of the player."""
    inactivity: Flag
    idle_ticks: Natural
    length_ticks: Natural

    def vector(self) -> NDArray[np.int32]:
        """What the kernels read: int32[N_RULES]."""
        return np.array(structs.astuple(self), np.int32)

    @classmethod
    def of(cls, vector: NDArray[np.int32]) -> "Rules":
        """The rules of a vector of the engine."""
        names = cls.__struct_fields__
        return cls(**dict(zip(names, (int(value) for value in vector), strict=True)))


class GivenMap(Struct, frozen=True, kw_only=True, tag="given", forbid_unknown_fields=True):
    """A board by lists of cells (row * width + column)."""

    height: Side
    width: Side
    generals: tuple[int, ...]
    """Cell of each player's general; -1 for a place that nobody took."""
    mountains: Cells = ()
    cities: Cells = ()
    city_armies: Armies = ()
    """Beside `cities`."""
    swamps: Cells = ()
    deserts: Cells = ()
    neutrals: Cells = ()
    """Neutral cells with an army of their own."""
    neutral_armies: Armies = ()
    """Beside `neutrals`."""
    teams: Teams | None = None
    """For each player a number, equal for teammates."""

    def __post_init__(self) -> None:
        """Refuse a board that contradicts itself."""
        if len(self.cities) != len(self.city_armies):
            raise ValueError(f"{len(self.cities)} cities, {len(self.city_armies)} armies for them")
        if len(self.neutrals) != len(self.neutral_armies):
            raise ValueError(
                f"{len(self.neutrals)} neutral cells, {len(self.neutral_armies)} armies for them"
            )
        if not MIN_SEATS <= self.n_seats <= MAX_SEATS:
            raise ValueError(f"{self.n_seats} seats: a game has {MIN_SEATS} to {MAX_SEATS}")
        if min(self.generals) < -1:
            raise ValueError(f"generals: cell {min(self.generals)}")
        n_cells = self.height * self.width
        for name in ("generals", "mountains", "cities", "swamps", "deserts", "neutrals"):
            highest = max(getattr(self, name), default=0)
            if highest >= n_cells:
                raise ValueError(f"{name}: cell {highest} on a board of {n_cells} cells")
        placed = [cell for cell in self.generals if cell >= 0]
        if len(set(placed)) < len(placed):
            raise ValueError("two generals stand on one cell")
        if blocked := set(placed) & set(self.mountains):
            raise ValueError(f"a general and a mountain share cell {min(blocked)}")
        _check_teams(self.teams, self.n_seats)

    @property
    def n_seats(self) -> int:
        """Seats of the game."""
        return len(self.generals)


class GeneratedMap(Struct, frozen=True, kw_only=True, tag="uniform", forbid_unknown_fields=True):
    """A board of the engine's `uniform` strategy, by what it is drawn from."""

    height: Side
    width: Side
    n_seats: Annotated[int, Meta(ge=MIN_SEATS, le=MAX_SEATS)]
    seed: Uint64
    game_number: Uint64
    mountains: Annotated[int, Meta(ge=0, le=1000)]
    """Thousandths of the cells."""
    cities: Annotated[int, Meta(ge=0, le=MAX_CELLS)]
    teams: Teams | None = None
    """For each player a number, equal for teammates."""

    def __post_init__(self) -> None:
        """Refuse numbers and teams that do not fit."""
        _check_numbers(self.seed, self.game_number)
        _check_teams(self.teams, self.n_seats)


class OfficialMap(Struct, frozen=True, kw_only=True, tag="official", forbid_unknown_fields=True):
    """A board of the engine's `official` strategy, by what it is drawn from."""

    n_seats: Annotated[int, Meta(ge=MIN_SEATS, le=MAX_SEATS)]
    seed: Uint64
    game_number: Uint64
    pad: bool
    """Whether it lies in the upper left of the largest board, mountains around it."""
    teams: Teams | None = None
    """For each player a number, equal for teammates."""

    def __post_init__(self) -> None:
        """Refuse numbers and teams that do not fit."""
        _check_numbers(self.seed, self.game_number)
        _check_teams(self.teams, self.n_seats)

    @property
    def height(self) -> int:
        """Rows of the largest board; without padding a game may have fewer."""
        return self._largest[0]

    @property
    def width(self) -> int:
        """Columns of the largest board; without padding a game may have fewer."""
        return self._largest[1]

    @property
    def _largest(self) -> tuple[int, int]:
        n_sides = self.n_seats if self.teams is None else len(set(self.teams))
        return max_board(self.n_seats, n_sides)


class ToyMap(Struct, frozen=True, kw_only=True, tag="toy", forbid_unknown_fields=True):
    """A board of the engine's `toy` strategy; only who sits where is drawn."""

    height: Side
    width: Side
    n_seats: Annotated[int, Meta(ge=MIN_SEATS, le=MAX_SEATS)]
    seed: Uint64
    game_number: Uint64
    teams: Teams | None = None
    """For each player a number, equal for teammates."""

    def __post_init__(self) -> None:
        """Refuse numbers and teams that do not fit."""
        _check_numbers(self.seed, self.game_number)
        _check_teams(self.teams, self.n_seats)


AnyMap: TypeAlias = GivenMap | GeneratedMap | OfficialMap | ToyMap


class Order(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A move as a player asked for it, which may turn out to be invalid; see FORGET."""

    tick: Tick
    seat: Seat
    start: Int32
    end: Int32
    half: Flag


class Leave(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A player leaves; where `Rules.neutralise_after` is 0, a second one neutralises its cells."""

    tick: Tick
    seat: Seat


class Replay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recorded game."""

    game_id: Name
    rules: Rules
    map: AnyMap
    n_ticks: Tick
    """Ticks that were recorded."""
    max_ticks: Tick = 0
    """Ticks after which the game is truncated; 0 for never."""
    orders: tuple[Order, ...] = ()
    """By tick; within a tick in order of arrival."""
    leaves: tuple[Leave, ...] = ()
    """By tick."""
    hashes: bytes = b""
    """Digest of the state after each tick, from the first on; may end before the game does."""
    final_hash: bytes = b""
    """Digest of the state after `n_ticks`; empty where it is not known."""
    players: tuple[Name, ...] = ()
    """Names by seat; empty where they are not known."""

    def __post_init__(self) -> None:
        """Refuse a replay that contradicts itself or is larger than any game."""
        if self.n_ticks > MAX_TICKS:
            raise ValueError(f"{self.n_ticks:,} ticks, at most {MAX_TICKS:,}")
        if len(self.orders) > MAX_ORDERS or len(self.leaves) > MAX_LEAVES:
            raise ValueError(
                f"{len(self.orders):,} orders, at most {MAX_ORDERS:,}; "
                f"{len(self.leaves):,} leaves, at most {MAX_LEAVES:,}"
            )
        if len(self.hashes) % DIGEST_BYTES or len(self.final_hash) not in {0, DIGEST_BYTES}:
            raise ValueError(f"hashes are not of {DIGEST_BYTES} bytes each")
        if self.n_hashes > self.n_ticks:
            raise ValueError(f"{self.n_hashes} hashes for {self.n_ticks} ticks")
        if self.players and len(self.players) != self.map.n_seats:
            raise ValueError(f"{len(self.players)} names for {self.map.n_seats} seats")
        _check_events("orders", self.orders, self.map.n_seats)
        _check_events("leaves", self.leaves, self.map.n_seats)

    @property
    def n_hashes(self) -> int:
        """Ticks whose state has a digest."""
        return len(self.hashes) // DIGEST_BYTES

    def hash_after(self, tick: int) -> bytes:
        """The recorded digest of the state after this many ticks; empty where there is none."""
        if tick <= self.n_hashes:
            return self.hashes[DIGEST_BYTES * (tick - 1) : DIGEST_BYTES * tick]
        return self.final_hash if tick == self.n_ticks else b""


def _check_numbers(seed: int, game_number: int) -> None:
    if max(seed, game_number) >= 1 << 64:
        raise ValueError(f"seed {seed}, game {game_number}: 64 bits each")


def _check_teams(teams: Sequence[int] | None, n_seats: int) -> None:
    if teams is not None and len(teams) != n_seats:
        raise ValueError(f"{len(teams)} teams for {n_seats} seats")
    if teams is not None and len(set(teams)) == 1:
        raise ValueError("all players are in one team")


def _check_events(name: str, events: Sequence[Order | Leave], n_seats: int) -> None:
    before = 0
    for i, event in enumerate(events):
        if event.seat >= n_seats:
            raise ValueError(f"{name}[{i}]: seat {event.seat} in a game of {n_seats} seats")
        if event.tick < before:
            raise ValueError(f"{name}[{i}]: tick {event.tick} after tick {before}")
        before = event.tick
