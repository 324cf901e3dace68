"""A frame as text, for `render_mode="ansi"`: what one seat sees."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.spec import tiles
from farm.spec.limits import TICKS_PER_TURN

TICKS_PER_SECOND: Final = 2
"""At the usual speed of the official game."""

_CELL_WIDTH: Final = 4
_TERRAIN: Final = {
    tiles.PLAIN: "",
    tiles.CITY: "#",
    tiles.GENERAL: "*",
    tiles.MOUNTAIN: "^",
    tiles.SWAMP: "~",
    tiles.DESERT: "_",
    tiles.OBSTACLE: "?",
}
_PLAYERS: Final = "ABCDEFGHIJKLMNOP"


def draw(frame: NDArray[np.void] | np.void, tick: int) -> str:
    """The board and the scoreboard of a frame.

    A cell shows its owner (A is the seat itself, then its teammates, then its enemies), its army,
    and a sign: * general, # city, ^ mountain, ~ swamp, _ desert, ? a mountain or city out of sight;
    a dot is ground out of sight.

    Args:
        frame: one frame (spec.observation).
        tick: tick counter, for the first line.
    """
    rows = [
        "".join(
            _cell(int(tile), int(army)) for tile, army in zip(row, armies, strict=True)
        ).rstrip()
        for row, armies in zip(frame["tile"], frame["army"], strict=True)
    ]
    scores = zip(frame["total_army"], frame["total_land"], frame["alive"], strict=True)
    board = "  ".join(
        f"{_PLAYERS[player]} {army}/{land}{'' if alive else ' out'}"
        for player, (army, land, alive) in enumerate(scores)
    )
    return "\n".join((f"turn {tick / TICKS_PER_TURN:g}  {board}", *rows))


def _cell(tile: int, army: int) -> str:
    sign = _TERRAIN[tile >> tiles.OWNER_BITS]
    owner = tile & tiles.OWNER_MASK
    if owner == tiles.FOG:
        text = sign or "."
    elif owner == tiles.NEUTRAL:
        text = f"{army or ''}{sign}"
    else:
        text = f"{_PLAYERS[owner - tiles.SELF]}{army}{sign}"
    return text.rjust(_CELL_WIDTH) + " "
