"""`engine`: environment steps a second on one core, observations of every seat included.

A step is one tick of one game: a policy acts for each seat, the rules move on, and the packed
frame of each seat (spec.observation) is copied out to a buffer. The first figure is a duel of
`random` seats on 20x20 unless overrides say otherwise; the table beside it varies board, seats,
batch and policy one at a time. The grid has every policy by every number of seats on 10x10, 20x20
and official maps, with the frames copied out and without. Each figure is the median over slices of
its time: what else the machine does shows up as a few slow slices.

`reset_share` is the part of whole games, played to their ends without copying frames, that setting
them up takes: of the first figure's games, and of official maps by seats and policy.

Run from a checkout, the speed of the plain-Python oracle in `tests/engine` stands beside it, as a
measure of the machine.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from farm.config.board import read_map
from farm.config.check import check
from farm.config.load import compose
from farm.engine.batch import Batch, reset_games
from farm.engine.rules import of_names
from farm.engine.settings import HEIGHT, WIDTH, Settings, named_settings
from farm.policies.lineup import draw_lineup, lineup
from farm.policies.registry import POLICY_NAMES
from farm.policies.rollout import play, play_out
from farm.spec.boards import Board
from farm.spec.limits import TICKS_PER_TURN
from farm.spec.observation import frame_bytes

DEFAULT_SEATS = "match.seats=[random,random]"
DEFAULT_GAMES = "worker.games=64"
BOARDS = ((10, 10), (20, 20), (40, 40))
SEATS = (2, 4, 8)
BATCHES = (1, 16, 64, 256, 1024)
GRID_BOARDS = ((10, 10), (20, 20))
OFFICIAL_SEATS = (2, 4, 8, 12)
MAIN_SHARE, TABLE_SHARE = 0.3, 0.3
"""Shares of the time for the first figure and the table; the rest is divided among the grid."""

ORACLE = Path(__file__).resolve().parents[2] / "tests" / "engine" / "oracle_speed.py"
"""Where a checkout has it; an installed package does not."""
ORACLE_S = 3.0
"""Seconds for it; it takes a millisecond a step."""
ORACLE_DEADLINE_S = 60.0

_TICKS = 32
_SLICES = 9
_WARM_TICKS = 256
"""Played before anything is timed: past the openings, in which a step is cheap."""
_WHOLE_GAMES = 16
"""Games that a share of resets is measured on at a time."""
_ROUNDS = 5
_CITIES_A_CELL = 10 / 400


class Case(NamedTuple):
    """What one figure is measured on."""

    height: int
    width: int
    policies: tuple[str, ...]
    games: int
    map: str = "uniform"
    given: Board | None = None
    teams: tuple[int, ...] | None = None
    mountains: float = 0.2
    cities: int | None = None
    max_turns: int = 500
    copy_frames: bool = True
    memory: bool = False
    rules: NDArray[np.int32] | None = None


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure the first figure and the table.

    Returns:
        `env_steps_per_s`, `observations_per_s` (a frame of one seat each), `oracle_steps_per_s`
        (None outside a checkout), figures of the table named by what they vary, `grid` by board,
        seats and policy, each `[copied, not copied]`, and `reset_share` by name, that of the
        first figure under `main`.
    """
    main = configured(overrides)
    table = _table(main)
    figures: dict[str, object] = {}
    rate = measure(main, seconds * MAIN_SHARE)
    new_game = new_game_of(main)
    figures["map"] = main.map
    figures["board"] = f"{new_game.numbers[HEIGHT]}x{new_game.numbers[WIDTH]}"
    figures["seats"] = list(main.policies)
    figures["games"] = main.games
    figures["env_steps_per_s"] = round(rate)
    figures["observations_per_s"] = round(rate * len(main.policies))
    figures["oracle_steps_per_s"] = oracle_steps_per_s()
    for name, case in table.items():
        figures[name] = round(measure(case, seconds * TABLE_SHARE / len(table)))
        print(f"{name:<28} {figures[name]:>12,} steps/s", file=sys.stderr)
    figures["grid"] = _measure_grid(main, seconds * (1 - MAIN_SHARE - TABLE_SHARE))
    shares = {name: round(reset_share(case), 4) for name, case in _reset_cases(main).items()}
    for name, share in shares.items():
        print(f"reset share {name:<20} {share:>8.2%}", file=sys.stderr)
    figures["reset_share"] = shares
    return figures


def measure(case: Case, seconds: float, *, seed: int = 1) -> float:
    """Environment steps a second: the median over slices of `seconds`."""
    n_seats = len(case.policies)
    new_game = new_game_of(case)
    n_cells = int(new_game.numbers[HEIGHT]) * int(new_game.numbers[WIDTH])
    weights = lineup(case.policies)
    games = Batch(case.games, new_game, seed=seed, memory=case.memory).games
    next_game = np.full(1, case.games, np.uint64)
    codes, actions = np.zeros((2, n_seats), np.int32)
    shape = (_TICKS if case.copy_frames else 0, n_seats, frame_bytes(n_cells, n_seats))
    frames = np.zeros(shape, np.uint8)

    def turn() -> None:
        play(games, weights, _TICKS, np.uint64(seed), next_game, new_game, codes, actions, frames)

    for _ in range(_WARM_TICKS // _TICKS):
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


def oracle_steps_per_s() -> int | None:
    """Steps a second of the rules in plain Python, on a 20x20 duel; None outside a checkout."""
    if not ORACLE.exists():
        print("oracle: not here; run from a checkout to see its speed", file=sys.stderr)
        return None
    command = [sys.executable, str(ORACLE), str(ORACLE_S)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=ORACLE_DEADLINE_S)
    rate = int(json.loads(done.stdout)["oracle_steps_per_s"])
    print(f"{'oracle, in plain Python':<28} {rate:>12,} steps/s", file=sys.stderr)
    return rate


def reset_share(case: Case, *, seed: int = 1) -> float:
    """Time to set games up, by the time to set them up and play them: medians over rounds."""
    new_game, codes = new_game_of(case), first_lineup(case, seed=seed)
    batch = Batch(_WHOLE_GAMES, new_game, seed=seed)
    actions = np.zeros(len(codes), np.int32)
    numbers = np.arange(_WHOLE_GAMES, dtype=np.uint64)
    play_out(batch.games, codes, actions)
    setting_up, playing = [], []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        numbers += np.uint64(_WHOLE_GAMES)
        reset_games(batch.games, batch.seed, numbers, new_game)
        ready = time.perf_counter()
        play_out(batch.games, codes, actions)
        setting_up.append(ready - began)
        playing.append(time.perf_counter() - ready)
    reset_s, play_s = statistics.median(setting_up), statistics.median(playing)
    return reset_s / (reset_s + play_s)


def configured(overrides: Sequence[str]) -> Case:
    """The case that overrides describe.

    Raises:
        ConfigError: they describe none.
    """
    config = compose([DEFAULT_GAMES, *with_seats(overrides)]).config
    check(config, policies=POLICY_NAMES)
    height, width = config.match.size
    return Case(
        height,
        width,
        config.match.seats,
        config.worker.games,
        map=config.match.map,
        given=read_map(config.match) if config.match.map == "fixed" else None,
        teams=config.match.teams,
        mountains=config.match.mountains,
        cities=config.match.cities,
        max_turns=config.match.max_turns,
        memory=config.worker.memory,
        rules=of_names(structs.asdict(config.rules)),
    )


def with_seats(overrides: Sequence[str]) -> list[str]:
    """Overrides with `random` seats before them, unless they choose a match, which has its own."""
    chosen = any(override.startswith("match=") for override in overrides)
    return list(overrides) if chosen else [DEFAULT_SEATS, *overrides]


def new_game_of(case: Case) -> Settings:
    """Settings of its games; official maps are padded."""
    n_cells = case.height * case.width
    return named_settings(
        case.map,
        len(case.policies),
        size=(case.height, case.width),
        mountains=case.mountains,
        cities=round(n_cells * _CITIES_A_CELL) if case.cities is None else case.cities,
        pad=True,
        board=case.given,
        max_ticks=TICKS_PER_TURN * case.max_turns,
        teams=case.teams,
        rules=case.rules,
    )


def first_lineup(case: Case, *, seed: int) -> NDArray[np.int32]:
    """int32[n_seats], policy codes of its first game."""
    codes = np.zeros(len(case.policies), np.int32)
    draw_lineup(lineup(case.policies), np.uint64(seed), np.uint64(0), codes)
    return codes


def _reset_cases(main: Case) -> dict[str, Case]:
    """Whose share of resets is measured."""
    cases = {"main": main}
    for n_seats in OFFICIAL_SEATS:
        for name in POLICY_NAMES:
            official = Case(20, 20, (name,) * n_seats, main.games, map="official")
            cases[f"official_{n_seats}_{name}"] = official
    return cases


def _table(main: Case) -> dict[str, Case]:
    """What the table varies, each from the first figure's case."""
    cases = {"no_frames_copied": main._replace(copy_frames=False)}
    cases["with_memory"] = main._replace(memory=True)
    for name in POLICY_NAMES:
        cases[f"policy_{name}"] = main._replace(policies=(name,) * len(main.policies))
    for games in BATCHES:
        cases[f"games_{games}"] = main._replace(games=games)
    # From here on sizes and seats differ from the first figure's: boards are uniform.
    main = main._replace(map="uniform", given=None, teams=None)
    for height, width in BOARDS:
        cases[f"board_{height}x{width}"] = main._replace(height=height, width=width, cities=None)
    for n_seats in SEATS:
        cases[f"seats_{n_seats}"] = main._replace(policies=(main.policies[0],) * n_seats)
    return cases


def _measure_grid(main: Case, seconds: float) -> dict[str, list[int]]:
    """Steps a second of every case of the grid, with the frames copied out and without."""
    cases = _grid(main)
    share_s = seconds / len(cases) / 2
    rates = {}
    print(f"{'grid':<28} {'copied':>12} {'not copied':>12}  steps/s", file=sys.stderr)
    for name, case in cases.items():
        bare = case._replace(copy_frames=False)
        rates[name] = [round(measure(each, share_s)) for each in (case, bare)]
        print(f"{name:<28} {rates[name][0]:>12,} {rates[name][1]:>12,}", file=sys.stderr)
    return rates


def _grid(main: Case) -> dict[str, Case]:
    """Boards by seats by policies, named `20x20_2_random`; batch and rules are the first's."""
    uniform = main._replace(map="uniform", given=None, teams=None, cities=None)
    boards = {
        f"{height}x{width}": uniform._replace(height=height, width=width)
        for height, width in GRID_BOARDS
    }
    boards["official"] = uniform._replace(map="official")
    return {
        f"{board}_{n_seats}_{name}": case._replace(policies=(name,) * n_seats)
        for board, case in boards.items()
        for n_seats in SEATS
        for name in POLICY_NAMES
    }
