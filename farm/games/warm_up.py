"""Compiles the kernels of a games host before anyone waits for them; quick when they are cached.

Runs as a task of its own before the hosts start, so that no two of them do it at once, and again in
each of them, which loads what is compiled.
"""

import time

import numpy as np

from farm.config.schema import GamesConfig
from farm.engine import rewards
from farm.engine.reset import reset_game
from farm.engine.settings import toy_settings
from farm.games import kernels
from farm.games.scripts import NO_SCRIPT
from farm.games.slots import Slots
from farm.shm.control import NEXT_GAME_OFFSET
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
from farm.spec.limits import MIN_SEATS, MIN_SIDE
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
    _compile_games()


def _compile_ring() -> None:
    """What the recorder calls from Python."""
    mem = np.zeros(ring_segment_bytes(MIN_CAPACITY), dtype=np.uint8)
    cursor = np.zeros(CURSOR_WORDS, dtype=np.int64)
    unpark(mem)
    next_sequence(cursor)
    try_claim(mem, cursor, 0, 0)
    publish(mem, cursor, 0)
    drop(mem, cursor, RING_FULL, 1, 1)


def _compile_games() -> None:
    """What the host calls: a game that begins, takes an action, plays a tick and loses a seat."""
    slots = Slots(GamesConfig(max_games=1, max_side=MIN_SIDE, max_seats=MIN_SEATS, max_queue=1))
    games, queues, clocks = slots.games, slots.queues, slots.clocks
    reset_game(games, 0, np.uint64(0), np.uint64(0), toy_settings(MIN_SIDE, MIN_SIDE, MIN_SEATS))
    kernels.show_all(games, clocks, 0)
    clocks.runs[0], clocks.due_ns[0] = 1, 0
    some = np.zeros(1, np.int64)
    kernels.submit_many(games, queues, clocks, some, some, np.zeros(1, np.int32), 0)
    rows, counts = np.zeros(1, np.int64), np.zeros(3, np.int64)
    happened = np.zeros((kernels.MAX_HAPPENINGS, kernels.N_COLUMNS), np.int32)
    weights = rewards.of_names({})
    kernels.advance(
        games,
        queues,
        clocks,
        weights,
        rewards.is_shaped(weights),
        0,
        0,
        NO_SCRIPT,
        0,
        0,
        rows,
        happened,
        counts,
    )
    if counts[kernels.PLAYED] != 1:
        raise AssertionError("the warm-up played nothing")
    kernels.leave(games, 0, 0)
    kernels.take_numbers(np.zeros(NEXT_GAME_OFFSET + 8, np.uint8), 1)
