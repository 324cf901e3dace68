"""The journal of a game: whole entries are read back, a torn end is cut off, all else refused."""

import struct
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay.games import BOARD, OFFICIAL

from farm.replay import journal
from farm.replay.journal import (
    CANCELLED,
    ENDED,
    HEAD,
    Connected,
    Ended,
    Header,
    Joined,
    Left,
    Moved,
    Orders,
    Replaced,
    Ticked,
    decode,
    encode,
    to_replay,
)
from farm.replay.model import FORGET, Leave, Order
from farm.replay.simulate import Playback, verify

HEADER = Header(7, "a game", OFFICIAL, BOARD, 60, ("", "", "hunter"), 1_000, b"of the host")
COURSE = [
    Joined(0, "Ann", b"a" * 32, "first"),
    Joined(1, "Bob", b"b" * 32),
    Moved(0, 2, 2_000),
    Orders(0, 0, 0, ((0, 1, 0), (1, 2, 1)), "one", 2),
    Ticked(0, ((2, 5, 4, 0),)),
    Orders(1, 0, 1, ((0, 6, 0),), "", 1),
    Orders(1, 1, 0, (), "two", 0),
    Connected(1, 1, 0),
    Replaced(1, 1, "expander"),
    Ticked(1, ()),
    Left(2, 1, 1),
    Ticked(2, ()),
]


def written(entries=COURSE, header=HEADER):
    return HEAD + b"".join(map(encode, [header, *entries]))


WRITTEN = written()
STARTS = [len(written(COURSE[:n])) for n in range(len(COURSE) + 1)]
"""Where each entry behind the header begins, and the end."""


def end_of(replay, *, phase=ENDED):
    playback = Playback(replay)
    while playback.has_more:
        playback.step()
    return Ended(playback.tick, phase, playback.digest(), playback.winners, 3_000)


def test_what_is_written_is_read_back():
    found = decode(WRITTEN)
    assert found.header == HEADER
    assert found.entries == COURSE
    assert (found.n_bytes, found.cut_bytes, found.n_ticks, found.end) == (len(WRITTEN), 0, 3, None)


def test_a_replay_has_every_order_in_its_place_and_forgets_where_the_player_did():
    replay = to_replay(decode(WRITTEN))
    assert replay.orders == (
        Order(0, 0, 0, 1, 0),
        Order(0, 0, 1, 2, 1),
        Order(0, 2, 5, 4, 0),
        Order(1, 0, FORGET, 0, 0),
        Order(1, 0, 0, 6, 0),
    )
    assert replay.leaves == (Leave(2, 1),)
    assert (replay.game_id, replay.n_ticks, replay.max_ticks) == ("7", 3, 60)
    assert replay.players == ("Ann", "Bob", "hunter")


def test_the_replay_of_an_ended_journal_is_compared_with_its_last_state():
    end = end_of(to_replay(decode(WRITTEN)), phase=CANCELLED)
    found = decode(written([*COURSE, end]))
    assert found.end == end
    assert found.state == "journal of a cancelled game"
    assert verify(to_replay(found)).n_hashes == 1
    assert verify(to_replay(found)).agrees
    wrong = msgspec.structs.replace(end, digest=b"wrong!")
    assert verify(to_replay(decode(written([*COURSE, wrong])))).first_mismatch == 3


def test_a_journal_that_ends_at_the_last_turn_is_of_a_truncated_game():
    ticks = [Ticked(tick, ()) for tick in range(60)]
    verdict = verify(to_replay(decode(written(ticks))))
    assert (verdict.n_ticks, verdict.is_over, verdict.winners) == (60, True, ())


@pytest.mark.parametrize("length", range(len(HEAD), STARTS[-1]))
def test_a_torn_end_is_cut_off_at_the_last_whole_entry(length):
    if length < STARTS[0]:
        with pytest.raises(ValueError, match="no whole header"):
            decode(WRITTEN[:length])
        return
    found = decode(WRITTEN[:length])
    whole = max(start for start in STARTS if start <= length)
    assert found.entries == COURSE[: STARTS.index(whole)]
    assert (found.n_bytes, found.cut_bytes) == (whole, length - whole)
    assert ("cut off" in found.state) == (length > whole)


@given(st.integers(0, len(WRITTEN) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_costs_no_more_than_the_last_entry(place, change):
    damaged = bytearray(WRITTEN)
    damaged[place] ^= change
    if place >= STARTS[-2]:
        assert decode(bytes(damaged)).entries == COURSE[:-1]
        return
    with pytest.raises(ValueError, match=r"not a journal|version|head|damaged"):
        decode(bytes(damaged))


@given(st.binary(max_size=200))
def test_noise_behind_whole_entries_is_cut_off(noise):
    found = decode(WRITTEN + noise)
    assert found.entries[: len(COURSE)] == COURSE


def test_the_zeros_of_a_power_cut_are_cut_off_and_a_long_tail_is_refused():
    assert decode(WRITTEN + bytes(5_000)).cut_bytes == 5_000
    with pytest.raises(ValueError, match=r"entry 13, at byte .* is damaged"):
        decode(WRITTEN + bytes(3 << 20))


@pytest.mark.parametrize(("version", "words"), [(0, "an older"), (2, "a newer")])
def test_another_version_is_refused_by_name(version, words):
    other = WRITTEN[:8] + struct.pack("<H", version) + WRITTEN[10:]
    with pytest.raises(ValueError, match=f"version {version}, written by {words} farm"):
        decode(other)


def framed(payload):
    """An entry with a right checksum around anything."""
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ([3, 0], "entry 1: "),
        ([3, 0, [], 1], "entry 1: "),
        ([7, 0], "entry 1: "),
        ([2, 0, 0, 0, [[-1, 0, 0]], "", 0], "entry 1: .*>= 0"),
        ([2, 0, 0, 0, [], "k" * 65, 0], "entry 1: "),
        ([1, 0, "Ann", b"short", ""], "entry 1: "),
        ([9, 0, 2, b"", [], 0, ""], "entry 1: "),
        ({"a": 1}, "entry 1: "),
        ("text", "entry 1: "),
    ],
)
def test_an_entry_of_another_shape_is_refused_by_its_number(entry, words):
    with pytest.raises(ValueError, match=words):
        decode(written([]) + framed(msgspec.msgpack.encode(entry)))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([HEADER], "entry 1: a header"),
        ([Ticked(1, ())], "entry 1: of tick 1, and the game is at 0"),
        ([Ticked(0, ()), Ticked(0, ())], "entry 2: of tick 0, and the game is at 1"),
        ([Orders(0, 3, 0, (), "", 0)], "entry 1: seat 3 in a game of 3 seats"),
        ([Ticked(0, ((5, 0, 1, 0),))], "entry 1: seat 5"),
        ([Ended(0, 5, b"", (), 0), Ticked(0, ())], "entry 2: .* after the end"),
    ],
)
def test_a_course_that_no_game_takes_is_refused(entries, words):
    with pytest.raises(ValueError, match=words):
        decode(written(entries))


def test_a_file_without_a_header_or_with_names_for_other_seats_is_refused():
    for start in (b"", b"noise", WRITTEN[:8]):
        with pytest.raises(ValueError, match="not a journal"):
            decode(start)
    for start in (HEAD, HEAD + encode(COURSE[0])):
        with pytest.raises(ValueError, match="no whole header"):
            decode(start)
    other = msgspec.to_builtins(HEADER, builtin_types=(bytes,))
    other[6] = ["Ann"]
    with pytest.raises(ValueError, match="1 names for 3 seats"):
        decode(HEAD + framed(msgspec.msgpack.encode(other)))


@pytest.mark.parametrize("bound", ["MAX_FILE_BYTES", "MAX_ENTRIES", "MAX_TICKS", "MAX_ORDERS"])
def test_more_than_a_reader_takes_is_refused(monkeypatch, bound):
    monkeypatch.setattr(journal, bound, 2)
    with pytest.raises(ValueError, match=r"more than 2|no game is so long"):
        decode(WRITTEN)
