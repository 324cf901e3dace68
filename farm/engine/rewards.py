"""What a step is worth to a seat: a weighted sum of how it ended and what it changed (farm.jit).

The weights are data, like the rules: with the sparse ones nothing is looked at but the end of the
game and the deaths, which the engine knows anyway. The others need what a seat had before the tick,
`take_stock`, and compare it with what it has afterwards.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64, popcount
from farm.engine.state import NEVER, OUTCOME, TERMINATED, TICK, TRUNCATED, WINNER, Game
from farm.jit import inline

WIN: Final = 0
"""The rules ended the game and the seat lives on the side that is left."""
LOSE: Final = 1
"""The seat was eliminated in this tick."""
DRAW: Final = 2
"""The game reached its last tick with the seat alive."""
STEP: Final = 3
LAND_GAINED: Final = 4
"""A cell more than before."""
LAND_LOST: Final = 5
"""A cell fewer."""
ARMY: Final = 6
"""An army more; the opposite for one fewer."""
CITY: Final = 7
"""A city more; the opposite for one fewer."""
GENERAL: Final = 8
"""A player eliminated by the seat."""
N_WEIGHTS: Final = 9
_FIRST_SHAPED: Final = LAND_GAINED

NAMES: Final = (
    "win",
    "lose",
    "draw",
    "step",
    "land_gained",
    "land_lost",
    "army",
    "city",
    "general",
)
"""The weights by index, as the farm's `reward` config names them."""

SETS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "sparse": MappingProxyType({"win": 1.0, "lose": -1.0}),
        "shaped": MappingProxyType(
            {
                "win": 1.0,
                "lose": -1.0,
                "step": -0.0005,
                "land_gained": 0.005,
                "land_lost": -0.005,
                "army": 0.0005,
                "city": 0.05,
                "general": 0.25,
            }
        ),
    }
)
"""The options of the farm's config group `reward`, by name; weights that are left out are 0."""

LAND, ARMIES, CITIES = range(3)
"""Columns of a seat's stock."""
N_STOCK: Final = 3


def of_names(weights: Mapping[str, float]) -> NDArray[np.float32]:
    """The vector of weights by name; those that are left out are 0.

    Raises:
        ValueError: there is no such weight.
    """
    vector = np.zeros(N_WEIGHTS, np.float32)
    for name, weight in weights.items():
        if name not in NAMES:
            raise ValueError(f"no reward {name!r}; there are {', '.join(NAMES)}")
        vector[NAMES.index(name)] = weight
    return vector


def checked(weights: Sequence[float] | NDArray[np.float32]) -> NDArray[np.float32]:
    """A vector of weights, by the indexes above.

    Raises:
        ValueError: it is none.
    """
    vector = np.asarray(weights, np.float32)
    if vector.shape != (N_WEIGHTS,) or not np.isfinite(vector).all():
        raise ValueError(f"{weights} is no vector of {N_WEIGHTS} finite weights")
    return vector


def is_shaped(weights: NDArray[np.float32]) -> bool:
    """Whether what a step changed counts, and stock has to be taken."""
    return bool(weights[_FIRST_SHAPED:].any())


@inline
def take_stock(game: Game, seat: int, stock: NDArray[np.int32]) -> None:
    """Note what a seat has.

    Args:
        game: read.
        seat: whose.
        stock: int32[N_STOCK].

    Writes:
        stock.
    """
    stock[LAND] = game.land[seat]
    stock[ARMIES] = game.total_army[seat]
    stock[CITIES] = _count_cities(game, seat)


@inline
def reward_of(
    game: Game,
    seat: int,
    weights: NDArray[np.float32],
    shaped: bool,  # noqa: FBT001 - Numba has no keyword-only arguments
    stock: NDArray[np.int32],
) -> np.float32:
    """What the last tick was worth to a seat that lived before it.

    Args:
        game: after the tick, read.
        seat: whose.
        weights: float32[N_WEIGHTS], read.
        shaped: whether `is_shaped(weights)`.
        stock: int32[N_STOCK], of before the tick, read; of no matter unless shaped.
    """
    reward = weights[STEP]
    if not game.alive[seat]:
        reward += weights[LOSE]
    elif game.status[OUTCOME] == TRUNCATED:
        reward += weights[DRAW]
    elif game.status[OUTCOME] == TERMINATED and game.side[seat] == game.status[WINNER]:
        reward += weights[WIN]
    if shaped:
        reward += _change(game, seat, weights, stock)
    return np.float32(reward)


@inline
def _change(
    game: Game, seat: int, weights: NDArray[np.float32], stock: NDArray[np.int32]
) -> np.float32:
    """The part of a reward that is about what the tick changed."""
    land = game.land[seat] - stock[LAND]
    change = weights[LAND_GAINED] * np.float32(max(land, 0))
    change += weights[LAND_LOST] * np.float32(max(-land, 0))
    change += weights[ARMY] * np.float32(game.total_army[seat] - stock[ARMIES])
    change += weights[CITY] * np.float32(_count_cities(game, seat) - stock[CITIES])
    n_taken = 0
    for other in range(game.n_seats):
        fell_now = game.died_at[other] == game.status[TICK] - 1
        n_taken += game.killer[other] == seat and fell_now
    change += weights[GENERAL] * np.float32(n_taken)
    return np.float32(change)


@inline
def _count_cities(game: Game, seat: int) -> int:
    """Cities of a seat: its structures without the general."""
    n_structures = 0
    for word in range(game.n_words):
        n_structures += popcount(game.mine[seat, word] & game.structure[word])
    return n_structures - int64(game.general[seat] != NEVER)
