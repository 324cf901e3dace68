"""The table of phases, walked."""

import itertools

import pytest

from farm.errors import LifecycleError
from farm.games.lifecycle import MOVES, OPEN, PLAYED, Phase, checked
from farm.rpc.v1 import games_pb2


def test_phases_are_numbered_as_in_the_protocol():
    numbers = {name: value for name, value in games_pb2.Phase.items() if value}
    assert numbers == {f"PHASE_{phase.name}": phase for phase in Phase}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, Phase)))
def test_a_game_moves_as_the_table_says_and_not_otherwise(before, after):
    if after in MOVES[before]:
        assert checked(before, after) is after
    else:
        with pytest.raises(LifecycleError, match=f"{before.name} to {after.name}"):
            checked(before, after)


def test_what_is_over_stays_over_and_what_is_open_can_end():
    assert set(MOVES) == set(Phase)
    for phase in Phase:
        assert bool(MOVES[phase]) is (phase in OPEN)
        assert phase not in OPEN or {Phase.CANCELLED, Phase.ERROR} <= MOVES[phase]
    assert PLAYED < OPEN
