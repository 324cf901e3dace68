"""Choosing an action by policy code, inside kernels (farm.jit)."""

from farm.engine.state import Game
from farm.jit import inline
from farm.policies import expander, random
from farm.policies.registry import EXPANDER, RANDOM
from farm.spec.actions import ACTIONS_PER_CELL


@inline
def choose(code: int, game: Game, seat: int) -> tuple[int, float]:
    """Let a policy act for a seat.

    Args:
        code: code of the policy (registry.py).
        game: the game; only what the seat observes is used, and its random stream.
        seat: the acting seat.

    Returns:
        Action index, and the natural logarithm of its probability under the policy.

    Writes:
        game.rng.
    """
    if code == RANDOM:
        return random.act(game, seat)
    if code == EXPANDER:
        return expander.act(game, seat)
    return ACTIONS_PER_CELL * game.n_cells, 0.0
