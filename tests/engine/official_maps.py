"""Official maps as plain numbers, and every official rule of map generation, in plain Python."""

import math
from typing import NamedTuple

import numpy as np
from engine.ground import distance, enemy_distances, friend_distances, steps_from

from farm.engine.batch import reset_games
from farm.engine.settings import HEIGHT, WIDTH, official_settings
from farm.engine.state import MAPS_DRAWN, allocate
from farm.spec import tiles

LEAST_DISTANCE = {2: 15, 3: 14, 4: 13, 5: 12, 6: 11}
"""Of enemies, by the number of sides; 10 from 7 sides on."""
FAIR = 0.626
RELAXED = 0.9
"""What is left of that threshold after a hundred tries: far more than any pair takes."""


class OfficialMap(NamedTuple):
    height: int
    width: int
    terrain: np.ndarray
    army: np.ndarray
    generals: list
    sides: list
    drawn: int
    """Maps drawn until this one was accepted."""

    def cells(self, kind):
        return np.flatnonzero(self.terrain == kind).tolist()

    @property
    def open(self):
        return (self.terrain != tiles.MOUNTAIN) & (self.terrain != tiles.CITY)

    @property
    def mountain_share(self):
        return len(self.cells(tiles.MOUNTAIN)) / self.terrain.size


def official_maps(n_maps, n_seats, teams=None, *, seed=1, **options):
    """Maps of games 0 to `n_maps` - 1, each of the size that was drawn unless it is padded."""
    settings = official_settings(n_seats, **{"pad": False, "teams": teams, **options})
    games = allocate(n_maps, int(settings.numbers[HEIGHT] * settings.numbers[WIDTH]), n_seats)
    reset_games(games, np.uint64(seed), np.arange(n_maps, dtype=np.uint64), settings)
    for g in range(n_maps):
        height, width = int(games.height[g]), int(games.width[g])
        yield OfficialMap(
            height,
            width,
            games.terrain[g, : height * width],
            games.army[g, : height * width],
            games.general[g].tolist(),
            games.side[g].tolist(),
            int(games.status[g, MAPS_DRAWN]),
        )


def openness(board, start):
    """Open cells at 1 to 9 steps; the first weighs 20, each further one 1.35 times less."""
    steps = steps_from(start, board.open, board.height, board.width).values()
    return sum(20 / 1.35 ** (step - 1) for step in steps if 1 <= step <= 9)


def broken_rules(board):
    """What an official map does not keep to, in words."""
    n, s = len(board.generals), len(set(board.sides))
    least = 16 + min(8, n) + max(0, n - 6) / 2 + (max(0, s - 2) / 2 if s < n else 0)
    n_cities, n_mountains = len(board.cells(tiles.CITY)), len(board.cells(tiles.MOUNTAIN))
    armies = set(board.army[board.terrain == tiles.CITY].tolist())
    enemies = enemy_distances(board.generals, board.sides, board.width)
    friends = friend_distances(board.generals, board.sides, board.width)
    checks = {
        "size": all(
            math.floor(least + 0.5) <= side <= math.floor(least + 4 + n / 2 + 0.5)
            for side in (board.height, board.width)
        ),
        "cities": math.ceil(5 + 2 * n) <= n_cities <= math.ceil(5 + 3 * n),
        "armies of cities": armies <= set(range(40, 51)),
        "mountains": n_mountains <= 0.28 * board.terrain.size,
        "generals": sorted(board.generals) == board.cells(tiles.GENERAL),
        "enemies apart": min(enemies) >= LEAST_DISTANCE.get(s, 10),
        "teammates apart": min(friends, default=4) >= 4,
        "teammates near": _teammates_near(board),
        "cities near": n > 8 or _cities_near(board),
        "reach the first two": _reach_first_two(board),
        "fair duel": n > 2 or _fairness(board) >= FAIR * RELAXED,
    }  # fmt: skip
    return [name for name, kept in checks.items() if not kept]


def _teammates_near(board):
    for seat, (cell, side) in enumerate(zip(board.generals, board.sides, strict=True)):
        mates = [
            distance(cell, other, board.width)
            for mate, other in enumerate(board.generals)
            if mate != seat and board.sides[mate] == side
        ]
        if mates and min(mates) > 11:
            return False
    return True


def _cities_near(board):
    cities = board.cells(tiles.CITY)
    return all(
        min(distance(cell, city, board.width) for city in cities) <= 6 for cell in board.generals
    )


def _reach_first_two(board):
    return all(
        set(board.generals[:2]) <= set(steps_from(cell, board.open, board.height, board.width))
        for cell in board.generals
    )


def _fairness(board):
    here, there = (openness(board, cell) for cell in board.generals)
    return min(here, there) / max(here, there)
