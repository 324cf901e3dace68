"""The single environment passes Gymnasium's own checks and ends as its rules say."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="farm[envs] is not installed")

from gymnasium.utils.env_checker import check_env

from farm.envs.match import Match
from farm.envs.single import AgentEnv

SMALL = Match(seats=("agent", "expander"), board=(6, 6), cities=1, max_turns=20)
NAME = "farm.envs.registration:farm/Generals-v0"


def play_out(env, seed=None):
    """Pass until the game is over; the rewards, and the last step."""
    env.reset(seed=seed)
    rewards = []
    while True:
        step = env.step(env.action_space.n - 1)
        rewards.append(step[1])
        if step[2] or step[3]:
            return rewards, step


def test_gymnasiums_checker_passes():
    env = gymnasium.make(NAME, match=SMALL, render_mode="ansi")
    check_env(env.unwrapped)


def test_a_registered_environment_plays_under_gymnasiums_wrappers():
    env = gymnasium.make(NAME, match=SMALL)
    obs, _ = env.reset(seed=1)
    assert obs in env.observation_space
    step = env.step(env.action_space.sample(mask=obs["action_mask"]))
    assert step[0] in env.observation_space


def test_whoever_only_passes_is_eliminated_by_the_expander_with_minus_one():
    env = AgentEnv(Match(board=(5, 5), cities=0, mountains=0))
    rewards, (obs, _, terminated, truncated, _) = play_out(env, seed=3)
    assert (rewards[-1], set(rewards[:-1])) == (-1.0, {0.0})
    assert terminated
    assert not truncated
    assert obs["action_mask"].sum() == obs["action_mask"][-1] == 1
    assert obs["alive"].tolist() == [0, 1]


def test_the_last_tick_truncates():
    rewards, (_, _, terminated, truncated, info) = play_out(
        AgentEnv(Match(board=(10, 10), cities=0, max_turns=3)), seed=1
    )
    assert len(rewards) == info["tick"] == 6
    assert truncated
    assert not terminated


def test_stepping_on_after_the_end_or_before_a_reset_is_refused():
    env = AgentEnv(SMALL)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    play_out(env, seed=1)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)


def test_several_agents_are_refused():
    with pytest.raises(ValueError, match="more than one agent"):
        AgentEnv(Match(seats=("agent", "agent")))


@pytest.mark.parametrize(
    ("seats", "reason"),
    [(("random", "random"), "none is 'agent'"), (("agent", "expnder"), "no policy 'expnder'")],
)
def test_impossible_seats_are_refused_with_what_would_do(seats, reason):
    with pytest.raises(ValueError, match=reason):
        AgentEnv(Match(seats=seats))


def test_the_text_shows_the_seats_view():
    env = AgentEnv(Match(board=(4, 5), cities=0, mountains=0), render_mode="ansi")
    obs, _ = env.reset(seed=1)
    first, *rows = env.render().splitlines()
    assert first == "turn 0  A 1/1  B 1/1"
    cells = [row[column : column + 5].strip() for row in rows for column in range(0, 25, 5)]
    assert cells.count("A1*") == 1
    assert cells.count(".") == np.count_nonzero(obs["tile"] == 31)
