"""The characters a board is drawn with. Needs nothing that simulates.

A12    12 of seat A (seat 0 is A, seat 15 is P)     .     empty      7      neutral army
A1*    a general        A40+ 47+  cities            ^     mountain
~  A3~ a swamp          :    A3:  a desert
-      out of sight     -~  a swamp out of sight    %     a mountain or a city out of sight
"""

from collections.abc import Sequence
from typing import Final

from farm.spec import tiles

SEAT_LETTERS: Final = "ABCDEFGHIJKLMNOP"
NEUTRAL, MOUNTAIN, FOG = -1, -2, -3
"""Owners that are no seats: the engine's codes, and beside them a cell out of sight."""
LEGEND: Final = (
    "A12 army of seat A   * general   + city   ^ mountain   ~ swamp   : desert   - % fog"
)

_MARKS: Final = {tiles.CITY: "+", tiles.GENERAL: "*", tiles.SWAMP: "~", tiles.DESERT: ":"}
_FOG: Final = {tiles.PLAIN: "-", tiles.SWAMP: "-~", tiles.OBSTACLE: "%"}
_NARROWEST: Final = 4


def cell_text(owner: int, army: int, terrain: int) -> str:
    """A cell.

    Args:
        owner: seat, NEUTRAL, MOUNTAIN or FOG.
        army: 0 out of sight.
        terrain: code of spec.tiles.
    """
    if owner == FOG:
        return _FOG[terrain]
    if owner == MOUNTAIN:
        return "^"
    mark = _MARKS.get(terrain, "")
    if owner == NEUTRAL:
        return f"{army or ''}{mark}" or "."
    return f"{SEAT_LETTERS[owner]}{army}{mark}"


def column_width(texts: Sequence[str]) -> int:
    """Characters of a column, with room between two cells."""
    return max(_NARROWEST, max(map(len, texts)) + 1)


def seat_name(seat: int, players: Sequence[str]) -> str:
    """How a seat is called: its letter, and the player's name where it is known."""
    name = players[seat] if players else ""
    return f"{SEAT_LETTERS[seat]} ({name})" if name else SEAT_LETTERS[seat]
