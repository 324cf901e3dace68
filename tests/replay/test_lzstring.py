"""lz-string is read as its authors' own library writes it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.replay.lzstring import decompress

VECTORS = [
    ("4000", ""),
    ("2190", "a"),
    ("218d7f90", "a" * 20),
    ("0585303660f6034004a11bdc5200", "hello, hello, hello"),
    (
        "3685603404401e1608c00e7938102080ec3b0808406f00120a7a680d39a182f06e0007b100bab500",
        '[5,"x",18,18,["Ann","B\u00f6 \u65e5\u672c \U0001f600"]]',
    ),
    ("218235ed23ab67ee88729a97ad98f6bb9fef4280", "ab" * 120),
    ("2182300088080400", "ab\x00\u0101"),
]
"""What lz-string 1.5.0's `compressToUint8Array` makes of some texts."""


def compress(text):
    """The other half: lz-string's `compressToUint8Array`."""
    bits, entries, announced = [], {}, set()
    width, room = 2, 2
    word = ""

    def put(number, n_bits):
        bits.extend(number >> i & 1 for i in range(n_bits))

    def spend():
        nonlocal width, room
        room -= 1
        if room == 0:
            room, width = 1 << width, width + 1

    def put_word():
        if word in announced:
            announced.remove(word)
            wide = ord(word) > 255
            put(int(wide), width)
            put(ord(word), 16 if wide else 8)
            spend()
        else:
            put(entries[word], width)
        spend()

    units = text.encode("utf-16-le", "surrogatepass")
    for i in range(0, len(units), 2):
        character = chr(int.from_bytes(units[i : i + 2], "little"))
        if character not in entries:
            entries[character] = len(entries) + 3
            announced.add(character)
        if word + character in entries:
            word += character
        else:
            put_word()
            entries[word + character] = len(entries) + 3
            word = character
    if word:
        put_word()
    put(2, width)
    bits.extend([0] * (16 - len(bits) % 16))
    return bytes(int("".join(map(str, bits[i : i + 8])), 2) for i in range(0, len(bits), 8))


@pytest.mark.parametrize(("packed", "text"), VECTORS)
def test_the_authors_own_output_is_read(packed, text):
    assert decompress(bytes.fromhex(packed), max_units=1_000) == text


@pytest.mark.parametrize(("packed", "text"), VECTORS)
def test_the_compressor_of_these_tests_writes_what_the_authors_do(packed, text):
    assert compress(text).hex() == packed


@given(st.text(alphabet='ab[],0123456789"\u00e9\u4e2d\U0001f600', max_size=400) | st.text())
def test_any_text_comes_back(text):
    assert decompress(compress(text), max_units=2_000) == text


@given(st.binary(max_size=200))
def test_any_bytes_give_a_text_within_its_bound_or_are_refused(data):
    with contextlib.suppress(ValueError):
        assert len(decompress(data, max_units=500)) <= 500


def test_a_text_that_was_cut_off_is_refused():
    packed = compress("hello, hello, hello")
    with pytest.raises(ValueError, match="ends in the middle"):
        decompress(packed[:-3], max_units=1_000)


def test_a_small_file_that_unpacks_to_a_huge_text_is_stopped():
    packed = compress("a" * 50_000)
    assert len(packed) < 600
    with pytest.raises(ValueError, match="more than 40,000"):
        decompress(packed, max_units=40_000)
