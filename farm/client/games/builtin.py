"""Two agents to play against, and to learn from: NumPy on frames, nothing else."""

import numpy as np
from numpy.typing import NDArray

from farm.client.games.agent import Agent
from farm.client.games.moves import Action
from farm.client.games.observation import GameObservation
from farm.spec import tiles
from farm.spec.actions import ACTIONS_PER_CELL, N_DIRECTIONS

_CLASS = 1 << 20
"""What a cell is worth; the army that takes it counts among equals."""
_LAND, _ENEMY, _CITY, _GENERAL = _CLASS, 2 * _CLASS, 3 * _CLASS, 4 * _CLASS
_HEAD, _TAIL, _ALL = slice(None, -1), slice(1, None), slice(None)
_STEPS = (
    ((_TAIL, _ALL), (_HEAD, _ALL)),
    ((_HEAD, _ALL), (_TAIL, _ALL)),
    ((_ALL, _TAIL), (_ALL, _HEAD)),
    ((_ALL, _HEAD), (_ALL, _TAIL)),
)
"""For each direction the cells moved from, and beside them the cells moved onto."""


class RandomAgent(Agent):
    """Uniform over the legal moves, halves too; passes where there is none.

    Args:
        seed: of its choices; None draws one.
    """

    name = "random"

    def __init__(self, seed: int | None = None) -> None:
        self._rng = np.random.default_rng(seed)

    def act(self, observation: GameObservation) -> Action:
        """Draw one of the legal moves."""
        legal = np.flatnonzero(observation.legal_mask[:-1])
        return int(self._rng.choice(legal)) if len(legal) else None


class ExpanderAgent(Agent):
    """Takes land and cities greedily, attacks what it sees; the farm's policy of this name.

    If any of its armies can take a neighbouring cell, it takes the most valuable one with the
    largest army: a general, then a city, then a player's cell, then free land. Otherwise its
    largest army marches over own land towards the nearest cell in sight that is not its side's.

    Args:
        seed: of what it does where nothing is to be taken or reached; None draws one.
    """

    name = "expander"

    def __init__(self, seed: int | None = None) -> None:
        self._random = RandomAgent(seed)

    def act(self, observation: GameObservation) -> Action:
        """Capture, else march, else move about."""
        army = observation.army.astype(np.int64)
        movable = observation.own & (army > 1)
        prey = ~(observation.own | observation.allied)
        action = _capture(observation, army, movable, prey)
        if action is None:
            action = _march(observation, army, movable, prey)
        return self._random.act(observation) if action is None else action


def _capture(
    observation: GameObservation,
    army: NDArray[np.int64],
    movable: NDArray[np.bool],
    prey: NDArray[np.bool],
) -> int | None:
    """The most valuable capture; the first by cell and direction among equals."""
    terrain = observation.terrain
    worth = np.where(observation.owner == tiles.NEUTRAL, _LAND, _ENEMY)
    worth[terrain == tiles.CITY] = _CITY
    worth[terrain == tiles.GENERAL] = _GENERAL
    found = np.zeros((*army.shape, N_DIRECTIONS), np.int64)
    open_prey = prey & (terrain != tiles.MOUNTAIN)
    for direction, (start, to) in enumerate(_STEPS):
        takes = movable[start] & open_prey[to] & (army[start] - 1 > army[to])
        found[(*start, direction)] = np.where(takes, worth[to] + army[start], 0)
    best = int(found.argmax())
    if not found.flat[best]:
        return None
    cell, direction = divmod(best, N_DIRECTIONS)
    return cell * ACTIONS_PER_CELL + direction * 2


def _march(
    observation: GameObservation,
    army: NDArray[np.int64],
    movable: NDArray[np.bool],
    prey: NDArray[np.bool],
) -> int | None:
    """A step of the largest army towards the nearest target over own land."""
    if not movable.any():
        return None
    cell = int(np.where(movable, army, 0).argmax())
    strength = army.flat[cell] - 1
    is_town = (observation.terrain == tiles.CITY) | (observation.terrain == tiles.GENERAL)
    reached = prey & ~observation.fog & (observation.terrain != tiles.MOUNTAIN)
    reached &= ~(is_town & (strength <= army))
    while True:
        direction = _way_into(reached, cell)
        if direction is not None:
            return cell * ACTIONS_PER_CELL + direction * 2
        near = np.zeros_like(reached)
        for start, to in _STEPS:
            near[start] |= reached[to]
        near &= observation.own & ~reached
        if not near.any():
            return None
        reached |= near


def _way_into(reached: NDArray[np.bool], cell: int) -> int | None:
    """The first direction from a cell into the reached ones."""
    row, column = divmod(cell, reached.shape[1])
    beside = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    for direction, (to_row, to_column) in enumerate(beside):
        is_there = 0 <= to_row < reached.shape[0] and 0 <= to_column < reached.shape[1]
        if is_there and reached[to_row, to_column]:
            return direction
    return None
