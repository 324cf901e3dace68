"""What a real farm tells: spans from the child that serves and nobody else, and bounded bursts."""

import json
import os
import re
from pathlib import Path

import pytest

import farm
from farm.client import NO_RETRY, Client
from farm.errors import RejectedError

pytestmark = pytest.mark.timeout(600)

ROOT = Path(farm.__file__).resolve().parents[1]
SMALL = ("worker.games=16", f"ring.bytes={1 << 20}", "seed=5", "serve.drain_s=0.2")
N_REFUSED = 7
BURST = 3


@pytest.fixture
def farm_of_one(start_process, instance):
    """Starts a farm whose first process says what it imports."""

    def start(**env):
        own = [f"instance={instance}", "serve.address=127.0.0.1:0", "telemetry.format=json"]
        more = ["telemetry.metrics_address=127.0.0.1:0", f"telemetry.burst={BURST}"]
        command = ["-X", "importtime", "-m", "farm.cli.main", "up", *own, *more, *SMALL]
        started = start_process(command, env=env)
        started.address = started.wait_for("farm_ready", timeout_s=540)["address"]
        return started

    return start


def imported(started):
    """Modules that the farm's first process has loaded."""
    return re.findall(r"^import time:.*\| +([\w.]+)$", started.output, re.MULTILINE)


def be_a_client(address):
    with Client(address, retry=NO_RETRY) as client:
        with client.subscribe() as subscription:
            next(subscription)
        for _ in range(N_REFUSED):
            with pytest.raises(RejectedError):
                client.stats(game_ids=[1 << 62])


def test_the_service_tells_its_spans_and_bursts_are_counted(farm_of_one, tmp_path):
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
    import kept_spans  # noqa: PLC0415 - needs it too

    kept_spans.install(tmp_path)
    file = tmp_path / "spans.jsonl"
    started = farm_of_one(
        PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(tmp_path)]),
        OTEL_TRACES_EXPORTER=f"{kept_spans.NAME}_file",
        KEPT_SPANS_FILE=str(file),
    )
    be_a_client(started.address)
    assert started.stop() == 0
    (told,) = started.events("traces_on")
    assert told["role"] == "experiences"
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    names = [span["name"].rpartition("/")[2] for span in spans]
    assert names.count("Subscribe") == 1
    assert names.count("GetExperienceStats") == N_REFUSED
    assert {span["resource"]["attributes"]["farm.role"] for span in spans} == {"experiences"}
    assert "farm.app" in imported(started)
    assert not [name for name in imported(started) if name.startswith("opentelemetry")]
    _check_bursts(started)


def test_a_farm_whose_environment_asks_for_no_traces_bounds_its_bursts_too(farm_of_one):
    started = farm_of_one()
    be_a_client(started.address)
    assert started.stop() == 0
    assert started.events("traces_on") == started.events("traces_off") == []
    _check_bursts(started)


def _check_bursts(started):
    assert len(started.events("rpc_refused")) == BURST
    told = started.events("log_lines_left_out", role="experiences")
    assert sum(line["events"].get("rpc_refused", 0) for line in told) == N_REFUSED - BURST
