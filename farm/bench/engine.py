"""`engine`: environment steps a second on one core, observations of every seat included.

A step is one tick of one game: a policy acts for each seat, the rules move on, and the packed
frame of each seat (spec.observation) is copied out to a buffer. The first figure is a duel of
`random` seats on 20x20 unless overrides say otherwise; the table beside it varies board, seats,
batch and policy one at a time. Each figure is the median over slices of its time: what else the
machine does shows up as a few slow slices.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from farm.config.check import check
from farm.config.load import compose
from farm.engine.batch import Batch
from farm.engine.reset import settings
from farm.policies.lineup import lineup
from farm.policies.registry import POLICY_NAMES
from farm.policies.rollout import play
from farm.spec.limits import TICKS_PER_TURN
from farm.spec.observation import frame_bytes

DEFAULT_MATCH = ("match.seats=[random,random]", "worker.games=64")
BOARDS = ((10, 10), (20, 20), (40, 40))
SEATS = (2, 4, 8)
BATCHES = (1, 16, 64, 256, 1024)
MAIN_SHARE = 0.4
"""Share of the time for the first figure; the rest is divided among the table."""

_TICKS = 32
_SLICES = 9
_CITIES_A_CELL = 10 / 400


class Case(NamedTuple):
    """What one figure is measured on."""

    height: int
    width: int
    policies: tuple[str, ...]
    games: int
    mountains: float = 0.2
    cities: int | None = None
    max_turns: int = 500
    copy_frames: bool = True


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure the first figure and the table.

    Returns:
        `env_steps_per_s`, `observations_per_s` (a frame of one seat each), and figures of the table
        named by what they vary.
    """
    main = configured(overrides)
    table = _table(main)
    figures: dict[str, object] = {}
    rate = measure(main, seconds * MAIN_SHARE)
    figures["board"] = f"{main.height}x{main.width}"
    figures["seats"] = list(main.policies)
    figures["games"] = main.games
    figures["env_steps_per_s"] = round(rate)
    figures["observations_per_s"] = round(rate * len(main.policies))
    for name, case in table.items():
        figures[name] = round(measure(case, seconds * (1 - MAIN_SHARE) / len(table)))
        print(f"{name:<28} {figures[name]:>12,} steps/s", file=sys.stderr)
    return figures


def measure(case: Case, seconds: float, *, seed: int = 1) -> float:
    """Environment steps a second: the median over slices of `seconds`."""
    n_cells, n_seats = case.height * case.width, len(case.policies)
    cities = round(n_cells * _CITIES_A_CELL) if case.cities is None else case.cities
    new_game = settings(
        case.height,
        case.width,
        n_seats,
        mountains=case.mountains,
        cities=cities,
        max_ticks=TICKS_PER_TURN * case.max_turns,
    )
    weights = lineup(case.policies)
    games = Batch(case.games, new_game, seed=seed).games
    next_game = np.full(1, case.games, np.uint64)
    codes, actions = np.zeros((2, n_seats), np.int32)
    shape = (_TICKS if case.copy_frames else 0, n_seats, frame_bytes(n_cells, n_seats))
    frames = np.zeros(shape, np.uint8)

    def turn() -> None:
        play(games, weights, _TICKS, np.uint64(seed), next_game, new_game, codes, actions, frames)

    # Past the openings, in which every game of the batch is at the same, cheap, tick.
    warm_until = time.perf_counter() + seconds / 10
    turn()
    while time.perf_counter() < warm_until:
        turn()
    rates = []
    for _ in range(_SLICES):
        began = time.perf_counter()
        turns = 0
        while (now := time.perf_counter()) < began + 0.9 * seconds / _SLICES or turns == 0:
            turn()
            turns += 1
        rates.append(turns * _TICKS * case.games / (now - began))
    return statistics.median(rates)


def configured(overrides: Sequence[str]) -> Case:
    """The case that overrides describe.

    Raises:
        ConfigError: they describe none.
    """
    config = compose([*DEFAULT_MATCH, *overrides]).config
    check(config, policies=POLICY_NAMES)
    height, width = config.match.size
    return Case(
        height,
        width,
        config.match.seats,
        config.worker.games,
        config.match.mountains,
        config.match.cities,
        config.match.max_turns,
    )


def _table(main: Case) -> dict[str, Case]:
    """What the table varies, each from the first figure's case."""
    cases = {"no_frames_copied": main._replace(copy_frames=False)}
    for name in POLICY_NAMES:
        cases[f"policy_{name}"] = main._replace(policies=(name,) * len(main.policies))
    for height, width in BOARDS:
        cases[f"board_{height}x{width}"] = main._replace(height=height, width=width, cities=None)
    for n_seats in SEATS:
        cases[f"seats_{n_seats}"] = main._replace(policies=(main.policies[0],) * n_seats)
    for games in BATCHES:
        cases[f"games_{games}"] = main._replace(games=games)
    return cases
