"""What a newcomer asks an observation."""

import numpy as np
import pytest
from game_messages import GAME, HEIGHT, N_CELLS, OPEN, WIDTH, frame, observation, update
from hypothesis import given
from hypothesis import strategies as st

from farm.client import Move
from farm.client.games.moves import index_of, move_of, moves_of
from farm.client.games.view import GameView
from farm.errors import UsageError
from farm.spec import legal_mask, n_actions, tiles

MIXED = {
    **OPEN,
    1: (tiles.NEUTRAL, tiles.MOUNTAIN, 0),
    5: (tiles.SELF, tiles.PLAIN, 1),
    7: (3, tiles.GENERAL, 4),
    10: (2, tiles.PLAIN, 3),
    11: (tiles.NEUTRAL, tiles.CITY, 40),
}
"""With one teammate owner 2 is of its side and 3 is an enemy."""


def seen(cells=None, *, n_allies=0, tick=0, **fields):
    message = update(tick, view=observation(frame(cells), n_allies=n_allies), **fields)
    return GameView(GAME).receive(message)


def test_cells_are_told_apart_by_owner_and_terrain():
    made = seen(MIXED, n_allies=1)
    assert made.own_cells == [5, 6]
    assert made.enemy_cells == made.enemy_generals == [7]
    assert np.flatnonzero(made.allied).tolist() == [10]
    assert np.flatnonzero(made.mountain).tolist() == [1]
    assert np.flatnonzero(made.city).tolist() == [11]
    assert made.general == 6
    assert made.fog.sum() == N_CELLS - len(MIXED)
    assert (made.army_at(11), made.owner_of(7)) == (40, 3)
    assert made.neighbours(0) == [5, 1]
    assert made.neighbours(6) == [1, 11, 5, 7]


def test_turns_are_two_ticks():
    assert [seen(tick=tick).turn for tick in (0, 1, 2, 5)] == [0, 0, 1, 2]


def test_the_scoreboard_begins_with_this_seat():
    made = seen()
    assert made.scores[0] == (10, 1, True)
    assert made.is_alive


def test_moves_are_those_of_the_mask():
    made = seen(MIXED, n_allies=1)
    mask = legal_mask(made.frame["tile"], made.frame["army"], 1)
    assert np.array_equal(made.legal_mask, mask)
    assert made.legal_mask is made.legal_mask
    whole = made.moves()
    # From the general everywhere but onto the mountain, and the single army onto a teammate's.
    assert whole == [Move(5, 10), Move(6, 11), Move(6, 5), Move(6, 7)]
    assert made.moves(halves=True) == [
        Move(move.start, move.end, half) for move in whole for half in (False, True)
    ]
    assert made.is_legal(Move(6, 7))
    assert not made.is_legal(Move(6, 1))
    assert made.passing == n_actions(N_CELLS) - 1


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_an_index_and_its_move_are_one_and_the_same(height, width, data):
    index = data.draw(st.integers(0, 8 * height * width))
    try:
        move = move_of(index, height, width)
    except UsageError:
        cell, direction = index // 8, index % 8 // 2
        row, column = divmod(cell, width)
        edges = (row == 0, row == height - 1, column == 0, column == width - 1)
        assert edges[direction]
        return
    if move is None:
        assert index == 8 * height * width
    else:
        assert index_of(move, height, width) == index


@pytest.mark.parametrize(
    ("action", "moves"),
    [
        (None, ()),
        ([], ()),
        (8 * N_CELLS, ()),
        (Move(6, 7), (Move(6, 7),)),
        ([Move(6, 7), Move(7, 8, half=True)], (Move(6, 7), Move(7, 8, half=True))),
        (np.int64(6 * 8 + 3 * 2 + 1), (Move(6, 7, half=True),)),
    ],
)
def test_an_agent_answers_with_a_move_moves_an_index_or_nothing(action, moves):
    assert moves_of(action, HEIGHT, WIDTH) == moves


@pytest.mark.parametrize("action", ["6", 1.5, [6, 7], 8 * N_CELLS + 1, -1, 0])
def test_an_answer_that_is_no_action_says_so(action):
    with pytest.raises(UsageError, match="action"):
        moves_of(action, HEIGHT, WIDTH)
