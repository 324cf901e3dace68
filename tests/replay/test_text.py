"""A game as text: the golden playthrough, and what a seat is shown."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from replay.games import march, wandering

from farm.engine.state import MOUNTAIN_OWNER, NEUTRAL_OWNER
from farm.replay.characters import MOUNTAIN, NEUTRAL, column_width
from farm.replay.look import FOG_OWNER, Look, cell_texts, look
from farm.replay.model import FORGET, Order
from farm.replay.simulate import Playback
from farm.replay.text import board_lines, playthrough
from farm.spec import tiles

GOLDEN = Path(__file__).parents[1] / "golden" / "march.txt"
"""Written by `list(playthrough(march()))`; read the difference before you replace it."""


def test_owners_that_are_no_seats_have_the_engines_codes():
    assert (NEUTRAL, MOUNTAIN) == (NEUTRAL_OWNER, MOUNTAIN_OWNER)


def test_a_playthrough_is_the_golden_one():
    assert "\n".join([*playthrough(march()), ""]) == GOLDEN.read_text()


def test_what_a_player_takes_back_is_said():
    game = march()
    replay = structs.replace(game, orders=(*game.orders[:2], Order(5, 0, FORGET, 0, 0)))
    assert "tick 5: A forgets" in list(playthrough(replay))


def test_every_so_many_ticks_leaves_boards_out_but_no_order():
    thin = list(playthrough(march(), every=5))
    boards = [text for text in thin if text.startswith("after ")]
    assert [text.split(":")[0] for text in boards] == ["after 0", "after 5", "after 8"]
    orders = [text for text in playthrough(march()) if text.startswith("tick ") and ">" in text]
    assert len(orders) == 2
    assert set(orders) < set(thin)


def test_a_playthrough_of_a_seat_shows_what_it_saw():
    lines = list(playthrough(march(), seat=0))
    assert "board 4x4, 2 seats, seen by seat A" in lines
    start = lines.index("after 0: A 1/1  B 1/1") + 1
    assert lines[start : start + 4] == [
        " A1*   .   -   -",
        "   .   ^  -~   -",
        "   -   %   -   -",
        "   -   -   -   -",
    ]


@pytest.mark.parametrize(
    ("owner", "army", "terrain", "text"),
    [
        (0, 12, tiles.PLAIN, "A12"),
        (15, 1, tiles.GENERAL, "P1*"),
        (1, 40, tiles.CITY, "B40+"),
        (1, 3, tiles.SWAMP, "B3~"),
        (1, 3, tiles.DESERT, "B3:"),
        (1, 0, tiles.PLAIN, "B0"),
        (-1, 0, tiles.PLAIN, "."),
        (-1, 7, tiles.PLAIN, "7"),
        (-1, 47, tiles.CITY, "47+"),
        (-1, 0, tiles.SWAMP, "~"),
        (-1, 0, tiles.DESERT, ":"),
        (-2, 0, tiles.MOUNTAIN, "^"),
        (FOG_OWNER, 0, tiles.PLAIN, "-"),
        (FOG_OWNER, 0, tiles.SWAMP, "-~"),
        (FOG_OWNER, 0, tiles.OBSTACLE, "%"),
    ],
)
def test_a_cell_is_drawn_as_the_legend_says(owner, army, terrain, text):
    view = Look(
        0, 1, 1, np.array([owner], np.int8), np.array([army]), np.array([terrain], np.uint8), ()
    )
    assert cell_texts(view) == [text]


def test_columns_are_as_wide_as_the_longest_cell_and_a_space():
    assert column_width(["A1", "."]) == 4
    assert column_width(["A1", "B12345*"]) == 8


def test_rows_of_a_board_are_equally_long():
    lines = board_lines(look(Playback(wandering())))
    assert [len(text) for text in lines] == [24] * 5


@pytest.mark.parametrize("seat", [0, 1, 2])
def test_what_a_seat_sees_of_a_cell_is_what_everybody_sees(seat):
    playback = Playback(wandering())
    for _ in range(40):
        playback.step()
    whole, own = look(playback), look(playback, seat)
    in_sight = own.owner != FOG_OWNER
    assert 0 < in_sight.sum() < in_sight.size
    assert (own.owner[in_sight] == whole.owner[in_sight]).all()
    assert (own.army[in_sight] == whole.army[in_sight]).all()
    assert (own.terrain[in_sight] == whole.terrain[in_sight]).all()
    assert (own.army[~in_sight] == 0).all()
    assert own.scores == whole.scores
    assert set(np.flatnonzero(whole.owner == seat)) <= set(np.flatnonzero(in_sight))
