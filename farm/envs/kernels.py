"""One call for a step of all games: policies' actions, the rules, rewards, new games (farm.jit).

An *agent* is a seat that is played from outside. G games, S seats, A agents in each game,
N actions, B bytes of a frame.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ONE, ZERO, bit_of, int64, lowest
from farm.engine.order import neighbour
from farm.engine.reset import reset_game
from farm.engine.rewards import reward_of, take_stock
from farm.engine.settings import Settings
from farm.engine.state import (
    OUTCOME,
    PLAYING,
    TERMINATED,
    TICK,
    TRUNCATED,
    Game,
    Games,
    game_frame_bytes,
    view,
)
from farm.engine.step import step_game
from farm.jit import inline, kernel
from farm.policies.dispatch import choose
from farm.policies.lineup import draw_lineup
from farm.spec.actions import ACTIONS_PER_CELL, N_DIRECTIONS

_BOTH = np.uint64(0x0101)
"""Two bytes of a mask: a move of all, and of half of an army."""


class Seating(NamedTuple):
    """Who plays which seat."""

    weights: NDArray[np.int32]
    """int32[S, n_policies], the mix of policies on each seat (policies.lineup); of an agent, none;
    read."""
    codes: NDArray[np.int32]
    """int32[G, S], the policies of each row's game; written when it is set up."""
    agents: NDArray[np.int32]
    """int32[A], seats of the agents, ascending; read."""
    actions: NDArray[np.int32]
    """int32[S], room for the actions of a tick."""
    reward: NDArray[np.float32]
    """float32[N_WEIGHTS], what a step is worth (engine.rewards); read."""
    shaped: bool
    """Whether what a step changed counts for it."""
    stock: NDArray[np.int32]
    """int32[A, N_STOCK], room for what each agent had before a tick."""


class Results(NamedTuple):
    """What a step led to."""

    reward: NDArray[np.float32]
    """float32[G, A]: what the step was worth by the weights of the seating; 0 to the dead."""
    terminated: NDArray[np.bool]
    """bool[G, A]: the rules ended the game, or the agent's part in it."""
    truncated: NDArray[np.bool]
    """bool[G, A]: the game reached its last tick with the agent alive."""
    ended: NDArray[np.bool]
    """bool[G]: the game is over, or no agent is left in it."""
    alive: NDArray[np.bool]
    """bool[G, A]: the agent's player lived after the tick."""
    mask: NDArray[np.int8]
    """int8[G, A, N]: 1 for every action that the rules would carry out now."""
    final_tick: NDArray[np.int32]
    """int32[G]: tick counter of a game that ended in this step, before the next was set up."""
    final_frames: NDArray[np.uint8]
    """uint8[G, A, B]: last frames of such a game."""
    final_mask: NDArray[np.int8]
    """int8[G, A, N]: their masks."""
    final_memory_tile: NDArray[np.uint8]
    """uint8[G, A, C], or [G, A, 0] without memory: what its agents had seen at its end."""
    final_memory_army: NDArray[np.uint16]
    """uint16, of the same shape."""


@kernel
def seat_agents(games: Games, seating: Seating, seed: np.uint64, results: Results) -> None:
    """Draw the policies of games that were just set up, and write the masks of every agent.

    Args:
        games: the batch, read.
        seating: who plays which seat.
        seed: of the games.
        results: of which the masks are written.

    Writes:
        seating.codes, results.mask.
    """
    for g in range(games.height.size):
        draw_lineup(seating.weights, seed, games.game_number[g], seating.codes[g])
        game = view(games, g)
        for agent in range(seating.agents.size):
            _write_mask(game, int64(seating.agents[agent]), results.mask[g, agent])


@kernel
def step_agents(
    games: Games,
    seating: Seating,
    settings: Settings,
    seed: np.uint64,
    numbers: NDArray[np.uint64],
    chosen: NDArray[np.int64],
    autoreset: int,
    results: Results,
) -> int:
    """Play one tick of every game.

    A game number grows by G when its row gets a new game: what is played in a row does not depend
    on when the others end.

    Args:
        games: the batch.
        seating: who plays which seat.
        settings: of new games.
        seed: of new games.
        numbers: uint64[G], number of the game in each row, read and written.
        chosen: int64[G, A], actions of the agents; one that is not legal passes; read.
        autoreset: 1: a game that ended is followed by a new one at once, and `terminated` is held
            back until then. 0: it stays, and `terminated` is set from the agent's death on.
        results: set to what the step led to.

    Returns:
        Games that ended in this step.

    Writes:
        games, numbers, seating, results.
    """
    n_ended = 0
    for g in range(numbers.size):
        game = view(games, g)
        _act(game, g, seating, chosen[g])
        for agent in range(seating.agents.size):
            results.alive[g, agent] = game.alive[seating.agents[agent]] != 0
            if seating.shaped:
                take_stock(game, int64(seating.agents[agent]), seating.stock[agent])
        step_game(game, seating.actions)
        ended = _judge_agents(game, g, seating, autoreset, results)
        results.ended[g] = ended
        n_ended += ended
        if ended and autoreset:
            _keep_final(game, g, seating, results)
            numbers[g] += np.uint64(numbers.size)
            reset_game(games, g, seed, numbers[g], settings)
            game = view(games, g)
            draw_lineup(seating.weights, seed, numbers[g], seating.codes[g])
        for agent in range(seating.agents.size):
            _write_mask(game, int64(seating.agents[agent]), results.mask[g, agent])
    return n_ended


@inline
def _act(game: Game, g: int, seating: Seating, chosen: NDArray[np.int64]) -> None:
    """Put together the actions of a tick; whoever is dead passes."""
    passing = ACTIONS_PER_CELL * game.n_cells
    agent = 0
    for seat in range(game.n_seats):
        action = passing
        if agent < seating.agents.size and seating.agents[agent] == seat:
            if 0 <= chosen[agent] < passing:
                action = int64(chosen[agent])
            agent += 1
        elif game.alive[seat]:
            action = choose(seating.codes[g, seat], game, seat)[0]
        seating.actions[seat] = action


@inline
def _judge_agents(game: Game, g: int, seating: Seating, autoreset: int, results: Results) -> bool:
    """Rewards and flags of a tick, where `results.alive` is still of before it."""
    outcome = game.status[OUTCOME]
    living = 0
    for agent in range(seating.agents.size):
        living += game.alive[seating.agents[agent]]
    ended = outcome != PLAYING or living == 0
    for agent in range(seating.agents.size):
        seat = int64(seating.agents[agent])
        alive = game.alive[seat] != 0
        reward = np.float32(0.0)
        if results.alive[g, agent]:
            stock = seating.stock[agent]
            reward = reward_of(game, seat, seating.reward, seating.shaped, stock)
        results.reward[g, agent] = reward
        out = outcome == TERMINATED or not alive
        results.terminated[g, agent] = out and (ended or not autoreset)
        results.truncated[g, agent] = outcome == TRUNCATED and not out
        results.alive[g, agent] = alive
    return ended


@inline
def _keep_final(game: Game, g: int, seating: Seating, results: Results) -> None:
    """Copy what the agents see at the end of a game."""
    results.final_tick[g] = game.status[TICK]
    for agent in range(seating.agents.size):
        seat = int64(seating.agents[agent])
        for byte in range(game_frame_bytes(game)):
            results.final_frames[g, agent, byte] = game.frames[seat, byte]
        _write_mask(game, seat, results.final_mask[g, agent])
        for cell in range(game.memory_tile.shape[1]):
            results.final_memory_tile[g, agent, cell] = game.memory_tile[seat, cell]
            results.final_memory_army[g, agent, cell] = game.memory_army[seat, cell]


@inline
def _write_mask(game: Game, seat: int, mask: NDArray[np.int8]) -> None:
    """`spec.legal_mask` of a seat's frame, from the bitmaps that follow from it; the dead pass."""
    for action in range(mask.size):
        mask[action] = 0
    mask[ACTIONS_PER_CELL * game.n_cells] = 1
    if not game.alive[seat]:
        return
    for word in range(game.n_words):
        starts = game.movable[seat, word]
        while starts:
            _allow_open(game, word, lowest(starts), mask)
            starts &= starts - ONE
    allies = np.uint64(game.side_seats[game.side[seat]]) & ~bit_of(seat)
    if allies:
        _allow_joins(game, seat, allies, mask)


@inline
def _allow_open(game: Game, word: int, position: int, mask: NDArray[np.int8]) -> None:
    """Allow the moves of a cell's army onto open ground.

    Its eight bytes are put together in a register: no branch to guess, and one store.
    """
    moves: np.uint64 = ZERO
    for direction in range(N_DIRECTIONS):
        is_open = (game.open_to[word, direction] >> np.uint64(position)) & ONE
        moves |= (is_open * _BOTH) << np.uint64(16 * direction)
    first = ((word << 6) + position) * ACTIONS_PER_CELL
    for lane in range(ACTIONS_PER_CELL):
        mask[first + lane] = np.int8((moves >> np.uint64(8 * lane)) & ONE)


@inline
def _allow_joins(game: Game, seat: int, allies: np.uint64, mask: NDArray[np.int8]) -> None:
    """Allow armies of 1 to move onto cells of teammates."""
    for word in range(game.n_words):
        starts = game.single[seat, word]
        while starts:
            cell = (word << 6) + lowest(starts)
            starts &= starts - ONE
            for direction in range(N_DIRECTIONS):
                to = neighbour(game, cell, direction)
                if to >= 0 and game.owner[to] >= 0 and allies & bit_of(int64(game.owner[to])):
                    action = cell * ACTIONS_PER_CELL + 2 * direction
                    mask[action] = 1
                    mask[action + 1] = 1
