"""What the `hunter` keeps between ticks: a few numbers, its orders, maps of what it saw (farm.jit).

The notes of a seat are its own rows of `Games.notes` and `Games.note_maps`. They are cleared with
the game and hold nothing that the seat did not observe: `remember` writes down once a tick what is
in sight, the rest is what the policy has made of it.
"""

from typing import Final

import numpy as np

from farm.engine.bits import ONE, ZERO, bit_of, int64, lowest
from farm.engine.state import N_NOTES
from farm.jit import inline
from farm.policies.sight import FIRST_COLUMN, FOES, LAST_COLUMN, TOWNS, Sight, distance
from farm.spec import tiles

# Columns of `notes`.
AGE: Final = 0
"""Ticks that the seat has acted in."""
HOME: Final = 1
"""Cell of the general that ZONE was drawn around, and 1."""
MODE: Final = 2
"""What the policy is at (hunter.py)."""
HEAD: Final = 3
"""Cell of the army that marches, or for which others gather."""
AIM: Final = 4
"""Cell to march to for want of a known general, and 1; 0 for none."""
MUSTER_AT: Final = 5
"""Age before which no gathering is planned."""
N_ORDERS: Final = 6
NEXT_ORDER: Final = 7
ORDERS: Final = 8
"""From here on: the moves of a gathering, `4 * cell + direction`."""
MAX_ORDERS: Final = N_NOTES - ORDERS

# Rows of `note_maps`, after those in sight.py.
WALLS: Final = 2
"""What the first frame showed as mountain, free city or either of them, and all beyond the board.
There is no other mountain; a city is let through once it belongs to someone."""
EXPLORED: Final = 3
"""Cells that have been in sight."""
FOE: Final = 4
"""Cells that were an enemy's when last seen."""
CROWNS: Final = 5
"""Cells that held an enemy's general when last seen."""
ZONE: Final = 6
"""Cells near the own general."""
HOPELESS: Final = 7
"""Cells that no way was found to."""

_ZONE_RADIUS: Final = 7


@inline
def remember(sight: Sight) -> None:
    """Bring the notes up to date with what is in sight.

    Writes:
        sight.notes, sight.note_maps.
    """
    notes = sight.notes
    kept = sight.note_maps
    if notes[AGE] == 0:
        _draw_board(sight)
    if notes[HOME] != sight.home + 1:
        _draw_zone(sight)
        notes[HOME] = sight.home + 1
    notes[AGE] += 1
    for word in range(sight.n_words):
        hidden = ~sight.seen[word]
        foes = sight.maps[FOES, word]
        kept[EXPLORED, word] |= sight.seen[word]
        kept[FOE, word] = (kept[FOE, word] & hidden) | foes
        kept[CROWNS, word] &= hidden
        towns = sight.maps[TOWNS, word] & foes
        while towns:
            cell = (word << 6) + lowest(towns)
            towns &= towns - ONE
            if sight.tile[cell] >> tiles.OWNER_BITS == tiles.GENERAL:
                kept[CROWNS, word] |= bit_of(cell)


@inline
def _draw_board(sight: Sight) -> None:
    """Draw the edges and what stands in the way, from the first frame."""
    kept = sight.note_maps
    last = sight.n_words - 1
    beyond = np.uint64(sight.n_cells & 63)
    if beyond:
        kept[WALLS, last] = ~((ONE << beyond) - ONE)
    for cell in range(sight.n_cells):
        tile = int64(sight.tile[cell])
        terrain = tile >> tiles.OWNER_BITS
        free_city = terrain == tiles.CITY and tile & tiles.OWNER_MASK == tiles.NEUTRAL
        if free_city or terrain in (tiles.MOUNTAIN, tiles.OBSTACLE):
            kept[WALLS, cell >> 6] |= bit_of(cell)
    for row in range(sight.height):
        left = row * sight.width
        right = left + sight.width - 1
        kept[FIRST_COLUMN, left >> 6] |= bit_of(left)
        kept[LAST_COLUMN, right >> 6] |= bit_of(right)


@inline
def _draw_zone(sight: Sight) -> None:
    zone = sight.note_maps[ZONE]
    for word in range(sight.n_words):
        zone[word] = ZERO
    if sight.home >= 0:
        for cell in range(sight.n_cells):
            if distance(sight, cell, sight.home) <= _ZONE_RADIUS:
                zone[cell >> 6] |= bit_of(cell)
