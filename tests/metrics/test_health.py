import json
from http import HTTPStatus

import pytest

from farm.metrics.health import healthz, readyz
from farm.shm.control import ChildState, FarmState

S = 1_000_000_000
NOW_NS = 1_000 * S
SILENCE_S = 10.0


@pytest.fixture
def children(farm):
    """All of them beat right now."""
    for slot in farm.control.children:
        slot.beat(NOW_NS)
    return farm.control.children


def of(children, name):
    return next(slot for slot in children if slot.name == name)


def test_a_running_farm_whose_children_beat_is_ready(children):
    assert readyz(FarmState.RUNNING, children, SILENCE_S, NOW_NS).ok


@pytest.mark.parametrize("state", [one for one in FarmState if one is not FarmState.RUNNING])
def test_a_farm_that_does_not_run_is_not_ready(children, state):
    health = readyz(state, children, SILENCE_S, NOW_NS)
    assert not health.ok
    assert health.problems == (f"the farm is {state.name.lower()}",)


def test_a_silent_child_makes_the_farm_unready_before_it_is_replaced(children):
    of(children, "rollout-1").beat(NOW_NS - 5 * S)
    assert readyz(FarmState.RUNNING, children, SILENCE_S, NOW_NS).ok
    of(children, "rollout-1").beat(NOW_NS - 6 * S)
    health = readyz(FarmState.RUNNING, children, SILENCE_S, NOW_NS)
    assert health.problems == ("rollout-1 last beat 6.0 s ago",)


@pytest.mark.parametrize(
    ("state", "ready"),
    [
        (ChildState.STOPPED, True),
        (ChildState.FAILED, False),
        (ChildState.STARTING, False),
        (ChildState.DRAINING, False),
    ],
)
def test_only_who_has_stopped_need_not_beat(children, state, ready):
    slot = of(children, "rollout-1")
    slot.beat(NOW_NS - 60 * S)
    slot.state = state
    assert readyz(FarmState.RUNNING, children, SILENCE_S, NOW_NS).ok is ready


@pytest.mark.parametrize("state", [ChildState.STARTING, ChildState.FAILED, ChildState.DRAINING])
def test_a_farm_is_not_ready_while_nobody_answers_its_clients(children, state):
    service = of(children, "experiences")
    service.state = state
    health = readyz(FarmState.RUNNING, children, SILENCE_S, NOW_NS)
    assert health.problems == (f"experiences is {state.name.lower()}",)
    service.state = ChildState.READY
    of(children, "rollout-1").state = state
    assert readyz(FarmState.RUNNING, children, SILENCE_S, NOW_NS).ok


def test_alive_is_whose_supervisor_holds_the_instance():
    assert healthz("a", 4711).ok
    assert healthz("a", None).problems == ("no supervisor holds the instance a",)


def test_the_paths_answer_with_their_status_and_why(farm):
    assert farm.get("/healthz").status is HTTPStatus.OK
    assert farm.get("/readyz").status is HTTPStatus.OK
    farm.control.state = FarmState.STARTING
    response = farm.get("/readyz")
    assert response.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert json.loads(response.body) == {"ok": False, "problems": ["the farm is starting"]}
    assert farm.get("/healthz").status is HTTPStatus.OK
    farm.control.lease.close()
    assert farm.get("/healthz").status is HTTPStatus.SERVICE_UNAVAILABLE


def test_any_other_path_names_those_there_are(farm):
    response = farm.get("/")
    assert response.status is HTTPStatus.NOT_FOUND
    assert b"/metrics, /healthz and /readyz" in response.body
