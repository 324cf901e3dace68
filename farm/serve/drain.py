"""Moves records out of a ring: the wire form of many of them into one buffer, by one call.

    record = RECORD_HEADER (64 bytes, spec.trajectory) | one serialised entry of ExperienceBatch

Entries are concatenated as they are: what comes out is the beginning of an ExperienceBatch. Only
the fixed header is looked at, and the entry's own length, so that a record that is not what it
should be is left out and counted instead of spoiling the message it would travel in.

A ring may hold garbage (ring.py). Every loop is bounded by `MAX_WALK` records a call.
"""

import numpy as np
from numpy.typing import NDArray

from farm.jit import inline, kernel
from farm.shm.atomics import load_word
from farm.shm.memcpy import copy_bytes
from farm.shm.ring import CORRUPT, load_tail, next_record
from farm.spec.limits import MAX_STEPS
from farm.spec.trajectory import RECORD_HEADER

MAX_WALK = 1 << 16
"""Records passed in one call at most: some milliseconds; then signals and heartbeats are due."""

HEADER_BYTES = RECORD_HEADER.itemsize
_OFFSETS = {name: place[1] for name, place in (RECORD_HEADER.fields or {}).items()}
_SEQUENCE = _OFFSETS["sequence"]
_GAME_ID = _OFFSETS["game_id"]
_POLICY = _OFFSETS["policy_hash"]
_LAST_TICK = _OFFSETS["last_tick"]
_N_STEPS = _OFFSETS["n_steps"]
_WORKER = _OFFSETS["worker"]
_SEAT = _OFFSETS["seat"]

_ENTRY_TAG = 0x0A
_LOW_16 = 0xFFFF
_LOW_32 = 0xFFFFFFFF
_MORE_FOLLOWS = 0x80
"""High bit of every byte of a varint but the last."""
_MAX_VARINT_BYTES = 5

ALL_OF_THEM = 1 << 32
"""`sample` of whoever takes every record: a part is so many of 2**32."""
_WORKER_SHIFT = np.uint64(48)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

# Words of a result. Records come with the experiences in them, as their headers say.
POSITION = 0
"""Byte position after the last record gone past."""
END = 1
"""Bytes of the buffer that are filled; for `scan`: headers copied."""
RECORDS = 2
"""Records copied."""
EXPERIENCES = 3
WALKED = 4
"""Records gone past: copied, left out or no entry."""
WALKED_EXPERIENCES = 5
FILTERED = 6
"""Records that the filter left out."""
FILTERED_EXPERIENCES = 7
PASSED = 8
"""Records that are not of the sample."""
PASSED_EXPERIENCES = 9
CORRUPTED = 10
"""Records that are no entry; left out."""
CORRUPTED_EXPERIENCES = 11
STRETCH = 12
"""1: the bytes at POSITION are no record, and nothing says where the next one begins."""
WANTED = 13
"""Bytes of the next record, if it was left because the buffer has no room for it; else 0."""
RESULT_WORDS = 14


@kernel
def drain(
    mem: NDArray[np.uint8],
    position: int,
    tail: int,
    out: NDArray[np.uint8],
    start: int,
    limit: int,
    game_ids: NDArray[np.int64],
    seats: int,
    min_last_tick: int,
    policies: NDArray[np.int64],
    sample: int,
    result: NDArray[np.int64],
) -> None:
    """Copy the entries of the records that pass sample and filter, in order, as long as they fit.

    Args:
        mem: uint8[8192 + capacity], the ring's segment, read.
        position: byte position of the first record.
        tail: byte position where to stop; nothing behind it is read.
        out: uint8[...], the buffer.
        start: bytes of `out` that are filled already.
        limit: bytes of `out` that may be filled.
        game_ids: int64[n], sorted; empty lets every game pass.
        seats: bit s set lets seat s pass; 0 lets every seat pass.
        min_last_tick: tick that a trajectory has to reach.
        policies: int64[n], hashes (spec.trajectory.policy_hash); empty lets every policy pass.
        sample: so many of 2**32 records pass, chosen by (worker, sequence).
        result: int64[RESULT_WORDS].

    Writes:
        out[start:limit], result.
    """
    end = start
    result[:] = 0
    for _ in range(MAX_WALK):
        offset, n_bytes, after = next_record(mem, position, tail)
        if offset < 0:
            result[STRETCH] = offset == CORRUPT
            break
        experiences = _experiences(mem, offset, n_bytes)
        if not _is_entry(mem, offset, n_bytes):
            kind = CORRUPTED
        elif not _is_sampled(mem, offset, sample):
            kind = PASSED
        elif not _passes(mem, offset, game_ids, seats, min_last_tick, policies):
            kind = FILTERED
        else:
            kind = RECORDS
            entry = offset + HEADER_BYTES
            n_entry_bytes = n_bytes - HEADER_BYTES
            if end + n_entry_bytes > limit:
                result[WANTED] = n_entry_bytes
                break
            copy_bytes(out, end, mem, entry, n_entry_bytes)
            end += n_entry_bytes
        result[kind] += 1
        result[kind + 1] += experiences
        result[WALKED] += 1
        result[WALKED_EXPERIENCES] += experiences
        position = after
    result[POSITION] = position
    result[END] = end


@kernel
def scan(
    mem: NDArray[np.uint8],
    position: int,
    headers: NDArray[np.uint8],
    result: NDArray[np.int64],
) -> None:
    """Copy the headers of newly published records, for statistics.

    Args:
        mem: uint8[8192 + capacity], the ring's segment, read.
        position: byte position of the first record.
        headers: uint8[64 * n].
        result: int64[RESULT_WORDS]; POSITION says how far it came: call again while END is n.

    Writes:
        headers, result.
    """
    tail = load_tail(mem)
    end = 0
    result[:] = 0
    n_rows = headers.shape[0] // HEADER_BYTES
    while result[WALKED] < MAX_WALK and end < n_rows:
        offset, n_bytes, after = next_record(mem, position, tail)
        if offset < 0:
            result[STRETCH] = offset == CORRUPT
            break
        experiences = _experiences(mem, offset, n_bytes)
        kind = CORRUPTED
        if _is_entry(mem, offset, n_bytes):
            kind = RECORDS
            copy_bytes(headers, end * HEADER_BYTES, mem, offset, HEADER_BYTES)
            end += 1
        result[kind] += 1
        result[kind + 1] += experiences
        result[WALKED] += 1
        result[WALKED_EXPERIENCES] += experiences
        position = after
    result[POSITION] = position
    result[END] = end


@inline
def _experiences(mem: NDArray[np.uint8], offset: int, n_bytes: int) -> int:
    """Steps of the record at `offset` as its header has them; 0 if it can have none."""
    if n_bytes < HEADER_BYTES:
        return 0
    n_steps = _field(mem, offset, _N_STEPS, _LOW_16)
    return n_steps if n_steps <= MAX_STEPS else 0


@inline
def _is_sampled(mem: NDArray[np.uint8], offset: int, sample: int) -> bool:
    """Whether the record at `offset` is among `sample` of 2**32: the finaliser of SplitMix64."""
    if sample >= ALL_OF_THEM:
        return True
    worker = np.uint64(_field(mem, offset, _WORKER, _LOW_16))
    mixed = (np.uint64(load_word(mem, offset + _SEQUENCE)) ^ worker << _WORKER_SHIFT) + _GAMMA
    mixed = (mixed ^ mixed >> np.uint64(30)) * _MIX_1
    mixed = (mixed ^ mixed >> np.uint64(27)) * _MIX_2
    return bool(np.int64((mixed ^ mixed >> np.uint64(31)) >> np.uint64(32)) < sample)


@inline
def _is_entry(mem: NDArray[np.uint8], offset: int, n_bytes: int) -> bool:
    """Whether the bytes behind the header are one entry: tag, length, and just that many bytes."""
    at = offset + HEADER_BYTES
    end = offset + n_bytes
    if n_bytes < HEADER_BYTES + 2 or mem[at] != _ENTRY_TAG:
        return False
    length = np.int64(0)
    for index in range(_MAX_VARINT_BYTES):
        at += 1
        if at >= end:
            return False
        byte = np.int64(mem[at])
        length |= (byte & 0x7F) << (7 * index)
        if byte < _MORE_FOLLOWS:
            return bool(length == end - at - 1)
    return False


@inline
def _passes(
    mem: NDArray[np.uint8],
    offset: int,
    game_ids: NDArray[np.int64],
    seats: int,
    min_last_tick: int,
    policies: NDArray[np.int64],
) -> bool:
    """Whether the record at `offset` passes the filter."""
    if seats != 0 and (seats >> _field(mem, offset, _SEAT, 0x3F)) & 1 == 0:
        return False
    if _field(mem, offset, _LAST_TICK, _LOW_32) < min_last_tick:
        return False
    if policies.shape[0] > 0 and not _contains(policies, _field(mem, offset, _POLICY, _LOW_32)):
        return False
    return game_ids.shape[0] == 0 or _contains(game_ids, load_word(mem, offset + _GAME_ID))


@inline
def _contains(values: NDArray[np.int64], value: int) -> bool:
    """Whether the sorted `values` hold `value`."""
    low = 0
    high = values.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return bool(low < values.shape[0] and values[low] == value)


@inline
def _field(mem: NDArray[np.uint8], offset: int, at: int, mask: int) -> int:
    """A header field of at most 4 bytes; `at` is its place in the header, which is 8-aligned."""
    word = load_word(mem, offset + (at & ~7))
    return (word >> (8 * (at & 7))) & mask
