"""The parallel environment passes PettingZoo's own checks; agents leave as their players do."""

import numpy as np
import pytest

pytest.importorskip("pettingzoo", reason="farm[envs] is not installed")

from gymnasium.error import ResetNeeded
from pettingzoo.test import parallel_api_test, parallel_seed_test

from farm.engine.batch import Batch
from farm.envs.match import Match
from farm.envs.parallel import AgentsParallelEnv

DUEL = Match(seats=("agent", "agent"), board=(5, 5), cities=0, max_turns=60)
THREE = Match(seats=("agent", "agent", "expander"), board=(6, 6), cities=0, mountains=0)


@pytest.mark.parametrize("match", [DUEL, THREE])
def test_pettingzoos_api_test_passes(match):
    parallel_api_test(AgentsParallelEnv(match), num_cycles=200)


def test_pettingzoos_seed_test_passes():
    parallel_seed_test(lambda: AgentsParallelEnv(DUEL), num_cycles=100)


def test_what_agents_see_is_what_a_batch_shows():
    env = AgentsParallelEnv(DUEL)
    batch = Batch(1, DUEL.settings(), seed=11)
    rng = np.random.default_rng(1)
    observations, _ = env.reset(seed=11)
    while env.agents:
        for seat, obs in enumerate(observations.values()):
            frame = batch.frames[0, seat]
            for field in frame.dtype.names:
                np.testing.assert_array_equal(obs[field], frame[field])
            np.testing.assert_array_equal(obs["action_mask"], batch.legal_mask()[0, seat])
        actions = [int(rng.choice(np.flatnonzero(o["action_mask"]))) for o in observations.values()]
        batch.step(np.array([actions], np.int32))
        observations, *_ = env.step(dict(zip(env.agents, actions, strict=True)))
    assert batch.over[0]


def agents_left(env, seed):
    """Pass until the game is over; the tick at which each agent left."""
    env.reset(seed=seed)
    left = {}
    while env.agents:
        playing = list(env.agents)
        observations, rewards, terminated, truncated, infos = env.step({})
        assert list(observations) == list(rewards) == list(infos) == playing
        for agent in playing:
            assert rewards[agent] == (-1 if terminated[agent] else 0)
            assert (agent in env.agents) == (not terminated[agent] and not truncated[agent])
            if agent not in env.agents:
                left[agent] = infos[agent]["tick"]
    return left


def test_an_eliminated_agent_leaves_and_the_others_play_on():
    env = AgentsParallelEnv(THREE)
    games = [agents_left(env, seed) for seed in range(8)]
    assert all(sorted(left) == env.possible_agents for left in games)
    assert any(len(set(left.values())) == 2 for left in games)


def test_a_step_without_agents_is_refused():
    env = AgentsParallelEnv(DUEL)
    with pytest.raises(ResetNeeded):
        env.step({})


def test_a_reset_without_a_seed_goes_on_to_the_next_game():
    env, again = AgentsParallelEnv(DUEL), AgentsParallelEnv(DUEL)
    firsts = []
    for each in (env, again):
        each.reset(seed=5)
        firsts.append(each.reset()[0]["seat_0"]["tile"].tolist())
    assert firsts[0] == firsts[1]
    assert firsts[0] != env.reset(seed=5)[0]["seat_0"]["tile"].tolist()


def test_every_agents_view_is_drawn():
    env = AgentsParallelEnv(DUEL, render_mode="ansi")
    env.reset(seed=1)
    assert [line.split()[0] for line in env.render().splitlines() if "turn" in line] == env.agents
