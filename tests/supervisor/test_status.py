"""What `systemctl status` says of a farm."""

import pytest

from farm.shm.control import ChildState, ControlBlock
from farm.supervisor.lifecycle import FarmPhase
from farm.supervisor.specs import children_of, warm_up
from farm.supervisor.status import StatusLine

S = 1_000_000_000


@pytest.fixture
def control(instance):
    block = ControlBlock.create(instance, 0)
    yield block
    block.unlink()
    block.close()


def fill(control, specs, state=ChildState.READY):
    """Give every spec its slot, and a process in this state."""
    for spec in specs:
        control.n_children = max(control.n_children, spec.slot + 1)
        slot = control.children[spec.slot]
        slot.assign(spec.name, spec.role, spec.index)
        slot.pid, slot.state = 100 + spec.slot, state
    control.address = "127.0.0.1:50051"
    return control.children


def test_a_first_start_says_that_it_compiles_and_for_how_long(control):
    slots = fill(control, [*children_of(1), warm_up()], ChildState.STARTING)
    slots[warm_up().slot].started_ns = 10 * S
    line = StatusLine(control)(FarmPhase.STARTING, 44 * S)
    assert line == "Compiling kernels for 34 s; a first start takes a minute or so"


def test_a_start_names_the_children_that_are_not_ready(control):
    slots = fill(control, children_of(2), ChildState.STARTING)
    line = StatusLine(control)
    assert line(FarmPhase.STARTING, S) == "Starting: experiences, rollout-0, rollout-1"
    for slot in slots:
        slot.state = ChildState.READY
    assert line(FarmPhase.STARTING, S) == "Starting"


def test_a_reload_that_was_refused_is_told_until_another_is_not(control):
    fill(control, children_of(1))
    refusals = ["match.board: 3x3 is too small", ""]
    line = StatusLine(control, lambda: refusals[0])
    told = "; the last reload was refused: match.board: 3x3 is too small"
    assert line(FarmPhase.RUNNING, S).endswith(told)
    refusals.pop(0)
    assert "refused" not in line(FarmPhase.RUNNING, 2 * S)


def test_workers_that_wait_for_rings_of_another_size_are_told_and_for_whom(control):
    fill(control, children_of(2))
    waits = {0: {"trainer": 512, "eval": 8}, 1: {"trainer": 8}}
    line = StatusLine(control, waits=lambda: waits)
    told = "; 2 workers wait for groups eval, trainer to take what is in rings of the size before"
    assert line(FarmPhase.RUNNING, S).endswith(told)
    waits = {0: {}}
    assert "; 1 workers wait for anybody to take" in line(FarmPhase.RUNNING, 2 * S)
    waits = {}
    assert "wait for" not in line(FarmPhase.RUNNING, 3 * S)


def test_a_serving_farm_says_where_and_its_rates_since_the_last_line(control):
    slots = fill(control, children_of(2))
    line = StatusLine(control)
    first = "Serving at 127.0.0.1:50051, 3 of 3 children at work"
    assert line(FarmPhase.RUNNING, S) == first
    slots[0].add("served_experiences", 5_000)
    slots[2].add("experiences", 9_000)
    slots[3].add("experiences", 11_000)
    slots[3].state = ChildState.STARTING
    assert line(FarmPhase.RUNNING, 3 * S) == (
        "Serving at 127.0.0.1:50051, 2 of 3 children at work; "
        "10,000 experiences/s made, 2,500 /s taken by clients"
    )
    assert line(FarmPhase.RUNNING, 4 * S).endswith("; 0 experiences/s made, 0 /s taken by clients")


def test_a_stop_names_who_is_left_and_counts_a_crowd(control):
    slots = fill(control, children_of(6))
    line = StatusLine(control)
    assert line(FarmPhase.STOPPING, S) == (
        "Draining: experiences, rollout-0, rollout-1, rollout-2 and 3 more"
    )
    for slot in slots:
        slot.pid = 0
    assert line(FarmPhase.KILLING, S) == "Draining: done"
