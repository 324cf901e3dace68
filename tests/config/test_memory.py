"""The bounds of `farm.config.memory` hold against what shared memory and workers really use."""

import pytest

from farm.config.convert import to_config
from farm.config.memory import (
    chunk_bound_bytes,
    host_record_bound_bytes,
    host_ring_bound_bytes,
    record_bound_bytes,
    ring_bound_bytes,
    shared_memory_bytes,
)
from farm.config.schema import FarmConfig
from farm.shm.control import CONTROL_BYTES
from farm.shm.groups import GROUPS_BYTES
from farm.shm.ring_layout import max_payload_bytes, record_bytes, ring_segment_bytes
from farm.spec.trajectory import RECORD_HEADER, compressed_bound, payload_bytes

SHAPES = [
    (board, n_seats, steps, memory)
    for board, n_seats, steps in (("4x4", 2, 1), ("20x20", 2, 32), ("64x64", 16, 256))
    for memory in (False, True)
]


def shaped(board: str, n_seats: int, steps: int, memory: object) -> FarmConfig:
    worker = {"steps": steps, "memory": memory}
    return to_config({"match": {"board": board, "seats": ["random"] * n_seats}, "worker": worker})


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_record_stays_within_its_bound(shape):
    wire = pytest.importorskip("farm.worker.wire")
    config = shaped(*shape)
    _, n_seats, steps, memory = shape
    n_bytes = payload_bytes(config.match.n_cells, n_seats, steps, memory=memory)
    payload = compressed_bound(n_bytes)
    whole = record_bytes(RECORD_HEADER.itemsize + wire.MAX_HEAD_BYTES + payload)
    assert whole <= record_bound_bytes(config)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_ring_that_passes_takes_its_largest_record_whatever_the_position(shape):
    config = shaped(*shape)
    assert record_bound_bytes(config) <= max_payload_bytes(ring_bound_bytes(config))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_chunk_is_a_record_of_every_seat_and_a_ring_holds_two(shape):
    config = shaped(*shape)
    assert chunk_bound_bytes(config) == shape[1] * record_bound_bytes(config)
    assert ring_bound_bytes(config) == 2 * chunk_bound_bytes(config)


@pytest.mark.parametrize("n_workers", [1, 64])
def test_shared_memory_is_bounded_by_the_figure_that_is_printed(n_workers):
    config = to_config({"worker": {"count": n_workers}})
    rings = n_workers * ring_segment_bytes(config.ring.bytes)
    submitted = ring_segment_bytes(config.ring.submitted_bytes)
    real = CONTROL_BYTES + GROUPS_BYTES + rings + submitted
    assert real <= shared_memory_bytes(config) < real + (1 << 20)


def test_a_record_holds_the_largest_board_that_a_match_can_get():
    official = to_config({"match": {"map": "official", "board": "4x4"}})
    uniform = to_config({"match": {"board": "23x23"}})
    assert record_bound_bytes(official) == record_bound_bytes(uniform)


def test_every_games_host_has_a_ring_of_its_own():
    games = {"hosts": 3, "ring_bytes": 1 << 20}
    more = shared_memory_bytes(to_config({"games": games})) - shared_memory_bytes(to_config({}))
    assert more == 3 * ring_segment_bytes(1 << 20)


@pytest.mark.parametrize("shape", [("4", 2, 1), ("64", 16, 32), ("64", 16, 256)])
def test_a_host_s_ring_that_passes_takes_its_largest_record_whatever_the_position(shape):
    wire = pytest.importorskip("farm.worker.wire")
    side, n_seats, steps = shape
    games = {"max_side": int(side), "max_seats": n_seats}
    config = to_config({"games": games, "worker": {"steps": steps}})
    block = compressed_bound(payload_bytes(int(side) ** 2, n_seats, steps))
    n_bytes = RECORD_HEADER.itemsize + wire.MAX_HEAD_BYTES + block
    assert record_bytes(n_bytes) <= host_record_bound_bytes(config)
    assert n_bytes <= max_payload_bytes(host_ring_bound_bytes(config))


def test_a_farm_that_takes_nothing_in_has_no_ring_for_it():
    config = to_config({})
    without = to_config({"ring": {"submitted_bytes": 0}})
    saved = shared_memory_bytes(config) - shared_memory_bytes(without)
    assert saved == ring_segment_bytes(config.ring.submitted_bytes)
