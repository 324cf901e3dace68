"""Spaces of one agent, and observations as they define them."""

from typing import TypedDict, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from farm.envs.match import Match
from farm.spec.actions import n_actions
from farm.spec.limits import MAX_ARMY_SEEN


class Observation(TypedDict):
    """What one agent observes, or with an axis in front what each agent of a batch does."""

    tile: NDArray[np.uint8]
    """uint8[height, width], tile codes (spec.tiles)."""
    army: NDArray[np.uint16]
    """uint16[height, width], armies in sight."""
    total_army: NDArray[np.uint32]
    """uint32[seats], scoreboard: the agent first, then its teammates, then its enemies."""
    total_land: NDArray[np.uint16]
    """uint16[seats], likewise."""
    alive: NDArray[np.uint8]
    """uint8[seats], likewise: 1 while the player lives."""
    action_mask: NDArray[np.int8]
    """int8[actions]: 1 for every action that the rules would carry out."""


def observation_space(match: Match) -> spaces.Space[Observation]:
    """The space of an `Observation`."""
    n_seats = (len(match.seats),)
    space = spaces.Dict(
        {
            "tile": spaces.Box(0, 255, match.size, np.uint8),
            "army": spaces.Box(0, MAX_ARMY_SEEN, match.size, np.uint16),
            "total_army": spaces.Box(0, np.iinfo(np.uint32).max, n_seats, np.uint32),
            "total_land": spaces.Box(0, match.n_cells, n_seats, np.uint16),
            "alive": spaces.Box(0, 1, n_seats, np.uint8),
            "action_mask": spaces.MultiBinary(n_actions(match.n_cells)),
        }
    )
    return cast("spaces.Space[Observation]", space)


def action_space(match: Match) -> spaces.Discrete:
    """The action index of `spec.actions`; the last one passes."""
    return spaces.Discrete(n_actions(match.n_cells))


def observe(frames: NDArray[np.void], mask: NDArray[np.int8]) -> Observation:
    """Frames and their masks as an observation, all of it views.

    Args:
        frames: frame_dtype[...]: of one agent, or of a batch.
        mask: int8[..., actions].
    """
    return {
        "tile": frames["tile"],
        "army": frames["army"],
        "total_army": frames["total_army"],
        "total_land": frames["total_land"],
        "alive": frames["alive"],
        "action_mask": mask,
    }


def sample_legal(mask: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw an action for every row of a batch of masks, uniformly among the legal ones.

    Args:
        mask: int8[n, actions], read.
        rng: drawn from n times.

    Returns:
        int64[n].
    """
    legal = np.flatnonzero(mask.view(np.bool_))
    ends = np.searchsorted(legal, np.arange(1, len(mask) + 1) * mask.shape[1])
    counts = np.diff(ends, prepend=0)
    picks = ends - counts + (rng.random(len(mask)) * counts).astype(np.int64)
    drawn: NDArray[np.int64] = legal[picks] % mask.shape[1]
    return drawn
