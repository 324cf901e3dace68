"""The random policy draws exactly uniformly from what is legal."""

import math

import numpy as np
import pytest

from farm.engine.batch import Batch
from farm.engine.settings import settings
from farm.engine.state import view
from farm.jit import kernel
from farm.policies.dispatch import choose
from farm.policies.registry import RANDOM
from farm.policies.rollout import play

DRAWS_AN_ACTION = 400


@kernel
def draw_many(games, g, seat, code, counts):
    """Count the actions of many draws in one position; the last draw's log-probability."""
    game = view(games, g)
    log_prob = 0.0
    for _ in range(counts[-1]):
        action, log_prob = choose(code, game, seat)
        counts[action] += 1
    return log_prob


def advanced(match, ticks):
    """A batch some ticks into random play."""
    batch = Batch(2, match, seed=2)
    codes = np.full(batch.n_seats, RANDOM, np.int32)
    actions = np.zeros(batch.n_seats, np.int32)
    frames = np.zeros((0, *batch.games.frames.shape[1:]), np.uint8)
    play(batch.games, codes, ticks, np.uint64(9), np.zeros(1, np.uint64), match, actions, frames)
    return batch


def counts_of(batch, seat, n_draws):
    counts = np.zeros(8 * batch.height * batch.width + 2, np.int64)
    counts[-1] = n_draws
    log_prob = draw_many(batch.games, 1, seat, RANDOM, counts)
    return counts[:-1], log_prob


@pytest.mark.parametrize(
    "match",
    [settings(9, 13, 2, cities=3), settings(8, 8, 4, teams=(0, 0, 1, 1))],
    ids=["duel", "teams"],
)
@pytest.mark.parametrize("ticks", [2, 101])
def test_every_legal_move_is_drawn_as_often_as_any_other(match, ticks):
    batch = advanced(match, ticks)
    for seat in range(batch.n_seats):
        legal = batch.legal_mask()[1, seat, :-1]
        n_legal = int(legal.sum())
        counts, log_prob = counts_of(batch, seat, DRAWS_AN_ACTION * n_legal)
        assert set(np.flatnonzero(counts)) == set(np.flatnonzero(legal))
        assert math.isclose(log_prob, -math.log(n_legal), rel_tol=1e-6)
        chi_square = ((counts[:-1][legal] - DRAWS_AN_ACTION) ** 2 / DRAWS_AN_ACTION).sum()
        # Mean n - 1, standard deviation sqrt(2 (n - 1)): five of them are never met by chance.
        assert chi_square < n_legal - 1 + 5 * math.sqrt(2 * n_legal)


def test_it_passes_only_when_nothing_else_is_legal():
    batch = Batch(2, settings(9, 13, 2, cities=3))
    counts, log_prob = counts_of(batch, 0, 10)
    assert counts[-1] == 10
    assert log_prob == 0.0
