"""The same seed and game number give the same bytes, whoever plays and whatever came before."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from farm.engine.batch import Batch, reset_games, step_games
from farm.engine.settings import settings
from farm.engine.state import allocate
from farm.policies.registry import EXPANDER, RANDOM
from farm.policies.rollout import play

TICKS = 60


def history(batch, rows, codes=(RANDOM, EXPANDER)):
    """The frames of some rows of a batch over a few ticks, as one checksum a row."""
    sums = [0] * len(rows)
    actions = np.zeros(2, np.int32)
    nothing = np.zeros((0, 2, batch.games.frames.shape[2]), np.uint8)
    next_game = np.zeros(1, np.uint64)
    for _ in range(TICKS):
        for i, row in enumerate(rows):
            sums[i] = zlib.crc32(batch.games.frames[row].tobytes(), sums[i])
        arguments = (1, np.uint64(batch.seed), next_game, batch.settings, actions, nothing)
        play(batch.games, np.array(codes, np.int32), *arguments)
    return sums


def small_batch(n_games, **options):
    return Batch(n_games, settings(9, 11, 2, cities=4), **options)


def test_a_game_is_the_same_in_any_row_of_any_batch():
    assert history(small_batch(1, seed=3, first_game=6), [0]) == history(
        small_batch(8, seed=3, first_game=1), [5]
    )


def test_a_game_is_the_same_after_a_reset_over_an_old_one():
    batch = small_batch(2, seed=3)
    first = history(batch, [0, 1])
    batch.reset()
    assert history(batch, [0, 1]) == first


def test_another_seed_or_another_number_is_another_game():
    games = history(small_batch(3, seed=3), [0, 1, 2]) + history(small_batch(3, seed=4), [0, 1, 2])
    assert len(set(games)) == 6


def test_a_game_is_the_same_in_arrays_made_for_larger_ones():
    numbers = np.arange(2, dtype=np.uint64)
    small = small_batch(2, seed=3)
    roomy = small_batch(2, seed=3)
    roomy.games = allocate(2, 400, 5)
    reset_games(roomy.games, roomy.seed, numbers, roomy.settings)
    actions = np.full((2, 2), 8 * 99, np.int32)
    for batch in (small, roomy):
        for _ in range(10):
            step_games(batch.games, actions)
    size = small.frames.dtype.itemsize
    assert np.array_equal(roomy.games.frames[:, :2, :size], small.games.frames[:, :, :size])


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from engine.test_determinism import history, small_batch
print(*history(small_batch(2, seed=3), [0, 1]))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_second_process_without_the_kernel_cache_plays_the_same_games(tmp_path, pytestconfig):
    script = SCRIPT.format(tests=str(pytestconfig.rootpath / "tests"))
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        cwd=pytestconfig.rootpath,
        env={"PYTHONPATH": str(pytestconfig.rootpath), "FARM_CACHE_DIR": str(tmp_path)},
    )
    assert run.stdout.split() == [str(sum_) for sum_ in history(small_batch(2, seed=3), [0, 1])]
