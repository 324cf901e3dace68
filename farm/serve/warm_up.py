"""Compiles the kernels of the service before anyone waits for them; quick when they are cached."""

import numpy as np

from farm.serve import drain as kernels
from farm.serve.filters import RecordFilter
from farm.shm.ring import (
    CURSOR_WORDS,
    is_parked,
    load_head,
    next_sequence,
    publish,
    release,
    try_claim,
    unpark,
)
from farm.shm.ring_layout import MIN_CAPACITY, ring_segment_bytes


def compile_kernels() -> None:
    """Call every kernel once, on an empty ring of this process's own memory."""
    mem = np.zeros(ring_segment_bytes(MIN_CAPACITY), dtype=np.uint8)
    buffer = np.zeros(kernels.HEADER_BYTES, dtype=np.uint8)
    result = np.zeros(kernels.RESULT_WORDS, dtype=np.int64)
    wanted = RecordFilter()
    kernels.scan(mem, 0, buffer, result)
    kernels.drain(
        mem,
        0,
        0,
        buffer,
        0,
        0,
        wanted.game_ids,
        wanted.seats,
        wanted.min_last_tick,
        wanted.policies,
        kernels.ALL_OF_THEM,
        result,
    )
    cursor = np.zeros(CURSOR_WORDS, dtype=np.int64)
    next_sequence(cursor)
    try_claim(mem, cursor, 0, 0)
    publish(mem, cursor, 0)
    unpark(mem)
    load_head(mem)
    release(mem, 0)
    is_parked(mem)
