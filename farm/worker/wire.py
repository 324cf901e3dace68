"""Writes the record of a trajectory: a header, and the finished protobuf form for the wire.

    record = spec.trajectory.RECORD_HEADER (64 bytes)
           | 0x0A | length: varint | Trajectory message (proto/farm/rpc/v1/experience.proto)

The message is byte for byte what the protobuf library would write: fields in the order of their
numbers, zeros left out. Its integer fields are handed over as `fields: uint64[N_FIELDS]`, indexed
by their numbers, so that what never changes in a worker's life is filled in once.
"""

import numpy as np
from numpy.typing import NDArray

from farm.jit import inline
from farm.shm.memcpy import copy_bytes

GAME_ID, SEAT, N_SEATS, N_ALLIES, HEIGHT, WIDTH = 1, 2, 3, 4, 5, 6
FIRST_TICK, N_STEPS, TERMINATED, TRUNCATED = 7, 8, 9, 10
POLICY, POLICY_VERSION, CONFIG_EPOCH = 11, 12, 13
WORKER, GENERATION, SEQUENCE, WALL_TIME_NS = 14, 15, 16, 17
CHECKSUM, PAYLOAD, HAS_MEMORY = 18, 19, 20
N_FIELDS = 21

MAX_HEAD_BYTES = 256
"""Bound on a message without its payload: 17 varints of at most 12 bytes, a name and a checksum."""
MAX_NAME_BYTES = 32

_BATCH_ENTRY_TAG = 0x0A
"""Field 1 of ExperienceBatch, length-delimited."""
_LENGTH_DELIMITED = 2
_FIXED32 = 5
_CONTINUED = np.uint64(0x80)
_SEVEN = np.uint64(7)
_BYTE = np.uint64(0xFF)
_EIGHT = np.uint64(8)
_ALL_ONES = np.uint64(0xFFFFFFFF)


def crc32_tables() -> NDArray[np.uint64]:
    """Eight tables for CRC-32 (zlib's polynomial), eight bytes a step: uint64[8, 256]."""
    tables = np.zeros((8, 256), dtype=np.uint64)
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
        tables[0, value] = crc
    for row in range(1, 8):
        before = tables[row - 1]
        tables[row] = before >> _EIGHT ^ tables[0][(before & _BYTE).astype(np.intp)]
    return tables


@inline
def crc32(
    tables: NDArray[np.uint64], data: NDArray[np.uint8], n_bytes: int, crc: np.uint64
) -> np.uint64:
    """CRC-32 of data[:n_bytes] behind what `crc` covers (0 at the beginning), as zlib.crc32."""
    crc ^= _ALL_ONES
    at = 0
    while at + 8 <= n_bytes:
        for index in range(4):
            crc ^= np.uint64(data[at + index]) << np.uint64(8 * index)
        crc = (
            tables[7, crc & _BYTE]
            ^ tables[6, crc >> _EIGHT & _BYTE]
            ^ tables[5, crc >> np.uint64(16) & _BYTE]
            ^ tables[4, crc >> np.uint64(24)]
            ^ tables[3, data[at + 4]]
            ^ tables[2, data[at + 5]]
            ^ tables[1, data[at + 6]]
            ^ tables[0, data[at + 7]]
        )
        at += 8
    while at < n_bytes:
        crc = crc >> _EIGHT ^ tables[0, (crc ^ np.uint64(data[at])) & _BYTE]
        at += 1
    return crc ^ _ALL_ONES


@inline
def write_head(
    head: NDArray[np.uint8],
    fields: NDArray[np.uint64],
    name: NDArray[np.uint8],
    checksum: np.uint64,
    n_payload_bytes: int,
) -> int:
    """Write a Trajectory message up to where its payload begins.

    Args:
        head: uint8[MAX_HEAD_BYTES].
        fields: uint64[N_FIELDS], integer fields by number, read.
        name: uint8[n], the policy's name in UTF-8, n at most MAX_NAME_BYTES, read.
        checksum: CRC-32 of the trajectory.
        n_payload_bytes: bytes of the payload that will follow.

    Returns:
        Bytes of the head.

    Writes:
        head.
    """
    at = 0
    for number in range(GAME_ID, POLICY):
        at = _put_field(head, at, number, fields[number])
    if name.shape[0] > 0:
        at = _put_varint(head, at, np.uint64(POLICY << 3 | _LENGTH_DELIMITED))
        at = _put_varint(head, at, np.uint64(name.shape[0]))
        for index in range(name.shape[0]):
            head[at] = name[index]
            at += 1
    for number in range(POLICY_VERSION, CHECKSUM):
        at = _put_field(head, at, number, fields[number])
    if checksum != np.uint64(0):
        at = _put_varint(head, at, np.uint64(CHECKSUM << 3 | _FIXED32))
        for _ in range(4):
            head[at] = checksum & _BYTE
            checksum >>= _EIGHT
            at += 1
    at = _put_varint(head, at, np.uint64(PAYLOAD << 3 | _LENGTH_DELIMITED))
    return _put_varint(head, at, np.uint64(n_payload_bytes))


@inline
def tail_bytes(fields: NDArray[np.uint64]) -> int:
    """Bytes of a message behind its payload: a flag, when it is set."""
    return 3 if fields[HAS_MEMORY] != np.uint64(0) else 0


@inline
def entry_bytes(n_message_bytes: int) -> int:
    """Bytes of a message as an entry of ExperienceBatch: tag, length, message."""
    length = 2
    rest = np.uint64(n_message_bytes) >> _SEVEN
    while rest != np.uint64(0):
        length += 1
        rest >>= _SEVEN
    return length + n_message_bytes


@inline
def write_entry(
    out: NDArray[np.uint8],
    at: int,
    head: NDArray[np.uint8],
    n_head_bytes: int,
    payload: NDArray[np.uint8],
    n_payload_bytes: int,
    fields: NDArray[np.uint64],
) -> int:
    """Write an entry of ExperienceBatch at `at`: tag, length, head, payload, tail; where it ends.

    Writes:
        out.
    """
    out[at] = _BATCH_ENTRY_TAG
    n_bytes = n_head_bytes + n_payload_bytes + tail_bytes(fields)
    at = _put_varint(out, at + 1, np.uint64(n_bytes))
    copy_bytes(out, at, head, 0, n_head_bytes)
    copy_bytes(out, at + n_head_bytes, payload, 0, n_payload_bytes)
    return _put_field(out, at + n_head_bytes + n_payload_bytes, HAS_MEMORY, fields[HAS_MEMORY])


@inline
def fill_prefix(prefix: NDArray[np.void], fields: NDArray[np.uint64]) -> None:
    """Fill what a checksum covers in front of the payload: CHECKSUM_PREFIX[1]."""
    row = prefix[0]
    row.sequence = fields[SEQUENCE]
    row.game_id = fields[GAME_ID]
    row.first_tick = fields[FIRST_TICK]
    row.worker = fields[WORKER]
    row.generation = fields[GENERATION]
    row.n_steps = fields[N_STEPS]
    row.seat = fields[SEAT]
    row.n_seats = fields[N_SEATS]
    row.height = fields[HEIGHT]
    row.width = fields[WIDTH]
    row.terminated = fields[TERMINATED]
    row.truncated = fields[TRUNCATED]


@inline
def fill_header(
    header: NDArray[np.void],
    fields: NDArray[np.uint64],
    policy_hash: np.uint64,
    reward: NDArray[np.float32],
) -> None:
    """Fill the header of a record, RECORD_HEADER[1], from the fields and the rewards."""
    row = header[0]
    row.sequence = fields[SEQUENCE]
    row.game_id = fields[GAME_ID]
    row.wall_time_ns = fields[WALL_TIME_NS]
    row.policy_hash = policy_hash
    row.first_tick = fields[FIRST_TICK]
    row.last_tick = fields[FIRST_TICK] + fields[N_STEPS]
    row.generation = fields[GENERATION]
    row.n_steps = fields[N_STEPS]
    row.worker = fields[WORKER]
    row.seat = fields[SEAT]
    row.n_seats = fields[N_SEATS]
    row.terminated = fields[TERMINATED]
    row.truncated = fields[TRUNCATED]
    total = 0.0
    lowest = reward[0]
    highest = reward[0]
    for step in range(np.int64(fields[N_STEPS])):
        total += reward[step]
        lowest = min(lowest, reward[step])
        highest = max(highest, reward[step])
    row.reward_sum = total
    row.reward_min = lowest
    row.reward_max = highest


@inline
def _put_field(out: NDArray[np.uint8], at: int, number: int, value: np.uint64) -> int:
    if value == np.uint64(0):
        return at
    at = _put_varint(out, at, np.uint64(number << 3))
    return _put_varint(out, at, value)


@inline
def _put_varint(out: NDArray[np.uint8], at: int, value: np.uint64) -> int:
    while value >= _CONTINUED:
        out[at] = value & np.uint64(0x7F) | _CONTINUED
        value >>= _SEVEN
        at += 1
    out[at] = value
    return at + 1
