"""Signals that come before the farm serves."""

import signal
from pathlib import Path

import pytest

from farm.shm.segment import list_segments


def catches(pid, number):
    """Whether the process has a handler for the signal, from proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_farm_is_still_being_imported_is_a_clean_stop(
    farm_up, instance, wait_until, number
):
    farm = farm_up(ready=False)
    # Python itself handles SIGINT from the start, so SIGTERM tells when we do.
    wait_until(lambda: catches(farm.pid, signal.SIGTERM))
    assert farm.stop(number) == 0
    assert not farm.events("child_spawned")
    assert farm.events("farm_stopping", reason=number.name)
    assert list_segments(instance) == []


def test_a_signal_while_children_start_is_a_clean_stop(farm_up, instance):
    farm = farm_up(ready=False)
    farm.wait_for("child_spawned")
    assert farm.stop() == 0
    assert not farm.events("farm_ready")
    assert not farm.events("child_restarting")
    assert list_segments(instance) == []
