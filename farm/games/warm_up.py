"""Compiles the kernels of a games host before anyone waits for them; quick when they are cached.

Runs as a task of its own before the hosts start, so that no two of them do it at once, and again in
each of them, which loads what is compiled.
"""

import time

import numpy as np

from farm.shm.ring import (
    CURSOR_WORDS,
    RING_FULL,
    drop,
    next_sequence,
    publish,
    try_claim,
    unpark,
)
from farm.shm.ring_layout import MIN_CAPACITY, ring_segment_bytes
from farm.supervisor.child import ChildContext


def main(context: ChildContext) -> int:
    """Compile what is not in the cache yet."""
    began = time.monotonic()
    compile_kernels()
    context.log.info("kernels_ready", took_s=round(time.monotonic() - began, 1))
    return 0


def compile_kernels() -> None:
    """Call every kernel of a host once, on memory of this process's own."""
    _compile_ring()


def _compile_ring() -> None:
    """What the recorder calls from Python."""
    mem = np.zeros(ring_segment_bytes(MIN_CAPACITY), dtype=np.uint8)
    cursor = np.zeros(CURSOR_WORDS, dtype=np.int64)
    unpark(mem)
    next_sequence(cursor)
    try_claim(mem, cursor, 0, 0)
    publish(mem, cursor, 0)
    drop(mem, cursor, RING_FULL, 1, 1)
