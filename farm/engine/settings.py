"""What a game is set up from: seats, rules, and which map, as plain arrays (farm.jit).

A kind of map is a number in the settings that `reset_game` goes by: `uniform` (maps/uniform.py),
`official` (maps/official.py), `fixed` (maps/fixed.py) and `toy` (maps/toy.py).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.rules import official
from farm.spec import tiles
from farm.spec.boards import Board, least_side, max_board, side_range
from farm.spec.limits import MAX_CELLS, MAX_SEATS, MAX_SIDE, MIN_SEATS, MIN_SIDE

# Indices of `Settings.numbers`.
HEIGHT: Final = 0
WIDTH: Final = 1
"""Of the board, or of the largest one where the size is drawn."""
SEATS: Final = 2
MOUNTAINS: Final = 3
"""Cells of a uniform map that are mountains, in thousandths."""
CITIES: Final = 4
"""Of a uniform map."""
TICKS: Final = 5
"""Ticks after which the game is truncated; 0 for never."""
MAP: Final = 6
"""The kind of map, one of the codes below."""
LEAST_HALVES: Final = 7
"""The shortest side of an official map before it is rounded, in half cells."""
RANGE_HALVES: Final = 8
"""How much longer it can be, never quite reached, in half cells."""
PAD: Final = 9
"""1: official maps are laid into the upper left of the largest board, mountains around them."""
STRICT: Final = 10
"""Official maps that are drawn at most before their rules give way (maps/official.py)."""
N_NUMBERS: Final = 11

UNIFORM: Final = 0
OFFICIAL: Final = 1
FIXED: Final = 2
TOY: Final = 3

STRICT_MAPS: Final = 1000
"""Of the usual settings none needs more than some dozens (tools/map_statistics.py)."""


class Settings(NamedTuple):
    """What a game is set up from."""

    numbers: NDArray[np.int32]
    """int32[N_NUMBERS], by the indices above."""
    teams: NDArray[np.int8]
    """int8[seats]: equal numbers are teammates."""
    rules: NDArray[np.int32]
    """int32[N_RULES] (rules.py)."""
    generals: NDArray[np.int32]
    """int32[seats] of a fixed map: cell of each general, -1 for none; else int32[0]."""
    terrain: NDArray[np.uint8]
    """uint8[cells] of a fixed map: codes of spec.tiles; else uint8[0]."""
    army: NDArray[np.int32]
    """int32[cells] of a fixed map: armies of neutral cells; else int32[0]."""


def settings(
    height: int,
    width: int,
    n_seats: int,
    *,
    mountains: float = 0.2,
    cities: int = 10,
    max_ticks: int = 0,
    teams: Sequence[int] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> Settings:
    """Settings of a game on a uniform map.

    Args:
        height: rows, 4 to 64.
        width: columns, 4 to 64.
        n_seats: 2 to 16.
        mountains: share of the cells; fewer where the board is too full.
        cities: neutral cities; fewer where the board is too full.
        max_ticks: ticks after which the game is truncated; 0 for never.
        teams: for each seat a number, equal for teammates; everybody alone by default.
        rules: int32[N_RULES]; the official ones by default.

    Raises:
        ValueError: a number is out of its bounds, or `teams` has another length than there are
            seats, or puts all of them on one side.
    """
    if not (0 <= mountains <= 1 and 0 <= cities <= MAX_CELLS):
        raise ValueError(f"mountains {mountains}, cities {cities}")
    made = _settings(UNIFORM, height, width, n_seats, max_ticks, teams, rules)
    made.numbers[MOUNTAINS] = round(mountains * 1000)
    made.numbers[CITIES] = cities
    return made


def official_settings(
    n_seats: int,
    *,
    pad: bool = True,
    max_ticks: int = 0,
    teams: Sequence[int] | None = None,
    rules: NDArray[np.int32] | None = None,
    strict: int = STRICT_MAPS,
) -> Settings:
    """Settings of a game on an official map, whose size is drawn.

    Args:
        n_seats: 2 to 16.
        pad: whether the map is laid into the upper left of the largest board there is for so many
            seats and sides, the rest being mountains. Without it every game has its own size.
        max_ticks: ticks after which the game is truncated; 0 for never.
        teams: for each seat a number, equal for teammates; everybody alone by default.
        rules: int32[N_RULES]; the official ones by default.
        strict: maps drawn at most before spacing and cities give way.

    Raises:
        ValueError: as for `settings`.
    """
    if strict < 0:
        raise ValueError(f"{strict} maps")
    n_sides = n_seats if teams is None else len(set(teams))
    made = _settings(OFFICIAL, *max_board(n_seats, n_sides), n_seats, max_ticks, teams, rules)
    made.numbers[LEAST_HALVES] = round(2 * least_side(n_seats, n_sides))
    made.numbers[RANGE_HALVES] = round(2 * side_range(n_seats))
    made.numbers[PAD] = pad
    made.numbers[STRICT] = strict
    return made


def toy_settings(
    height: int,
    width: int,
    n_seats: int,
    *,
    max_ticks: int = 0,
    teams: Sequence[int] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> Settings:
    """Settings of a game on a toy map: generals along the rim, and one city.

    Raises:
        ValueError: as for `settings`, or the rim is shorter than there are seats.
    """
    made = _settings(TOY, height, width, n_seats, max_ticks, teams, rules)
    rim = 2 * (height + width) - 4
    if rim < n_seats:
        raise ValueError(f"board {height}x{width}: {rim} cells of its rim for {n_seats} generals")
    return made


def fixed_settings(
    board: Board,
    *,
    max_ticks: int = 0,
    teams: Sequence[int] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> Settings:
    """Settings of a game on a given board.

    Args:
        board: the map; a general of -1 is a place that nobody took.
        max_ticks: ticks after which the game is truncated; 0 for never.
        teams: for each seat a number, equal for teammates; those of the board by default.
        rules: int32[N_RULES]; the official ones by default.

    Raises:
        ValueError: as for `settings`, or a cell is off the board.
    """
    teams = board.teams if teams is None else teams
    n_seats = len(board.generals)
    made = _settings(FIXED, board.height, board.width, n_seats, max_ticks, teams, rules)
    n_cells = board.height * board.width
    lists = (board.generals, board.mountains, board.cities, board.swamps, board.deserts)
    highest = max(max(cells, default=-1) for cells in (*lists, board.neutrals))
    if highest >= n_cells:
        raise ValueError(f"cell {highest} on a board of {n_cells} cells")
    terrain, army = np.full(n_cells, tiles.PLAIN, np.uint8), np.zeros(n_cells, np.int32)
    for cells, code in (
        (board.swamps, tiles.SWAMP),
        (board.deserts, tiles.DESERT),
        (board.cities, tiles.CITY),
        (board.mountains, tiles.MOUNTAIN),
    ):
        terrain[list(cells)] = code
    army[list(board.neutrals)] = board.neutral_armies
    army[list(board.cities)] = board.city_armies
    return made._replace(generals=np.array(board.generals, np.int32), terrain=terrain, army=army)


def named_settings(
    kind: str,
    n_seats: int,
    *,
    size: tuple[int, int],
    mountains: float,
    cities: int,
    pad: bool,
    board: Board | None = None,
    max_ticks: int = 0,
    teams: Sequence[int] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> Settings:
    """Settings of a game on a map of a kind by its name, as in the `match` config.

    Args:
        kind: `uniform`, `official`, `toy` or `fixed`.
        n_seats: 2 to 16.
        size: height and width of a uniform or toy map.
        mountains: share of the cells of a uniform map.
        cities: of a uniform map.
        pad: of official maps.
        board: of a fixed map.
        max_ticks: ticks after which the game is truncated; 0 for never.
        teams: for each seat a number, equal for teammates; everybody alone by default.
        rules: int32[N_RULES]; the official ones by default.

    Raises:
        ValueError: there is no such kind, or the board has not a general for each seat; else as
            the function for the kind does.
    """
    if kind == "uniform":
        return settings(
            *size,
            n_seats,
            mountains=mountains,
            cities=cities,
            max_ticks=max_ticks,
            teams=teams,
            rules=rules,
        )
    if kind == "official":
        return official_settings(n_seats, pad=pad, max_ticks=max_ticks, teams=teams, rules=rules)
    if kind == "toy":
        return toy_settings(*size, n_seats, max_ticks=max_ticks, teams=teams, rules=rules)
    if kind != "fixed":
        raise ValueError(f"no map {kind!r}; there are uniform, official, toy and fixed")
    if board is None or len(board.generals) != n_seats:
        raise ValueError(f"a fixed map is a board with a general for each of {n_seats} seats")
    return fixed_settings(board, max_ticks=max_ticks, teams=teams, rules=rules)


def _settings(
    kind: int,
    height: int,
    width: int,
    n_seats: int,
    max_ticks: int,
    teams: Sequence[int] | None,
    rules: NDArray[np.int32] | None,
) -> Settings:
    if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE):
        raise ValueError(f"board {height}x{width}: sides are {MIN_SIDE} to {MAX_SIDE} cells")
    if not MIN_SEATS <= n_seats <= MAX_SEATS:
        raise ValueError(f"{n_seats} seats: a game has {MIN_SEATS} to {MAX_SEATS}")
    if teams is not None and len(teams) != n_seats:
        raise ValueError(f"{len(teams)} teams for {n_seats} seats")
    if teams is not None and len(set(teams)) == 1:
        raise ValueError("all seats are in one team: a game has at least two sides")
    if max_ticks < 0:
        raise ValueError(f"max_ticks {max_ticks}")
    numbers = np.zeros(N_NUMBERS, np.int32)
    numbers[[HEIGHT, WIDTH, SEATS, TICKS, MAP]] = height, width, n_seats, max_ticks, kind
    return Settings(
        numbers,
        np.array(range(n_seats) if teams is None else teams, np.int8),
        official() if rules is None else rules.astype(np.int32),
        np.zeros(0, np.int32),
        np.zeros(0, np.uint8),
        np.zeros(0, np.int32),
    )
