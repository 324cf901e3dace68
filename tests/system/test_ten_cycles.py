"""Ten farms one after another under one name, ended at every stage and by every means."""

import itertools
import signal
import time
from pathlib import Path

import pytest

from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(600)

SMALL = ("worker.games=4", f"ring.bytes={1 << 20}")
STAGES = (
    ("farm_ready", signal.SIGTERM),
    ("farm_starting", signal.SIGTERM),
    ("child_spawned", signal.SIGTERM),
    ("child_spawned", signal.SIGKILL),
    ("child_ready", signal.SIGINT),
    ("child_ready", signal.SIGKILL),
    ("farm_ready", signal.SIGINT),
    ("farm_ready", signal.SIGKILL),
    ("farm_ready", signal.SIGTERM),
    ("farm_ready", signal.SIGTERM),
)
"""The event that is waited for, and the signal that follows it."""


class Cycle:
    """One farm, and what was left right after it."""

    def __init__(self, farm, number, slowdown):
        self.farm = farm
        self.slowdown = slowdown
        self.number = number
        self.pids = [line["child_pid"] for line in farm.events("child_spawned")]
        self.n_threads = len(list(Path(f"/proc/{farm.pid}/task").iterdir()))
        self.ready = farm.events("farm_ready")
        self.maps = Path(f"/proc/{farm.pid}/maps").read_text()

    def end(self, is_alive, wait_until, instance):
        began = time.monotonic()
        self.farm.send(self.number)
        if self.number == signal.SIGKILL:
            wait_until(lambda: not any(map(is_alive, self.pids)), what="the end of every child")
        self.returncode = self.farm.wait()
        self.took_s = time.monotonic() - began
        self.left = list_segments(instance)


@pytest.fixture(scope="module")
def cycles(shared_farm_up, shared_instance, is_alive, wait_until, contention):
    done = []
    for event, number in STAGES:
        slowdown = contention() if event == "farm_ready" else None
        farm = shared_farm_up(*SMALL, ready=event == "farm_ready")
        farm.wait_for(event)
        cycle = Cycle(farm, number, slowdown)
        cycle.end(is_alive, wait_until, shared_instance)
        done.append(cycle)
    return done


def test_ten_starts_and_stops_leave_shared_memory_as_it_was(cycles, shared_instance):
    assert len(cycles) == 10
    assert not [path for path in Path("/dev/shm").iterdir() if shared_instance in path.name]


def test_every_stop_that_was_asked_for_is_clean_and_exits_0(cycles):
    for cycle in cycles:
        if cycle.number != signal.SIGKILL:
            assert (cycle.returncode, cycle.left) == (0, []), cycle.farm.output
            assert not cycle.farm.events("child_restarting")


def test_no_child_outlives_a_killed_supervisor_by_a_second(cycles):
    killed = [cycle for cycle in cycles if cycle.number == signal.SIGKILL]
    assert max(cycle.took_s for cycle in killed) < 1.0
    assert all(cycle.pids for cycle in killed)


def test_the_next_start_goes_on_with_what_a_killed_farm_left(cycles):
    for cycle, after in itertools.pairwise(cycles):
        adopted = after.farm.events("rings_adopted")
        assert bool(adopted) == bool(cycle.left) == (cycle.number == signal.SIGKILL)
        assert not after.farm.events("segments_reclaimed")


def test_a_warm_start_serves_within_three_seconds(cycles):
    """The best of those after the first."""
    ready = [cycle for cycle in cycles[1:] if cycle.ready]
    assert min(cycle.ready[0]["startup_s"] / cycle.slowdown for cycle in ready) < 3.0


def test_the_supervisor_is_one_thread_without_numba_and_grpc(cycles):
    for cycle in cycles:
        assert cycle.n_threads == 1
        assert "numpy" in cycle.maps  # libraries do show up here
        for library in ("llvmlite", "grpc", "numba"):
            assert library not in cycle.maps
