"""The bounds of `farm.config.memory` hold against what shared memory and workers really use."""

import pytest

from farm.config.convert import to_config
from farm.config.memory import (
    chunk_bound_bytes,
    record_bound_bytes,
    ring_bound_bytes,
    shared_memory_bytes,
)
from farm.config.schema import FarmConfig
from farm.shm.control import CONTROL_BYTES
from farm.shm.groups import GROUPS_BYTES
from farm.shm.ring_layout import max_payload_bytes, record_bytes, ring_segment_bytes
from farm.spec.trajectory import RECORD_HEADER, compressed_bound, payload_bytes

SHAPES = [("4x4", 2, 1), ("20x20", 2, 32), ("64x64", 16, 256)]


def shaped(board: str, n_seats: int, steps: int) -> FarmConfig:
    return to_config(
        {"match": {"board": board, "seats": ["random"] * n_seats}, "worker": {"steps": steps}}
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_record_stays_within_its_bound(shape):
    wire = pytest.importorskip("farm.worker.wire")
    config = shaped(*shape)
    payload = compressed_bound(payload_bytes(config.match.n_cells, shape[1], shape[2]))
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


def test_a_farm_that_takes_nothing_in_has_no_ring_for_it():
    config = to_config({})
    without = to_config({"ring": {"submitted_bytes": 0}})
    saved = shared_memory_bytes(config) - shared_memory_bytes(without)
    assert saved == ring_segment_bytes(config.ring.submitted_bytes)
