"""The public surface of the client, and what it costs to import."""

import json
import subprocess
import sys
from pathlib import Path

import farm.client

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "llvmlite", "hydra", "omegaconf", "structlog", "msgspec", "psutil", "rich")
OF_THE_FARM = ("farm.jit", "farm.shm", "farm.config", "farm.engine", "farm.telemetry")


def test_the_public_names_are_these():
    assert farm.client.__all__ == [
        "MEMORY_PLANES",
        "NO_RETRY",
        "PLANES",
        "Amount",
        "AsyncClient",
        "AsyncSubscription",
        "Balance",
        "Batch",
        "ChildInfo",
        "Client",
        "ExperienceStats",
        "FarmInfo",
        "Gap",
        "GroupBalance",
        "GroupStats",
        "Received",
        "Rejection",
        "Retry",
        "RingBalance",
        "RingStats",
        "Shape",
        "Stall",
        "Stats",
        "Submitted",
        "SubscribeOptions",
        "Subscription",
        "Tls",
        "Trajectory",
        "Wanted",
        "group_by_shape",
        "make_trajectory",
        "planes",
        "stack",
    ]


def test_every_public_name_is_there_and_documented():
    for name in farm.client.__all__:
        value = getattr(farm.client, name)
        assert value.__doc__ or isinstance(value, tuple), name


def test_a_fresh_process_that_imports_the_client_loads_nothing_that_simulates():
    script = "import json, sys, farm.client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & {*HEAVY, *OF_THE_FARM}
    assert {"grpc", "numpy", "lz4.block", "google.protobuf"} <= loaded
