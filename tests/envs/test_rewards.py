"""Rewards of the environments by their weights."""

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="farm[envs] is not installed")

from farm.envs.match import Match
from farm.envs.spaces import sample_legal
from farm.envs.vector import AgentsVectorEnv

WEIGHTS = {"land_gained": 2.0, "land_lost": -3.0, "army": 0.25, "step": -1.0}


def test_a_step_is_worth_what_it_changed_by_the_weights_of_the_match():
    match = Match(board=(7, 7), cities=0, max_turns=200, reward=WEIGHTS)
    env = AgentsVectorEnv(4, match)
    rng = np.random.default_rng(3)
    obs, _ = env.reset(seed=2)
    n_lost = 0
    for _ in range(300):
        before = obs["total_land"][:, 0].astype(int), obs["total_army"][:, 0].astype(int)
        obs, reward, terminated, truncated, _ = env.step(sample_legal(obs["action_mask"], rng))
        going = ~(terminated | truncated)
        land = obs["total_land"][:, 0].astype(int) - before[0]
        army = obs["total_army"][:, 0].astype(int) - before[1]
        expected = 2.0 * np.maximum(land, 0) + 3.0 * np.minimum(land, 0) + 0.25 * army - 1.0
        np.testing.assert_array_equal(reward[going], expected[going].astype(np.float32))
        n_lost += (land[going] < 0).sum()
    assert n_lost > 0


def test_matches_with_weights_can_be_compared_and_hashed():
    by_name = Match(reward={"win": 1.0, "lose": -1.0})
    assert by_name == Match(reward=by_name.weights_of_reward())
    assert hash(by_name) == hash(Match(reward=by_name.weights_of_reward()))
    assert by_name.weights_of_reward().tolist() == Match().weights_of_reward().tolist()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("shape", "no rewards 'shape'; there are sparse, shaped"),
        ({"wins": 1.0}, "no reward 'wins'"),
        ((1.0, 2.0), "no vector of 9"),
    ],
)
def test_weights_that_do_not_exist_are_refused(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        AgentsVectorEnv(2, Match(reward=wrong))
