"""Cells: named words and short texts at fixed offsets of a segment, as class attributes.

A view of a segment declares what it has:

    class ChildSlot(CellView):
        pid = WordCell(128)
        name = TextCell(176, 40)

and reads and writes `slot.pid`, `slot.name` in place.
"""

import zlib

from farm.shm.segment import Segment

TEXT_HEAD_BYTES = 8
"""Length and CRC-32 in front of the bytes of a text."""

_TRIES = 16
_LENGTH_BITS = 32


class CellView:
    """A part of a segment that starts at `base`."""

    __slots__ = ("base", "segment")

    def __init__(self, segment: Segment, base: int) -> None:
        self.segment = segment
        self.base = base


class WordCell:
    """An unsigned 64-bit word, never torn.

    Args:
        offset: from the base of the view, a multiple of 8.
    """

    __slots__ = ("offset",)

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def __get__(self, view: CellView, owner: type[CellView] | None = None) -> int:
        return view.segment.load(view.base + self.offset)

    def __set__(self, view: CellView, value: int) -> None:
        view.segment.store(view.base + self.offset, value)


class TextCell:
    """A short text in UTF-8, cut to what fits; reads as "" while it is being written.

    Args:
        offset: from the base of the view, a multiple of 8.
        n_bytes: room for head and text.
    """

    __slots__ = ("n_bytes", "offset")

    def __init__(self, offset: int, n_bytes: int) -> None:
        self.offset = offset
        self.n_bytes = n_bytes

    def __get__(self, view: CellView, owner: type[CellView] | None = None) -> str:
        at = view.base + self.offset
        for _ in range(_TRIES):
            head = view.segment.load(at)
            length = head & ((1 << _LENGTH_BITS) - 1)
            text = view.segment.read(at + TEXT_HEAD_BYTES, min(length, self.n_bytes))
            if head == _head(text):
                return text.decode(errors="replace")
        return ""

    def __set__(self, view: CellView, value: str) -> None:
        at = view.base + self.offset
        # Cut between characters: half a character would not decode.
        cut = value.encode()[: self.n_bytes - TEXT_HEAD_BYTES].decode(errors="ignore").encode()
        view.segment.store(at, 0)
        view.segment.write(at + TEXT_HEAD_BYTES, cut)
        view.segment.store(at, _head(cut))


def _head(text: bytes) -> int:
    return len(text) | zlib.crc32(text) << _LENGTH_BITS
