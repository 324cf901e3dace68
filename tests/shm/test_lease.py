import os
import signal

import pytest

from farm.errors import InstanceRunningError
from farm.shm import lease as module
from farm.shm.control import ControlBlock
from farm.shm.lease import acquire_instance, reclaim
from farm.shm.ring_layout import create_ring
from farm.shm.segment import list_segments, segment_name, shm_path

FARM = """
import signal, sys
from farm.shm import lease as module
from farm.shm.control import ControlBlock
from farm.shm.ring_layout import create_ring
instance = sys.argv[1]
block = ControlBlock.create(instance, 2)
block.store_config(1, b"{}")
rings = [create_ring(instance, worker, 4096) for worker in range(2)]
print('{"event": "up"}', flush=True)
signal.pause()
"""


@pytest.fixture
def farm(start_process, instance):
    """A process that holds the instance with a control block and two rings."""
    process = start_process(["-c", FARM, instance])
    process.wait_for("up")
    return process


def test_a_live_farm_is_refused_with_its_pid(farm, instance):
    before = list_segments(instance)
    for attempt in (acquire_instance, reclaim, lambda name: ControlBlock.create(name, 1)):
        with pytest.raises(InstanceRunningError, match=f"process {farm.pid};"):
            attempt(instance)
    assert list_segments(instance) == before


def test_a_stopped_farm_is_still_a_live_one(farm, instance):
    farm.send(signal.SIGSTOP)
    with pytest.raises(InstanceRunningError, match=f"process {farm.pid};"):
        acquire_instance(instance)


def test_what_a_killed_farm_left_is_reclaimed(farm, instance):
    left = list_segments(instance)
    assert len(left) == 3
    farm.stop(signal.SIGKILL)
    assert list_segments(instance) == left
    block = ControlBlock.create(instance, 1)
    assert sorted(block.lease.reclaimed) == left
    assert list_segments(instance) == [segment_name(instance, "control")]
    assert block.load_config() == (0, b"")
    block.close()


def test_a_tool_that_has_a_dead_farm_mapped_can_go_on_reading(farm, instance):
    with ControlBlock.attach(instance, readonly=True).segment as seen:
        farm.stop(signal.SIGKILL)
        ControlBlock.create(instance, 1).close()
        assert seen.owner_pid == farm.pid


def test_reclaim_leaves_nothing_of_a_dead_farm_and_the_control_block_goes_last(farm, instance):
    farm.stop(signal.SIGKILL)
    names = reclaim(instance)
    assert names[-1] == segment_name(instance, "control")
    assert len(names) == 3
    assert list_segments(instance) == []


def test_reclaim_of_nothing_is_nothing(instance):
    assert reclaim(instance) == []
    assert list_segments(instance) == []


def test_rings_whose_control_block_is_gone_are_reclaimed_too(instance):
    create_ring(instance, 0, 4096).close()
    lease = acquire_instance(instance)
    assert lease.reclaimed == (segment_name(instance, "ring0"),)
    lease.close()


def test_a_farm_that_died_while_making_its_control_block_is_reclaimed(instance):
    path = shm_path(segment_name(instance, "control"))
    path.write_bytes(bytes(4096))
    lease = acquire_instance(instance)
    assert lease.reclaimed == (segment_name(instance, "control"),)
    lease.close()


def test_the_lease_can_be_taken_again_once_given_back(instance):
    first = acquire_instance(instance)
    with pytest.raises(InstanceRunningError, match=f"process {os.getpid()};"):
        acquire_instance(instance)
    first.close()
    first.close()
    acquire_instance(instance).close()


def test_a_child_process_does_not_inherit_the_lease(instance, start_process):
    lease = acquire_instance(instance)
    child = start_process(
        ["-c", 'import signal; print(\'{"event":"up"}\', flush=True); signal.pause()']
    )
    child.wait_for("up")
    os.close(lease.fd)
    acquire_instance(instance).close()


def test_a_name_that_moved_to_another_file_is_opened_again(instance, monkeypatch):
    """Between open and lock the farm before unlinks it: the lock is on a file without a name."""
    opened = []

    def open_then_unlink(name):
        fd = open_segment(name)
        if not opened:
            shm_path(name).unlink()
        opened.append(fd)
        return fd

    open_segment = module.open_segment
    monkeypatch.setattr(module, "open_segment", open_then_unlink)
    lease = acquire_instance(instance)
    assert len(opened) == 2
    assert os.path.samestat(os.fstat(lease.fd), shm_path(segment_name(instance, "control")).stat())
    lease.close()
