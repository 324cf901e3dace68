"""The `fixed` map: a given board, written into a game from Python (farm.jit)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from farm.engine.reset import Settings, open_game_row, prepare_game, settings
from farm.engine.state import Games
from farm.spec import tiles


@dataclass(frozen=True, slots=True)
class FixedMap:
    """A board by lists of cells (row * width + column)."""

    height: int
    width: int
    generals: Sequence[int]
    """Cell of each player's general."""
    mountains: Sequence[int] = ()
    cities: Sequence[int] = ()
    city_armies: Sequence[int] = ()
    """Beside `cities`."""
    swamps: Sequence[int] = ()
    deserts: Sequence[int] = ()
    neutrals: Sequence[int] = ()
    """Neutral cells with an army of their own."""
    neutral_armies: Sequence[int] = ()
    """Beside `neutrals`."""
    teams: Sequence[int] | None = field(default=None)
    """For each player a number, equal for teammates."""

    def settings(self, *, rules: NDArray[np.int32], max_ticks: int = 0) -> Settings:
        """Settings of a game on this map."""
        return settings(
            self.height,
            self.width,
            len(self.generals),
            teams=self.teams,
            rules=rules,
            max_ticks=max_ticks,
        )


def reset_fixed(
    games: Games, g: int, board: FixedMap, game_settings: Settings, *, seed: int, game_number: int
) -> None:
    """Set up game `g` of a batch on a given map.

    Writes:
        games: row `g`.
    """
    prepare_game(games, g, np.uint64(seed), np.uint64(game_number), game_settings)
    terrain, army = games.terrain[g], games.army[g]
    for cells, code in (
        (board.swamps, tiles.SWAMP),
        (board.deserts, tiles.DESERT),
        (board.cities, tiles.CITY),
        (board.mountains, tiles.MOUNTAIN),
    ):
        terrain[list(cells)] = code
    army[list(board.neutrals)] = board.neutral_armies
    army[list(board.cities)] = board.city_armies
    games.general[g, : len(board.generals)] = board.generals
    open_game_row(games, g)
