"""Statistics of generated official maps beside the reference means of the rules.

    python tools/map_statistics.py --maps 1000 --players 2,4,8,12 --teams 0,0,1,1

For every kind of game: means of width, height, cities, mountains (of the part that was drawn), the
distance from a general to the nearest enemy (least and mean), and how many maps were drawn until
one was accepted. References are means over 200 official maps each, but for the distance: that is
the least.

Spawn fairness is about openness: the score by which pairs of generals are accepted (RULES.md, and
farm/engine/maps/official.py), worked out here by itself, in plain Python. `openness min/max` is the
smaller over the larger openness of a map's generals: its mean, and the 5th percentile. `best seat`
is by how much the share of maps in which a seat has the most open ground departs from 1/n at worst
over the seats, in standard deviations of a fair draw: above 4 some seat would be favoured.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.batch import reset_games
from farm.engine.settings import HEIGHT, WIDTH, official_settings
from farm.engine.state import MAPS_DRAWN, allocate
from farm.spec import tiles

REFERENCE = {
    2: ("19.6", "10.6", ".207", "15"),
    4: ("21.9", "15.6", ".204", "13"),
    8: ("27.6", "25.9", ".205", "10"),
    12: ("30.7", "35.1", ".204", "10"),
}
"""Width, cities, mountain share, least distance of enemies."""
COLUMNS = (
    "game", "width", "height", "cities", "mountains", "enemy min", "mean", "maps drawn", "us/reset",
    "openness min/max", "5 %", "best seat",
)  # fmt: skip
STEPS, FIRST_WEIGHT, WEIGHT_FALLS = 9, 20.0, 1.35
CHUNK = 100


class Map(NamedTuple):
    """A map that was drawn, as plain numbers."""

    height: int
    width: int
    terrain: NDArray[np.uint8]
    """uint8[height * width]"""
    army: NDArray[np.int32]
    """int32[height * width]"""
    generals: tuple[int, ...]
    sides: tuple[int, ...]
    maps_drawn: int


def draw_maps(
    n_maps: int, n_seats: int, teams: Sequence[int] | None = None, *, seed: int = 1, first: int = 0
) -> tuple[list[Map], float]:
    """Official maps of game numbers from `first` on, and the seconds that each took."""
    settings = official_settings(n_seats, pad=False, teams=teams)
    games = allocate(n_maps, int(settings.numbers[HEIGHT] * settings.numbers[WIDTH]), n_seats)
    numbers = np.arange(first, first + n_maps, dtype=np.uint64)
    # Once before, for the memory to be there.
    reset_games(games, np.uint64(seed), numbers, settings)
    began = time.perf_counter()
    reset_games(games, np.uint64(seed), numbers, settings)
    took_s = (time.perf_counter() - began) / n_maps
    maps = []
    for g in range(n_maps):
        height, width = int(games.height[g]), int(games.width[g])
        maps.append(
            Map(
                height,
                width,
                games.terrain[g, : height * width].copy(),
                games.army[g, : height * width].copy(),
                tuple(games.general[g].tolist()),
                tuple(games.side[g].tolist()),
                int(games.status[g, MAPS_DRAWN]),
            )
        )
    return maps, took_s


def openness(drawn: Map, start: int) -> float:
    """Open cells at 1 to 9 steps from a cell, each step's weighing 1.35 times less."""
    score, weight = 0.0, FIRST_WEIGHT
    reached, front = {start}, [start]
    for _ in range(STEPS):
        following = []
        for cell in front:
            for near in neighbours(cell, drawn.height, drawn.width):
                is_open = drawn.terrain[near] not in (tiles.MOUNTAIN, tiles.CITY)
                if is_open and near not in reached:
                    reached.add(near)
                    following.append(near)
        front = following
        score += weight * len(front)
        weight /= WEIGHT_FALLS
    return score


def neighbours(cell: int, height: int, width: int) -> list[int]:
    """The cells beside a cell."""
    row, column = divmod(cell, width)
    steps = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [r * width + c for r, c in steps if 0 <= r < height and 0 <= c < width]


def nearest_enemies(drawn: Map) -> list[int]:
    """Manhattan distance from each general to the nearest one of another side."""
    places = [divmod(cell, drawn.width) for cell in drawn.generals]
    return [
        min(
            abs(row - other[0]) + abs(column - other[1])
            for other, there in zip(places, drawn.sides, strict=True)
            if there != side
        )
        for (row, column), side in zip(places, drawn.sides, strict=True)
    ]


def figures(name: str, maps: Sequence[Map], took_s: float) -> tuple[str, ...]:
    """One row of the table."""
    cells = np.array([drawn.height * drawn.width for drawn in maps])
    mountains = np.array([(drawn.terrain == tiles.MOUNTAIN).sum() for drawn in maps]) / cells
    cities = np.array([(drawn.terrain == tiles.CITY).sum() for drawn in maps])
    enemies = np.array([nearest_enemies(drawn) for drawn in maps])
    scores = np.array([[openness(drawn, cell) for cell in drawn.generals] for drawn in maps])
    ratios = scores.min(axis=1) / scores.max(axis=1)
    drawn = np.array([one.maps_drawn for one in maps])
    return (
        name,
        f"{np.mean([one.width for one in maps]):.2f}",
        f"{np.mean([one.height for one in maps]):.2f}",
        f"{cities.mean():.2f}",
        f"{mountains.mean():.4f}",
        f"{enemies.min()}",
        f"{enemies.mean():.1f}",
        f"{drawn.mean():.2f} (up to {drawn.max()})",
        f"{1e6 * took_s:.0f}",
        f"{ratios.mean():.3f}",
        f"{np.percentile(ratios, 5):.3f}",
        f"{favour(scores):.1f} sd",
    )


def favour(scores: NDArray[np.float64]) -> float:
    """How far the seat that most often has, or most often lacks, the best score is from chance.

    Args:
        scores: float64[maps, seats]. Of equal scores each counts its part.

    Returns:
        Standard deviations of the count that a fair draw of the best seat gives.
    """
    n_maps, n_seats = scores.shape
    best = scores == scores.max(axis=1, keepdims=True)
    wins = (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    fair = n_maps / n_seats
    return float(np.abs(wins - fair).max() / math.sqrt(fair * (1 - 1 / n_seats)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=1000, help="maps of each kind (1000)")
    parser.add_argument("--players", default="2,4,8,12", help="numbers of players, 2 to 16")
    parser.add_argument(
        "--teams",
        action="append",
        default=[],
        help="a number a player, such as 0,0,1,1; repeatable",
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    games: list[tuple[str, int, tuple[int, ...] | None]] = [
        (f"{n} alone", int(n), None) for n in args.players.split(",") if n
    ]
    for text in args.teams:
        teams = tuple(map(int, text.split(",")))
        games.append((f"teams {text}", len(teams), teams))
    print(" | ".join(COLUMNS))
    for name, n_seats, teams in games:
        maps: list[Map] = []
        took_s = 0.0
        for first in range(0, args.maps, CHUNK):
            size = min(CHUNK, args.maps - first)
            chunk, each_s = draw_maps(size, n_seats, teams, seed=args.seed, first=first)
            maps += chunk
            took_s += each_s * size / args.maps
            print(f"\r{name}: {len(maps)} of {args.maps} maps ", end="", file=sys.stderr)
        print(" | ".join(figures(name, maps, took_s)), flush=True)
        if teams is None and n_seats in REFERENCE:
            width, cities, mountains, least = REFERENCE[n_seats]
            print(f"  reference | {width} | | {cities} | {mountains} | {least}")


if __name__ == "__main__":
    main()
