"""Each policy is a clear step stronger than the one before it, where duels are usually played.

Thresholds are held by the lower end of Wilson's 95 % interval, so that a lucky run does not pass.
"""

import numpy as np
import pytest

from farm.bench.win_rates import play_pair, wilson
from farm.config.schema import FarmConfig, MatchConfig, WorkerConfig
from farm.engine.batch import Batch
from farm.engine.settings import settings
from farm.policies.registry import EXPANDER, HUNTER
from farm.policies.rollout import play_out

STEPS = (("hunter", "expander", 0.70), ("expander", "random", 0.95))


def at_least(pair, n_games, *, seed=3, **match):
    """The win rate of the first of a pair that is as good as certain."""
    match = MatchConfig(**match)
    score = play_pair(pair, FarmConfig(match=match, worker=WorkerConfig(games=n_games)), seed)
    assert score.games == n_games
    return wilson(score.won, score.games)[0]


@pytest.mark.parametrize("kind", ["official", "uniform"])
@pytest.mark.parametrize(("first", "second", "share"), STEPS)
def test_each_policy_beats_the_one_before_it(first, second, share, kind):
    assert at_least((first, second), 200, map=kind) > share


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second", "share"), STEPS)
def test_so_it_is_in_thousands_of_duels_on_official_maps(first, second, share):
    assert at_least((first, second), 4000, map="official") > share


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "cities"), [("4x4", 0), ("8x8", 2), ("30x30", 25), ("40x40", 40)]
)
def test_expanders_beat_random_and_hunters_beat_expanders_on_other_boards_too(board, cities):
    options = {"board": board, "cities": cities, "max_turns": 1500}
    assert at_least(("expander", "random"), 1000, **options) > 0.95
    assert at_least(("hunter", "expander"), 1000, **options) > 0.5


def test_a_hunter_among_three_expanders_wins_more_than_its_share():
    won = [0, 0]
    for seat in range(4):
        batch = Batch(50, settings(22, 22, 4, cities=16, max_ticks=2000), seed=9)
        codes = np.full(4, EXPANDER, np.int32)
        codes[seat] = HUNTER
        play_out(batch.games, codes, np.zeros(4, np.int32))
        won[0] += int((batch.winner == seat).sum())
        won[1] += int(((batch.winner >= 0) & (batch.winner != seat)).sum())
    assert wilson(won[0], 200)[0] > 0.25
    assert won[0] > won[1] / 3


def test_two_hunters_in_a_team_beat_two_expanders():
    won = 0
    for teams in ((0, 1, 0, 1), (0, 0, 1, 1)):
        match = settings(22, 22, 4, cities=16, teams=teams, max_ticks=1500)
        batch = Batch(60, match, seed=9)
        codes = np.where(np.array(teams) == 0, HUNTER, EXPANDER).astype(np.int32)
        play_out(batch.games, codes, np.zeros(4, np.int32))
        won += int((batch.winner == 0).sum())
    assert wilson(won, 120)[0] > 0.5
