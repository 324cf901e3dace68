import pytest

from farm.supervisor.deadlines import Limits, Standing, overdue
from farm.supervisor.lifecycle import CHILD_MOVES, Event, Phase
from farm.supervisor.specs import Kind

S = 1_000_000_000
LIMITS = Limits(start_ns=60 * S, task_ns=300 * S, silence_ns=10 * S, abort_ns=2 * S, stop_ns=15 * S)
NOW = 1000 * S


def judge(phase, *, kind=Kind.SERVICE, age_s=0.0, silent_s=0.0, was_ready=True):
    since_ns, heartbeat_ns = NOW - int(age_s * S), NOW - int(silent_s * S)
    return overdue(LIMITS, Standing(phase, kind, since_ns, heartbeat_ns, was_ready), now_ns=NOW)


@pytest.mark.parametrize(
    ("phase", "limit_s", "event"),
    [
        (Phase.STARTING, 60, Event.ABORT),
        (Phase.DRAINING, 15, Event.KILL),
        (Phase.ABORTING, 2, Event.KILL),
    ],
)
def test_a_phase_that_lasts_too_long_ends_in_the_next_harder_measure(phase, limit_s, event):
    assert judge(phase, age_s=limit_s) is None
    late = judge(phase, age_s=limit_s + 0.1)
    assert late.event is event
    assert str(limit_s) in late.reason
    assert (phase, event) in CHILD_MOVES


def test_a_ready_child_may_be_as_old_as_it_likes():
    assert judge(Phase.READY, age_s=1e6, silent_s=10) is None


def test_a_ready_child_without_a_heartbeat_is_aborted_and_the_reason_says_for_how_long():
    late = judge(Phase.READY, silent_s=10.25)
    assert (late.event, late.reason) == (Event.ABORT, "silent for 10.2 s")


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
def test_silence_counts_only_while_a_child_is_at_work(phase):
    assert judge(phase, silent_s=1e6) is None


def test_a_child_that_was_never_ready_has_nothing_to_finish_and_little_time_for_it():
    assert judge(Phase.DRAINING, age_s=1.9, was_ready=False) is None
    assert judge(Phase.DRAINING, age_s=2.1, was_ready=False).event is Event.KILL


def test_a_task_has_its_own_time_and_is_never_silent():
    assert judge(Phase.STARTING, kind=Kind.TASK, age_s=299, silent_s=299) is None
    assert judge(Phase.STARTING, kind=Kind.TASK, age_s=301).reason == "not done within 300 s"


@pytest.mark.parametrize("phase", [Phase.DOWN, Phase.KILLING])
def test_nothing_more_is_done_to_the_dead_and_the_killed(phase):
    assert judge(phase, age_s=1e6, silent_s=1e6) is None
