"""Games of the official server and of its replay core, kept outside the repository."""

import pytest
from engine.players import KernelPlayer, oracle_player, rules_of
from engine.recordings import ABSENT, FILES, FOLDER, first_mismatch, read_games

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=ABSENT)

SAMPLE = 9
"""Every how many-th game a default run plays."""


def mismatches(make_player, recordings):
    found = {
        recording["id"]: first_mismatch(recording, make_player(recording, rules_of(recording)))
        for recording in recordings
    }
    assert found
    return {name: tick for name, tick in found.items() if tick is not None}


@pytest.mark.parametrize("file", FILES)
def test_the_kernels_agree_with_a_sample_of_the_games_on_every_tick(file):
    assert mismatches(KernelPlayer, read_games(file)[::SAMPLE]) == {}


@pytest.mark.parametrize("file", FILES)
def test_the_oracle_agrees_with_a_sample_of_the_games_on_every_tick(file):
    assert mismatches(oracle_player, read_games(file)[::SAMPLE]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_the_kernels_agree_with_every_game_on_every_tick(file):
    assert mismatches(KernelPlayer, read_games(file)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_the_oracle_agrees_with_every_game_on_every_tick(file):
    assert mismatches(oracle_player, read_games(file)) == {}
