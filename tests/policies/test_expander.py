"""The expander takes what it can, marches when it can't, and beats the random policy."""

import numpy as np
import pytest
from engine.kernels import Position, place
from engine.test_against_oracle import frames_of

from farm.engine.batch import Batch, duel
from farm.engine.settings import settings
from farm.engine.state import view
from farm.jit import kernel
from farm.policies.dispatch import choose
from farm.policies.registry import EXPANDER, RANDOM
from farm.policies.rollout import play_out
from farm.spec import encode_action
from farm.spec.actions import DOWN, LEFT, RIGHT, UP

GENERALS = (0, 24)


@kernel
def chosen(games, g, seat):
    """The expander's action."""
    return choose(EXPANDER, view(games, g), seat)


def action_of(game, seat=0):
    action, log_prob = chosen(game.games, game.ROW, seat)
    assert log_prob == 0.0
    return action


def wins(batch, codes):
    """Share of the games won by each side."""
    play_out(batch.games, np.array(codes, np.int32), np.zeros(batch.n_seats, np.int32))
    return [(batch.winner == side).mean() for side in range(batch.n_seats)]


@pytest.mark.parametrize(("expander", "codes"), [(0, (EXPANDER, RANDOM)), (1, (RANDOM, EXPANDER))])
def test_it_beats_random_in_nearly_all_duels_within_500_turns(expander, codes):
    assert wins(duel(200, side=20, seed=7, max_ticks=1000), codes)[expander] >= 0.95


def test_it_beats_random_on_small_boards_too():
    batch = Batch(200, settings(8, 8, 2, cities=2, max_ticks=1000), seed=7)
    assert wins(batch, (EXPANDER, RANDOM))[0] >= 0.95


def test_a_general_is_taken_before_anything_else():
    game = Position(GENERALS, cities=(18,), city_armies=(3,))
    game.place(23, 0, 9)
    game.place(22, 1, 1)
    assert action_of(game) == encode_action(23, RIGHT, 0)


def test_a_city_is_taken_before_an_enemys_cell_and_that_before_free_land():
    game = Position(GENERALS, cities=(7,), city_armies=(3,))
    game.place(12, 0, 9)
    game.place(13, 1, 1)
    assert action_of(game) == encode_action(12, UP, 0)
    game.place(7, -1, 40)
    assert action_of(game) == encode_action(12, RIGHT, 0)
    game.place(13, -1, 0)
    assert action_of(game) in {encode_action(12, way, 0) for way in (DOWN, LEFT, RIGHT)}


def test_among_equals_the_largest_army_goes():
    game = Position(GENERALS)
    game.place(5, 0, 3)
    game.place(12, 0, 9)
    assert action_of(game) // 8 == 12


def test_a_stronger_neighbour_is_left_alone_while_there_is_something_to_take():
    game = Position(GENERALS, mountains=(7, 11, 17))
    game.place(12, 0, 9)
    game.place(13, 1, 8)
    game.place(5, 0, 2)
    assert action_of(game) // 8 == 5


def test_with_nothing_to_take_the_largest_army_marches_to_the_nearest_cell_in_sight():
    # Own rows 0 to 3 with army 1 beside free land in row 4; the army of 9 is in the first row.
    game = Position((0, 24))
    for cell in range(20):
        game.place(cell, 0, 1)
    game.place(2, 0, 9)
    assert action_of(game) == encode_action(2, DOWN, 0)


def test_it_passes_when_nothing_can_move():
    assert action_of(Position(GENERALS)) == 8 * 25


def test_teammates_are_no_prey():
    game = Position((0, 24, 4), teams=(1, 2, 1))
    game.place(12, 0, 9)
    for cell in (7, 11, 13, 17):
        game.place(cell, 2, 1)
    game.place(5, 0, 2)
    assert action_of(game) // 8 == 5


def test_what_is_out_of_sight_does_not_matter():
    rng = np.random.default_rng(0)
    for _ in range(50):
        game = Position((0, 24), height=6, width=7)
        for cell in rng.integers(0, 42, 9):
            if cell not in (0, 24):
                game.place(int(cell), 0, int(rng.integers(1, 20)))
        before = action_of(game)
        frame = frames_of(game)[0]["tile"].ravel()
        for cell in np.flatnonzero((frame & 31) == 31):
            if cell != 24:
                owner = int(rng.choice((-1, 1)))
                place(game.games, game.ROW, int(cell), owner, int(rng.integers(0, 50)))
        assert action_of(game) == before
