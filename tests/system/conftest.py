"""Whole farms, started as a user starts them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
UP = ("-m", "farm.cli.main", "up")
FIRST_START_S = 540.0
"""Compiling every kernel on a slow, busy machine; a warm start takes seconds."""


def contention():
    """How much slower than alone a program runs right now: wall time by processor time, from 1.

    Time limits are promises about a machine that does nothing else, and tests run where they run.
    """
    before, began = os.times(), time.monotonic()
    subprocess.run([sys.executable, "-c", "import numba"], check=True, timeout=60)
    wall_s, after = time.monotonic() - began, os.times()
    used_s = after.children_user + after.children_system
    used_s -= before.children_user + before.children_system
    return max(1.0, wall_s / used_s)


@pytest.fixture(name="contention", scope="session")
def contention_fixture():
    return contention


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def _farm_up(start, instance):
    def start_farm(*overrides, options=(), ready=True, program=UP, **more):
        """A farm on a free port; `.address` once it serves, `.lines` are its log lines."""
        address = free_address()
        own = [
            f"instance={instance}",
            f"serve.address={address}",
            "telemetry.metrics_address=127.0.0.1:0",
            "telemetry.format=json",
        ]
        farm = start([*program, *options, *own, *overrides], **more)
        farm.address = address
        if ready:
            farm.wait_for("farm_ready", timeout_s=FIRST_START_S)
        return farm

    return start_farm


@pytest.fixture(scope="session")
def stand_ins():
    """What `farm_up` takes for a farm whose games hosts are stand-ins, two of them."""
    return {
        "program": [TESTS / "stand_ins.py", "games.hosts=2", "games.address=127.0.0.1:0"],
        "env": {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
    }


@pytest.fixture
def farm_up(start_process, instance):
    """Starts real farms for one test."""
    return _farm_up(start_process, instance)


@pytest.fixture(scope="module")
def shared_farm_up(start_shared, shared_instance):
    """Starts real farms for all tests of a file."""
    return _farm_up(start_shared, shared_instance)
