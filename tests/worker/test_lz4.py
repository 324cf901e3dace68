"""The block that is written from the changes is what an LZ4 library reads back as the frames."""

import lz4.block
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from farm.jit import kernel
from farm.spec.observation import frame_dtype, memory_dtype, score_offset
from farm.spec.tiles import NEVER_SEEN
from farm.spec.trajectory import STEP_BYTES, compressed_bound, payload_bytes
from farm.worker import lz4 as delta


@kernel
def write_block(
    frames: NDArray[np.uint8],
    dirty_army: NDArray[np.uint64],
    dirty_tile: NDArray[np.uint64],
    score: NDArray[np.uint8],
    memory: NDArray[np.uint8],
    columns: NDArray[np.uint8],
    n_cells: int,
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
) -> int:
    delta.begin_block(block)
    delta.add_key_frame(out, block, frames[0], n_cells)
    for tick in range(1, frames.shape[0]):
        delta.add_frame(
            out,
            block,
            frames[tick],
            score,
            dirty_army[tick],
            dirty_tile[tick],
            n_cells,
            dirty_army.shape[1],
        )
    if memory.shape[0]:
        delta.add_memory(out, block, memory, n_cells, frames.shape[1])
    return delta.end_block(out, block, columns, frames.shape[0] - 1, frames.shape[1])


def make_frames(rng, height, width, n_seats, n_steps, changes_per_step):
    """Frames in which a few cells change from one to the next, and the cells that did."""
    n_cells = height * width
    words = -(-n_cells // 64)
    frames = np.zeros(n_steps + 1, frame_dtype(height, width, n_seats))
    dirty = np.zeros((2, n_steps + 1, words), np.uint64)
    if rng.random() < 0.5:
        frames["army"][0] = rng.integers(0, 3, (height, width))
    frames["tile"][0] = rng.choice([31, 223], (height, width))
    for tick in range(1, n_steps + 1):
        frames[tick] = frames[tick - 1]
        for plane, name in enumerate(("army", "tile")):
            cells = rng.integers(0, n_cells, rng.poisson(changes_per_step))
            flat = frames[name][tick].reshape(-1)
            flat[cells] = rng.integers(0, 256, cells.size)
            for cell in cells.tolist():
                dirty[plane, tick, cell // 64] |= np.uint64(1 << cell % 64)
        frames["total_army"][tick] += rng.integers(0, 2, n_seats).astype(np.uint32)
        frames["alive"][tick] = rng.integers(0, 2, n_seats)
    return frames, dirty


def make_memory(rng, height, width, seen_share):
    """A memory in which a share of the cells was seen, laid out as the spec says."""
    memory = np.zeros(1, memory_dtype(height, width))
    seen = rng.random((height, width)) < seen_share
    memory["tile"] = np.where(seen, rng.integers(0, 31, seen.shape), NEVER_SEEN)
    memory["army"] = np.where(seen, rng.integers(0, 60_000, seen.shape), 0)
    return memory


def compress(frames, dirty, columns, memory=None):
    height, width = frames.dtype["tile"].shape
    n_seats = frames.dtype["alive"].shape[0]
    n_cells = height * width
    raw = np.frombuffer(frames.tobytes(), np.uint8).reshape(len(frames), -1)
    kept = np.zeros(0, np.uint8) if memory is None else memory.view(np.uint8)
    size = payload_bytes(n_cells, n_seats, len(frames) - 1, memory=memory is not None)
    bound = compressed_bound(size)
    out = np.zeros(bound, np.uint8)
    score = raw[0, score_offset(n_cells) :].copy()
    block = np.zeros(delta.BLOCK_WORDS, np.int64)
    changed = (dirty[0].copy(), dirty[1].copy())
    written = write_block(raw, *changed, score, kept, columns, n_cells, out, block)
    assert written <= bound
    return out[:written].tobytes()


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(4, 20),
    width=st.integers(4, 20),
    n_seats=st.integers(2, 16),
    n_steps=st.integers(1, 40),
    changes_per_step=st.sampled_from([0.0, 0.5, 3.0, 30.0, 300.0]),
    constant_columns=st.booleans(),
    seen_share=st.sampled_from([None, 0.0, 0.1, 0.9]),
)
def test_any_frames_memory_and_columns_come_back_from_the_library(
    seed, height, width, n_seats, n_steps, changes_per_step, constant_columns, seen_share
):
    rng = np.random.default_rng(seed)
    frames, dirty = make_frames(rng, height, width, n_seats, n_steps, changes_per_step)
    columns = rng.integers(0, 256, STEP_BYTES * n_steps).astype(np.uint8)
    if constant_columns:
        columns[: 4 * n_steps] = np.tile(columns[:4], n_steps)
        columns[4 * n_steps : 8 * n_steps] = 0

    memory = None if seen_share is None else make_memory(rng, height, width, seen_share)

    block = compress(frames, dirty, columns, memory)

    kept = b"" if memory is None else memory.tobytes()
    size = payload_bytes(height * width, n_seats, n_steps, memory=memory is not None)
    assert lz4.block.decompress(block, uncompressed_size=size) == (
        frames.tobytes() + kept + columns.tobytes()
    )


def test_frames_without_a_change_cost_next_to_nothing():
    rng = np.random.default_rng(0)
    frames, dirty = make_frames(rng, 20, 20, 2, 32, 0.0)
    frames[1:] = frames[0]
    still = compress(frames, dirty, np.zeros(STEP_BYTES * 32, np.uint8))
    key = compress(frames[:2], dirty[:, :2], np.zeros(STEP_BYTES, np.uint8))
    # One copy of 31 frames more: a length byte for each 255 bytes, and 62 bytes of actions.
    assert len(still) - len(key) < 31 * frames.itemsize // 255 + 62 + 16


def test_a_memory_of_nothing_costs_next_to_nothing():
    rng = np.random.default_rng(0)
    frames, dirty = make_frames(rng, 20, 20, 2, 8, 0.0)
    frames[1:] = frames[0]
    columns = np.zeros(STEP_BYTES * 8, np.uint8)
    without = compress(frames, dirty.copy(), columns)
    # A run of armies and one of tiles: a length byte for each 255 of 1,200 bytes, and two headers.
    assert len(compress(frames, dirty, columns, make_memory(rng, 20, 20, 0.0))) - len(without) < 24
