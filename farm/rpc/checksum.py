"""The checksum of a trajectory, from its message: whoever sends one computes it as this does."""

import struct
import zlib

from farm.rpc.v1 import experience_pb2

_pack_prefix = struct.Struct("<QQIHHHBBBBBB").pack
"""`spec.trajectory.CHECKSUM_PREFIX`; packing a struct takes a tenth of filling a NumPy record."""
_U16 = 0xFFFF


def checksum_of(message: experience_pb2.Trajectory) -> int:
    """CRC-32 over the metadata that a payload must not be separated from, and the payload.

    Raises:
        struct.error: a field is beyond what the prefix has room for.
    """
    prefix = _pack_prefix(
        message.sequence,
        message.game_id,
        message.first_tick,
        message.worker,
        message.generation & _U16,
        message.n_steps,
        message.seat,
        message.n_seats,
        message.height,
        message.width,
        message.terminated,
        message.truncated,
    )
    return zlib.crc32(message.payload, zlib.crc32(prefix))
