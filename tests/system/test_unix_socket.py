"""A whole farm on unix sockets: every command that is a client of it, faults, and what is left."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farm.client import Client, Retry
from farm.shm.segment import list_segments

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)  # a first start compiles every kernel

PATIENT = Retry(deadline_s=60.0)


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def local_farm(farm_up, folder):
    """Starts farms whose service and metrics are sockets in one folder."""

    def start(*overrides, **more):
        address = f"unix:{folder}/farm.sock"
        own = (f"serve.address={address}", f"telemetry.metrics_address=unix:{folder}/metrics.sock")
        farm = farm_up(*own, *overrides, **more)
        farm.address = address
        return farm

    return start


def farm_command(*words):
    command = [sys.executable, "-m", "farm.cli.main", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def take(address, n=10):
    with Client(address, retry=PATIENT) as client:
        stream = client.subscribe()
        return [next(stream) for _ in range(n)]


def test_clients_commands_and_metrics_find_a_farm_by_its_sockets(local_farm, folder):
    farm = local_farm()
    address = farm.address
    assert farm.events("farm_ready")[0]["address"] == address
    for name in ("farm.sock", "metrics.sock"):
        assert stat.S_IMODE((folder / name).lstat().st_mode) == 0o600
    assert len(take(address)) == 10
    with Client(address) as client:
        assert client.info().endpoints == {
            "farm.rpc.v1.ExperienceService": address,
            "metrics": f"unix:{folder}/metrics.sock",
        }
    assert farm_command("tail", address, "--seconds", "1", "--json")[-1]["trajectories"] > 0
    assert farm_command("top", address, "--once", "--json")[0]["state"] == "running"
    assert farm_command("audit", address, "--json")[0]["farm"] == address
    with socket.socket(socket.AF_UNIX) as scraper:
        scraper.connect(f"{folder}/metrics.sock")
        scraper.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        page = scraper.makefile("rb").read()
    assert page.startswith(b"HTTP/1.1 200")
    assert f'address="{address}"'.encode() in page
    assert farm.stop() == 0
    assert list(folder.iterdir()) == []


def test_a_service_that_is_killed_is_back_at_its_socket_and_a_stop_leaves_none(local_farm, folder):
    farm = local_farm()
    pid = farm.wait_for("child_spawned", child="experiences")["child_pid"]
    os.kill(pid, signal.SIGKILL)
    farm.wait_for("child_spawned", child="experiences", nth=2)
    assert len(take(farm.address)) == 10
    assert farm.stop() == 0
    assert list(folder.iterdir()) == []


def test_a_farm_that_was_killed_leaves_sockets_that_the_next_takes_over(local_farm, folder):
    local_farm().stop(signal.SIGKILL)
    assert {one.name for one in folder.iterdir()} == {"farm.sock", "metrics.sock"}
    assert len(take(local_farm().address)) == 10


def test_a_second_farm_is_refused_the_socket_of_a_live_one(local_farm, start_process, instance):
    farm = local_farm()
    other = f"{instance}-2"
    words = [f"instance={other}", f"serve.address={farm.address}", "telemetry.metrics_address=null"]
    second = start_process(["-m", "farm.cli.main", "up", *words])
    assert second.wait() == 69
    assert f"{farm.address} is taken by another process" in second.output
    assert list_segments(other) == []
    assert len(take(farm.address)) == 10


def test_a_folder_that_is_not_there_is_refused_with_the_next_step(start_process, instance):
    words = [f"instance={instance}", "serve.address=unix:/nowhere/farm.sock"]
    farm = start_process(["-m", "farm.cli.main", "up", *words, "telemetry.metrics_address=null"])
    assert farm.wait() == 78
    assert "serve.address: unix:/nowhere/farm.sock: the folder /nowhere is not there" in farm.output
