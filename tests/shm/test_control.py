import os

import pytest

from farm.errors import SegmentAbsentError, SegmentError, SharedMemoryFullError
from farm.shm import segment as segment_module
from farm.shm.atomics import add_to_cell
from farm.shm.control import (
    CONTROL_BYTES,
    MAX_CHILDREN,
    MAX_CONFIG_BYTES,
    NEXT_GAME_OFFSET,
    ChildState,
    ControlBlock,
    FarmState,
)
from farm.shm.control_labels import COUNTERS, HISTOGRAMS, RELOAD_US, RESTART_REASONS
from farm.shm.groups import MAX_HOSTS
from farm.shm.lease import acquire_instance
from farm.shm.ring_layout import create_ring
from farm.shm.segment import list_segments


@pytest.fixture
def block(instance):
    made = ControlBlock.create(instance, 3, seed=2**63 - 1)
    yield made
    made.unlink()
    made.close()


@pytest.fixture
def seen(block):
    made = ControlBlock.attach(block.instance, readonly=True)
    yield made
    made.close()


def test_a_new_block_says_who_runs_the_farm(seen):
    assert seen.pid == os.getpid()
    assert seen.seed == 2**63 - 1
    assert seen.state is FarmState.STARTING
    assert seen.next_game == 0
    assert seen.address == ""
    assert seen.started_ns > 0
    assert [child.state for child in seen.children] == [ChildState.EMPTY] * 3


def test_every_field_of_a_slot_reaches_a_reader_and_no_other_slot(block, seen):
    child = block.children[1]
    child.assign("rollout-1", "rollout", 1)
    child.pid, child.generation, child.restarts, child.started_ns = 11, 12, 13, 14
    child.exit_reason = "signal 9 (SIGKILL)"
    child.state = ChildState.READY
    child.beat(15)
    child.config_epoch = 16
    child.add("records", 20)
    child.add("records", 1)
    child.set("streams", 22)

    other = seen.children[1]
    assert (other.name, other.role, other.index) == ("rollout-1", "rollout", 1)
    assert (other.pid, other.generation, other.restarts, other.started_ns) == (11, 12, 13, 14)
    assert (other.heartbeat_ns, other.config_epoch) == (15, 16)
    assert other.exit_reason == "signal 9 (SIGKILL)"
    assert other.state is ChildState.READY
    assert other.counter("records") == 21
    expected = dict.fromkeys(COUNTERS, 0) | {"records": 21, "streams": 22}
    assert other.counters_dict() == expected
    for neighbour in (seen.children[0], seen.children[2]):
        assert neighbour.segment.read(neighbour.base, 1152) == bytes(1152)


def test_restarts_are_counted_by_reason(block, seen):
    for reason in (*RESTART_REASONS, "silent"):
        block.children[1].count_restart(reason)
    expected = dict.fromkeys(RESTART_REASONS, 1) | {"silent": 2}
    assert seen.children[1].restarts_by_reason() == expected
    assert set(seen.children[2].restarts_by_reason().values()) == {0}


def test_a_value_is_counted_in_the_bucket_whose_bound_it_does_not_pass(block, seen):
    child = block.children[1]
    for value in (0, 1024, 1025, 1 << 24, (1 << 24) + 1):
        child.observe("served_batch_bytes", value)
    counts, total = seen.children[1].histogram("served_batch_bytes")
    assert counts == (2, 1, 0, 0, 0, 0, 0, 1, 1)
    assert total == 1024 + 1025 + 2 * (1 << 24) + 1


def test_every_games_host_says_where_it_listens_beside_all_other_addresses(block, seen):
    assert seen.game_addresses == ("",) * MAX_HOSTS
    block.address, block.metrics_address = "a:1", "b:2"
    for host in range(MAX_HOSTS):
        block.set_game_address(host, f"{'h' * 240}:{host}")
    assert (seen.address, seen.metrics_address) == ("a:1", "b:2")
    assert seen.game_addresses == tuple(f"{'h' * 240}:{host}" for host in range(MAX_HOSTS))
    assert (seen.reload_histogram().total, seen.load_config()) == (0, (0, b""))


def test_durations_of_reloads_are_a_histogram_and_the_last_one(block, seen):
    for took_us in (900, 1_000, 1_001, 10_000_000, 10_000_001):
        block.observe_reload(took_us)
    counts, total = seen.reload_histogram()
    assert counts == (2, 1, *(0,) * 10, 1, 1)
    assert total == 900 + 1_000 + 1_001 + 10_000_000 + 10_000_001
    assert seen.reload_took_us == 10_000_001
    assert seen.game_addresses == ("",) * MAX_HOSTS
    assert seen.load_config() == (0, b"")


def test_the_two_histograms_of_a_slot_do_not_touch(block, seen):
    child = block.children[1]
    for value in (100, 101, 10_000_000, 10_000_001):
        child.observe("action_latency_us", value)
    counts, total = seen.children[1].histogram("action_latency_us")
    assert counts == (1, 1, *(0,) * 11, 1, 1)
    assert total == 100 + 101 + 10_000_000 + 10_000_001
    assert seen.children[1].histogram("served_batch_bytes").total == 0
    assert seen.children[2].histogram("served_batch_bytes").total == 0


def test_labels_of_a_slot_fit_their_room():
    assert len(COUNTERS) <= 32
    assert len(RESTART_REASONS) <= 16
    assert len(HISTOGRAMS) <= 4
    for bounds in (*HISTOGRAMS.values(), RELOAD_US):
        assert len(bounds) <= 14
        assert sorted(set(bounds)) == list(bounds)


def test_assigning_a_slot_anew_clears_it(block):
    child = block.children[0]
    child.assign("rollout-0", "rollout", 0)
    child.add("env_steps", 5)
    child.observe("served_batch_bytes", 5)
    child.restarts = 3
    child.assign("experiences", "experiences", 0)
    assert child.name == "experiences"
    assert child.restarts == 0
    assert child.counters_dict() == dict.fromkeys(COUNTERS, 0)
    assert child.histogram("served_batch_bytes").total == 0


def test_a_long_text_is_cut_between_characters(block):
    child = block.children[0]
    child.exit_reason = "é" * 40
    assert child.exit_reason == "é" * 32
    child.name = "x" * 31 + "é"
    assert child.name == "x" * 31


def test_a_text_that_is_being_written_reads_as_empty(block, seen):
    block.address = "127.0.0.1:50051"
    assert seen.address == "127.0.0.1:50051"
    block.segment.write(4352 + 8, b"9")
    assert seen.address == ""


def test_a_text_cell_full_of_garbage_reads_as_empty(block, seen):
    block.segment.write(4352, b"\xff" * 256)
    assert seen.address == ""


def test_there_is_no_config_before_the_first(seen):
    assert seen.load_config() == (0, b"")


@pytest.mark.parametrize("n_bytes", [0, 1, MAX_CONFIG_BYTES])
def test_the_newest_config_is_read(block, seen, n_bytes):
    for epoch in range(1, 6):
        block.store_config(epoch, bytes([epoch]) * n_bytes)
        assert seen.load_config() == (epoch, bytes([epoch]) * n_bytes)


def test_a_config_that_is_too_long_changes_nothing(block, seen):
    block.store_config(1, b"{}")
    with pytest.raises(SegmentError, match=str(MAX_CONFIG_BYTES)):
        block.store_config(2, bytes(MAX_CONFIG_BYTES + 1))
    assert seen.load_config() == (1, b"{}")


def test_a_config_whose_writer_died_halfway_leaves_the_one_before(block, seen):
    block.store_config(1, b"one")
    block.store_config(2, b"two")
    # Stamp 3 would go where stamp 1 was: its head is cleared, its bytes half written.
    place = 8192 + 128 + MAX_CONFIG_BYTES
    block.segment.store(place, 0)
    block.segment.write(place + 128, b"thr")
    assert seen.load_config() == (2, b"two")


def test_games_are_numbered_by_one_atomic_cell(block, seen):
    assert add_to_cell(block.mem, NEXT_GAME_OFFSET, 128) == 0
    assert add_to_cell(block.mem, NEXT_GAME_OFFSET, 128) == 128
    assert seen.next_game == 256


def test_a_counter_can_be_written_by_its_offset(block):
    child = block.children[2]
    add_to_cell(block.mem, child.counter_offset("env_steps"), 7)
    assert child.counter("env_steps") == 7


def test_the_number_of_children_can_grow(block, seen):
    block.n_children = MAX_CHILDREN
    assert len(seen.children) == MAX_CHILDREN
    seen_last = seen.children[-1]
    block.request, block.answer = "ask", "say"
    assert seen_last.segment.read(seen_last.base, 1152) == bytes(1152)
    assert (seen.request, seen.answer) == ("ask", "say")
    assert seen_last.base + 1152 + 2 * 8192 == CONTROL_BYTES


def test_more_children_than_slots_are_refused(instance):
    with pytest.raises(SegmentError, match="81 children"):
        ControlBlock.create(instance, MAX_CHILDREN + 1)
    assert list_segments(instance) == []


def test_unlinking_removes_every_segment_of_the_instance(instance):
    block = ControlBlock.create(instance, 1)
    create_ring(instance, 0, 4096).close()
    create_ring(instance, 1, 4096).close()
    names = list_segments(instance)
    assert sorted(block.unlink()) == names
    assert list_segments(instance) == []
    block.close()


def test_only_the_supervisor_may_unlink(seen):
    with pytest.raises(SegmentError, match="supervisor"):
        seen.unlink()


def test_a_block_made_on_a_held_lease_gives_it_back_when_closed(instance):
    lease = acquire_instance(instance)
    block = ControlBlock.create(instance, 1, lease=lease)
    block.unlink()
    block.close()
    acquire_instance(instance).close()


def test_a_block_that_does_not_fit_leaves_nothing_and_gives_the_lease_back(instance, monkeypatch):
    monkeypatch.setattr(segment_module, "free_bytes", lambda: 0)
    with pytest.raises(SharedMemoryFullError):
        ControlBlock.create(instance, 1)
    with pytest.raises(SegmentAbsentError):
        ControlBlock.attach(instance)
    acquire_instance(instance).close()
