"""Farms that end, each in its own way."""

import os
import signal
import time
from itertools import pairwise

import pytest

from farm.shm.control import ControlBlock
from farm.shm.segment import list_segments


def test_a_crash_loop_stops_the_farm_with_exit_code_70(mini_farm, child):
    farm = mini_farm(child("good"), child("bad", "crashes"), restart={"intensity": 1})
    assert farm.wait() == 70
    assert len(farm.events("child_crashed")) == 2
    (line,) = farm.events("farm_stopping")
    assert line["reason"] == "bad ended 2 times within 60 s, last: exit code 70"
    assert farm.events("child_exited", child="good", phase="draining")


@pytest.mark.parametrize(
    ("target", "exit_code", "message"),
    [
        ("bad_config", 78, "match.board: has no room for 16 seats"),
        ("port_taken", 69, "127.0.0.1:50051 is taken by another process"),
    ],
)
def test_a_child_that_cannot_run_here_ends_the_farm_with_its_code_and_its_message_once(
    mini_farm, child, target, exit_code, message
):
    farm = mini_farm(child("bad", target))
    assert farm.wait() == exit_code
    assert farm.output.count(message) == 1
    assert farm.events("child_failed", error=message, exit_code=exit_code)
    assert not farm.events("child_restarting")


def test_a_child_that_has_run_before_is_retried_when_it_finds_its_port_taken(mini_farm, child):
    farm = mini_farm(child("a", "port_taken_later"))
    farm.wait_for("farm_ready")
    os.kill(farm.wait_for("child_spawned")["child_pid"], signal.SIGKILL)
    farm.wait_for("child_ready", generation=3)
    assert farm.stop(signal.SIGINT) == 0
    assert farm.events("farm_stopping", reason="SIGINT")


def test_sighup_asks_for_a_reload_and_stops_nothing(mini_farm, child):
    farm = mini_farm(child("a"))
    farm.wait_for("farm_ready")
    for _ in range(20):
        os.kill(farm.pid, signal.SIGHUP)
    farm.wait_for("asked_to_reload")
    assert farm.stop(signal.SIGTERM) == 0
    assert farm.events("farm_stopping", reason="SIGTERM")
    assert not farm.events("farm_killing")


def test_a_task_that_fails_ends_the_farm(mini_farm, child):
    farm = mini_farm(child("after"), child("before", "task_fails", kind="task", stage=0))
    assert farm.wait() == 70
    assert not farm.events("child_spawned", child="after")
    assert "before: exit code 1" in farm.events("farm_stopping")[0]["reason"]


def test_a_task_that_hangs_is_aborted_with_its_stacks_dumped_into_the_log(mini_farm, child):
    only_the_log = ["sh", "-c", 'exec "$@" 2>/dev/null', "sh"]
    farm = mini_farm(
        child("before", "task_hangs", kind="task", stage=0),
        limits_s={"task": 1.5},
        within=only_the_log,
    )
    assert farm.wait() == 70
    assert farm.events("child_aborting", reason="not done within 1.5 s")
    assert "in task_hangs" in farm.output


def test_a_child_that_is_never_ready_keeps_the_farm_from_being_ready(mini_farm, child):
    farm = mini_farm(child("bad", "never_ready"), limits_s={"start": 1.5, "abort": 0.5})
    farm.wait_for("child_aborting", child="bad", reason="not ready within 1.5 s")
    # Its stacks share the output: a log line in the middle of them would not be one.
    farm.wait_for("child_exited", child="bad")
    assert farm.stop(signal.SIGINT) == 0
    assert farm.events("farm_stopping", reason="SIGINT")
    assert not farm.events("farm_ready")


def test_a_second_signal_kills_at_once(mini_farm, child, wait_until):
    farm = mini_farm(child("a", "ignores_sigterm"))
    farm.wait_for("farm_ready")
    farm.send(signal.SIGTERM)
    farm.wait_for("child_draining")
    asked_at = time.monotonic()
    # Within a tenth of a second two signals are one press.
    wait_until(lambda: time.monotonic() - asked_at > 0.15)
    farm.send(signal.SIGTERM)
    assert farm.wait() == 0
    assert time.monotonic() - asked_at < 2.0
    assert farm.events("farm_killing", reason="a second SIGTERM")
    assert farm.events("child_exited", reason="SIGKILL", level="info")


def test_a_signal_during_a_task_ends_it_and_nothing_else_is_started(mini_farm, child):
    farm = mini_farm(child("after"), child("before", "task_hangs", kind="task", stage=0))
    farm.wait_for("child_spawned", child="before")
    assert farm.stop() == 0
    assert not farm.events("child_spawned", child="after")


def test_children_that_are_just_being_started_can_be_stopped(mini_farm, child):
    farm = mini_farm(child("a"))
    farm.wait_for("child_spawned")
    assert farm.stop() == 0
    assert not farm.events("child_restarting")


def test_a_running_farm_grows_and_shrinks_and_replaces_children_whose_spec_changed(
    mini_farm, child
):
    farm = mini_farm(child("a"), child("b"), once_ready=[child("b", "reports_context"), child("c")])
    farm.wait_for("child_ready", child="c")
    assert farm.wait_for("context")["generation"] == 2
    assert farm.wait_for("child_exited", child="a")["reason"] == "exit code 0"
    assert farm.stop() == 0
    assert not farm.events("child_restarting")
    assert not farm.events("child_spawned", child="a", generation=2)


def test_a_farm_with_a_limited_time_stops_by_itself(mini_farm, child):
    farm = mini_farm(child("a"), seconds=0.3)
    assert farm.wait() == 0
    assert farm.events("farm_stopping", reason="its time is over")


def test_a_farm_that_is_told_to_drain_lets_children_go_and_stops_when_its_work_is_over(
    mini_farm, child
):
    farm = mini_farm(child("a"), child("b"), once_drained=[child("a")])
    farm.wait_for("farm_ready")
    farm.send(signal.SIGUSR1)
    assert farm.wait() == 0
    (exited,) = farm.events("child_exited", child="b")
    (stopping,) = farm.events("farm_stopping")
    assert stopping["reason"] == "drained"
    assert farm.lines.index(exited) < farm.lines.index(farm.events("child_exited", child="a")[0])
    assert not farm.events("child_restarting")


def test_a_farm_that_stops_is_not_told_to_drain_any_more(mini_farm, child):
    farm = mini_farm(child("a", "ignores_sigterm"), limits_s={"stop": 0.5})
    farm.wait_for("farm_ready")
    farm.send(signal.SIGTERM)
    farm.wait_for("farm_stopping")
    farm.send(signal.SIGUSR1)
    assert farm.wait() == 0
    assert not farm.events("asked_to_drain")


def test_the_farm_ends_when_its_companion_does_and_with_its_exit_code(mini_farm, child):
    farm = mini_farm(child("a"), companion="exit(3)")
    assert farm.wait() == 3
    assert farm.events("child_exited", phase="draining", reason="exit code 0")


def test_the_companion_goes_last(mini_farm, child):
    code = """if True:
        import json, signal, sys
        say = lambda *_: sys.exit(print(json.dumps({"event": "gone"})))
        signal.signal(signal.SIGINT, say)
        signal.signal(signal.SIGTERM, say)
        print(json.dumps({"event": "here"}), flush=True)
        signal.pause()
    """
    farm = mini_farm(child("a"), companion=code)
    farm.wait_for("here")
    assert farm.stop() == 0
    (gone,) = farm.events("gone")
    assert farm.lines.index(gone) > farm.lines.index(farm.events("child_exited")[0])


def test_a_supervisor_that_was_stopped_itself_does_not_blame_its_children(
    mini_farm, child, instance, wait_until
):
    farm = mini_farm(child("a"), limits_s={"silence": 1.0})
    farm.wait_for("farm_ready")
    pid = farm.events("child_spawned")[0]["child_pid"]
    control = ControlBlock.attach(instance, readonly=True)
    slot = control.children[0]
    for stopped in (farm.pid, pid):
        os.kill(stopped, signal.SIGSTOP)
    old_ns = slot.heartbeat_ns
    wait_until(lambda: time.monotonic_ns() - old_ns > 2_500_000_000)
    os.kill(farm.pid, signal.SIGCONT)
    went_on_ns = time.monotonic_ns()
    # The supervisor looks several times at a heartbeat that is far too old.
    wait_until(lambda: time.monotonic_ns() - went_on_ns > 400_000_000)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: slot.heartbeat_ns > went_on_ns)
    control.close()
    assert farm.stop() == 0
    assert not farm.events("child_aborting")


def test_no_child_outlives_a_killed_supervisor_and_the_next_farm_takes_over(
    mini_farm, child, instance, is_alive, wait_until
):
    first = mini_farm(child("a", "has_threads"), child("b", "ignores_sigterm"))
    first.wait_for("farm_ready")
    pids = [line["child_pid"] for line in first.events("child_spawned")]
    assert all(is_alive(pid) for pid in pids)
    first.send(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), timeout_s=1.0)
    first.wait()
    assert list_segments(instance)

    second = mini_farm(child("a"))
    second.wait_for("farm_ready")
    assert second.stop() == 0
    assert list_segments(instance) == []


def test_children_that_only_start_do_not_outlive_a_killed_supervisor(
    mini_farm, child, is_alive, wait_until
):
    farm = mini_farm(child("a"), child("b"))
    farm.wait_for("child_spawned", child="b")
    farm.send(signal.SIGKILL)
    pids = [line["child_pid"] for line in farm.events("child_spawned")]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), timeout_s=1.0)
    farm.wait()


@pytest.mark.parametrize(("hurries", "least_s", "most_s"), [(True, 0, 0.06), (False, 0.08, 1)])
def test_the_loop_turns_faster_while_a_reload_is_under_way(
    mini_farm, child, hurries, least_s, most_s
):
    farm = mini_farm(child("a"), seconds=1.5, hurries=hurries)
    assert farm.wait() == 0
    (line,) = farm.events("turns")
    settled = line["at_ns"][-8:]
    apart_s = sorted((after - before) / 1e9 for before, after in pairwise(settled))
    assert least_s < apart_s[len(apart_s) // 2] < most_s
