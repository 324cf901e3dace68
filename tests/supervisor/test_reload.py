"""A reload from the question to the last acknowledgement, with the control block of a farm."""

import pytest

from farm.config.load import compose
from farm.errors import ConfigError, SharedMemoryFullError
from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.requests import read_answer, write_request
from farm.supervisor.reload import Reloader
from farm.telemetry import log

SECOND = 1_000_000_000


class Farm:
    """What a reload does to it, written down; `files` is what they come to."""

    def __init__(self, instance):
        self.control = ControlBlock.create(instance, 2)
        self.control.store_config(5, b"first")
        self.control.state = FarmState.RUNNING
        for index, slot in enumerate(self.control.children):
            slot.assign(f"rollout-{index}", "rollout", index)
            slot.pid, slot.state, slot.config_epoch = 100 + index, ChildState.READY, 5
        self.files = []
        self.full = False
        self.followed = []
        self.composed = []
        self.told = []
        config = compose(["worker.count=2"]).config
        self.reloader = Reloader(
            self.control, self, self.compose, config, ["worker.count=2"], manager=self
        )

    def ask(self, *overrides):
        """As a tool does; the id of the request."""
        request_id = write_request(self.control, overrides)
        self.reloader.ask()
        return request_id

    def reloading(self, _now_ns):
        self.told.append("reloading")

    def reloaded(self):
        self.told.append("reloaded")

    def compose(self, overrides):
        self.told.append("composing")
        self.composed.append(list(overrides))
        return compose([*self.files, *overrides]).config

    def prepare(self, _config):
        if self.full:
            raise SharedMemoryFullError("there is no room")

    def follow(self, _config, plan, epoch):
        self.control.store_config(epoch, b"next")
        self.followed.append((epoch, [change.key for change in plan.changes]))

    def acknowledge(self, *names):
        for slot in self.control.children:
            if slot.name in names:
                slot.config_epoch = self.control.load_config()[0]


@pytest.fixture
def farm(instance):
    made = Farm(instance)
    yield made
    made.control.unlink()
    made.control.close()


def figures(farm):
    control = farm.control
    return control.reloads, control.reloads_refused, control.last_reload_ok


def test_a_change_is_stored_under_the_next_epoch_and_done_once_everybody_has_it(farm):
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert farm.followed == [(6, ["match.max_turns"])]
    farm.acknowledge("rollout-0")
    farm.reloader.poll(SECOND)
    assert figures(farm) == (0, 0, 1)
    farm.acknowledge("rollout-1")
    farm.reloader.poll(2 * SECOND)
    assert figures(farm) == (1, 0, 1)
    assert farm.reloader.config.match.max_turns == 99


def test_a_manager_is_told_before_files_are_read_and_when_everybody_has_the_config(farm):
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    assert farm.reloader.poll(0)
    assert farm.told == ["reloading", "composing"]
    farm.acknowledge("rollout-0", "rollout-1")
    assert not farm.reloader.poll(1)
    assert farm.told == ["reloading", "composing", "reloaded"]


def test_a_refusal_is_told_to_the_manager_and_kept_until_a_reload_that_is_none(farm):
    farm.files = ["match.max_turns=many"]
    farm.reloader.ask()
    assert not farm.reloader.poll(0)
    assert farm.told == ["reloading", "composing", "reloaded"]
    assert "match.max_turns" in farm.reloader.refusal
    farm.files = []
    farm.reloader.ask()
    for now in range(1, 3):
        farm.reloader.poll(now)
    assert farm.reloader.refusal == ""


def test_what_the_farm_was_started_with_stays_on_top_of_the_files(farm):
    farm.files = ["worker.count=7", "match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert farm.composed == [["worker.count=2"]]
    assert farm.followed == [(6, ["match.max_turns"])]


def test_files_that_say_the_same_change_nothing_and_are_no_failure(farm):
    farm.reloader.ask()
    for now in range(2):
        farm.reloader.poll(now)
    assert farm.followed == []
    assert farm.control.load_config() == (5, b"first")
    assert figures(farm) == (1, 0, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        "match.max_turns=many",
        "match.bord=9x9",
        "instance=blue",
        "serve.address=127.0.0.1:1",
        "seed=4",
    ],
)
def test_a_config_that_is_refused_leaves_everything_as_it_was_until_a_good_one_comes(farm, wrong):
    farm.files = [wrong]
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert farm.followed == []
    assert farm.control.load_config() == (5, b"first")
    assert figures(farm) == (0, 1, 0)
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(1)
    farm.acknowledge("rollout-0", "rollout-1")
    farm.reloader.poll(2)
    assert figures(farm) == (1, 1, 1)


def test_workers_for_whose_rings_there_is_no_room_are_refused_before_anything_is_stored(farm):
    farm.files, farm.full = ["match.max_turns=99"], True
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert farm.followed == []
    assert figures(farm) == (0, 1, 0)


def test_a_storm_leaves_the_last_config_in_force(farm):
    for turns in range(100, 200):
        farm.files = [f"match.max_turns={turns}"]
        farm.reloader.ask()
        farm.reloader.poll(turns)
        if turns % 7 == 0:
            farm.acknowledge("rollout-0", "rollout-1")
    farm.acknowledge("rollout-0", "rollout-1")
    farm.reloader.poll(200)
    farm.acknowledge("rollout-0", "rollout-1")
    farm.reloader.poll(201)
    assert farm.reloader.config.match.max_turns == 199
    assert len(farm.followed) < 20


def test_a_reload_that_is_asked_for_during_the_start_is_done_after_it(farm):
    farm.control.state = FarmState.STARTING
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert farm.followed == []
    farm.control.state = FarmState.RUNNING
    farm.reloader.poll(1)
    assert farm.followed == [(6, ["match.max_turns"])]


def test_a_farm_that_drains_is_not_reloaded(farm):
    farm.control.draining = 1
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert farm.followed == []
    assert figures(farm) == (0, 1, 0)


def test_children_that_start_or_end_are_not_waited_for(farm):
    starting, ending = farm.control.children
    starting.state, ending.state = ChildState.STARTING, ChildState.DRAINING
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(0)
    farm.reloader.poll(1)
    assert figures(farm) == (1, 0, 1)


def test_a_child_that_never_answers_is_waited_for_no_longer_than_silence_is_borne(farm):
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(0)
    farm.acknowledge("rollout-1")
    farm.reloader.poll(9 * SECOND)
    assert figures(farm) == (0, 0, 1)
    farm.reloader.poll(11 * SECOND)
    assert figures(farm) == (1, 0, 1)


def test_a_policy_that_does_not_exist_is_refused_by_whoever_checks(farm):
    def refuse(_overrides):
        raise ConfigError("match.seats", "no such policy")

    farm.reloader = Reloader(farm.control, farm, refuse, farm.reloader.config, [])
    farm.reloader.ask()
    farm.reloader.poll(0)
    assert figures(farm) == (0, 1, 0)


def test_a_fault_in_reading_the_files_is_a_refusal_with_its_traceback_in_the_log(farm, capfd):
    def fail(_overrides):
        raise KeyError("something that nobody thought of")

    log.configure(role="supervisor", fmt="json")
    before = farm.reloader.config
    farm.reloader = Reloader(farm.control, farm, fail, before, [])
    request_id = farm.ask("match.max_turns=99")
    farm.reloader.poll(0)
    answer = read_answer(farm.control)
    assert (answer.id, answer.outcome) == (request_id, "refused")
    assert "KeyError" in answer.reason
    assert (figures(farm), farm.reloader.config) == ((0, 1, 0), before)
    assert "something that nobody thought of" in capfd.readouterr().out


def test_a_request_is_answered_with_the_plan_then_with_the_acknowledgements(farm):
    request_id = farm.ask("match.max_turns=99")
    farm.reloader.poll(0)
    planned = read_answer(farm.control)
    assert (planned.id, planned.outcome, planned.epoch) == (request_id, "planned", 6)
    assert [(one.key, one.old, one.new, one.when) for one in planned.changes] == [
        ("match.max_turns", 500, 99, "live")
    ]
    farm.acknowledge("rollout-0", "rollout-1")
    farm.reloader.poll(1)
    done = read_answer(farm.control)
    assert (done.id, done.outcome, done.late) == (request_id, "done", ())
    assert done.changes == planned.changes


def test_the_overrides_of_a_request_stay_on_top_of_files_and_of_the_start(farm):
    farm.ask("worker.count=3")
    for now in range(2):
        farm.reloader.poll(now)
    farm.acknowledge("rollout-0", "rollout-1")
    farm.reloader.poll(2)
    farm.files = ["match.max_turns=99"]
    farm.reloader.ask()
    farm.reloader.poll(3)
    assert farm.reloader.config.worker.count == 3
    assert farm.reloader.config.match.max_turns == 99


def test_a_request_that_is_refused_says_why_and_leaves_nothing_behind(farm):
    request_id = farm.ask("match.max_turns=many")
    farm.reloader.poll(0)
    answer = read_answer(farm.control)
    assert (answer.id, answer.outcome, answer.epoch) == (request_id, "refused", 5)
    assert "match.max_turns" in answer.reason
    farm.reloader.ask()
    farm.reloader.poll(1)
    assert farm.composed[-1] == ["worker.count=2"]
    assert figures(farm)[1:] == (1, 0)


def test_a_late_child_is_named_in_the_answer(farm):
    farm.ask("match.max_turns=99")
    farm.reloader.poll(0)
    farm.acknowledge("rollout-1")
    farm.reloader.poll(11 * SECOND)
    assert read_answer(farm.control).late == ("rollout-0",)
