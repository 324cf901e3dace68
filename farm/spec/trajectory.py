"""The trajectory: what its payload holds, and the header in front of its record in a ring.

Compiled into kernels (farm.jit).

The payload is one LZ4 block (the raw block format, no frame). Decompressed it is, for T steps:

    offset             field      type           meaning
    0                  frames     frame[T + 1]   observations; frame k + 1 is after step k
    (T + 1) * frame    reward     float32[T]
    + 4T               log_prob   float32[T]     natural, of the action under its policy
    + 8T               action     uint16[T]      action index (actions.py)

Everything is little-endian. The last frame is the true final observation, also when the game ended.
`terminated` and `truncated` are about the last step; all others are neither.

The checksum is CRC-32 (the polynomial of zlib) over `CHECKSUM_PREFIX` followed by the payload, so
that an intact payload under another trajectory's metadata is found out too.
"""

import zlib

import numpy as np

from farm.spec import observation

STEP_BYTES = 10
"""Bytes of reward, log-probability and action of one step."""


def payload_bytes(n_cells: int, n_seats: int, n_steps: int) -> int:
    """Size of a decompressed payload."""
    return (n_steps + 1) * observation.frame_bytes(n_cells, n_seats) + STEP_BYTES * n_steps


def compressed_bound(n_bytes: int) -> int:
    """The most an LZ4 block of `n_bytes` can take (LZ4_compressBound)."""
    return n_bytes + n_bytes // 255 + 16


CHECKSUM_PREFIX = np.dtype(
    [
        ("sequence", "<u8"),
        ("game_id", "<u8"),
        ("first_tick", "<u4"),
        ("worker", "<u2"),
        ("generation", "<u2"),
        ("n_steps", "<u2"),
        ("seat", "u1"),
        ("n_seats", "u1"),
        ("height", "u1"),
        ("width", "u1"),
        ("terminated", "u1"),
        ("truncated", "u1"),
    ]
)
"""32 bytes, packed in this order, in front of the payload for the checksum."""

RECORD_HEADER = np.dtype(
    [
        ("sequence", "<u8"),
        ("game_id", "<u8"),
        ("wall_time_ns", "<u8"),
        ("reward_sum", "<f8"),
        ("reward_min", "<f4"),
        ("reward_max", "<f4"),
        ("policy_hash", "<u4"),
        ("first_tick", "<u4"),
        ("last_tick", "<u4"),
        ("generation", "<u4"),
        ("n_steps", "<u2"),
        ("worker", "<u2"),
        ("seat", "u1"),
        ("n_seats", "u1"),
        ("terminated", "u1"),
        ("truncated", "u1"),
    ]
)
"""64 bytes in front of the wire form in a ring: what filters and statistics need."""

N_STEPS_OFFSET = 56
"""Of `n_steps` in a record header, for who counts experiences and knows nothing else of them."""


def policy_hash(name: str) -> int:
    """How a policy's name is matched in a record header: CRC-32 of its UTF-8 bytes."""
    return zlib.crc32(name.encode())


def checksum(prefix: bytes, payload: bytes) -> int:
    """The checksum of a trajectory, from its packed `CHECKSUM_PREFIX` and compressed payload."""
    return zlib.crc32(payload, zlib.crc32(prefix))
