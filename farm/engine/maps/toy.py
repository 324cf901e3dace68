"""The `toy` map, for tests: nothing is drawn but who sits where (farm.jit).

Generals stand along the rim, evenly from the upper left corner clockwise (two in opposite corners,
four in all of them on a square); one city stands in the middle; the rest is open.
"""

from farm.engine.bits import int64
from farm.engine.rng import below
from farm.engine.rules import CITY_ARMY_LOW
from farm.engine.state import Game
from farm.jit import inline
from farm.spec import tiles


@inline
def lay_toy(game: Game) -> None:
    """Lay out a toy map on a cleared board whose rim has a cell for every seat.

    Args:
        game: its size and seats are read; who sits where comes from its map stream.

    Writes:
        game.terrain, game.army, game.general, game.rng.
    """
    middle = (game.height // 2) * game.width + game.width // 2
    game.terrain[middle] = tiles.CITY
    game.army[middle] = game.rules[CITY_ARMY_LOW]
    rim = 2 * (game.height + game.width) - 4
    for seat in range(game.n_seats):
        game.general[seat] = _rim_cell(game, seat * rim // game.n_seats)
    for seat in range(game.n_seats - 1, 0, -1):
        other = below(game.rng, game.rng.size - 1, seat + 1)
        cell = game.general[seat]
        game.general[seat] = game.general[other]
        game.general[other] = cell


@inline
def _rim_cell(game: Game, step: int) -> int:
    """The cell that many steps along the rim, clockwise from the upper left corner."""
    right, bottom = game.width - 1, game.height - 1
    if step < right:
        return int64(step)
    step -= right
    if step < bottom:
        return step * game.width + right
    step -= bottom
    if step < right:
        return bottom * game.width + right - step
    return (bottom - (step - right)) * game.width
