"""A tool asks a farm to reload, and waits no longer than there is a farm that can answer."""

import pytest

from farm.errors import ConfigError, UnavailableError
from farm.shm.requests import ask

FARM = """
import os, signal, sys
from farm.shm.control import ControlBlock, FarmState
from farm.shm.groups import create_groups
from farm.shm.requests import DONE, REFUSED, Answer, read_request, write_answer
instance, deed = sys.argv[1:]
block = ControlBlock.create(instance, 2)
groups = create_groups(instance, run_id=1, capacity=4096, n_rings=1)
block.state = FarmState.RUNNING
def on_reload(*_):
    request = read_request(block)
    if deed == "stop":
        block.state = FarmState.DRAINING
    elif deed == "die":
        os._exit(1)
    elif deed == "refuse":
        write_answer(block, Answer(request.id, REFUSED, 3, reason="because"))
    else:
        write_answer(block, Answer(request.id, DONE, 4))
signal.signal(signal.SIGHUP, on_reload)
print('{"event": "up"}', flush=True)
while True:
    signal.pause()
"""
LONG_S = 60.0


@pytest.fixture
def ask_one_that(start_process, instance):
    """Asks a farm that answers a request in a way of its own."""

    def ask_it(deed):
        start_process(["-c", FARM, instance, deed]).wait_for("up")
        return ask(instance, (), LONG_S, wait=True)

    return ask_it


def test_an_answer_is_returned(ask_one_that):
    assert ask_one_that("answer").epoch == 4


def test_a_refusal_is_an_error_with_its_reason(ask_one_that):
    with pytest.raises(ConfigError, match="because"):
        ask_one_that("refuse")


@pytest.mark.parametrize("deed", ["stop", "die"])
def test_a_farm_that_ends_is_not_waited_for(ask_one_that, deed):
    with pytest.raises(UnavailableError, match="is ending or has ended"):
        ask_one_that(deed)


def test_a_farm_that_is_not_there_is_named(instance):
    with pytest.raises(UnavailableError, match=f"no farm '{instance}'"):
        ask(instance, (), LONG_S, wait=True)
