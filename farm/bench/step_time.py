"""`step_time`: where the time of an environment step goes (farm.jit).

Runs over the same games, in turn, each timed by itself; medians over several rounds:

    whole     policies act, the rules move on, the frames of all seats are copied out
    bare      the same without the copies
    repeated  the actions of `bare`, recorded, are given to the rules: no policy acts
    idle      everybody passes: growth, clocks and scoreboard alone
    copied    the frames are copied out and nothing else

So policies = bare - repeated, moves = repeated - idle, copies = whole - bare; resets are counted
apart in each. Copies come to less than `copied` alone where the processor overlaps them with other
work. That one is the floor: no step that hands out what every seat sees can take less than copying
it, however little else it does. `times_floor` is how far a whole step is from it.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.bench.engine import Case, configured, new_game_of
from farm.engine.batch import Batch, reset_games
from farm.engine.reset import reset_game
from farm.engine.settings import HEIGHT, WIDTH, Settings
from farm.engine.state import OUTCOME, PLAYING, Games, view
from farm.engine.step import step_game
from farm.jit import kernel
from farm.policies.dispatch import choose
from farm.policies.lineup import draw_lineup, lineup
from farm.policies.rollout import play
from farm.shm.memcpy import copy_bytes
from farm.spec.observation import frame_bytes

_TICKS = 32
"""Ticks of one game in a row, as a worker plays them."""
_BLOCKS = 32
"""Of so many ticks, for each game of the batch, in one run: past the openings."""
_MIN_ROUNDS = 3
_PASS = -1
"""What is no action index passes."""
_SEED = np.uint64(1)
_NS_PER_S = 1e9


class _Run(NamedTuple):
    """One way through the games."""

    step_ns: float
    """Nanoseconds a step, resets included."""
    resets: float
    """Games set up anew, for each step."""


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure for the match that overrides describe; two `random` seats on 20x20 otherwise.

    Returns:
        Nanoseconds a step in all and by part, its floor, and nanoseconds a reset.
    """
    case = configured(overrides)
    runs = _Runs(case)
    runs.round()  # compiles
    rounds, resets = [runs.round()], [runs.reset_ns()]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(rounds) < _MIN_ROUNDS:
        rounds.append(runs.round())
        resets.append(runs.reset_ns())
    reset_ns = statistics.median(resets)

    def step_ns(name: str) -> float:
        """Of one run, without resets."""
        return statistics.median(one[name].step_ns - one[name].resets * reset_ns for one in rounds)

    whole_ns = statistics.median(one["whole"].step_ns for one in rounds)
    parts = {
        "policies": step_ns("bare") - step_ns("repeated"),
        "moves": step_ns("repeated") - step_ns("idle"),
        "idle": step_ns("idle"),
        "copies": step_ns("whole") - step_ns("bare"),
        "resets": rounds[0]["whole"].resets * reset_ns,
    }
    floor_ns = step_ns("copied")
    for name, part_ns in {**parts, "floor": floor_ns, "whole": whole_ns}.items():
        print(f"{name:<10} {part_ns:8.1f} ns  {part_ns / whole_ns:6.1%}", file=sys.stderr)
    return {
        "board": "{}x{}".format(*runs.size),
        "seats": list(case.policies),
        "step_ns": round(whole_ns, 1),
        **{f"{name}_ns": round(part_ns, 1) for name, part_ns in parts.items()},
        "floor_ns": round(floor_ns, 1),
        "times_floor": round(whole_ns / floor_ns, 2),
        "copied_bytes": runs.copied_bytes,
        "reset_ns": round(reset_ns),
    }


class _Runs:
    """The runs over the games of one case.

    Attributes:
        size: height and width of the largest board.
        copied_bytes: bytes of the frames that are copied a step.

    Args:
        case: what is played.
    """

    def __init__(self, case: Case) -> None:
        n_seats = len(case.policies)
        new_game = new_game_of(case)
        self.size = (int(new_game.numbers[HEIGHT]), int(new_game.numbers[WIDTH]))
        size = frame_bytes(self.size[0] * self.size[1], n_seats)
        self.copied_bytes = n_seats * size
        self._games = case.games
        self._new_game = new_game
        self._weights = lineup(case.policies)
        self._codes = np.zeros(n_seats, np.int32)
        self._actions = np.zeros(n_seats, np.int32)
        self._frames = np.zeros((_TICKS, n_seats, size), np.uint8)
        self._recorded = np.zeros((_BLOCKS, case.games, _TICKS, n_seats), np.int32)
        self._passes = np.full((case.games, _TICKS, n_seats), _PASS, np.int32)

    def round(self) -> dict[str, _Run]:
        """Every run once, by name."""
        runs = {
            "whole": self._time(self._play(self._frames)),
            "bare": self._time(self._play(self._frames[:0])),
            "recording": self._time(
                lambda block, batch, next_game: record(
                    batch.games,
                    self._weights,
                    self._codes,
                    self._recorded[block],
                    next_game,
                    batch.settings,
                )
            ),
            "repeated": self._time(
                lambda block, batch, next_game: repeat(
                    batch.games, self._recorded[block], next_game, batch.settings
                )
            ),
        }
        if len({one.resets for one in runs.values()}) != 1:
            raise AssertionError(f"the runs played different games: {runs}")
        runs["idle"] = self._time(
            lambda _, batch, next_game: repeat(batch.games, self._passes, next_game, batch.settings)
        )
        runs["copied"] = self._time(lambda _, batch, __: copy_frames(batch.games, self._frames))
        return runs

    def reset_ns(self) -> float:
        """Nanoseconds to set up a game."""
        batch = Batch(self._games, self._new_game, seed=int(_SEED))
        numbers = np.arange(self._games, dtype=np.uint64)
        began = time.perf_counter()
        reset_games(batch.games, _SEED, numbers, batch.settings)
        return (time.perf_counter() - began) * _NS_PER_S / self._games

    def _play(self, frames: NDArray[np.uint8]) -> "_Block":
        def play_block(_block: int, batch: Batch, next_game: NDArray[np.uint64]) -> None:
            games, new = batch.games, batch.settings
            play(
                games,
                self._weights,
                _TICKS,
                _SEED,
                next_game,
                new,
                self._codes,
                self._actions,
                frames,
            )

        return play_block

    def _time(self, play_block: "_Block") -> _Run:
        batch = Batch(self._games, self._new_game, seed=int(_SEED))
        next_game = np.full(1, self._games, np.uint64)
        n_steps = self._games * _TICKS * _BLOCKS
        began = time.perf_counter()
        for block in range(_BLOCKS):
            play_block(block, batch, next_game)
        took_s = time.perf_counter() - began
        return _Run(took_s * _NS_PER_S / n_steps, (int(next_game[0]) - self._games) / n_steps)


_Block = Callable[[int, Batch, NDArray[np.uint64]], None]
"""Plays a block: its number, the games, and the number of the next new game."""


@kernel
def record(
    games: Games,
    weights: NDArray[np.int32],
    codes: NDArray[np.int32],
    recorded: NDArray[np.int32],
    next_game: NDArray[np.uint64],
    settings: Settings,
) -> None:
    """Play as `policies.rollout.play` does, and keep the actions.

    Args:
        games: the batch.
        weights: int32[n_seats, n_policies], the mix of policies on each seat, read.
        codes: int32[n_seats], room for the policies of a game.
        recorded: int32[n_games, n_ticks, n_seats].
        next_game: uint64[1], number of the next new game, read and written.
        settings: of new games.

    Writes:
        games, codes, recorded, next_game.
    """
    for g in range(recorded.shape[0]):
        game = view(games, g)
        draw_lineup(weights, _SEED, games.game_number[g], codes)
        for tick in range(recorded.shape[1]):
            for seat in range(game.n_seats):
                recorded[g, tick, seat] = choose(codes[seat], game, seat)[0]
            step_game(game, recorded[g, tick])
            if game.status[OUTCOME] != PLAYING:
                reset_game(games, g, _SEED, next_game[0], settings)
                next_game[0] += np.uint64(1)
                draw_lineup(weights, _SEED, games.game_number[g], codes)


@kernel
def repeat(
    games: Games,
    recorded: NDArray[np.int32],
    next_game: NDArray[np.uint64],
    settings: Settings,
) -> None:
    """Play recorded actions: `record` without its policies.

    Args:
        games: the batch, as it was before `record`.
        recorded: int32[n_games, n_ticks, n_seats], read.
        next_game: uint64[1], number of the next new game, read and written.
        settings: of new games.

    Writes:
        games, next_game.
    """
    for g in range(recorded.shape[0]):
        game = view(games, g)
        for tick in range(recorded.shape[1]):
            step_game(game, recorded[g, tick])
            if game.status[OUTCOME] != PLAYING:
                reset_game(games, g, _SEED, next_game[0], settings)
                next_game[0] += np.uint64(1)


@kernel
def copy_frames(games: Games, frames_out: NDArray[np.uint8]) -> None:
    """Copy the frames of every game as often as a block of ticks does, and nothing else.

    Args:
        games: the batch, read.
        frames_out: uint8[n_ticks, n_seats, frame bytes].

    Writes:
        frames_out.
    """
    for g in range(games.height.size):
        for tick in range(frames_out.shape[0]):
            for seat in range(frames_out.shape[1]):
                out = frames_out[tick, seat]
                copy_bytes(out, 0, games.frames[g, seat], 0, out.size)
