"""One side of a race over a ring: `produce|consume INSTANCE SECONDS`.

Sizes and bytes of a record follow from its sequence; the consumer checks every one of them. The
producer stamps generation 2 on the segment when it is done.
"""
# ruff: noqa: T201 - the test reads standard output

import json
import os
import sys
import time

import numpy as np

from farm.jit import kernel
from farm.shm import ring
from farm.shm.ring_layout import attach_ring

TURN_RECORDS = 2_000
SPIN_LOADS = 1_000
DEADLINE_S = 60.0


@kernel
def size_of(sequence, largest):
    """Payload bytes: mostly small, sometimes the largest there can be."""
    mixed = (sequence * 2654435761) >> 7
    if mixed & 63 == 0:
        return largest
    return mixed % (largest >> (mixed >> 6 & 7))


@kernel
def produce(mem, cursor, largest):
    done = 0
    spins = 0
    while done < TURN_RECORDS and spins < SPIN_LOADS:
        sequence = ring.next_sequence(cursor)
        n_bytes = size_of(sequence, largest)
        offset = ring.try_claim(mem, cursor, n_bytes, 1)
        if offset < 0:
            spins += 1
            if cursor[ring.PENDING] > 0:
                ring.publish(mem, cursor, 0)
            continue
        for place in range(n_bytes):
            mem[offset + place] = (sequence * 31 + place * 7) & 255
        done += 1
        if cursor[ring.PENDING] > sequence & 7:
            ring.publish(mem, cursor, 0)
    ring.publish(mem, cursor, 0)
    return done


@kernel
def consume(mem, position, sequence, largest):
    """Check what is published; `(position, sequence, n_wrong)`."""
    wrong = 0
    for _ in range(SPIN_LOADS):
        tail = ring.load_tail(mem)
        for _ in range(TURN_RECORDS):
            offset, n_bytes, position = ring.next_record(mem, position, tail)
            if offset == ring.EMPTY:
                break
            if offset == ring.CORRUPT or n_bytes != size_of(sequence, largest):
                wrong += 1
            else:
                for place in range(n_bytes):
                    wrong += mem[offset + place] != (sequence * 31 + place * 7) & 255
            sequence += 1
            ring.release(mem, position)
    return position, sequence, wrong


def main(side, instance, seconds):
    segment = attach_ring(instance, 0)
    mem = segment.mem
    largest = segment.parameter // 2 - 8
    private = np.zeros_like(mem)
    cursor = np.zeros(ring.CURSOR_WORDS, dtype=np.int64)
    produce(private, cursor, largest)
    consume(private, 0, 0, largest)

    deadline = time.monotonic() + seconds
    if side == "produce":
        cursor = ring.recover(segment)
        while time.monotonic() < deadline:
            produce(mem, cursor, largest)
            os.sched_yield()
        segment.adopt(2)
        print(json.dumps({"event": "done", "records": int(ring.next_sequence(cursor))}))
        return
    position = sequence = wrong = 0
    deadline += DEADLINE_S
    while time.monotonic() < deadline:
        is_last = segment.generation == 2
        position, sequence, found = consume(mem, position, sequence, largest)
        wrong += found
        if is_last and position == ring.load_tail(mem):
            break
        os.sched_yield()
    print(json.dumps({"event": "done", "records": sequence, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
