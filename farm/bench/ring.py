"""`ring_1p1c`: how fast one ring carries records between two processes, and whether all are whole.

The producer and the consumer are fresh interpreters. Each record is its sequence, words derived
from it, and their sum; the consumer adds up every word of every record and compares. Records are
published in batches. The reference in the same run is one process that does both sides' work in
turn on a ring of the same size.

    parent to child   "go"; later, to the consumer: how many records there are in all
    child to parent   "ready" once its kernels are compiled; at the end one line of JSON
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from farm.errors import UsageError
from farm.jit import inline, kernel
from farm.shm import ring
from farm.shm.atomics import load_word, store_word
from farm.shm.ring_layout import DATA_OFFSET, attach_ring, create_ring, record_bytes
from farm.shm.segment import Segment

SMALL_BYTES, LARGE_BYTES = 64, 1400
CAPACITY_BYTES = 1 << 22
"""Of the ring: the best of 256 KiB to 64 MiB in this bench, on two loaded cores of an EPYC 9004."""
BATCH_RECORDS = 64
"""Records between two publishes."""
TURN_RECORDS = 1 << 15
"""Records in one kernel call at most, so that clock and pipe are looked at now and then."""
SPIN_LOADS = 2_000
"""Looks at the other side's index before the processor is offered to others: about 20 us."""

_DEADLINE_S = 120.0
_WORD_BYTES = 8
_MIX = -7046029254386353131  # 2**64 / golden ratio as int64: neighbours differ in many bits


@inline
def _fill(mem: ring.Mem, offset: int, n_words: int, sequence: int) -> None:
    """Write a record of 2 words or more: sequence, derived words, sum of all before."""
    store_word(mem, offset, sequence)
    total = sequence
    for place in range(1, n_words - 1):
        word = sequence * _MIX + place
        store_word(mem, offset + place * _WORD_BYTES, word)
        total += word
    store_word(mem, offset + (n_words - 1) * _WORD_BYTES, total)


@inline
def _is_whole(mem: ring.Mem, offset: int, n_words: int) -> bool:
    total = 0
    for place in range(n_words - 1):
        total += load_word(mem, offset + place * _WORD_BYTES)
    return total == load_word(mem, offset + (n_words - 1) * _WORD_BYTES)


@kernel
def produce(
    mem: ring.Mem, cursor: ring.Cursor, n_bytes: int, n_records: int, batch_records: int
) -> int:
    """Publish records until there are `n_records` of them or the ring stays full for a while.

    Args:
        mem: uint8[8192 + capacity], written.
        cursor: int64[CURSOR_WORDS], written.
        n_bytes: payload of a record, a multiple of 8.
        n_records: to publish, at most.
        batch_records: between two publishes.

    Returns:
        Records published.
    """
    done = 0
    spins = 0
    while done < n_records and spins < SPIN_LOADS:
        sequence = ring.next_sequence(cursor)
        offset = ring.try_claim(mem, cursor, n_bytes, 1)
        if offset < 0:
            if cursor[ring.PENDING] > 0:
                ring.publish(mem, cursor, 0)
            spins += 1
            continue
        spins = 0
        _fill(mem, offset, n_bytes // _WORD_BYTES, sequence)
        done += 1
        if cursor[ring.PENDING] >= batch_records:
            ring.publish(mem, cursor, 0)
    if cursor[ring.PENDING] > 0:
        ring.publish(mem, cursor, 0)
    return done


@kernel
def consume(
    mem: ring.Mem, position: int, expected: int, n_records: int, tally: NDArray[np.int64]
) -> tuple[int, int]:
    """Check records until there were `n_records` or nothing comes for a while.

    Args:
        mem: uint8[8192 + capacity], head written.
        position: byte position to take next.
        expected: sequence of the next record.
        n_records: to take, at most.
        tally: int64[3], received, corrupt, lost, added to.

    Returns:
        `(position, expected)` to go on with.
    """
    done = 0
    spins = 0
    while done < n_records and spins < SPIN_LOADS:
        tail = ring.load_tail(mem)
        if tail == position:
            spins += 1
            continue
        spins = 0
        # A ring holds this many records at most, so the loop is bounded whatever it holds.
        for _ in range((mem.size - DATA_OFFSET) // _WORD_BYTES):
            offset, n_bytes, position = ring.next_record(mem, position, tail)
            if offset == ring.EMPTY:
                break
            if offset == ring.CORRUPT or not _is_whole(mem, offset, n_bytes // _WORD_BYTES):
                tally[1] += 1
                continue
            sequence = load_word(mem, offset)
            tally[2] += sequence - expected
            expected = sequence + 1
            done += 1
        ring.release(mem, position)
    tally[0] += done
    return position, expected


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure both record sizes for a share of `seconds` each, and the reference.

    Returns:
        records_per_s: of 64 bytes, through two processes.
        records_per_s_1400, gb_per_s: of 1,400 bytes; payload only, 10**9 bytes.
        corrupt, lost: records that failed their sum or never came, over both.
        one_process_records_per_s: the reference, 64 bytes.
        ratio_to_one_process: records_per_s over that.

    Raises:
        UsageError: there are overrides; no config is involved.
    """
    if overrides:
        raise UsageError(f"ring_1p1c takes no overrides, not {' '.join(overrides)}")
    share_s = seconds / 3
    small = _two_processes(SMALL_BYTES, share_s)
    large = _two_processes(LARGE_BYTES, share_s)
    reference = _one_process(SMALL_BYTES, share_s)
    return {
        "records_per_s": round(small["records_per_s"]),
        "records_per_s_1400": round(large["records_per_s"]),
        "gb_per_s": round(large["records_per_s"] * LARGE_BYTES / 1e9, 3),
        "corrupt": int(small["corrupt"] + large["corrupt"]),
        "lost": int(small["lost"] + large["lost"]),
        "one_process_records_per_s": round(reference),
        "ratio_to_one_process": round(small["records_per_s"] / reference, 3),
    }


def _two_processes(n_bytes: int, seconds: float) -> dict[str, float]:
    instance = f"bench-{os.getpid()}"
    with create_ring(instance, 0, CAPACITY_BYTES) as segment:
        consumer = _spawn("consume", instance, n_bytes, seconds)
        producer = _spawn("produce", instance, n_bytes, seconds)
        children = (consumer, producer)
        try:
            for child in children:
                _answer(child, _DEADLINE_S)
            for child in children:
                _tell(child, "go")
            produced = json.loads(_answer(producer, seconds + _DEADLINE_S))["records"]
            _tell(consumer, str(produced))
            taken: dict[str, float] = json.loads(_answer(consumer, _DEADLINE_S))
        finally:
            segment.unlink()
            for child in children:
                child.kill()
                child.communicate()
    taken["lost"] = produced - taken["received"] - taken["corrupt"]
    taken["records_per_s"] = taken["received"] / taken["elapsed_s"]
    return taken


def _one_process(n_bytes: int, seconds: float) -> float:
    """Records a second of one process that fills the ring and empties it, in turn."""
    instance = f"bench-{os.getpid()}"
    with create_ring(instance, 0, CAPACITY_BYTES) as segment:
        segment.unlink()
        cursor = ring.recover(segment)
        mem = segment.mem
        tally = np.zeros(3, dtype=np.int64)
        half_full = CAPACITY_BYTES // 2 // record_bytes(n_bytes)
        position, expected = 0, 0
        _warm(mem, n_bytes)
        started_ns = time.perf_counter_ns()
        deadline_ns = started_ns + int(seconds * 1e9)
        while time.perf_counter_ns() < deadline_ns:
            produce(mem, cursor, n_bytes, half_full, BATCH_RECORDS)
            position, expected = consume(mem, position, expected, half_full, tally)
        elapsed_s = (time.perf_counter_ns() - started_ns) / 1e9
        del mem
    return float(tally[0]) / elapsed_s


def _spawn(role: str, instance: str, n_bytes: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "farm.bench.ring", role, instance, str(n_bytes), str(seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(child: subprocess.Popen[str], line: str) -> None:
    pipe = _piped(child.stdin)
    pipe.write(f"{line}\n")
    pipe.flush()


def _answer(child: subprocess.Popen[str], timeout_s: float) -> str:
    pipe = _piped(child.stdout)
    ready, _, _ = select.select([pipe], [], [], timeout_s)
    line = pipe.readline() if ready else ""
    if not line:
        raise RuntimeError(f"{child.args!r}: no answer within {timeout_s} s; it ended or hangs")
    return line


def _piped(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _warm(mem: ring.Mem, n_bytes: int) -> None:
    """Compile or load every kernel on private memory of the same type, and touch every page."""
    private = np.zeros(DATA_OFFSET + CAPACITY_BYTES, dtype=np.uint8)
    cursor = np.zeros(ring.CURSOR_WORDS, dtype=np.int64)
    produce(private, cursor, n_bytes, 2 * BATCH_RECORDS, BATCH_RECORDS)
    consume(private, 0, 0, 2 * BATCH_RECORDS, np.zeros(3, dtype=np.int64))
    int(mem[:: os.sysconf("SC_PAGESIZE")].sum())


def _produce_main(segment: Segment, n_bytes: int, seconds: float) -> dict[str, float]:
    cursor = ring.recover(segment)
    _warm(segment.mem, n_bytes)
    _ready()
    deadline_ns = time.perf_counter_ns() + int(seconds * 1e9)
    records = 0
    while time.perf_counter_ns() < deadline_ns:
        done = produce(segment.mem, cursor, n_bytes, TURN_RECORDS, BATCH_RECORDS)
        records += done
        if done < TURN_RECORDS:
            os.sched_yield()
    return {"records": records}


def _consume_main(segment: Segment, n_bytes: int, seconds: float) -> dict[str, float]:
    _warm(segment.mem, n_bytes)
    _ready()
    tally = np.zeros(3, dtype=np.int64)
    position, expected, produced = 0, 0, None
    started_ns = ended_ns = time.perf_counter_ns()
    deadline_ns = started_ns + int((seconds + _DEADLINE_S) * 1e9)
    while produced is None or (expected < produced and ended_ns < deadline_ns):
        before = position
        position, expected = consume(segment.mem, position, expected, TURN_RECORDS, tally)
        ended_ns = time.perf_counter_ns()
        if position == before:
            os.sched_yield()
            if produced is None and select.select([sys.stdin], [], [], 0)[0]:
                produced = int(sys.stdin.readline() or 0)
    received, corrupt, _ = tally.tolist()
    return {"received": received, "corrupt": corrupt, "elapsed_s": (ended_ns - started_ns) / 1e9}


def _ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def main(role: str, instance: str, n_bytes: int, seconds: float) -> None:
    """One side, in its own process."""
    side = {"produce": _produce_main, "consume": _consume_main}[role]
    with attach_ring(instance, 0) as segment:
        print(json.dumps(side(segment, n_bytes, seconds)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
