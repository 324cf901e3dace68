"""The tape: actions of the games that are recorded, until they end (farm.jit).

Every `worker.record_every`-th game number is recorded. When such a game begins it takes a slot of
the tape, and gives it back once Python has made a replay of it (recording.py). Memory is bounded:
where more games are recorded at once than there are slots, the later ones are left out by count.
Other games cost a look at their row's slot, once a chunk.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.settings import TICKS
from farm.engine.state import Game
from farm.jit import inline
from farm.spec.actions import ACTIONS_PER_CELL
from farm.worker.plan import Plan, Scratch

MAX_TAPE_BYTES: Final = 1 << 24
"""A duel on 20x20 of up to 500 turns takes 6 KB; 16 seats for 25,000 turns on 64x64, 1.6 MB."""

NO_SLOT: Final = -1
FREE, ROLLING, FULL = range(3)
"""Codes of `state`: not in use; of a game that goes on; of one that has ended."""


class Tape(NamedTuple):
    """Room for the recorded games of a cohort: R slots, T ticks of the longest game."""

    slot: NDArray[np.int32]
    """int32[n_games]: slot of the game in each row, or NO_SLOT."""
    state: NDArray[np.int8]
    """int8[R]: FREE, ROLLING or FULL."""
    number: NDArray[np.uint64]
    """uint64[R]: the game's number."""
    n_ticks: NDArray[np.int32]
    """int32[R]: ticks on the tape."""
    actions: NDArray[np.uint16]
    """uint16[R, T, n_seats]: action of each seat, the pass of those that are out."""
    codes: NDArray[np.int32]
    """int32[R, n_seats]: policies of the game."""
    height: NDArray[np.int32]
    """int32[R]: rows of the board, and its last state in the last three."""
    width: NDArray[np.int32]
    """int32[R]: columns."""
    owner: NDArray[np.int8]
    """int8[R, C]"""
    army: NDArray[np.int32]
    """int32[R, C]"""
    general: NDArray[np.int32]
    """int32[R, n_seats]"""


def make_tape(plan: Plan, n_games: int) -> Tape:
    """A tape for a cohort; without a slot where nothing is recorded."""
    n_seats, n_cells = plan.weights.shape[0], plan.height * plan.width
    n_ticks = int(plan.settings.numbers[TICKS])
    n_slots = 0
    if plan.record_every:
        slot_bytes = 2 * n_ticks * n_seats + 5 * n_cells + 8 * n_seats + 64
        n_slots = min(n_games, max(1, MAX_TAPE_BYTES // slot_bytes))
    return Tape(
        slot=np.full(n_games, NO_SLOT, np.int32),
        state=np.zeros(n_slots, np.int8),
        number=np.zeros(n_slots, np.uint64),
        n_ticks=np.zeros(n_slots, np.int32),
        actions=np.zeros((n_slots, n_ticks, n_seats), np.uint16),
        codes=np.zeros((n_slots, n_seats), np.int32),
        height=np.zeros(n_slots, np.int32),
        width=np.zeros(n_slots, np.int32),
        owner=np.zeros((n_slots, n_cells), np.int8),
        army=np.zeros((n_slots, n_cells), np.int32),
        general=np.zeros((n_slots, n_seats), np.int32),
    )


@inline
def begin_recording(tape: Tape, g: int, number: np.uint64, every: np.uint64) -> bool:
    """Give the game that begins in row `g` a slot, if it is one to record.

    Returns:
        Whether it is, and no slot was free.

    Writes:
        tape.
    """
    tape.slot[g] = NO_SLOT
    if every == 0 or number % every != 0:
        return False
    for slot in range(tape.state.size):
        if tape.state[slot] == FREE:
            tape.state[slot] = ROLLING
            tape.number[slot] = number
            tape.n_ticks[slot] = 0
            tape.slot[g] = slot
            return False
    return True


@inline
def record_chunk(tape: Tape, slot: int, game: Game, n_ticks: int, scratch: Scratch) -> None:
    """Add the actions of a chunk that was just played.

    Writes:
        tape.
    """
    first = tape.n_ticks[slot]
    for seat in range(game.n_seats):
        tape.codes[slot, seat] = scratch.codes[seat]
        for tick in range(n_ticks):
            # A seat's trajectory ends with the tick in which it is out.
            acted = tick < scratch.n_steps[seat]
            action = scratch.action[seat, tick] if acted else ACTIONS_PER_CELL * game.n_cells
            tape.actions[slot, first + tick, seat] = action
    tape.n_ticks[slot] = first + n_ticks


@inline
def end_recording(tape: Tape, slot: int, game: Game) -> None:
    """Keep the last state of a game.

    Writes:
        tape.
    """
    tape.state[slot] = FULL
    tape.height[slot] = game.height
    tape.width[slot] = game.width
    for cell in range(game.n_cells):
        tape.owner[slot, cell] = game.owner[cell]
        tape.army[slot, cell] = game.army[cell]
    for seat in range(game.n_seats):
        tape.general[slot, seat] = game.general[seat]
