"""Choosing an action by policy code, inside kernels (farm.jit)."""

from typing import Final, Protocol

from farm.engine.state import Game
from farm.jit import inline
from farm.policies import expander, hunter, random
from farm.policies.registry import EXPANDER, HUNTER, RANDOM, PolicyInfo
from farm.spec.actions import ACTIONS_PER_CELL


class Policy(Protocol):
    """What the module of a policy offers."""

    INFO: PolicyInfo
    """Its entry in the registry: name, version, code."""

    def act(self, game: Game, seat: int) -> tuple[int, float]:
        """Choose an action of the seat, from what the seat observes alone; an inlined part.

        Args:
            game: the seat's frame, the bitmaps that follow from it, and its random stream.
            seat: the acting seat.

        Returns:
            Action index, and the natural logarithm of its probability under the policy.

        Writes:
            game: the seat's random stream, the scratch bitmaps.
        """
        ...


POLICIES: Final[tuple[Policy, ...]] = (random, expander, hunter)
"""In the order of the registry. `choose` names each: kernels can't call through a table."""


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
    if code == HUNTER:
        return hunter.act(game, seat)
    return ACTIONS_PER_CELL * game.n_cells, 0.0
