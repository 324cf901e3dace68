from itertools import product

import pytest

from farm.errors import LifecycleError
from farm.supervisor.lifecycle import (
    CHILD_MOVES,
    FARM_MOVES,
    Event,
    FarmEvent,
    FarmPhase,
    Phase,
    allowed,
    farm_move,
    move,
)

HARDNESS = [Phase.STARTING, Phase.READY, Phase.DRAINING, Phase.ABORTING, Phase.KILLING]


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, Event)))
def test_a_child_moves_as_the_table_says_and_in_no_other_way(phase, event):
    if allowed(phase, event):
        assert move(phase, event) is CHILD_MOVES[phase, event]
    else:
        with pytest.raises(LifecycleError, match=f"{phase} cannot {event}"):
            move(phase, event)


@pytest.mark.parametrize(("phase", "event"), list(product(FarmPhase, FarmEvent)))
def test_a_farm_moves_as_the_table_says_and_in_no_other_way(phase, event):
    if (phase, event) in FARM_MOVES:
        assert farm_move(phase, event) is FARM_MOVES[phase, event]
    else:
        with pytest.raises(LifecycleError, match=f"{phase} cannot {event}"):
            farm_move(phase, event)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DOWN])
def test_a_process_may_end_in_every_phase_that_has_one(phase):
    assert move(phase, Event.EXIT) is Phase.DOWN


@pytest.mark.parametrize("phase", [p for p in Phase if p not in {Phase.DOWN, Phase.KILLING}])
def test_every_living_child_can_be_killed(phase):
    assert move(phase, Event.KILL) is Phase.KILLING


def test_measures_against_a_child_only_become_harder():
    for (phase, event), after in CHILD_MOVES.items():
        if event not in {Event.SPAWN, Event.EXIT}:
            assert HARDNESS.index(after) > HARDNESS.index(phase)


def test_only_a_child_that_is_down_is_spawned():
    assert [phase for phase in Phase if allowed(phase, Event.SPAWN)] == [Phase.DOWN]


def test_a_farm_that_has_ended_stays_so():
    assert not [event for event in FarmEvent if (FarmPhase.ENDED, event) in FARM_MOVES]


def test_every_phase_of_a_farm_leads_to_its_end():
    reach = {FarmPhase.ENDED}
    while more := {a for (a, _), b in FARM_MOVES.items() if b in reach} - reach:
        reach |= more
    assert reach == set(FarmPhase)
