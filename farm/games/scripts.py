"""What a journal says of one game, step by step, for the kernel that plays it again."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.replay.journal import Orders, Ticked

FORGET, ORDER, ACTED, PLAYED, TICK = range(5)
"""What a step does: empty a seat's queue; add an order to it; count the action that did so; add an
order that came with its tick; play the tick."""
N_FIELDS: Final = 5


class Script(NamedTuple):
    """Steps of the game of one row."""

    row: int
    """-1 for none: what is due is played."""
    steps: NDArray[np.int32]
    """int32[n, N_FIELDS]: what it does, and where they mean something seat, start, end, half."""


NO_SCRIPT: Final = Script(-1, np.zeros((0, N_FIELDS), np.int32))


class Steps:
    """Steps in the making, bounded as a journal is."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int, int, int, int]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def act(self, entry: Orders) -> None:
        """An action was accepted."""
        seat = entry.seat
        if entry.clear:
            self._steps.append((FORGET, seat, 0, 0, 0))
        self._steps.extend((ORDER, seat, start, end, half) for start, end, half in entry.moves)
        self._steps.append((ACTED, seat, 0, 0, 0))

    def tick(self, entry: Ticked) -> None:
        """A tick was played."""
        self._steps.extend((PLAYED, *order) for order in entry.orders)
        self._steps.append((TICK, 0, 0, 0, 0))

    def take(self, row: int) -> Script:
        """All of them, of the game of a row."""
        steps, self._steps = self._steps, []
        return Script(row, np.array(steps, np.int32).reshape(-1, N_FIELDS))
