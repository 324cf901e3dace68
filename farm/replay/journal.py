"""The journal of a game: what happened, entry by entry, as it happened (pure: bytes in, bytes out).

    offset   field            type
    0        magic            8 bytes, `MAGIC`
    8        version          uint16, `JOURNAL_VERSION`
    10       reserved         6 bytes, 0
    16       entries          one behind the other until the end of the file:
             payload_bytes    uint32
             crc              uint32, CRC-32 of the payload (the polynomial of zlib)
             payload          msgpack: an array, of which the first element says what it is

Little-endian. The first entry is the `Header`; entries that have a tick come in its order, and each
`Ticked` counts it up by one; `Ended` is the last one. A file without it is of a game that is being
played, or was when its host died.

What a write left unfinished (a full disk, a power cut) is cut off in reading: the end of a file
that is no whole entry. Whole entries behind such a place are another matter: something was changed
or lost there, and the file is refused. The version goes up with any change of the entries; a file
of another version is refused by name.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from farm.replay.model import (
    FORGET,
    MAX_LEAVES,
    MAX_ORDERS,
    MAX_TICKS,
    AnyMap,
    Flag,
    Leave,
    Name,
    Natural,
    Order,
    Replay,
    Rules,
    Seat,
    Tick,
    Uint64,
)

MAGIC: Final = b"\x93farmjrn"
JOURNAL_VERSION: Final = 1
MAX_FILE_BYTES: Final = 256 << 20
MAX_ENTRY_BYTES: Final = 1 << 20
"""A header with the largest board of all has a tenth of it."""
MAX_ENTRIES: Final = 1_500_000
"""Every order and every tick that a replay may have, and as many again of everything else."""
MAX_KEY: Final = 64
"""Characters of an idempotency key."""
TOKEN_BYTES: Final = 32
"""Of the digest of a token (SHA-256)."""

ENDED: Final = 4
CANCELLED: Final = 5
FAILED: Final = 6
"""Phases that a game can end in, numbered as in proto/farm/rpc/v1/games.proto."""

SURRENDERED: Final = 0
ABSENT: Final = 1
"""Why a seat left: it said so, or was away for too long."""

_HEAD: Final = struct.Struct("<8sH6s")
_FRAME: Final = struct.Struct("<II")
HEAD: Final = _HEAD.pack(MAGIC, JOURNAL_VERSION, bytes(6))
"""How a file begins."""
_TAIL_BYTES: Final = 2 * MAX_ENTRY_BYTES
"""What one write may leave unfinished."""
_FRAMED: Final = re.compile(rb"(?=...\x00....[\x91-\x9f][\x00-\x09])", re.DOTALL)
"""Where an entry may begin: a length below 16 MB, a checksum, a short array, a tag."""

Key: TypeAlias = Annotated[str, Meta(max_length=MAX_KEY)]
Token: TypeAlias = Annotated[bytes, Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]
Move: TypeAlias = tuple[Natural, Natural, Flag]
"""Start, end, half."""
SeatMove: TypeAlias = tuple[Seat, Natural, Natural, Flag]


class Header(Struct, frozen=True, array_like=True, tag=0, forbid_unknown_fields=True):
    """What a game is: enough to play it again."""

    game_id: Uint64
    name: Name
    rules: Rules
    map: AnyMap
    max_ticks: Tick
    """Ticks after which the game is truncated; 0 for never."""
    players: tuple[Name, ...]
    """By seat, the policies of bots; empty for those that are free."""
    created_ns: Uint64
    """Wall clock."""
    host: bytes = b""
    """What the host of the game keeps for itself (farm.games.journal)."""

    def __post_init__(self) -> None:
        """Refuse names that are not those of the seats."""
        if len(self.players) != self.map.n_seats:
            raise ValueError(f"{len(self.players)} names for {self.map.n_seats} seats")


class Joined(Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """An agent took a seat; or has another token for the one it took, by the same key."""

    seat: Seat
    name: Name
    token: Token
    """SHA-256 of the seat's token."""
    key: Key = ""


class Orders(Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """An action that was accepted, before the tick of that number was played."""

    tick: Tick
    seat: Seat
    clear: Flag
    """Whether what waited was forgotten first."""
    moves: tuple[Move, ...]
    """None: the seat passed."""
    key: Key
    queued: Natural
    """Moves that waited afterwards, as the seat was told."""


class Ticked(Struct, frozen=True, array_like=True, tag=3, forbid_unknown_fields=True):
    """A tick was played."""

    tick: Tick
    """The counter before it."""
    orders: tuple[SeatMove, ...]
    """Of bots, and of seats whose actions are not acknowledged one by one."""


class Left(Struct, frozen=True, array_like=True, tag=4, forbid_unknown_fields=True):
    """A seat is out of its own accord, or because it stayed away."""

    tick: Tick
    seat: Seat
    cause: Annotated[int, Meta(ge=SURRENDERED, le=ABSENT)]


class Moved(Struct, frozen=True, array_like=True, tag=5, forbid_unknown_fields=True):
    """The game went into another phase that is not an end."""

    tick: Tick
    phase: Annotated[int, Meta(ge=1, lt=ENDED)]
    wall_ns: Uint64


class Replaced(Struct, frozen=True, array_like=True, tag=6, forbid_unknown_fields=True):
    """A policy plays for a seat from here on, or no longer."""

    tick: Tick
    seat: Seat
    policy: Name
    """Empty: its agent is back."""


class Connected(Struct, frozen=True, array_like=True, tag=7, forbid_unknown_fields=True):
    """The agent of a seat went away, or came back: of no effect on the game, and told to others."""

    tick: Tick
    seat: Seat
    connected: Flag


class Ended(Struct, frozen=True, array_like=True, tag=9, forbid_unknown_fields=True):
    """The game is over; nothing follows."""

    tick: Tick
    phase: Annotated[int, Meta(ge=ENDED, le=FAILED)]
    digest: bytes
    """Of the last state (digest.py); empty where there was none."""
    winners: tuple[Seat, ...]
    wall_ns: Uint64
    reason: Annotated[str, Meta(max_length=1_000)] = ""


Entry: TypeAlias = Header | Joined | Orders | Ticked | Left | Moved | Replaced | Connected | Ended

_ENDS: Final = {
    ENDED: "of an ended game",
    CANCELLED: "of a cancelled game",
    FAILED: "of a game that failed",
}

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Entry]] = msgspec.msgpack.Decoder(Entry)


class Journal(NamedTuple):
    """What a file holds."""

    header: Header
    entries: list[Entry]
    """Without the header."""
    n_bytes: int
    """Of the file, up to the end of its last whole entry."""
    cut_bytes: int
    """Behind that."""

    @property
    def end(self) -> Ended | None:
        """How the game ended; None while it has not."""
        last = self.entries[-1] if self.entries else None
        return last if isinstance(last, Ended) else None

    @property
    def state(self) -> str:
        """In words, what this is the journal of."""
        words = "of a game that has not ended" if self.end is None else _ENDS[self.end.phase]
        cut = f", {self.cut_bytes:,} bytes cut off its end" if self.cut_bytes else ""
        return f"journal {words}{cut}"

    @property
    def n_ticks(self) -> int:
        """Ticks that were played."""
        ticked = (entry for entry in reversed(self.entries) if isinstance(entry, Ticked))
        return next((entry.tick + 1 for entry in ticked), 0)


def encode(entry: Entry) -> bytes:
    """The bytes of an entry, to be appended to a file that begins with HEAD."""
    payload = _ENCODER.encode(entry)
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def decode(data: bytes) -> Journal:
    """What a file holds.

    Raises:
        ValueError: it is no journal, or a damaged one; the message says why.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"more than {MAX_FILE_BYTES:,} bytes")
    _check_head(data)
    entries: list[Entry] = []
    at = _HEAD.size
    for payload in _payloads(data):
        try:
            entries.append(_DECODER.decode(payload))
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"entry {len(entries)}: {error}") from error
        at += _FRAME.size + len(payload)
        if len(entries) > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES:,} entries")
    _check_tail(data, at, len(entries))
    if not entries or not isinstance(entries[0], Header):
        raise ValueError("no whole header")
    header, rest = entries[0], entries[1:]
    _check_course(header, rest)
    return Journal(header, rest, at, len(data) - at)


def to_replay(journal: Journal) -> Replay:
    """The game as a replay: to its end, or as far as it was played.

    Raises:
        ValueError: no replay can be so long.
    """
    header, end = journal.header, journal.end
    players = list(header.players)
    orders: list[Order] = []
    leaves: list[Leave] = []
    for entry in journal.entries:
        match entry:
            case Joined():
                players[entry.seat] = entry.name
            case Orders() | Ticked():
                orders.extend(_orders(entry))
            case Left():
                leaves.append(Leave(entry.tick, entry.seat))
    return Replay(
        game_id=str(header.game_id),
        rules=header.rules,
        map=header.map,
        n_ticks=journal.n_ticks,
        max_ticks=header.max_ticks,
        orders=tuple(orders),
        leaves=tuple(leaves),
        final_hash=end.digest if end else b"",
        players=tuple(players),
    )


def _orders(entry: Orders | Ticked) -> Iterator[Order]:
    """What an entry puts into the queues."""
    tick = entry.tick
    if isinstance(entry, Ticked):
        for seat, start, end, half in entry.orders:
            yield Order(tick, seat, start, end, half)
        return
    if entry.clear:
        yield Order(tick, entry.seat, FORGET, 0, 0)
    for start, end, half in entry.moves:
        yield Order(tick, entry.seat, start, end, half)


def _check_head(data: bytes) -> None:
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise ValueError("not a journal")
    _, version, reserved = _HEAD.unpack_from(data)
    if version != JOURNAL_VERSION:
        written = "an older" if version < JOURNAL_VERSION else "a newer"
        raise ValueError(
            f"journal version {version}, written by {written} farm; this one reads "
            f"{JOURNAL_VERSION}"
        )
    if any(reserved):
        raise ValueError("the head is damaged")


def _payloads(data: bytes) -> Iterator[memoryview]:
    """The entries up to the first place that is none."""
    view = memoryview(data)
    at = _HEAD.size
    while (payload := _payload(view, at)) is not None:
        yield payload
        at += _FRAME.size + len(payload)


def _payload(data: memoryview, at: int) -> memoryview | None:
    """The payload of the entry at an offset; None if there is no whole one."""
    if at + _FRAME.size > len(data):
        return None
    n_bytes, crc = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    if not 0 < n_bytes <= min(MAX_ENTRY_BYTES, len(data) - start):
        return None
    payload = data[start : start + n_bytes]
    return payload if zlib.crc32(payload) == crc else None


def _check_tail(data: bytes, at: int, number: int) -> None:
    """Refuse a file in which more than its last write is missing."""
    if len(data) - at > _TAIL_BYTES:
        raise ValueError(f"entry {number}, at byte {at:,}, is damaged, {len(data) - at:,} follow")
    view = memoryview(data)
    for found in _FRAMED.finditer(data, at + 1):
        if _payload(view, found.start()) is not None:
            raise ValueError(f"entry {number}, at byte {at:,}, is damaged, and whole ones follow")


def _check_course(header: Header, entries: Iterable[Entry]) -> None:
    """Refuse entries that cannot be of one game, or make a longer one than a replay may be."""
    n_ticks = n_orders = n_leaves = 0
    over = False
    for number, entry in enumerate(entries, 1):
        if over or isinstance(entry, Header):
            raise ValueError(f"entry {number}: a header, or anything at all, after the end")
        if not isinstance(entry, Joined) and entry.tick != n_ticks:
            raise ValueError(f"entry {number}: of tick {entry.tick}, and the game is at {n_ticks}")
        for seat in _seats(entry):
            if seat >= header.map.n_seats:
                raise ValueError(
                    f"entry {number}: seat {seat} in a game of {header.map.n_seats} seats"
                )
        if isinstance(entry, Ticked):
            n_ticks += 1
            n_orders += len(entry.orders)
        elif isinstance(entry, Orders):
            n_orders += len(entry.moves) + entry.clear
        n_leaves += isinstance(entry, Left)
        over = isinstance(entry, Ended)
        if n_ticks > MAX_TICKS or n_orders > MAX_ORDERS or n_leaves > MAX_LEAVES:
            raise ValueError(f"entry {number}: no game is so long")


def _seats(entry: Entry) -> Iterable[int]:
    match entry:
        case Ticked():
            return [order[0] for order in entry.orders]
        case Joined() | Orders() | Left() | Replaced() | Connected():
            return (entry.seat,)
        case Ended():
            return entry.winners
        case _:
            return ()
