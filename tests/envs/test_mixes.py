"""Opponents of an environment may be mixes: each game has the policy that a farm would draw."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="farm[envs] is not installed")

from farm.envs.match import Match
from farm.envs.vector import AgentsVectorEnv

N_GAMES = 12
TICKS = 60


def frames_of(opponent):
    """What the agent sees of each game while it passes: bytes[games], over all ticks and resets."""
    match = Match(seats=("agent", opponent), board=(8, 8), cities=2, max_turns=20)
    env = AgentsVectorEnv(N_GAMES, match)
    obs, _ = env.reset(seed=5)
    passing = np.full(N_GAMES, env.single_action_space.n - 1)
    seen = [obs["tile"].copy()]
    for _ in range(TICKS):
        obs, *_ = env.step(passing)
        seen.append(obs["army"].astype(np.int64) * 256 + obs["tile"])
    # Each row plays one game in the first 40 ticks and another after it.
    rows = np.stack(seen, axis=1)
    return [
        rows[g, span].tobytes() for g in range(N_GAMES) for span in (slice(40), slice(42, None))
    ]


def test_every_game_is_that_of_one_of_its_policies_and_both_occur():
    mixed, hunter, expander = map(frames_of, ("hunter|expander", "hunter", "expander"))
    drawn = [
        (game == of_hunter, game == of_expander)
        for game, of_hunter, of_expander in zip(mixed, hunter, expander, strict=True)
    ]
    assert all(any(pair) for pair in drawn)
    assert (True, False) in drawn
    assert (False, True) in drawn


@pytest.mark.parametrize(
    ("seat", "reason"),
    [
        ("huntr", "did you mean hunter"),
        ("hunter:0|random", "weight '0'"),
        ("agent|hunter", "no policy 'agent' in 'agent|hunter'"),
    ],
)
def test_a_mix_that_is_not_right_is_refused(seat, reason):
    with pytest.raises(ValueError, match=rf"seats: .*{reason}.*'agent', which you play"):
        AgentsVectorEnv(1, Match(seats=("agent", seat)))
