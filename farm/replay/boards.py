"""What the engine sets a game up from, as a replay has it, and back (pure)."""

import numpy as np

from farm.engine.settings import (
    CITIES,
    FIXED,
    HEIGHT,
    MAP,
    MOUNTAINS,
    OFFICIAL,
    PAD,
    SEATS,
    TOY,
    WIDTH,
    Settings,
    fixed_settings,
    official_settings,
    settings,
    toy_settings,
)
from farm.replay.model import AnyMap, GeneratedMap, GivenMap, OfficialMap, Rules, ToyMap
from farm.spec import tiles
from farm.spec.boards import Board


def settings_of(board: AnyMap, rules: Rules, *, max_ticks: int = 0) -> Settings:
    """What the engine sets the game up from, beside seed and game number of a drawn map.

    Args:
        board: the map.
        rules: the variant.
        max_ticks: ticks after which the game is truncated; 0 for never.

    Raises:
        ValueError: the engine cannot set this game up.
    """
    if isinstance(board, GivenMap):
        return fixed_settings(_given(board), max_ticks=max_ticks, rules=rules.vector())
    teams, vector = board.teams, rules.vector()
    match board:
        case OfficialMap():
            return official_settings(
                board.n_seats, pad=board.pad, max_ticks=max_ticks, teams=teams, rules=vector
            )
        case ToyMap():
            return toy_settings(
                board.height,
                board.width,
                board.n_seats,
                max_ticks=max_ticks,
                teams=teams,
                rules=vector,
            )
        case GeneratedMap():
            return settings(
                board.height,
                board.width,
                board.n_seats,
                mountains=board.mountains / 1000,
                cities=board.cities,
                max_ticks=max_ticks,
                teams=teams,
                rules=vector,
            )


def map_of(made: Settings, seed: int, game_number: int) -> AnyMap:
    """The map of a game that was set up from these settings, seed and number."""
    numbers = made.numbers.tolist()
    height, width, n_seats, kind = (numbers[index] for index in (HEIGHT, WIDTH, SEATS, MAP))
    # All different is everybody alone, whatever the numbers.
    teams = tuple(made.teams.tolist())
    allied = teams if len(set(teams)) < n_seats else None
    if kind == FIXED:
        return _board(made, height, width, allied)
    if kind == OFFICIAL:
        return OfficialMap(
            n_seats=n_seats,
            seed=seed,
            game_number=game_number,
            pad=bool(numbers[PAD]),
            teams=allied,
        )
    if kind == TOY:
        return ToyMap(
            height=height,
            width=width,
            n_seats=n_seats,
            seed=seed,
            game_number=game_number,
            teams=allied,
        )
    return GeneratedMap(
        height=height,
        width=width,
        n_seats=n_seats,
        seed=seed,
        game_number=game_number,
        mountains=numbers[MOUNTAINS],
        cities=numbers[CITIES],
        teams=allied,
    )


def _given(board: GivenMap) -> Board:
    return Board(
        height=board.height,
        width=board.width,
        generals=board.generals,
        mountains=board.mountains,
        cities=board.cities,
        city_armies=board.city_armies,
        swamps=board.swamps,
        deserts=board.deserts,
        neutrals=board.neutrals,
        neutral_armies=board.neutral_armies,
        teams=board.teams,
    )


def _board(made: Settings, height: int, width: int, teams: tuple[int, ...] | None) -> GivenMap:
    def cells_of(code: int) -> tuple[int, ...]:
        return tuple(np.flatnonzero(made.terrain == code).tolist())

    cities = cells_of(tiles.CITY)
    neutrals = tuple(np.flatnonzero((made.army != 0) & (made.terrain != tiles.CITY)).tolist())
    return GivenMap(
        height=height,
        width=width,
        generals=tuple(made.generals.tolist()),
        mountains=cells_of(tiles.MOUNTAIN),
        cities=cities,
        city_armies=tuple(made.army[list(cities)].tolist()),
        swamps=cells_of(tiles.SWAMP),
        deserts=cells_of(tiles.DESERT),
        neutrals=neutrals,
        neutral_armies=tuple(made.army[list(neutrals)].tolist()),
        teams=teams,
    )
