"""Matches under other rules, and observations with memory, in each environment."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="farm[envs] is not installed")
pytest.importorskip("pettingzoo", reason="farm[envs] is not installed")

from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test

from farm.engine import rules
from farm.engine.batch import Batch
from farm.envs.kernels import seat_agents, step_agents
from farm.envs.match import Match
from farm.envs.parallel import AgentsParallelEnv
from farm.envs.single import AgentEnv
from farm.envs.spaces import sample_legal
from farm.envs.vector import AgentsVectorEnv
from farm.spec.tiles import NEVER_SEEN

SELF_PLAY = Match(seats=("agent", "agent"), board=(6, 7), cities=1, max_turns=60, memory=True)
MIXED = Match(seats=("agent", "random", "agent"), board=(7, 7), cities=0, max_turns=60, memory=True)
SOLO = Match(board=(7, 6), cities=0, max_turns=60, memory=True)


@pytest.mark.parametrize("name", sorted(rules.VARIANTS))
def test_a_variant_is_played_by_its_name_or_its_vector(name):
    vector = rules.variant(name)
    assert Match(rules=name).settings().rules.tolist() == vector.tolist()
    assert Match(rules=vector).settings().rules.tolist() == vector.tolist()


def test_under_simple_rules_a_general_starts_with_two_and_grows_every_tick():
    env = AgentsVectorEnv(2, Match(seats=("agent", "agent"), board=(6, 6), rules="simple"))
    obs, _ = env.reset(seed=1)
    passing = np.full(2, env.single_action_space.n - 1)
    armies = [obs["total_army"][0, 0]] + [
        env.step(passing)[0]["total_army"][0, 0] for _ in range(3)
    ]
    assert armies == [2, 3, 4, 5]


def test_matches_with_vectors_can_be_compared_and_hashed():
    first, same = Match(rules=rules.simple()), Match(rules=rules.simple().tolist())
    assert first == same
    assert hash(first) == hash(same)
    assert first != Match()


@pytest.mark.parametrize(
    ("wrong", "reason"), [("simpel", "no variant 'simpel'"), ((0, 1), "no vector of 14")]
)
def test_rules_that_do_not_exist_are_refused(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        AgentsVectorEnv(2, Match(rules=wrong))


def test_without_memory_observations_have_none():
    env = AgentsVectorEnv(2, Match(board=(6, 6), cities=0))
    obs, _ = env.reset(seed=1)
    assert not {"memory_tile", "memory_army"} & (set(obs) | set(env.single_observation_space))


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("match", [SOLO, SELF_PLAY, MIXED])
def test_memories_are_those_of_the_engine_and_in_their_space(match, copy):
    env = AgentsVectorEnv(3 * len(match.agents), match, copy=copy)
    rng = np.random.default_rng(2)
    obs, _ = env.reset(seed=7)
    forgotten = 0
    for _ in range(60):
        assert obs in env.observation_space
        games = env._batch._games
        for name in ("memory_tile", "memory_army"):
            of_agents = getattr(games, name)[:, list(match.agents)].reshape(-1, *match.board)
            np.testing.assert_array_equal(obs[name], of_agents)
        in_sight = (obs["tile"] & 31) != 31
        np.testing.assert_array_equal(obs["memory_tile"][in_sight], obs["tile"][in_sight])
        np.testing.assert_array_equal(obs["memory_army"][in_sight], obs["army"][in_sight])
        forgotten += np.count_nonzero(~in_sight & (obs["memory_tile"] != NEVER_SEEN))
        obs, *_ = env.step(sample_legal(obs["action_mask"], rng))
    assert forgotten > 0


def test_memories_follow_from_a_batch_of_the_same_seed():
    env = AgentsVectorEnv(4, SELF_PLAY)
    batch = Batch(2, SELF_PLAY.settings(), seed=7, memory=True)
    rng = np.random.default_rng(2)
    obs, _ = env.reset(seed=7)
    for _ in range(40):
        expected = batch.games.memory_tile.reshape(4, *SELF_PLAY.board)
        np.testing.assert_array_equal(obs["memory_tile"], expected)
        actions = sample_legal(obs["action_mask"], rng)
        batch.step(actions.reshape(2, 2).astype(np.int32))
        obs, _, terminated, _, _ = env.step(actions)
        if terminated.any():
            break
    assert batch.tick[0] > 10


def test_copied_memories_belong_to_the_caller_and_views_are_read_only():
    for copy in (True, False):
        env = AgentsVectorEnv(4, SELF_PLAY, copy=copy)
        first, _ = env.reset(seed=1)
        second, *_ = env.step(np.zeros(4, int))
        for name in ("memory_tile", "memory_army"):
            assert first[name].flags.writeable == copy
            assert np.shares_memory(first[name], second[name]) != copy


def test_the_last_memory_of_a_game_is_in_its_final_observation():
    env, single = AgentsVectorEnv(1, SOLO), AgentEnv(SOLO)
    single.reset(seed=7)
    obs, _ = env.reset(seed=7)
    rng, n_ended = np.random.default_rng(3), 0
    for _ in range(260):
        action = sample_legal(obs["action_mask"], rng)
        obs, _, terminated, truncated, infos = env.step(action)
        last, *_ = single.step(action[0])
        if terminated[0] or truncated[0]:
            n_ended += 1
            shown = infos["final_obs"][0]
            last, kept = single.reset()[0], last
            for name in ("memory_tile", "memory_army"):
                np.testing.assert_array_equal(shown[name], kept[name])
        for name in ("memory_tile", "memory_army"):
            np.testing.assert_array_equal(obs[name][0], last[name])
    assert n_ended > 1


def test_the_checkers_of_gymnasium_and_pettingzoo_pass_with_memory():
    name = "farm.envs.registration:farm/Generals-v0"
    check_env(gymnasium.make(name, match=SOLO, render_mode="ansi").unwrapped)
    parallel_api_test(AgentsParallelEnv(SELF_PLAY), num_cycles=100)


def test_the_kernels_of_environments_are_compiled_once_whatever_is_played():
    matches = (SOLO, SELF_PLAY, MIXED, Match(rules="simple"), Match(teams=(0, 1), board=(9, 5)))
    for match in matches:
        env = AgentsVectorEnv(2 * len(match.agents), match)
        obs, _ = env.reset(seed=1)
        env.step(sample_legal(obs["action_mask"], np.random.default_rng(1)))
    for kernel in (seat_agents, step_agents):
        assert len(kernel.signatures) == 1
