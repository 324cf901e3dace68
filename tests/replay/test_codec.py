"""The `.replay` file: what is written is read back, and anything else is refused by name."""

import struct
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay.games import march, replays, wandering

from farm.replay import codec
from farm.replay.codec import decode, encode

WRITTEN = encode([march(), wandering()])


@given(st.lists(replays(), max_size=3))
def test_what_is_written_is_read_back(games):
    assert decode(encode(games)) == games


@given(st.integers(0, len(WRITTEN) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(place, change):
    damaged = bytearray(WRITTEN)
    damaged[place] ^= change
    with pytest.raises(ValueError, match=r"not a \.replay|version|header|checksum|bytes of games"):
        decode(bytes(damaged))


@given(st.integers(0, len(WRITTEN) - 1))
def test_a_file_that_was_cut_off_is_refused(length):
    with pytest.raises(ValueError, match=r"not a \.replay file|bytes of games"):
        decode(WRITTEN[:length])


@pytest.mark.parametrize(
    ("version", "words"), [(0, "an older"), (2, "an older"), (4, "a newer"), (65535, "a newer")]
)
def test_another_version_is_refused_by_name(version, words):
    other = WRITTEN[:8] + struct.pack("<H", version) + WRITTEN[10:]
    with pytest.raises(ValueError, match=f"version {version}, written by {words} farm"):
        decode(other)


def sealed(payload):
    """A file with a right checksum around any payload."""
    head = struct.pack(
        "<8sHHIQ", codec.MAGIC, codec.FORMAT_VERSION, 0, zlib.crc32(payload), len(payload)
    )
    return head + payload


def changed(**fields):
    plain = msgspec.to_builtins(march(), builtin_types=(bytes,))
    return sealed(msgspec.msgpack.encode([{**plain, **fields}]))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"surprise": 1}, "surprise"),
        ({"n_ticks": -1}, "n_ticks"),
        ({"n_ticks": 100_001}, "n_ticks"),
        ({"game_id": "x" * 257}, "game_id"),
        ({"orders": [[0, 0, 0, 1]]}, "orders"),
        ({"orders": [[0, 2, 0, 1, 0]]}, "seat 2 in a game of 2 seats"),
        ({"orders": [[5, 0, 0, 1, 0], [4, 0, 0, 1, 0]]}, "tick 4 after tick 5"),
        ({"orders": [[0, 0, 2**31, 1, 0]]}, "orders"),
        ({"leaves": [[0, 0]] * 1_001}, "1,001 leaves"),
        ({"hashes": b"12345"}, "6 bytes"),
        ({"hashes": b"sixsix" * 101}, "101 hashes for 100 ticks"),
        ({"players": ["Ann"]}, "1 names for 2 seats"),
        ({"map": {"type": "round"}}, "round"),
    ],
)
def test_a_game_that_contradicts_itself_is_refused_with_the_reason(fields, words):
    with pytest.raises(ValueError, match=words):
        decode(changed(**fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"height": 65}, "height"),
        ({"generals": [0, 16]}, "generals: cell 16"),
        ({"generals": [0, 0]}, "two generals"),
        ({"generals": [0, 5]}, "share cell 5"),
        ({"generals": [0, -2]}, "generals: cell -2"),
        ({"generals": [0]}, "1 seats"),
        ({"cities": []}, "0 cities, 1 armies"),
        ({"neutrals": [3]}, "1 neutral cells, 0 armies"),
        ({"swamps": [16]}, "swamps: cell 16"),
        ({"teams": [1, 1]}, "one team"),
        ({"teams": [1, 2, 3]}, "3 teams for 2 seats"),
    ],
)
def test_a_board_that_contradicts_itself_is_refused_with_the_reason(fields, words):
    board = msgspec.to_builtins(march().map)
    with pytest.raises(ValueError, match=words):
        decode(changed(map={**board, **fields}))


@pytest.mark.parametrize("field", ["production_period", "land_period"])
def test_a_period_of_no_ticks_is_refused(field):
    with pytest.raises(ValueError, match=field):
        decode(changed(rules={**msgspec.to_builtins(march().rules), field: 0}))


def test_more_games_than_a_reader_takes_are_not_written(monkeypatch):
    monkeypatch.setattr(codec, "MAX_GAMES", 1)
    with pytest.raises(ValueError, match="2 games"):
        encode([march(), march()])
    with pytest.raises(ValueError, match="2 games, at most 1"):
        decode(WRITTEN)
