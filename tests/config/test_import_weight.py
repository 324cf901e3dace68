"""What the supervisor's process loads: neither Numba nor gRPC."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import farm

ROOT = Path(farm.__file__).resolve().parents[1]
HEAVY = {"numba", "llvmlite", "grpc", "google.protobuf", "rich.progress", "pytest"}


@pytest.mark.parametrize(
    "modules",
    [
        "farm.config.load, farm.config.check, farm.telemetry.log",
        "farm.cli.main, farm.cli.config, farm.cli.bench",
    ],
)
def test_neither_numba_nor_grpc_is_loaded(modules):
    script = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert HEAVY.isdisjoint(loaded)


def test_the_metrics_child_loads_what_it_reads_with_and_no_more():
    script = "import sys, farm.supervisor.child, farm.metrics.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert (HEAVY | {"hydra", "omegaconf", "yaml", "rich", "psutil"}).isdisjoint(loaded)


def test_the_schema_alone_needs_neither_hydra_nor_numpy():
    script = "import sys, farm.config.schema; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert {"hydra", "omegaconf", "numpy", "numba"}.isdisjoint(loaded)
