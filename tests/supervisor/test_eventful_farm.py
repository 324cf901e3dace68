"""One farm in which everything happens that a farm has to survive, and what can be seen of it."""

import os
import signal
import time

import pytest

from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.segment import list_segments


class Story:
    """What was seen of the farm, from its start to after its end."""

    def __init__(self, farm, instance):
        self.farm = farm
        self.instance = instance

    def index(self, event, **fields):
        """Place of the first such line in the log."""
        return self.farm.lines.index(self.farm.wait_for(event, **fields))


@pytest.fixture(scope="module")
def story(shared_mini_farm, shared_instance, child):
    farm = shared_mini_farm(
        child("prepare", "task", kind="task", stage=0),
        child("service", "reports_context", stage=1),
        child("bystander", "reports_imports", stage=2),
        child("victim", stage=2),
        child("crashing", "crashes_twice", stage=2),
        child("ending", "ends_once", stage=2),
        child("silent", "goes_silent_once", stage=2),
        child("deaf", "goes_deaf_once", stage=2),
        child("stubborn", "ignores_sigterm", stage=2),
        limits_s={"silence": 2.0, "abort": 0.5, "stop": 1.5},
    )
    told = Story(farm, shared_instance)
    farm.wait_for("farm_ready")
    victim = farm.wait_for("child_spawned", child="victim")["child_pid"]
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    farm.wait_for("child_ready", child="victim", generation=2)
    told.replaced_in_s = time.monotonic() - began
    for name in ("silent", "deaf"):
        farm.wait_for("child_ready", child=name, generation=2)

    control = ControlBlock.attach(shared_instance, readonly=True)
    told.state = control.state
    told.n_children = control.n_children
    slot = next(slot for slot in control.children if slot.name == "victim")
    told.victim = (slot.pid, slot.generation, slot.restarts, slot.exit_reason, slot.state)
    for _ in range(3):  # a burst is one wish
        farm.send(signal.SIGTERM)
    told.returncode = farm.wait()
    # The mapping of an unlinked segment stays readable.
    told.last_state = control.state
    told.last_child_states = {slot.name: slot.state for slot in control.children}
    control.close()
    return told


def test_the_farm_ends_with_0(story):
    assert story.returncode == 0


def test_a_task_holds_up_what_comes_after_it(story):
    rest = ("service", "bystander", "victim", "crashing", "ending", "silent", "deaf", "stubborn")
    first_of_rest = min(story.index("child_spawned", child=name) for name in rest)
    assert story.index("child_exited", child="prepare") < first_of_rest


def test_a_task_runs_once(story):
    assert len(story.farm.events("child_spawned", child="prepare")) == 1


def test_services_start_without_waiting_for_each_other(story):
    first_ready = min(story.index("child_ready", child=name) for name in ("service", "victim"))
    assert story.index("child_spawned", child="deaf") < first_ready


def test_the_farm_is_ready_once_every_child_is(story):
    before = story.farm.lines[: story.index("farm_ready")]
    ready = {line["child"] for line in before if line["event"] == "child_ready"}
    assert len(ready) == 8
    assert len(story.farm.events("farm_ready")) == 1
    assert story.state is FarmState.RUNNING


def test_a_child_knows_what_it_is(story):
    line = story.farm.wait_for("context")
    keys = ("name", "index", "worker", "generation", "role", "seed", "instance", "board", "epoch")
    assert [line[key] for key in keys] == [
        "service", 1, 1, 1, "service", 7, story.instance, "20x20", 3,
    ]  # fmt: skip
    assert line["config_epoch"] == line["epoch"]  # from its first line on


def test_a_child_inherits_the_doorbells_and_no_terminal(story):
    line = story.farm.wait_for("context")
    assert (line["n_space_bells"], line["data_bell_rings"]) == (2, True)
    assert (line["session_leader"], line["stdin"]) == (True, "/dev/null")


def test_a_killed_child_is_replaced_at_once_with_the_next_generation(story):
    farm = story.farm
    assert story.replaced_in_s < 3.0
    assert farm.events("child_exited", child="victim", generation=1, reason="SIGKILL")
    assert farm.events("child_restarting", child="victim", reason="SIGKILL", in_s=0.0)
    (spawned,) = farm.events("child_spawned", child="victim", generation=2)
    assert story.victim == (spawned["child_pid"], 2, 1, "SIGKILL", ChildState.READY)


def test_a_child_that_crashes_is_restarted_at_once_and_then_later(story):
    waits = [line["in_s"] for line in story.farm.events("child_restarting", child="crashing")]
    assert waits[0] == 0.0
    assert 0.025 <= waits[1] <= 0.05


def test_a_crash_is_logged_by_the_child_with_its_traceback(story):
    crashes = story.farm.events("child_crashed", role="crashing")
    assert [line["generation"] for line in crashes] == [1, 2]
    assert "RuntimeError: not yet" in crashes[0]["exception"]


def test_a_child_that_ends_unasked_is_replaced_even_if_it_ends_well(story):
    assert story.farm.events("child_restarting", child="ending", reason="exit code 0")
    assert story.farm.events("child_ready", child="ending", generation=2)


def test_a_silent_child_is_aborted_and_its_stacks_are_dumped(story):
    assert story.farm.events("child_aborting", child="silent")[0]["reason"].startswith("silent for")
    (exited,) = story.farm.events("child_exited", child="silent", generation=1)
    assert exited["reason"].endswith("then SIGABRT")
    assert "Fatal Python error: Aborted" in story.farm.output
    assert "in goes_silent_once" in story.farm.output


def test_a_silent_child_that_does_not_abort_is_killed(story):
    assert story.farm.events("child_killing", child="deaf", reason="not dead 0.5 s after its abort")
    (exited,) = story.farm.events("child_exited", child="deaf", generation=1)
    assert exited["reason"].startswith("silent for")
    assert exited["reason"].endswith("then SIGKILL")


def test_other_children_live_on(story):
    for name in ("service", "bystander"):
        assert [line["generation"] for line in story.farm.events("child_exited", child=name)] == [1]


def test_lines_about_a_child_say_which_and_why(story):
    for line in story.farm.events("child_exited"):
        assert {"role", "worker", "generation", "reason"} <= line.keys()


def test_children_drain_in_reverse_start_order(story):
    last_exit = max(
        index
        for index, line in enumerate(story.farm.lines)
        if line["event"] == "child_exited" and line["child"] != "service"
    )
    assert story.index("farm_stopping") < story.index("child_draining", child="victim")
    assert last_exit < story.index("child_draining", child="service")


def test_a_burst_of_signals_is_one_wish(story):
    assert story.farm.events("farm_stopping", reason="SIGTERM", exit_code=0)
    assert not story.farm.events("farm_killing")


def test_children_that_are_asked_to_end_with_0(story):
    drained = story.farm.events("child_exited", phase="draining")
    assert len(drained) == 7
    assert {line["reason"] for line in drained} == {"exit code 0"}


def test_a_child_that_does_not_end_is_killed_at_the_deadline(story):
    assert story.farm.events("child_killing", child="stubborn", reason="not stopped within 1.5 s")
    (exited,) = story.farm.events("child_exited", child="stubborn")
    assert exited["reason"] == "not stopped within 1.5 s, then SIGKILL"


def test_a_drained_farm_leaves_its_last_word_and_no_segments(story):
    assert story.last_state is FarmState.STOPPED
    assert len(story.last_child_states) == story.n_children == 9
    assert story.last_child_states.pop("stubborn") is ChildState.FAILED
    assert set(story.last_child_states.values()) == {ChildState.STOPPED}
    assert list_segments(story.instance) == []


def test_the_supervisor_loads_neither_numba_nor_grpc(story):
    modules = set(story.farm.wait_for("imports")["modules"])
    assert not modules & {"numba", "llvmlite", "grpc", "google", "hydra"}


def test_a_child_loads_what_its_target_needs_and_no_more(story):
    modules = {name.partition(".")[0] for name in story.farm.wait_for("child_imports")["modules"]}
    assert not modules & {"numba", "llvmlite", "grpc", "google", "hydra", "psutil"}
