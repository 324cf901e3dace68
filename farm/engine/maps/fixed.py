"""The `fixed` map: a board that is given with the settings (farm.jit).

Its text, for `match.map_file`, is described in farm/spec/boards.py.
"""

from farm.engine.settings import Settings
from farm.engine.state import Game
from farm.jit import inline


@inline
def lay_fixed(game: Game, settings: Settings) -> None:
    """Lay out the given board on a cleared one; nothing is random.

    Args:
        game: of the size of the given board.
        settings: of a fixed map.

    Writes:
        game.terrain, game.army, game.general.
    """
    for cell in range(game.n_cells):
        game.terrain[cell] = settings.terrain[cell]
        game.army[cell] = settings.army[cell]
    for seat in range(game.n_seats):
        game.general[seat] = settings.generals[seat]
