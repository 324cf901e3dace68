"""The `expander` policy: takes land and cities greedily, attacks what it sees (farm.jit).

If any of its armies can take a neighbouring cell, it takes the most valuable one with the largest
army: a general, then a city, then a player's cell, then free land. Otherwise its largest army
marches over own land towards the nearest cell in sight that is not its side's.

It is deterministic: the same observation gives the same action, with log-probability 0.
"""

import numpy as np

from farm.engine.bits import ONE, ZERO, bit_of, int64, lowest, word_ahead, word_behind
from farm.engine.state import Game
from farm.jit import inline
from farm.policies import random
from farm.policies.registry import policy_info
from farm.spec import tiles
from farm.spec.actions import ACTIONS_PER_CELL, DOWN, LEFT, N_DIRECTIONS, RIGHT, UP

INFO = policy_info("expander")

# Rows of `scratch_maps`.
_PREY = 0
"""Cells that are not the side's, free cities left out."""
_REACHED = 1
_NEXT = 2

# What a cell is worth; the army that takes it counts among equals.
_CLASS = 1 << 20
_LAND, _ENEMY, _CITY, _GENERAL = _CLASS, 2 * _CLASS, 3 * _CLASS, 4 * _CLASS
_NOTHING = 0


@inline
def act(game: Game, seat: int) -> tuple[int, float]:
    """Choose an action of the seat.

    Args:
        game: what the seat observes is used; its scratch bitmaps are written.
        seat: the acting seat.

    Returns:
        Action index, and the natural logarithm of its probability.
    """
    action = _capture(game, seat)
    if action < 0:
        action = _march(game, seat)
    if action < 0:
        return random.act(game, seat)
    return action, 0.0


@inline
def _friends(game: Game, seat: int, word: int) -> np.uint64:
    """Cells of the seat's side in one word."""
    cells: np.uint64 = game.mine[seat, word]
    allies = np.uint64(game.side_seats[game.side[seat]]) & ~bit_of(seat)
    while allies:
        cells |= game.mine[lowest(allies), word]
        allies &= allies - ONE
    return cells


@inline
def _capture(game: Game, seat: int) -> int:
    """The most valuable capture, or -1.

    Only neighbours of own cells matter here, and these are always in sight.
    """
    prey = game.scratch_maps[_PREY]
    for word in range(game.n_words):
        prey[word] = ~_friends(game, seat, word)
    best = _NOTHING
    action = -1
    for word in range(game.n_words):
        movable = game.movable[seat, word]
        if not movable:
            continue
        up = word_behind(prey, word, game.width) & game.open_to[word, UP]
        down = word_ahead(prey, game.n_words, word, game.width) & game.open_to[word, DOWN]
        left = word_behind(prey, word, 1) & game.open_to[word, LEFT]
        right = word_ahead(prey, game.n_words, word, 1) & game.open_to[word, RIGHT]
        starts = movable & (up | down | left | right)
        while starts:
            bit = starts & (~starts + ONE)
            cell = (word << 6) + lowest(starts)
            starts ^= bit
            army = int64(game.frames16[seat, cell])
            for direction in range(N_DIRECTIONS):
                if (up, down, left, right)[direction] & bit:
                    worth = _worth(game, seat, army, _next_cell(game, cell, direction))
                    if worth > best:
                        best = worth
                        action = cell * ACTIONS_PER_CELL + direction * 2
    return action


@inline
def _worth(game: Game, seat: int, army: int, cell: int) -> int:
    """What taking a cell with an army is worth; nothing if the army is too small."""
    if army - 1 <= game.frames16[seat, cell]:
        return _NOTHING
    tile = int64(game.frames[seat, 2 * game.n_cells + cell])
    terrain = tile >> tiles.OWNER_BITS
    worth = _LAND
    if terrain == tiles.GENERAL:
        worth = _GENERAL
    elif terrain == tiles.CITY:
        worth = _CITY
    elif tile & tiles.OWNER_MASK != tiles.NEUTRAL:
        worth = _ENEMY
    return worth + army


@inline
def _march(game: Game, seat: int) -> int:
    """A step of the largest army towards the nearest target, or -1."""
    cell = -1
    army = 1
    for word in range(game.n_words):
        left = game.movable[seat, word]
        while left:
            here = (word << 6) + lowest(left)
            left &= left - ONE
            there = int64(game.frames16[seat, here])
            if there > army:
                army = there
                cell = here
    if cell < 0:
        return -1
    _draw_targets(game, seat, army)
    for _ in range(game.n_cells):
        direction = _way_into(game, cell)
        if direction >= 0:
            return cell * ACTIONS_PER_CELL + direction * 2
        if not _spread(game, seat):
            return -1
    return -1


@inline
def _draw_targets(game: Game, seat: int, army: int) -> None:
    """Draw what is in sight, not the side's, and no free city too strong for an army.

    Mountains may stay in: no way leads into them.
    """
    reached = game.scratch_maps[_REACHED]
    side = int64(game.side[seat])
    for word in range(game.n_words):
        targets = game.scratch_maps[_PREY, word] & game.seen[side, word]
        cities = targets & game.structure[word]
        while cities:
            cell = (word << 6) + lowest(cities)
            bit = cities & (~cities + ONE)
            cities ^= bit
            if army - 1 <= game.frames16[seat, cell]:
                targets ^= bit
        reached[word] = targets


@inline
def _way_into(game: Game, cell: int) -> int:
    """A direction from a cell into the reached cells, or -1."""
    word = cell >> 6
    bit = bit_of(cell)
    for direction in range(N_DIRECTIONS):
        if game.open_to[word, direction] & bit:
            to = _next_cell(game, cell, direction)
            if game.scratch_maps[_REACHED, to >> 6] & bit_of(to):
                return direction
    return -1


@inline
def _next_cell(game: Game, cell: int, direction: int) -> int:
    """The cell in a direction that is known to lead onto the board."""
    if direction == UP:
        return cell - game.width
    if direction == DOWN:
        return cell + game.width
    return cell - 1 if direction == LEFT else cell + 1


@inline
def _spread(game: Game, seat: int) -> bool:
    """Add the own cells from which one step leads into the reached cells; whether there are any."""
    reached = game.scratch_maps[_REACHED]
    wider = game.scratch_maps[_NEXT]
    grown: np.uint64 = ZERO
    for word in range(game.n_words):
        near = word_behind(reached, word, game.width) & game.open_to[word, UP]
        near |= word_ahead(reached, game.n_words, word, game.width) & game.open_to[word, DOWN]
        near |= word_behind(reached, word, 1) & game.open_to[word, LEFT]
        near |= word_ahead(reached, game.n_words, word, 1) & game.open_to[word, RIGHT]
        near &= game.mine[seat, word] & ~reached[word]
        grown |= near
        wider[word] = reached[word] | near
    for word in range(game.n_words):
        reached[word] = wider[word]
    return bool(grown != ZERO)
