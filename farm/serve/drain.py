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
from farm.shm.ring import CORRUPT, EMPTY, load_tail, next_record
from farm.spec.trajectory import RECORD_HEADER

MAX_WALK = 1 << 16
"""Records passed in one call at most: some milliseconds; then signals and heartbeats are due."""

HEADER_BYTES = RECORD_HEADER.itemsize
_OFFSETS = {name: place[1] for name, place in (RECORD_HEADER.fields or {}).items()}
_GAME_ID = _OFFSETS["game_id"]
_POLICY = _OFFSETS["policy_hash"]
_LAST_TICK = _OFFSETS["last_tick"]
_N_STEPS = _OFFSETS["n_steps"]
_SEAT = _OFFSETS["seat"]

_ENTRY_TAG = 0x0A
_LOW_32 = 0xFFFFFFFF
_MORE_FOLLOWS = 0x80
"""High bit of every byte of a varint but the last."""
_MAX_VARINT_BYTES = 5

# Words of a result.
POSITION = 0
"""Byte position after the last record passed."""
END = 1
"""Bytes of the buffer that are filled; for `scan`: headers copied."""
RECORDS = 2
"""Records copied."""
EXPERIENCES = 3
"""Steps in the records copied."""
PASSED = 4
"""Records passed: copied, filtered out or corrupt."""
CORRUPTED = 5
"""Stretches that are no record, and records that are no entry; left out."""
WANTED = 6
"""Bytes of the next record, if it was left because the buffer has no room for it; else 0."""
RESULT_WORDS = 7


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
    result: NDArray[np.int64],
) -> None:
    """Copy the entries of the records that pass the filter, in order, as long as they fit.

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
        result: int64[RESULT_WORDS].

    Writes:
        out[start:limit], result.
    """
    end = start
    result[:] = 0
    for _ in range(MAX_WALK):
        offset, n_bytes, after = next_record(mem, position, tail)
        if offset == EMPTY:
            break
        if offset == CORRUPT or not _is_entry(mem, offset, n_bytes):
            result[CORRUPTED] += 1
        elif _passes(mem, offset, game_ids, seats, min_last_tick, policies):
            entry = offset + HEADER_BYTES
            n_entry_bytes = n_bytes - HEADER_BYTES
            if end + n_entry_bytes > limit:
                result[WANTED] = n_entry_bytes
                break
            copy_bytes(out, end, mem, entry, n_entry_bytes)
            end += n_entry_bytes
            result[RECORDS] += 1
            result[EXPERIENCES] += _field(mem, offset, _N_STEPS, 0xFFFF)
        result[PASSED] += 1
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
    while result[PASSED] < MAX_WALK and end < n_rows:
        offset, n_bytes, after = next_record(mem, position, tail)
        if offset == EMPTY:
            break
        result[PASSED] += 1
        position = after
        if offset == CORRUPT or not _is_entry(mem, offset, n_bytes):
            result[CORRUPTED] += 1
            if offset == CORRUPT:
                break
            continue
        copy_bytes(headers, end * HEADER_BYTES, mem, offset, HEADER_BYTES)
        result[RECORDS] += 1
        result[EXPERIENCES] += _field(mem, offset, _N_STEPS, 0xFFFF)
        end += 1
    result[POSITION] = position
    result[END] = end


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
