"""Policies are drawn for every game by weight, from the seed, the game and the seat alone."""

import math

import numpy as np
import pytest

from farm.jit import kernel
from farm.policies.lineup import NO_POLICY, draw_lineup, lineup
from farm.policies.registry import EXPANDER, HUNTER, RANDOM

N_GAMES = 20_000


@kernel
def draw_games(weights, seed, first, codes):
    """Draw the policies of consecutive games: one row of `codes` each."""
    for i in range(codes.shape[0]):
        draw_lineup(weights, seed, first + np.uint64(i), codes[i])


def drawn(seats, *, seed=3, first=0, n_games=N_GAMES):
    codes = np.zeros((n_games, len(seats)), np.int32)
    draw_games(lineup(seats), np.uint64(seed), np.uint64(first), codes)
    return codes


@pytest.mark.parametrize(
    ("mix", "shares"),
    [
        ("hunter|expander", {HUNTER: 1 / 2, EXPANDER: 1 / 2}),
        ("hunter:2|expander:1", {HUNTER: 2 / 3, EXPANDER: 1 / 3}),
        ("random:5|expander:3|hunter:2", {RANDOM: 0.5, EXPANDER: 0.3, HUNTER: 0.2}),
        ("hunter:1000000|random", {HUNTER: 1.0}),
    ],
)
def test_each_policy_is_drawn_as_often_as_its_weight_says(mix, shares):
    codes = drawn((mix, mix))
    for seat in (0, 1):
        for code, share in shares.items():
            # Five standard deviations are never met by chance; a share of 1 allows one miss.
            margin = 5 * math.sqrt(share * (1 - share) / N_GAMES) + 1 / N_GAMES
            assert abs((codes[:, seat] == code).mean() - share) <= margin


def test_seats_games_and_seeds_draw_independently():
    codes = drawn(("hunter|expander",) * 3) == HUNTER
    for other in (codes[:, 1], codes[:, 2], np.roll(codes[:, 0], 1)):
        agreement = (codes[:, 0] == other).mean()
        assert abs(agreement - 0.5) < 5 * 0.5 / math.sqrt(N_GAMES)
    other_seed = drawn(("hunter|expander",) * 3, seed=4) == HUNTER
    assert abs((codes == other_seed).mean() - 0.5) < 5 * 0.5 / math.sqrt(3 * N_GAMES)


def test_a_games_draw_does_not_depend_on_which_games_were_drawn_before():
    mix = ("hunter:2|expander|random:4", "hunter|random")
    assert np.array_equal(drawn(mix, first=700, n_games=100), drawn(mix, n_games=800)[700:])


def test_a_seats_draw_does_not_depend_on_the_other_seats():
    alone = drawn(("random", "hunter|expander"))[:, 1]
    assert np.array_equal(alone, drawn(("hunter|random", "hunter|expander"))[:, 1])


def test_a_single_policy_is_always_drawn_and_an_empty_seat_gets_none():
    codes = drawn((None, "hunter"), n_games=50)
    assert (codes == [NO_POLICY, HUNTER]).all()


def test_a_mix_that_is_not_right_is_refused():
    with pytest.raises(ValueError, match="did you mean hunter"):
        lineup(("huntr", "random"))
