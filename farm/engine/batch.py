"""A batch of games for Python: environments, tests and tools (farm.jit)."""

import numpy as np
from numpy.typing import NDArray

from farm.engine.reset import reset_game
from farm.engine.settings import (
    HEIGHT,
    MAP,
    OFFICIAL,
    PAD,
    SEATS,
    WIDTH,
    Settings,
    settings,
)
from farm.engine.state import OUTCOME, PLAYING, TICK, WINNER, Games, allocate, view
from farm.engine.step import step_game
from farm.jit import kernel
from farm.spec import frame_bytes, frame_dtype, legal_mask


@kernel
def reset_games(
    games: Games, seed: np.uint64, numbers: NDArray[np.uint64], settings: Settings
) -> None:
    """Set up every game of a batch.

    Args:
        games: the batch.
        seed: the seed of all games.
        numbers: uint64[n_games], game number of each row, read.
        settings: of all games.

    Writes:
        games.
    """
    for g in range(numbers.size):
        reset_game(games, g, seed, numbers[g], settings)


@kernel
def step_games(games: Games, actions: NDArray[np.int32]) -> None:
    """Play one tick of every game that is not over.

    Args:
        games: the batch.
        actions: int32[n_games, n_seats], read.

    Writes:
        games.
    """
    for g in range(actions.shape[0]):
        step_game(view(games, g), actions[g])


class Batch:
    """Games of one size, seats and rules, stepped side by side.

    Args:
        n_games: games in the batch.
        game_settings: of every game; official maps are padded.
        seed: seed of every game.
        first_game: number of the first game; the others count on from it.

    Raises:
        ValueError: the games would have sizes of their own.
    """

    def __init__(
        self, n_games: int, game_settings: Settings, *, seed: int = 0, first_game: int = 0
    ) -> None:
        if game_settings.numbers[MAP] == OFFICIAL and not game_settings.numbers[PAD]:
            raise ValueError("official maps without padding have no common size: pad them")
        self.settings = game_settings
        self.height = int(game_settings.numbers[HEIGHT])
        self.width = int(game_settings.numbers[WIDTH])
        self.n_seats = int(game_settings.numbers[SEATS])
        self.seed = np.uint64(seed)
        self.games = allocate(n_games, self.height * self.width, self.n_seats)
        self._numbers = np.arange(first_game, first_game + n_games, dtype=np.uint64)
        self.reset()

    def reset(self) -> None:
        """Set every game up anew, as it was at first."""
        reset_games(self.games, self.seed, self._numbers, self.settings)

    def step(self, actions: NDArray[np.int32]) -> None:
        """Play one tick of every game that is not over.

        Args:
            actions: int32[n_games, n_seats], action indices; one that is not legal passes.
        """
        step_games(self.games, actions)

    @property
    def frames(self) -> NDArray[np.void]:
        """Current observations: frame_dtype[n_games, n_seats], a view."""
        size = frame_bytes(self.height * self.width, self.n_seats)
        dtype = frame_dtype(self.height, self.width, self.n_seats)
        frames: NDArray[np.void] = self.games.frames[:, :, :size].view(dtype)[:, :, 0]
        return frames

    @property
    def tick(self) -> NDArray[np.int32]:
        """int32[n_games], tick counters, a view."""
        return self.games.status[:, TICK]

    @property
    def over(self) -> NDArray[np.bool]:
        """bool[n_games]: ended by the rules, or truncated."""
        over: NDArray[np.bool] = self.games.status[:, OUTCOME] != PLAYING
        return over

    @property
    def outcome(self) -> NDArray[np.int32]:
        """int32[n_games]: PLAYING, TERMINATED or TRUNCATED, a view."""
        return self.games.status[:, OUTCOME]

    @property
    def winner(self) -> NDArray[np.int32]:
        """int32[n_games]: side that won, -1 for none, a view."""
        return self.games.status[:, WINNER]

    def legal_mask(self) -> NDArray[np.bool]:
        """bool[n_games, n_seats, n_actions]: what each seat may do, from its observation."""
        frames = self.frames
        sides = self.games.side[0]
        masks = [
            legal_mask(
                frames["tile"][:, seat],
                frames["army"][:, seat],
                int((sides == sides[seat]).sum()) - 1,
            )
            for seat in range(self.n_seats)
        ]
        return np.stack(masks, axis=1)


def duel(n_games: int, *, side: int = 20, seed: int = 0, max_ticks: int = 1000) -> Batch:
    """A batch of one-on-one games on square boards with the usual densities."""
    return Batch(n_games, settings(side, side, 2, max_ticks=max_ticks), seed=seed)
