"""The two things a recording can be played on: the oracle, and the kernels."""

import numpy as np
import recordings
from oracle import Oracle, digest

from farm.engine import rules
from farm.engine.maps.fixed import FixedMap, reset_fixed
from farm.engine.queues import (
    allocate_queues,
    neutralise_player,
    step_queued,
    surrender_player,
    try_enqueue,
)
from farm.engine.state import allocate


def rules_of(recording):
    if recording["kind"] == "recorded":
        return rules.of_replay(recording["replay_version"])
    return rules.rules_vector({rules.GENERAL_TRADE: int(recording["general_trade"])})


class OraclePlayer:
    def __init__(self, recording):
        vector = rules_of(recording)
        self.game = Oracle(
            recording["width"],
            recording["height"],
            *(recording[name] for name in recordings.MAP_FIELDS),
            order="official" if vector[rules.ORDER] == rules.ORDER_OFFICIAL else "alternating",
            trade=bool(vector[rules.GENERAL_TRADE]),
            city_growth_below=int(vector[rules.CITY_GROWTH_BELOW]),
            neutralise_after=int(vector[rules.NEUTRALISE_AFTER]),
        )
        self.leave = self.game.surrender
        self.neutralise = self.game.neutralise
        self.step = self.game.step
        self.digest = self.game.digest

    def enqueue(self, seat, start, end, half):
        self.game.queues[seat].append((start, end, half))


class KernelPlayer:
    """One game in a batch."""

    def __init__(self, recording):
        board = FixedMap(
            recording["height"],
            recording["width"],
            *(recording[name] for name in recordings.MAP_FIELDS),
        )
        self.n_cells = board.height * board.width
        self.n_seats = len(board.generals)
        self.games = allocate(1, self.n_cells, self.n_seats)
        self.queues = allocate_queues(1, self.n_seats, 1024)
        settings = board.settings(rules=rules_of(recording))
        reset_fixed(self.games, 0, board, settings, seed=0, game_number=0)

    def enqueue(self, seat, start, end, half):
        assert try_enqueue(self.queues, 0, seat, (start, end, half))

    def leave(self, seat):
        surrender_player(self.games, 0, seat)

    def neutralise(self, seat):
        neutralise_player(self.games, 0, seat)

    def step(self):
        step_queued(self.games, self.queues, 0)

    def digest(self):
        games = self.games
        return digest(
            games.owner[0, : self.n_cells].tolist(),
            games.army[0, : self.n_cells].tolist(),
            games.general[0, : self.n_seats].tolist(),
        )


def as_array(cells, n_cells):
    mask = np.zeros(n_cells, bool)
    mask[list(cells)] = True
    return mask
