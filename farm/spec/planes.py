"""Frames as float planes for a convolutional net, and their legal actions.

Planes are made here, next to the learner: on the wire an observation is 3 bytes a cell, as planes
it is 80. Values are plain: one-hot planes are 0 or 1, armies and scores are counts, neither scaled
nor capped beyond the 65,535 of a cell. Scores are the same number in every cell of a plane.

With a memory there are more planes, of cells that are out of sight and were in sight before: what
they were when they were last seen. Of cells in sight, and of cells never seen, these are 0.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from farm.spec import actions, tiles
from farm.spec.limits import MAX_ARMY_SEEN

FloatType: TypeAlias = type[np.float16] | type[np.float32] | type[np.float64]

TERRAIN_PLANES = ("mountain", "city", "general", "swamp", "desert", "obstacle")
"""`obstacle` is a mountain or a city out of sight; plain ground is none of these."""
OWNER_PLANES = ("self", "teammate", "enemy", "neutral", "fog")
"""Whose a cell is; exactly one of them is 1."""
ARMY_PLANES = ("army_self", "army_teammate", "army_enemy", "army_neutral")
SCORE_PLANES = (
    "total_army_self",
    "total_army_teammate",
    "total_army_enemy",
    "total_land_self",
    "total_land_teammate",
    "total_land_enemy",
)
"""The scoreboard, summed over teammates and over enemies."""

PLANES = TERRAIN_PLANES + OWNER_PLANES + ARMY_PLANES + SCORE_PLANES
"""The channels of `planes`, in their order."""

MEMORY_PLANES = (
    *("remembered_mountain", "remembered_city", "remembered_general", "remembered_desert"),
    *("remembered_self", "remembered_teammate", "remembered_enemy", "remembered_neutral"),
    *("remembered_army_self", "remembered_army_teammate"),
    *("remembered_army_enemy", "remembered_army_neutral"),
)
"""The channels behind `PLANES` where a memory is given: terrain, whose, army. Of a cell that is
remembered, exactly one of self, teammate, enemy and neutral is 1. Swamps are known without it."""

_TERRAIN = (tiles.MOUNTAIN, tiles.CITY, tiles.GENERAL, tiles.SWAMP, tiles.DESERT, tiles.OBSTACLE)
_REMEMBERED = (tiles.MOUNTAIN, tiles.CITY, tiles.GENERAL, tiles.DESERT)
_OWNER = np.uint8(tiles.OWNER_MASK)
_FIRST_OWNER = len(TERRAIN_PLANES)
_FIRST_ARMY = _FIRST_OWNER + len(OWNER_PLANES)
_FIRST_SCORE = _FIRST_ARMY + len(ARMY_PLANES)
_CHUNK_FRAMES = 64
"""Frames filled at a time: on 20x20 they stay in the second-level cache, twice as fast."""


def planes(
    frames: NDArray[np.void],
    n_allies: int | NDArray[np.int64],
    dtype: FloatType = np.float32,
    *,
    memory: NDArray[np.void] | None = None,
    out: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """Frames as float planes.

    Args:
        frames: frame_dtype[N] (spec.observation), read.
        n_allies: teammates of the observing seat, itself not counted: for all, or int[N].
        dtype: type of the planes. float16 is exact up to 2,048 and ends at 65,504.
        memory: memory_dtype[N] (spec.observation), read: adds `MEMORY_PLANES`.
        out: where to write the planes instead of new memory; then its own type counts.

    Returns:
        dtype[N, C, height, width], C = len(PLANES), and len(MEMORY_PLANES) more with a memory; or
        `out`.

    Raises:
        ValueError: `out` has another shape, or is no array of floats.
    """
    _, height, width = frames["tile"].shape
    n_channels = len(PLANES) + (0 if memory is None else len(MEMORY_PLANES))
    shape = (len(frames), n_channels, height, width)
    if out is None:
        out = np.empty(shape, dtype=dtype)
    elif out.shape != shape or out.dtype.kind != "f":
        raise ValueError(f"planes are floats of shape {shape}, not {out.dtype} of {out.shape}")
    allies = np.broadcast_to(np.asarray(n_allies), len(frames))
    for start in range(0, len(frames), _CHUNK_FRAMES):
        rows = slice(start, start + _CHUNK_FRAMES)
        _fill_board(out[rows, :_FIRST_SCORE], frames[rows], allies[rows])
        _fill_scores(out[rows, _FIRST_SCORE : len(PLANES)], frames[rows], allies[rows])
        if memory is not None:
            _fill_memory(out[rows, len(PLANES) :], frames[rows], memory[rows], allies[rows])
    return out


def legal_masks(frames: NDArray[np.void], n_allies: int | NDArray[np.int64]) -> NDArray[np.bool]:
    """Which actions the rules would carry out in each frame; passing always is.

    Args:
        frames: frame_dtype[N] (spec.observation), read.
        n_allies: teammates of the observing seat, itself not counted: for all, or int[N].

    Returns:
        bool[N, 8 * height * width + 1].
    """
    tile, army = frames["tile"], frames["army"]
    counts, rows = np.unique(np.asarray(n_allies), return_inverse=True)
    if len(counts) == 1:
        return actions.legal_mask(tile, army, int(counts[0]))
    masks = np.empty((len(frames), actions.n_actions(tile[0].size)), dtype=np.bool_)
    for index, count in enumerate(counts):
        chosen = rows == index
        masks[chosen] = actions.legal_mask(tile[chosen], army[chosen], int(count))
    return masks


def _fill_board(
    out: NDArray[np.floating], frames: NDArray[np.void], n_allies: NDArray[np.int64]
) -> None:
    """Fill the planes that come from tiles and armies."""
    tile = frames["tile"]
    army = np.minimum(frames["army"], np.uint16(min(_largest(out), MAX_ARMY_SEEN)))
    terrain = tile >> tiles.OWNER_BITS
    for channel, code in enumerate(_TERRAIN):
        out[:, channel] = terrain == code
    owner = tile & _OWNER
    whose = _whose(owner, n_allies)
    for index, cells in enumerate((*whose, owner == tiles.FOG)):
        out[:, _FIRST_OWNER + index] = cells
    for index, cells in enumerate(whose):
        np.multiply(army, cells, out=out[:, _FIRST_ARMY + index], casting="unsafe")


def _fill_memory(
    out: NDArray[np.floating],
    frames: NDArray[np.void],
    memory: NDArray[np.void],
    n_allies: NDArray[np.int64],
) -> None:
    """Fill the planes of cells out of sight that were in sight before."""
    out_of_sight = (frames["tile"] & _OWNER) == tiles.FOG
    # As if never seen, in which no plane below has a 1.
    tile = np.where(out_of_sight, memory["tile"], np.uint8(tiles.NEVER_SEEN))
    army = np.minimum(memory["army"], np.uint16(min(_largest(out), MAX_ARMY_SEEN)))
    terrain = tile >> tiles.OWNER_BITS
    for channel, code in enumerate(_REMEMBERED):
        out[:, channel] = terrain == code
    whose = _whose(tile & _OWNER, n_allies)
    first_army = len(_REMEMBERED) + len(whose)
    for index, cells in enumerate(whose):
        out[:, len(_REMEMBERED) + index] = cells
        np.multiply(army, cells, out=out[:, first_army + index], casting="unsafe")


def _whose(
    owner: NDArray[np.uint8], n_allies: NDArray[np.int64]
) -> tuple[NDArray[np.bool], NDArray[np.bool], NDArray[np.bool], NDArray[np.bool]]:
    """Cells of the seat itself, of teammates, of enemies, and of nobody; none in fog."""
    last_ally = (tiles.SELF + n_allies).astype(np.uint8).reshape(-1, 1, 1)
    return (
        owner == tiles.SELF,
        (owner > tiles.SELF) & (owner <= last_ally),
        (owner > last_ally) & (owner != tiles.FOG),
        owner == tiles.NEUTRAL,
    )


def _fill_scores(
    out: NDArray[np.floating], frames: NDArray[np.void], n_allies: NDArray[np.int64]
) -> None:
    """Spread the scoreboard sums over their planes; rows are self, teammates, enemies in order."""
    row = np.arange(frames["alive"].shape[1])
    last_ally = n_allies.reshape(-1, 1)
    teammate = (row > 0) & (row <= last_ally)
    groups = (np.broadcast_to(row == 0, teammate.shape), teammate, row > last_ally)
    channel = 0
    for name in ("total_army", "total_land"):
        score = frames[name].astype(np.int64)
        for group in groups:
            total = np.minimum((score * group).sum(axis=1), _largest(out))
            out[:, channel] = total[:, None, None]
            channel += 1


def _largest(out: NDArray[np.floating]) -> int:
    """The largest count that its type can hold."""
    return int(min(float(np.finfo(out.dtype).max), 2.0**62))
