"""Settling: how the `hunter` takes the land next to its own (farm.jit)."""

from typing import Final

import numpy as np

from farm.engine.bits import ONE, bit_of, int64, lowest
from farm.jit import inline
from farm.policies.notes import AGE, EXPLORED, WALLS
from farm.policies.sight import (
    FIRST_FREE,
    FOES,
    FRIENDS,
    TOWNS,
    WASTE,
    Sight,
    beside,
    has,
    move,
    spread,
    step,
)
from farm.spec.actions import N_DIRECTIONS

OPENING: Final = 50
"""Ticks in which the general's army settles too; later it waits to be gathered."""
_FIRST_RUN: Final = 28
"""Ticks in which the general waits for _FIRST_ARMY before it leaves; then for _LATER_ARMY. An army
that runs outwards takes a cell a tick, one that leaves as it grows walks over own land."""
_FIRST_ARMY: Final = 12
_LATER_ARMY: Final = 6

# Rows of `maps`.
_PREY: Final = FIRST_FREE
"""Cells in sight that may be taken."""
_REACHED: Final = FIRST_FREE + 1
_ROOM: Final = FIRST_FREE + 2
_OWN: Final = FIRST_FREE + 3

# What a cell is worth: its kind, then the army that takes it, then what it lets see.
_LAND: Final = 1 << 20
_FOE_LAND: Final = 2 << 20
_TOWN: Final = 3 << 20
_ARMY: Final = 8


@inline
def settle(sight: Sight) -> int:
    """The most valuable capture by an army that is there, or -1.

    Writes:
        sight.maps: the prey, which `march` reads.
    """
    prey = sight.maps[_PREY]
    for word in range(sight.n_words):
        towns = sight.maps[TOWNS, word]
        useless = (sight.note_maps[WALLS, word] | sight.maps[WASTE, word]) & ~towns
        prey[word] = sight.seen[word] & ~sight.maps[FRIENDS, word] & ~useless
    best = 0
    action = -1
    for word in range(sight.n_words):
        starts = _free_armies(sight, word)
        if starts:
            starts &= beside(sight, prey, word)
        while starts:
            cell = (word << 6) + lowest(starts)
            starts &= starts - ONE
            army = int64(sight.army[cell])
            for direction in range(N_DIRECTIONS):
                to = step(sight, cell, direction)
                if to >= 0 and has(prey, to):
                    worth = _worth(sight, army, to)
                    if worth > best:
                        best = worth
                        action = move(cell, direction)
    return action


@inline
def _free_armies(sight: Sight, word: int) -> np.uint64:
    """Own cells of one word whose army may settle."""
    cells: np.uint64 = sight.movable[word]
    if sight.home >= 0 and sight.home >> 6 == word:
        age = sight.notes[AGE]
        wanted = _FIRST_ARMY if age <= _FIRST_RUN else _LATER_ARMY
        if age > OPENING or int64(sight.army[sight.home]) < wanted:
            cells &= ~bit_of(sight.home)
    return cells


@inline
def _worth(sight: Sight, army: int, cell: int) -> int:
    """What taking a cell with an army is worth; nothing if the army is too small."""
    if army - 1 <= int64(sight.army[cell]):
        return 0
    worth = _LAND
    if has(sight.maps[TOWNS], cell):
        worth = _TOWN
    elif has(sight.maps[FOES], cell):
        worth = _FOE_LAND
    worth += _ARMY * army
    for direction in range(N_DIRECTIONS):
        near = step(sight, cell, direction)
        if near >= 0 and not has(sight.note_maps[EXPLORED], near):
            worth += not has(sight.note_maps[WALLS], near)
    return worth


@inline
def march(sight: Sight) -> int:
    """A step of the largest free army, over own land, towards the nearest prey; or -1.

    Args:
        sight: after `settle` found nothing.
    """
    cell = -1
    army = 1
    for word in range(sight.n_words):
        starts = _free_armies(sight, word)
        while starts:
            here = (word << 6) + lowest(starts)
            starts &= starts - ONE
            if int64(sight.army[here]) > army:
                army = int64(sight.army[here])
                cell = here
    if cell < 0:
        return -1
    maps = sight.maps
    for word in range(sight.n_words):
        free_towns = maps[TOWNS, word] & sight.note_maps[WALLS, word]
        maps[_REACHED, word] = maps[_PREY, word] & ~free_towns
        maps[_OWN, word] = sight.mine[word]
    while spread(sight, _REACHED, _OWN, _ROOM):
        for direction in range(N_DIRECTIONS):
            to = step(sight, cell, direction)
            if to >= 0 and has(sight.mine, to) and has(maps[_REACHED], to):
                return move(cell, direction)
    return -1
