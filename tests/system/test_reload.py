"""A farm whose config is changed while it runs at full speed and a client takes everything."""

import json
import signal
import time
from itertools import pairwise

import pytest
from notified import Listener
from reloading import Reader, farm

from farm.shm.control import ControlBlock
from farm.shm.ring_layout import ring_indexes
from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(400)

START = ("worker.games=16", f"ring.bytes={1 << 20}", "seed=11", "telemetry.level=info")
EXIT_CONFIG = 78


def ready_again(listener):
    said = [lines[0] for _, lines in listener.heard if lines[0] in {"READY=1", "RELOADING=1"}]
    return said[-1] == "READY=1"


@pytest.fixture(scope="module")
def story(shared_farm_up, shared_instance, wait_until, contention, tmp_path_factory):
    """One farm through every kind of change, to its end."""
    told = type("Story", (), {})()
    told.began_us = time.monotonic_ns() // 1_000
    address = str(tmp_path_factory.mktemp("notify") / "socket")
    listener = Listener(address)
    up = shared_farm_up("worker.count=1", *START, env={"NOTIFY_SOCKET": address})
    reader = Reader(up.address)
    instance = ["--instance", shared_instance]

    def changed(*overrides):
        return json.loads(farm("set", *overrides, *instance, "--json"))

    told.slowdown = contention()
    told.grown = changed("worker.count=3")
    wait_until(lambda: {0, 1, 2} <= set(reader.seen), what="something of every new worker")
    told.mixed = changed("match.seats=[hunter,hunter]", "reward.step=-0.5")
    epoch = told.mixed["epoch"]
    wait_until(lambda: epoch in reader.epochs, what="something of the new config")
    told.running = json.loads(farm("config", "--running", "--json", *instance))
    told.shrunk = changed("worker.count=1")
    control = ControlBlock.attach(shared_instance, readonly=True)
    gone = [slot for slot in control.children if slot.name in {"rollout-1", "rollout-2"}]
    wait_until(lambda: not any(slot.pid for slot in gone), what="the end of the workers")
    told.again = changed("worker.count=2")
    up.wait_for("child_ready", child="rollout-1", generation=2)
    told.restarted = changed("worker.games=8")
    up.wait_for("child_ready", child="rollout-0", generation=2)
    told.refused = farm("set", "ring.submitted_bytes=65536", *instance, code=EXIT_CONFIG)
    told.wrong = farm("set", "match.board=2x2", *instance, code=EXIT_CONFIG)
    told.after_refusal = (control.last_reload_ok, control.load_config()[0])
    told.same = farm("reload", "--wait", *instance)
    for _ in range(100):
        up.send(signal.SIGHUP)
    before = control.reloads
    told.last = changed("match.max_turns=77")
    assert control.reloads > before
    told.in_force = json.loads(farm("config", "--running", "--json", *instance))
    told.rings = ring_indexes(shared_instance)
    wait_until(lambda: ready_again(listener), what="READY=1 after the last reload")
    told.heard, told.reloads = [*listener.heard], (control.reloads, control.reloads_refused)
    up.send(signal.SIGHUP)
    told.returncode = up.stop()
    reader.close()
    listener.close()
    told.up, told.reader = up, reader
    told.left = list_segments(shared_instance)
    return told


def test_every_child_at_work_has_a_change_within_a_second(story):
    for answer in (story.grown, story.mixed, story.shrunk, story.again, story.last):
        assert answer["outcome"] == "done"
        assert answer["late"] == []
        assert answer["took_ms"] / story.slowdown < 1_000


def test_a_change_is_told_field_by_field(story):
    assert {(one["key"], json.dumps(one["new"])) for one in story.mixed["changes"]} == {
        ("match.seats", '["hunter", "hunter"]'),
        ("reward.step", "-0.5"),
    }
    assert story.restarted["changes"][0]["when"] == "restart"
    events = [line["key"] for line in story.up.events("config_changed")]
    assert events[:3] == ["worker.count", "match.seats", "reward.step"]


def test_the_stream_is_unbroken_and_no_sequence_is_missing(story):
    assert story.reader.connections <= 1
    assert len(story.reader.seen) == 3
    for sequences in story.reader.seen.values():
        assert sequences == list(range(len(sequences)))
        assert len(sequences) > 20


def test_the_balance_is_exact_at_the_end(story):
    (line,) = story.up.events("balance")
    assert line["exact"]
    assert line["records"]["in_ring"] == 0


def test_trajectories_of_the_new_epoch_are_of_the_new_policies_and_rewards(story):
    epochs = story.reader.epochs
    assert epochs[story.mixed["epoch"]] == {("hunter", True)}
    assert not any(shaped for _, shaped in epochs[story.grown["epoch"] - 1])


def test_what_is_in_force_is_shown_with_its_epoch(story):
    assert story.running["epoch"] == story.mixed["epoch"]
    assert story.running["config"]["match"]["seats"] == ["hunter", "hunter"]
    assert (
        story.in_force["config"]["worker"] | {"count": 2, "games": 8}
        == (story.in_force["config"]["worker"])
    )
    assert story.in_force["config"]["match"]["max_turns"] == 77


def test_a_change_that_cannot_be_is_refused_and_everything_stays(story):
    assert "ring.submitted_bytes" in story.refused
    assert "start the farm again" in story.refused
    assert "match.board" in story.wrong
    assert story.after_refusal == (0, story.restarted["epoch"])
    assert len(story.up.events("config_refused")) == 2


def test_files_that_say_the_same_are_said_to(story):
    assert "nothing has changed" in story.same


def test_workers_that_are_taken_away_and_come_back_use_the_rings_they_had(story):
    assert set(story.rings) == {0, 1, 2, 64}
    assert story.up.events("child_exited", child="rollout-2", reason="exit code 0")


def test_a_service_manager_hears_of_every_reload_when_it_began_and_that_it_is_over(story):
    lines = [lines for _, lines in story.heard if lines[0] in {"READY=1", "RELOADING=1"}]
    said = [first for first, *_ in lines]
    assert said[0] == said[-1] == "READY=1"
    # One that begins where another ends is told as such; READY=1 is never said without a reason.
    assert ("READY=1", "READY=1") not in set(pairwise(said))
    assert said.count("RELOADING=1") == sum(story.reloads)
    began = [int(one[1].removeprefix("MONOTONIC_USEC=")) for one in lines if one[1][0] == "M"]
    assert began == sorted(began)
    assert len(began) == sum(story.reloads)
    assert all(story.began_us < at for at in began)
    refused = [one[1] for one in lines if "refused" in one[1]]
    assert "ring.submitted_bytes" in refused[0]
    assert "match.board" in refused[1]


def test_a_storm_of_signals_and_a_stop_in_the_middle_of_a_reload_end_clean(story):
    assert story.returncode == 0
    assert story.left == []
    assert not story.up.events("child_restarting")
    assert not story.up.events("child_crashed")


def test_a_stop_while_the_farm_starts_and_is_asked_to_reload_is_clean(farm_up, instance):
    up = farm_up(*START, ready=False)
    up.wait_for("child_spawned")
    up.send(signal.SIGHUP)
    assert up.stop() == 0
    assert list_segments(instance) == []


def test_a_farm_that_is_not_there_cannot_be_asked(instance):
    message = farm("reload", "--instance", instance, code=69)
    assert f"there is no farm '{instance}'" in message
