"""One farm with real workers and a real client, through deaths of its children to its own end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from farm.client import Client, Retry
from farm.errors import ClientError, FarmError
from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.ring_layout import RingView, attach_ring
from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(600)

N_WORKERS = 2


class Reader:
    """A subscriber in a thread: verifies and counts what arrives, until its farm is gone."""

    def __init__(self, address):
        self.generations = set()
        self.end = None
        # Long enough to replace a service, short enough to notice soon that the farm is gone.
        self._client = Client(address, retry=Retry(ceiling_s=0.2, deadline_s=6.0))
        self._stream = self._client.subscribe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for trajectory in self._stream:
                trajectory.verify()
                self.generations.add((trajectory.worker, trajectory.generation))
        except FarmError as error:
            self.end = error

    @property
    def received(self):
        return self._stream.received

    def has(self, n=0, generation=None):
        """Whether it has got so many trajectories, and some of a (worker, generation)."""
        assert self.end is None, self.end
        return self.received.trajectories > n and (not generation or generation in self.generations)

    def close(self):
        self._thread.join(90)
        assert not self._thread.is_alive()
        self._client.close()


class Story:
    """What was seen of the farm."""


def kill_and_wait(farm, name):
    """Kill a child; seconds until its replacement is ready."""
    pid = farm.events("child_spawned", child=name)[-1]["child_pid"]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    farm.wait_for("child_ready", child=name, generation=2)
    return time.monotonic() - began


def top(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", "top", *arguments, "--once", "--json"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def story(shared_farm_up, shared_instance, wait_until, contention):
    told = Story()
    told.slowdown = contention()
    told.instance = shared_instance
    told.farm = farm = shared_farm_up(
        f"worker.count={N_WORKERS}", "worker.games=16", f"ring.bytes={1 << 20}", "seed=11"
    )
    with socket.create_connection(farm.address.split(":"), 5):
        told.connected = True
    # The mappings of unlinked segments stay readable.
    control = ControlBlock.attach(shared_instance, readonly=True)
    rings = [
        RingView(attach_ring(shared_instance, worker, readonly=True)) for worker in range(N_WORKERS)
    ]
    reader = Reader(farm.address)
    for worker in range(N_WORKERS):
        wait_until(lambda worker=worker: reader.has(generation=(worker, 1)))
    told.worker_replaced_in_s = []
    for worker in range(N_WORKERS):
        told.worker_replaced_in_s.append(kill_and_wait(farm, f"rollout-{worker}"))
        wait_until(lambda worker=worker: reader.has(generation=(worker, 2)))
    before = reader.received.trajectories
    told.service_replaced_in_s = kill_and_wait(farm, "experiences")
    wait_until(lambda: reader.has(before + 100))
    told.top_local = top("--instance", shared_instance)
    told.top_remote = top(farm.address)
    told.state = control.state
    told.returncode = farm.stop()
    told.published_records = sum(ring.records for ring in rings)
    told.states = {slot.name: slot.state for slot in control.children}
    told.end_state = control.state
    control.close()
    for ring in rings:
        ring.segment.close()
    reader.close()
    told.reader = reader
    return told


def test_the_ready_line_says_where_and_how_fast(story):
    (line,) = story.farm.events("farm_ready")
    assert line["address"] == story.farm.address
    assert line["startup_s"] > 0
    assert line["workers"] == N_WORKERS
    assert story.connected


def test_the_start_says_the_seed_and_the_bound_of_memory(story):
    (line,) = story.farm.events("farm_starting")
    assert line["seed"] == 11
    assert line["shared_memory_bytes"] >= N_WORKERS << 20


def test_a_killed_worker_is_replaced_within_three_seconds(story):
    """Every one of them; measured against how busy the machine was before the farm started."""
    assert max(story.worker_replaced_in_s) / story.slowdown < 3.0


def test_a_killed_service_is_replaced_within_three_seconds(story):
    assert story.service_replaced_in_s / story.slowdown < 3.0


def test_the_stream_goes_on_with_the_next_generation(story):
    assert story.reader.generations == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert story.reader.received.connections == 2


def test_nothing_is_lost_or_corrupt_over_both_deaths(story):
    """The reader ends as its farm does, by the farm being gone, and not by a bad checksum."""
    assert isinstance(story.reader.end, ClientError)
    assert story.reader.received.missing == 0
    assert story.reader.received.trajectories == story.published_records


@pytest.mark.parametrize("source", ["top_local", "top_remote"])
def test_top_shows_every_child_with_rates(story, source):
    farm = getattr(story, source)
    children = {child["name"]: child for child in farm["children"]}
    assert {"experiences", "rollout-0", "rollout-1"} <= children.keys()
    assert children["rollout-0"]["generation"] == 2
    assert children["rollout-0"]["restarts"] == 1
    assert children["rollout-1"]["steps_per_s"] > 0
    assert 0 <= children["rollout-1"]["ring_fill"] <= 1
    assert farm["seed"] == 11
    assert farm["running"]


def test_the_farm_ends_with_0_and_in_order(story):
    assert story.returncode == 0
    assert story.state is FarmState.RUNNING
    assert story.end_state is FarmState.STOPPED
    ends = [line["child"] for line in story.farm.events("child_exited", phase="draining")]
    assert set(ends[:N_WORKERS]) == {"rollout-0", "rollout-1"}
    assert ends[N_WORKERS:] == ["experiences", "metrics"]
    assert ChildState.FAILED not in story.states.values()


def test_a_drain_delivers_what_is_left(story):
    (line,) = story.farm.events("experiences_stopped")
    assert (line["ring_records"], line["leased_records"]) == (0, 0)


def test_no_segment_is_left(story):
    assert list_segments(story.instance) == []
