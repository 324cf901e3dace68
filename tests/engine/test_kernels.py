"""A kernel compiles once in a process, whatever is played with it."""

import numpy as np
import pytest

from farm.engine import rules
from farm.engine.batch import Batch, duel, reset_games, step_games
from farm.engine.settings import settings
from farm.engine.state import TRUNCATED
from farm.policies.registry import EXPANDER, RANDOM
from farm.policies.rollout import play, play_out

MATCHES = (
    settings(6, 9, 2, cities=2),
    settings(12, 5, 3, mountains=0.0, rules=rules.simple()),
    settings(8, 8, 4, teams=(0, 0, 1, 1), rules=rules.alternating(), max_ticks=20),
)


@pytest.mark.parametrize("match", MATCHES)
def test_every_kernel_has_been_compiled_for_one_signature(match):
    batch = Batch(2, match)
    actions = np.zeros((2, batch.n_seats), np.int32)
    batch.step(actions)
    codes = np.array([RANDOM, EXPANDER, RANDOM, EXPANDER][: batch.n_seats], np.int32)
    next_game = np.zeros(1, np.uint64)
    frames = np.zeros((4, *batch.games.frames.shape[1:]), np.uint8)
    play(batch.games, codes, 4, np.uint64(0), next_game, match, actions[0], frames)
    play_out(batch.games, codes, actions[0])
    for kernel in (reset_games, step_games, play, play_out):
        assert len(kernel.signatures) == 1


def test_a_game_is_cut_at_its_last_tick_and_then_stands_still():
    batch = duel(2, side=8, max_ticks=5)
    passes = np.full((2, 2), 8 * 64, np.int32)
    for _ in range(7):
        batch.step(passes)
    assert batch.tick.tolist() == [5, 5]
    assert batch.outcome.tolist() == [TRUNCATED, TRUNCATED]
    assert batch.over.all()
    assert batch.winner.tolist() == [-1, -1]


def test_the_batch_masks_what_a_seat_may_not_do():
    batch = duel(3, side=8)
    mask = batch.legal_mask()
    assert mask.shape == (3, 2, 8 * 64 + 1)
    # A general with army 1 cannot move yet: only the pass is legal.
    assert mask.sum() == 6
    assert mask[:, :, -1].all()
    passes = np.full((3, 2), 8 * 64, np.int32)
    batch.step(passes)
    batch.step(passes)
    assert (batch.legal_mask().sum(axis=2) > 1).all()


@pytest.mark.parametrize("action", [-1, 8 * 64, 8 * 64 + 1, 2**31 - 1, -(2**31)])
def test_an_action_out_of_range_passes(action):
    batch = duel(1, side=8)
    before = batch.games.army.copy()
    batch.step(np.full((1, 2), action, np.int32))
    assert np.array_equal(batch.games.army, before)
