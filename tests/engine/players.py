"""The two that a game can be played on alike: the oracle, and the kernels."""

import numpy as np
from engine.oracle import Oracle, Variant, digest

from farm.engine import rules
from farm.engine.queues import (
    allocate_queues,
    neutralise_player,
    step_queued,
    surrender_player,
    try_enqueue,
)
from farm.engine.reset import reset_game
from farm.engine.settings import fixed_settings
from farm.engine.state import allocate
from farm.spec.boards import Board

BOARD_FIELDS = (
    "height",
    "width",
    "generals",
    "mountains",
    "cities",
    "city_armies",
    "swamps",
    "deserts",
    "neutrals",
    "neutral_armies",
    "teams",
)


def rules_of(recording):
    """The rules that a conformance game was played by."""
    if recording["kind"] == "recorded":
        return rules.of_replay(recording["replay_version"])
    return rules.rules_vector({rules.GENERAL_TRADE: int(recording["general_trade"])})


def oracle_player(board, vector):
    return Oracle(board, Variant.of(vector))


class KernelPlayer:
    """A game in the middle row of a batch whose arrays are larger than it needs."""

    ROW = 1

    def __init__(self, board, vector, *, spare_cells=70, spare_seats=1):
        fixed = Board(**{name: board[name] for name in BOARD_FIELDS})
        self.n_cells = fixed.height * fixed.width
        self.n_seats = len(fixed.generals)
        seats = min(self.n_seats + spare_seats, 16)
        self.games = allocate(3, self.n_cells + spare_cells, seats)
        self.queues = allocate_queues(3, seats, 1024)
        self.settings = fixed_settings(fixed, rules=vector)
        reset_game(self.games, self.ROW, np.uint64(0), np.uint64(0), self.settings)

    def enqueue(self, seat, start, end, half):
        assert try_enqueue(self.queues, self.ROW, seat, (start, end, half))

    def leave(self, seat):
        surrender_player(self.games, self.ROW, seat)

    def neutralise(self, seat):
        neutralise_player(self.games, self.ROW, seat)

    def step(self):
        step_queued(self.games, self.queues, self.ROW)

    @property
    def owner(self):
        return self.games.owner[self.ROW, : self.n_cells].tolist()

    @property
    def army(self):
        return self.games.army[self.ROW, : self.n_cells].tolist()

    @property
    def generals(self):
        return self.games.general[self.ROW, : self.n_seats].tolist()

    def digest(self):
        return digest(self.owner, self.army, self.generals)
