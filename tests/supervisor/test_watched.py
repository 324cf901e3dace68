"""What a watched child writes and says, with a process that does as it is told."""

import signal

import pytest

from farm.errors import LifecycleError
from farm.shm.control import ChildState, ControlBlock
from farm.supervisor.lifecycle import Event, Phase
from farm.supervisor.specs import children_of
from farm.supervisor.watched import WatchedChild
from farm.telemetry.log import get_logger

S = 1_000_000_000
SPEC = children_of(1)[1]


class FakeProcess:
    pid = 4711

    def __init__(self):
        self.returncode = None
        self.sent = []

    def fileno(self):
        return -1

    def send(self, number):
        self.sent.append(number)

    def try_reap(self):
        return self.returncode

    def close(self):
        pass


class FakeStarter:
    def __init__(self):
        self.process = FakeProcess()

    def spawn(self, _spec, _generation):
        self.process = FakeProcess()
        return self.process


class NoStarter:
    def spawn(self, _spec, _generation):
        raise OSError(11, "Resource temporarily unavailable")


@pytest.fixture
def slot(instance):
    control = ControlBlock.create(instance, SPEC.slot + 1)
    yield control.children[SPEC.slot]
    control.unlink()
    control.close()


@pytest.fixture
def child(slot):
    return WatchedChild(SPEC, slot, get_logger())


def test_a_slot_says_whose_it_is_before_the_first_process(child, slot):
    assert (slot.name, slot.role, slot.index) == ("rollout-0", "rollout", 0)
    assert slot.state is ChildState.EMPTY
    assert child.phase is Phase.DOWN


def test_every_spawn_bumps_the_generation(child, slot):
    starter = FakeStarter()
    for generation in (1, 2, 3):
        child.spawn(starter, now_ns=generation * S)
        assert (child.generation, slot.generation) == (generation, generation)
        assert (slot.pid, slot.state, slot.heartbeat_ns) == (
            4711,
            ChildState.STARTING,
            generation * S,
        )
        starter.process.returncode = -signal.SIGKILL
        assert child.try_reap(generation * S).reason == "SIGKILL"
        assert (slot.pid, slot.state, slot.exit_reason) == (0, ChildState.FAILED, "SIGKILL")


def test_a_child_that_comes_back_goes_on_with_its_generations_and_counters(child, slot):
    starter = FakeStarter()
    child.spawn(starter, now_ns=S)
    slot.add("records", 5)
    child.end(Event.DRAIN, S)
    starter.process.returncode = 0
    assert child.try_reap(S).asked

    again = WatchedChild(SPEC, slot, get_logger())
    again.spawn(starter, now_ns=2 * S)
    assert again.generation == 2
    assert slot.counter("records") == 5


def test_a_process_that_cannot_be_started_leaves_the_child_down(child, slot):
    with pytest.raises(OSError, match="unavailable"):
        child.spawn(NoStarter(), now_ns=S)
    assert child.phase is Phase.DOWN
    assert child.process is None
    assert slot.state is ChildState.FAILED


def test_measures_are_signals(child):
    starter = FakeStarter()
    child.spawn(starter, now_ns=S)
    for event in (Event.DRAIN, Event.ABORT, Event.KILL):
        child.end(event, S)
    assert starter.process.sent == [signal.SIGTERM, signal.SIGABRT, signal.SIGKILL]
    with pytest.raises(LifecycleError):
        child.end(Event.DRAIN, S)


def test_the_first_verdict_is_the_reason(child):
    starter = FakeStarter()
    child.spawn(starter, now_ns=S)
    child.end(Event.ABORT, S, reason="silent for 10.0 s")
    child.end(Event.KILL, S, reason="not dead 2 s after its abort")
    starter.process.returncode = -signal.SIGKILL
    assert child.try_reap(S).reason == "silent for 10.0 s, then SIGKILL"


def test_a_child_is_proven_once_it_was_ready_and_stays_so(child, slot):
    starter = FakeStarter()
    child.spawn(starter, now_ns=S)
    assert not child.proven
    slot.state = ChildState.READY
    child.notice(S)
    assert child.proven
    assert child.standing(0).was_ready
    starter.process.returncode = 1
    child.try_reap(S)
    child.spawn(starter, now_ns=S)
    assert child.proven
    assert not child.standing(0).was_ready


def test_silence_counts_from_when_the_supervisor_looks(child):
    child.spawn(FakeStarter(), now_ns=S)
    assert child.standing(0).heartbeat_ns == S
    assert child.standing(5 * S).heartbeat_ns == 5 * S


def test_every_restart_is_counted_by_how_the_process_before_it_ended(child, slot):
    starter = FakeStarter()

    def live_and_end(returncode, *, ready=True, measure=None):
        child.spawn(starter, now_ns=S)
        if ready:
            slot.state = ChildState.READY
            child.notice(S)
        if measure is not None:
            child.end(measure, S, reason="" if measure is Event.DRAIN else "it was late")
        starter.process.returncode = returncode
        child.try_reap(S)

    live_and_end(70)
    live_and_end(-signal.SIGKILL)
    live_and_end(-signal.SIGABRT, measure=Event.ABORT)
    live_and_end(-signal.SIGABRT, ready=False, measure=Event.ABORT)
    live_and_end(0, measure=Event.DRAIN)
    with pytest.raises(OSError, match="unavailable"):
        child.spawn(NoStarter(), now_ns=S)
    child.spawn(starter, now_ns=S)
    once = ("exit_code", "signal", "silent", "not_ready", "asked", "no_process")
    assert slot.restarts_by_reason() == dict.fromkeys(once, 1) | {"not_stopped": 0}
    assert slot.restarts == sum(slot.restarts_by_reason().values())


def test_a_child_killed_as_it_did_not_stop_was_not_stopped_whatever_it_did_before(child, slot):
    starter = FakeStarter()
    child.spawn(starter, now_ns=S)
    child.end(Event.DRAIN, S)
    child.end(Event.KILL, S, reason="not stopped within 15 s")
    starter.process.returncode = -signal.SIGKILL
    child.try_reap(S)
    child.spawn(starter, now_ns=S)
    assert slot.restarts_by_reason()["not_stopped"] == 1
