"""What a state looks like, to everyone or to one seat."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.state import NEUTRAL_OWNER
from farm.replay.characters import FOG, MOUNTAIN, cell_text
from farm.replay.simulate import Playback
from farm.spec import frame_bytes, frame_dtype, tiles

FOG_OWNER: Final = FOG
"""Beside the engine's codes: out of sight."""


class Score(NamedTuple):
    """A line of the scoreboard, which everybody sees."""

    army: int
    land: int
    """Cells."""
    alive: bool


class Look(NamedTuple):
    """A state as somebody sees it."""

    tick: int
    height: int
    width: int
    owner: NDArray[np.int8]
    """int8[n_cells]: seat, NEUTRAL_OWNER, MOUNTAIN_OWNER or FOG_OWNER."""
    army: NDArray[np.int32]
    """int32[n_cells]; 0 out of sight."""
    terrain: NDArray[np.uint8]
    """uint8[n_cells]: terrain codes of spec.tiles."""
    scores: tuple[Score, ...]
    """By seat."""


def look(playback: Playback, seat: int | None = None) -> Look:
    """The present state.

    Args:
        playback: the game.
        seat: who looks, by its own observation; None sees everything.
    """
    games = playback.games
    scores = tuple(
        Score(int(army), int(land), bool(alive))
        for army, land, alive in zip(
            games.total_army[0], games.land[0], games.alive[0], strict=True
        )
    )
    size = (playback.tick, playback.height, playback.width)
    if seat is None:
        owner, army, terrain = games.owner[0], games.army[0], games.terrain[0]
        return Look(*size, owner.copy(), army.copy(), terrain.copy(), scores)
    n_bytes = frame_bytes(playback.n_cells, playback.n_seats)
    dtype = frame_dtype(playback.height, playback.width, playback.n_seats)
    frame = games.frames[0, seat, :n_bytes].view(dtype)[0]
    tile = frame["tile"].ravel()
    terrain = tile >> tiles.OWNER_BITS
    owner = _owners(tile & tiles.OWNER_MASK, games.rank[0, seat])
    owner[terrain == tiles.MOUNTAIN] = MOUNTAIN
    return Look(*size, owner, frame["army"].ravel().astype(np.int32), terrain, scores)


def cell_texts(view: Look) -> list[str]:
    """Each cell in the characters of characters.py."""
    cells = zip(view.owner.tolist(), view.army.tolist(), view.terrain.tolist(), strict=True)
    return [cell_text(owner, army, terrain) for owner, army, terrain in cells]


def _owners(codes: NDArray[np.uint8], rank: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Seats of the relative owner codes of a frame.

    Args:
        codes: uint8[n_cells], read.
        rank: uint8[n_seats], place of each player in the seat's view, read.
    """
    owners = np.full(tiles.OWNER_MASK + 1, NEUTRAL_OWNER, np.int8)
    owners[tiles.FOG] = FOG_OWNER
    for player, place in enumerate(rank):
        owners[tiles.SELF + int(place)] = player
    return owners[codes]
