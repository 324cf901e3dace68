"""Positions in which a policy is asked what it does, with the notes that it has by then."""

import numpy as np
from engine.kernels import Position

from farm.engine.order import is_valid, neighbour
from farm.engine.state import OUTCOME, PLAYING, view
from farm.engine.step import step_game
from farm.jit import kernel
from farm.policies.dispatch import choose
from farm.policies.registry import HUNTER
from farm.spec import decode_action, pass_action
from farm.spec.actions import ACTIONS_PER_CELL

OPENING_TICKS = 51
"""After so many ticks the hunter gathers."""


@kernel
def chosen(games, g, seat, code):
    """A policy's action."""
    return choose(code, view(games, g), seat)


@kernel
def count_illegal(games, codes, actions, n_ticks):
    """Play ticks of every game; how many actions the rules would not have carried out."""
    n_illegal = 0
    for g in range(games.height.size):
        game = view(games, g)
        for _ in range(n_ticks):
            if game.status[OUTCOME] != PLAYING:
                break
            for seat in range(game.n_seats):
                actions[seat] = ACTIONS_PER_CELL * game.n_cells
                if game.alive[seat]:
                    action = choose(codes[seat], game, seat)[0]
                    actions[seat] = action
                    if action != ACTIONS_PER_CELL * game.n_cells:
                        to = neighbour(game, action >> 3, action >> 1 & 3)
                        legal = to >= 0 and is_valid(game, seat, action >> 3, to)
                        n_illegal += not legal
            step_game(game, actions)
    return n_illegal


class Scene(Position):
    """A position with hunters on the seats."""

    def action(self, seat=0, code=HUNTER):
        action, log_prob = chosen(self.games, self.ROW, seat, code)
        assert log_prob == 0.0
        return action

    def pass_the_opening(self, seat=0):
        """Let a seat that cannot move act until it may gather."""
        for _ in range(OPENING_TICKS):
            assert self.action(seat) == pass_action(self.n_cells)

    def fill(self, owner, army=1):
        """Give every free cell to a seat."""
        for cell in np.flatnonzero(np.array(self.owner) == -1):
            self.place(int(cell), owner, army)

    def act(self, seat=0):
        """Play a tick in which only this seat moves; the cells it moved from and to, if any."""
        action = self.action(seat)
        if action == pass_action(self.n_cells):
            self.step()
            return None
        start, direction, half = decode_action(action)
        end = start + (-self.width, self.width, -1, 1)[direction]
        self.play((seat, start, end, half))
        return start, end

    @property
    def width(self):
        return int(self.games.width[self.ROW])
