"""What grows and decays at the end of a tick (RULES, steps 6 and 7; farm.jit)."""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ONE, ZERO, int64, lowest
from farm.engine.cells import set_army, take_cell
from farm.engine.rules import CITY_GROWTH_BELOW, LAND_PERIOD, PRODUCTION_PERIOD
from farm.engine.state import NEUTRAL_OWNER, Game
from farm.jit import inline, kernel
from farm.spec.limits import MAX_ARMY_SEEN


@inline
def grow(game: Game, tick: int) -> None:
    """Apply growth and decay for the tick counter after the moves.

    A general that was left keeps producing until it is neutralised: its cell is owned until then.

    Writes:
        game: armies, and owners of swamps and deserts.
    """
    if tick % game.rules[PRODUCTION_PERIOD] == 0:
        _produce(game)
        if _any(game.swamp):
            _decay_swamps(game)
    if tick % game.rules[LAND_PERIOD] == 0:
        grow_land(game)
        if _any(game.desert):
            _decay_deserts(game)


@inline
def _any(bitmap: NDArray[np.uint64]) -> bool:
    found: np.uint64 = ZERO
    for word in range(bitmap.size):
        found |= bitmap[word]
    return bool(found != ZERO)


@inline
def _produce(game: Game) -> None:
    below = game.rules[CITY_GROWTH_BELOW]
    for word in range(game.n_words):
        left = game.structure[word]
        while left:
            cell = (word << 6) + lowest(left)
            left &= left - ONE
            army = int64(game.army[cell])
            if game.owner[cell] >= 0 or army < below:
                set_army(game, cell, army + 1)


@kernel
def _decay_swamps(game: Game) -> None:
    """Take 1 from every owned swamp; at 0 or less it is neutral again."""
    for word in range(game.n_words):
        left = game.swamp[word]
        while left:
            cell = (word << 6) + lowest(left)
            left &= left - ONE
            if game.owner[cell] >= 0:
                _decay(game, cell)


@kernel
def _decay_deserts(game: Game) -> None:
    """Take 1 from every owned desert; at 0 or less it is neutral again."""
    for word in range(game.n_words):
        left = game.desert[word]
        while left:
            cell = (word << 6) + lowest(left)
            left &= left - ONE
            if game.owner[cell] >= 0:
                _decay(game, cell)


@inline
def _decay(game: Game, cell: int) -> None:
    army = int64(game.army[cell]) - 1
    if army <= 0:
        take_cell(game, cell, NEUTRAL_OWNER, 0)
    else:
        set_army(game, cell, army)


@kernel
def grow_land(game: Game) -> None:
    """Add 1 to every owned cell, as whole planes: every cell a player owns changes at once.

    Writes:
        game: armies, total armies, movable and single bitmaps, army planes and their dirty bits.
    """
    for cell in range(game.n_cells):
        game.army[cell] += game.owner[cell] >= 0
    for word in range(game.n_words):
        owned = ZERO
        for seat in range(game.n_seats):
            mine = game.mine[seat, word]
            owned |= mine
            empty = mine & ~game.movable[seat, word] & ~game.single[seat, word]
            game.movable[seat, word] |= game.single[seat, word]
            game.single[seat, word] = empty
        for seat in range(game.n_seats):
            game.dirty_army[seat, word] |= owned & game.seen[game.side[seat], word]
    for seat in range(game.n_seats):
        game.total_army[seat] += game.land[seat]
        bit = np.uint16(1 << seat)
        for cell in range(game.n_cells):
            army = np.uint16(min(game.army[cell], MAX_ARMY_SEEN))
            game.frames16[seat, cell] = army if game.seen_by[cell] & bit else np.uint16(0)
