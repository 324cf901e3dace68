"""lz-string, the compression of official replay files: the reading half of it.

The stream is a sequence of codes, each as many bits wide as the dictionary needs, least significant
bit first; bits are taken from bytes most significant first. Codes 0 and 1 announce a character of 8
or 16 bits (a UTF-16 unit), code 2 ends the stream, all others name earlier text: every code but the
first adds an entry, the text before it and one character more.
"""

from typing import Final

_BYTE_CHARACTER: Final = 0
_WORD_CHARACTER: Final = 1
_END: Final = 2
_FIRST_ENTRY: Final = 3


class _Bits:
    """Reads numbers off a string of bits."""

    def __init__(self, data: bytes) -> None:
        # Character k is bit k of the stream.
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, n_bits: int) -> int:
        """The next number of this many bits.

        Raises:
            ValueError: the stream is at its end.
        """
        end = self._at + n_bits
        if end > len(self._bits):
            raise ValueError("the compressed text ends in the middle")
        number = int(self._bits[self._at : end][::-1], 2)
        self._at = end
        return number


def decompress(data: bytes, *, max_units: int) -> str:
    """The text of which lz-string's `compressToUint8Array` made `data`.

    Args:
        data: the compressed bytes.
        max_units: UTF-16 units the text may have.

    Raises:
        ValueError: the bytes are no such stream, or the text is longer.
    """
    bits = _Bits(data)
    # Places 0 to 2 are the codes that name no text.
    entries = [""] * _FIRST_ENTRY
    pieces: list[str] = []
    n_units = 0
    width, room = 2, 1
    before = ""
    while (code := bits.take(width)) != _END:
        if code in {_BYTE_CHARACTER, _WORD_CHARACTER}:
            text = chr(bits.take(8 if code == _BYTE_CHARACTER else 16))
            entries.append(text)
            room -= 1
            if room == 0:
                room, width = 1 << width, width + 1
        elif code < len(entries):
            text = entries[code]
        elif code == len(entries) and before:
            text = before + before[0]
        else:
            raise ValueError("the compressed text is damaged")
        pieces.append(text)
        n_units += len(text)
        if n_units > max_units:
            raise ValueError(f"more than {max_units:,} characters")
        if before:
            entries.append(before + text[0])
            room -= 1
            if room == 0:
                room, width = 1 << width, width + 1
        before = text
    return "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
