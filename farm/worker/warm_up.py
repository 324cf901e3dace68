"""Compiles the kernels of the rollout worker, so that no two workers do it at once.

Runs as a task of its own before the workers start. It plays a few ticks of a tiny match into a ring
that nobody sees: exactly the calls that a worker makes, with the same types.
"""

import time

import numpy as np

from farm import jit
from farm.config.schema import FarmConfig, MatchConfig, RingConfig, WorkerConfig
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import CURSOR_WORDS, park, unpark
from farm.shm.ring_layout import DATA_OFFSET
from farm.supervisor.child import ChildContext
from farm.worker.cohorts import allocate_games
from farm.worker.plan import make_plan, make_scratch
from farm.worker.rollout import EXPERIENCES, N_COUNTS, play_batch
from farm.worker.tape import make_tape

_MATCH = MatchConfig(board="10x10", seats=("random", "random"), cities=0)
_WORKER = WorkerConfig(games=1, steps=4)
_RING_BYTES = 1 << 18


def main(context: ChildContext) -> int:
    """Compile what is not in the cache yet; quick if all of it is."""
    began = time.monotonic()
    compile_kernels()
    try:
        jit.mark_warm()
    except OSError as error:
        context.log.warning("kernels_not_kept", error=str(error))
    context.log.info("kernels_ready", took_s=round(time.monotonic() - began, 1))
    return 0


def compile_kernels() -> None:
    """Call every kernel of the worker once."""
    config = FarmConfig(match=_MATCH, worker=_WORKER, ring=RingConfig(bytes=_RING_BYTES))
    plan = make_plan(config, 0)
    scratch = make_scratch(plan, worker=0, generation=1, config_epoch=1)
    ring = np.zeros(DATA_OFFSET + _RING_BYTES, np.uint8)
    cursor = np.zeros(CURSOR_WORDS, np.int64)
    control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8)
    counts = np.zeros(N_COUNTS, np.int64)
    games = allocate_games(plan, 1)
    tape = make_tape(plan, 1)
    play_batch(games, plan, scratch, tape, control, ring, cursor, 0, 1, 0, counts)
    if counts[EXPERIENCES] == 0:
        raise AssertionError("the warm-up played nothing")
    park(ring, cursor, plan.chunk_bytes)
    unpark(ring)
