"""Games played by scripted policies, fused into one kernel (farm.jit)."""

import numpy as np
from numpy.typing import NDArray

from farm.engine.reset import reset_game
from farm.engine.settings import Settings
from farm.engine.state import OUTCOME, PLAYING, Games, game_frame_bytes, view
from farm.engine.step import step_game
from farm.jit import kernel
from farm.policies.dispatch import choose


@kernel
def play(
    games: Games,
    codes: NDArray[np.int32],
    n_ticks: int,
    seed: np.uint64,
    next_game: NDArray[np.uint64],
    settings: Settings,
    actions: NDArray[np.int32],
    frames_out: NDArray[np.uint8],
) -> int:
    """Play `n_ticks` of every game, game after game, setting up a new one where one is over.

    Args:
        games: the batch.
        codes: int32[n_seats], policy of each seat, read.
        n_ticks: ticks to play of each row.
        seed: seed of new games.
        next_game: uint64[1], number of the next new game, read and written.
        settings: of new games.
        actions: int32[n_seats], room for the actions of a tick.
        frames_out: uint8[n_ticks, n_seats, frame bytes], where frames are copied after each tick;
            with no ticks (length 0), none are.

    Returns:
        Games that ended.

    Writes:
        games, next_game, actions, frames_out.
    """
    finished = 0
    for g in range(games.height.size):
        game = view(games, g)
        size = game_frame_bytes(game)
        for tick in range(n_ticks):
            for seat in range(game.n_seats):
                actions[seat] = choose(codes[seat], game, seat)[0]
            step_game(game, actions)
            if frames_out.shape[0]:
                for seat in range(game.n_seats):
                    for byte in range(size):
                        frames_out[tick, seat, byte] = game.frames[seat, byte]
            if game.status[OUTCOME] != PLAYING:
                finished += 1
                reset_game(games, g, seed, next_game[0], settings)
                next_game[0] += np.uint64(1)
                game = view(games, g)
                size = game_frame_bytes(game)
    return finished


@kernel
def play_out(games: Games, codes: NDArray[np.int32], actions: NDArray[np.int32]) -> int:
    """Play every game of a batch to its end, for matches between policies.

    A game without a last tick ends by the rules' own limits at the latest.

    Args:
        games: the batch.
        codes: int32[n_seats], policy of each seat, read.
        actions: int32[n_seats], room for the actions of a tick.

    Returns:
        Ticks played in all.

    Writes:
        games, actions.
    """
    ticks = 0
    for g in range(games.height.size):
        game = view(games, g)
        while game.status[OUTCOME] == PLAYING:
            for seat in range(game.n_seats):
                actions[seat] = choose(codes[seat], game, seat)[0]
            step_game(game, actions)
            ticks += 1
    return ticks
