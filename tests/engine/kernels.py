"""Kernels that only tests need: to write a position by hand, and to ask single questions."""

import numpy as np
from engine.players import KernelPlayer

from farm.engine import rules
from farm.engine.bits import ZERO
from farm.engine.cells import take_cell
from farm.engine.maps.official import _clear_ways
from farm.engine.maps.rows import CITIES, MOUNTAINS, bit_at, flood
from farm.engine.memory import remember
from farm.engine.order import is_valid, neighbour
from farm.engine.state import view
from farm.jit import kernel

EMPTY_BOARD = {
    "mountains": (),
    "cities": (),
    "city_armies": (),
    "swamps": (),
    "deserts": (),
    "neutrals": (),
    "neutral_armies": (),
    "teams": None,
}


@kernel
def place(games, g, cell, owner, army):
    """Give a cell an owner and an army."""
    take_cell(view(games, g), cell, owner, army)


@kernel
def valid_actions(games, g, seat, found):
    """Set `found[action]` for every action that the rules would carry out for a seat."""
    game = view(games, g)
    for action in range(8 * game.n_cells):
        to = neighbour(game, action >> 3, action >> 1 & 3)
        found[action] = to >= 0 and is_valid(game, seat, action >> 3, to)
    found[8 * game.n_cells] = True


@kernel
def remember_now(games, g):
    """Bring the memory of a game up to date, as the end of a tick does."""
    remember(view(games, g))


class Position(KernelPlayer):
    """A board 5 cells wide and high unless said otherwise, on which cells are placed by hand."""

    def __init__(self, generals, *, vector=None, memory=False, **fields):
        board = {"height": 5, "width": 5, **EMPTY_BOARD, "generals": generals, **fields}
        super().__init__(board, rules.official() if vector is None else vector, memory=memory)

    def place(self, cell, owner, army):
        place(self.games, self.ROW, cell, owner, army)

    def play(self, *orders):
        """Queue one order a player, and play the tick."""
        for seat, start, end, *half in orders:
            self.enqueue(seat, start, end, *(half or (0,)))
        self.step()

    def skip_to(self, tick):
        """Play ticks without orders up to a tick counter."""
        while self.tick < tick:
            self.step()

    @property
    def tick(self):
        return int(self.games.status[self.ROW, 0])

    def cell(self, cell):
        """Owner and army of a cell."""
        return self.owner[cell], self.army[cell]

    def alive(self, seat):
        return bool(self.games.alive[self.ROW, seat])

    def legal(self, seat):
        """bool[n_actions]: what the rules would carry out."""
        found = np.zeros(8 * self.n_cells + 1, np.bool_)
        valid_actions(self.games, self.ROW, seat, found)
        return found


@kernel
def flood_from(games, ground, start, found):
    """Set `found` where a flood of a map in the making comes from a cell of `ground`."""
    rows = games.scratch_rows
    height, width = ground.shape
    for row in range(height):
        rows[0, row] = ZERO
        for column in range(width):
            if ground[row, column]:
                rows[0, row] |= bit_at(column)
    flood(rows[1], rows[0], (start[0] << 6) + start[1], height)
    for row in range(height):
        for column in range(width):
            found[row, column] = (rows[1, row] & bit_at(column)) != ZERO


@kernel
def clear_all_ways(games, terrain, places):
    """Clear the ways between generals on a board of mountains, as when drawing has given up."""
    rows = games.scratch_rows
    height, width = terrain.shape
    for row in range(height):
        rows[MOUNTAINS, row] = ~ZERO
        rows[CITIES, row] = ~ZERO
    games.n_seats[0] = places.shape[0]
    for seat in range(places.shape[0]):
        games.general[0, seat] = (places[seat, 0] << 6) + places[seat, 1]
    _clear_ways(view(games, 0), rows)
    for row in range(height):
        for column in range(width):
            if not (rows[MOUNTAINS, row] | rows[CITIES, row]) & bit_at(column):
                terrain[row, column] = 0
