"""The `.replay` file: a header, and the games as msgpack (pure: bytes in, bytes out).

    offset   field            type
    0        magic            8 bytes, `MAGIC`
    8        version          uint16, `FORMAT_VERSION`
    10       reserved         uint16, 0
    12       crc              uint32, CRC-32 of the payload (the polynomial of zlib)
    16       payload_bytes    uint64
    24       payload          msgpack: an array of `model.Replay`

Little-endian. The version goes up with any change of `model.Replay` or of its meaning; a file of
another version is refused by name, never guessed at.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from farm.replay.model import Replay

MAGIC: Final = b"\x93farmrpl"
FORMAT_VERSION: Final = 3
MAX_FILE_BYTES: Final = 256 << 20
MAX_GAMES: Final = 100_000

_HEADER: Final = struct.Struct("<8sHHIQ")
_DECODER: Final = msgspec.msgpack.Decoder(list[Replay])


def encode(replays: Sequence[Replay]) -> bytes:
    """The bytes of a `.replay` file.

    Raises:
        ValueError: there are more games or bytes than a reader takes.
    """
    payload = msgspec.msgpack.encode(replays)
    if len(replays) > MAX_GAMES or _HEADER.size + len(payload) > MAX_FILE_BYTES:
        raise ValueError(
            f"{len(replays):,} games of {len(payload):,} bytes: a file holds at most "
            f"{MAX_GAMES:,} games and {MAX_FILE_BYTES:,} bytes; write several"
        )
    crc = zlib.crc32(payload)
    return _HEADER.pack(MAGIC, FORMAT_VERSION, 0, crc, len(payload)) + payload


def decode(data: bytes) -> list[Replay]:
    """The games of a `.replay` file.

    Raises:
        ValueError: the bytes are not a whole file of this version; the message says why.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise ValueError("not a .replay file")
    _, version, reserved, crc, payload_bytes = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        written = "an older" if version < FORMAT_VERSION else "a newer"
        raise ValueError(
            f"format version {version}, written by {written} farm; this one reads "
            f"{FORMAT_VERSION}: import the game anew from its source"
        )
    payload = memoryview(data)[_HEADER.size :]
    if reserved:
        raise ValueError("the header is damaged")
    if len(payload) != payload_bytes:
        raise ValueError(f"{len(payload):,} bytes of games where {payload_bytes:,} were written")
    if zlib.crc32(payload) != crc:
        raise ValueError("the checksum does not agree: the file is damaged")
    try:
        replays = _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    if len(replays) > MAX_GAMES:
        raise ValueError(f"{len(replays):,} games, at most {MAX_GAMES:,}")
    return replays
