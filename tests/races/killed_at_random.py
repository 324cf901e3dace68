"""Kills producers, N times and until enough died at work, and looks at what is left: `INSTANCE N`.

Interpreters start slowly, so each producer is a fork of this warm one, which is single-threaded;
the fork runs one kernel until it is killed. The last line says how it went, as JSON.
"""
# ruff: noqa: T201 - the test reads standard output

import json
import os
import random
import signal
import sys
import time

import numpy as np

from farm.bench.ring import consume, produce
from farm.shm import ring
from farm.shm.ring_layout import ATTEMPTED_RECORDS_OFFSET, RingView, attach_ring

RECORD_BYTES = 200
BATCH_RECORDS = 3
BOUND = 1 << 40
MIN_AT_WORK = 16
"""Deaths away from a full ring, where a producer only waits; a busy machine has fewer of them."""
MAX_KILLS = 5_000

instance, n_kills = sys.argv[1], int(sys.argv[2])
segment = attach_ring(instance, 0)
view = RingView(segment)
mem = segment.mem
chance = random.Random(8)
tally = np.zeros(3, dtype=np.int64)
position = expected = 0
errors = []
deaths_at_work = 0

private = mem.copy()
produce(private, ring.recover(segment), RECORD_BYTES, 10, BATCH_RECORDS)
consume(private, 0, 0, 10, np.zeros(3, dtype=np.int64))

for generation in range(1, MAX_KILLS + 1):
    if generation > n_kills and deaths_at_work >= MIN_AT_WORK:
        break
    cursor = ring.recover(segment)
    published = view.records
    child = os.fork()
    if child == 0:
        while True:
            produce(mem, cursor, RECORD_BYTES, BOUND, BATCH_RECORDS)
    # Let it begin, drain beside it for a moment, and kill it wherever it is.
    deadline = time.monotonic() + 30.0
    while view.records == published and time.monotonic() < deadline:
        pass
    until = time.perf_counter() + chance.random() * 300e-6
    while time.perf_counter() < until:
        position, expected = consume(mem, position, expected, 64, tally)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    after = ring.recover(segment)
    deaths_at_work += view.used_bytes < view.capacity - 4 * RECORD_BYTES
    while position != ring.load_tail(mem):
        position, expected = consume(mem, position, expected, BOUND, tally)
    saved = view.checkpoint()
    attempted = segment.load(ATTEMPTED_RECORDS_OFFSET)
    if not int(after[ring.SEQUENCE]) == expected == view.records == int(tally[0]):
        errors.append([generation, int(after[ring.SEQUENCE]), expected, view.records])
    if attempted != int(tally[0]) + saved.aborted_records:
        errors.append([generation, "attempted", attempted, saved.aborted_records])

print(
    json.dumps(
        {
            "event": "done",
            "errors": errors[:10],
            "received": int(tally[0]),
            "corrupt": int(tally[1]),
            "lost": int(tally[2]),
            "deaths_at_work": deaths_at_work,
            "aborted": view.checkpoint().aborted_records,
        }
    )
)
