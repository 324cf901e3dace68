"""The metrics child of a real farm: through deaths of others, its own, and a drain."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from farm.client import NO_RETRY, Client
from farm.shm.control import ControlBlock

pytestmark = pytest.mark.timeout(600)

SMALL = ("worker.games=16", f"ring.bytes={1 << 20}", "seed=5")
SILENCE_S = 6.0


def get(address, path):
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ready(address):
    status, body = get(address, "/readyz")
    problems = json.loads(body)["problems"]
    assert (status == 200) is not bool(problems)
    return problems


def value(address, sample):
    """The number of a sample; None if the page has none."""
    _, page = get(address, "/metrics")
    found = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else None


class Story:
    """What was seen of the farm."""


@pytest.fixture(scope="module")
def story(shared_farm_up, shared_instance, wait_until):
    told = Story()
    told.farm = farm = shared_farm_up(
        *SMALL, f"supervisor.silence_s={SILENCE_S}", "serve.drain_s=5"
    )
    address = farm.events("farm_ready")[0]["metrics_address"]
    told.first_address = address
    wait_until(lambda: not ready(address), what="the farm to be ready")
    _stop_a_worker(told, address, wait_until)
    _kill_the_child(told, shared_instance, wait_until)
    _drain(told, wait_until)
    return told


def _stop_a_worker(told, address, wait_until):
    """A worker hangs until the supervisor replaces it."""
    pid = told.farm.events("child_spawned", child="rollout-0")[-1]["child_pid"]
    os.kill(pid, signal.SIGSTOP)
    told.unready = wait_until(lambda: ready(address), what="the farm to be unready")
    told.replaced_before = bool(told.farm.events("child_spawned", child="rollout-0", generation=2))
    told.farm.wait_for("child_ready", child="rollout-0", generation=2)
    wait_until(lambda: not ready(address), what="the farm to be ready again")
    restarts = 'farm_child_restarts_total{{child="rollout-0",role="rollout",reason="{}"}}'
    told.restarts = {
        reason: value(address, restarts.format(reason)) for reason in ("silent", "signal")
    }


def _kill_the_child(told, instance, wait_until):
    """The endpoint itself dies."""
    pid = told.farm.events("child_spawned", child="metrics")[-1]["child_pid"]
    os.kill(pid, signal.SIGKILL)
    told.farm.wait_for("child_ready", child="metrics", generation=2)
    control = ControlBlock.attach(instance, readonly=True)
    told.address = control.metrics_address
    control.close()
    restarts = 'farm_child_restarts_total{child="metrics",role="metrics",reason="signal"}'
    told.own_restarts = wait_until(lambda: value(told.address, restarts))
    told.spawned = [line["child"] for line in told.farm.events("child_spawned")]


def _drain(told, wait_until):
    """A subscriber that acknowledges nothing keeps the service until its time is up."""
    with Client(told.farm.address, retry=NO_RETRY) as client, client.subscribe() as stream:
        next(iter(stream))
        told.farm.send(signal.SIGTERM)
        told.draining = wait_until(lambda: ready(told.address), what="the drain")
        told.alive_while_draining, _ = get(told.address, "/healthz")
        told.returncode = told.farm.wait()


def test_a_worker_that_hangs_makes_the_farm_unready_before_it_is_replaced(story):
    assert any(problem.startswith("rollout-0 last beat ") for problem in story.unready)
    assert not story.replaced_before


def test_the_restart_is_counted_by_its_reason(story):
    assert story.restarts == {"silent": 1, "signal": 0}


def test_an_endpoint_that_is_killed_comes_back_and_nobody_else_goes(story):
    assert story.own_restarts == 1
    assert story.spawned.count("metrics") == 2
    assert story.spawned.count("experiences") == 1


def test_the_endpoint_answers_while_the_farm_drains(story):
    assert story.draining == ["the farm is draining"]
    assert story.alive_while_draining == 200


def test_the_endpoint_stops_last_and_the_farm_ends_well(story):
    exited = [line["child"] for line in story.farm.events("child_exited")]
    assert exited[-1] == "metrics"
    assert story.returncode == 0


def test_a_farm_without_an_address_has_no_such_child(farm_up):
    farm = farm_up(*SMALL, "telemetry.metrics_address=null")
    assert not farm.events("child_spawned", child="metrics")
    assert farm.events("farm_ready")[0]["metrics_address"] is None
    assert farm.stop() == 0


def test_two_farms_on_one_port_are_refused_and_the_first_lives_on(farm_up, instance):
    farm = farm_up(*SMALL)
    address = farm.events("farm_ready")[0]["metrics_address"]
    own = [
        f"instance={instance}-b",
        "serve.address=127.0.0.1:0",
        f"telemetry.metrics_address={address}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", "up", *own],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 69
    assert f"{address} is taken" in done.stderr
    assert "telemetry.metrics_address" in done.stderr
    assert ready(address) == []
    assert farm.stop() == 0
