"""Options of a new game, and what they become."""

import pytest

from farm.client.games.requests import create_message
from farm.errors import UsageError

BOARD = """
G0 . . .
. M . .
. . C45 .
G2 . . G1
"""


def test_left_out_everything_is_the_farms():
    made = create_message({})
    assert (made.n_seats, made.WhichOneof("map"), made.tick_ms) == (2, "official", 0)
    assert (made.no_fog, made.collect, made.spectators) == (False, False, False)
    assert not made.HasField("seed")


def test_there_are_as_many_seats_as_bots_and_one_more_or_generals_on_the_board():
    assert create_message({"bots": {1: "random", 2: "hunter"}}).n_seats == 3
    assert create_message({"map": BOARD}).n_seats == 3
    assert create_message({"bots": {1: "random"}, "seats": 4}).n_seats == 4


@pytest.mark.parametrize(
    ("text", "kind"),
    [("20x20", "uniform"), ("official", "official"), ("toy:8x9", "toy"), (BOARD, "board")],
)
def test_a_map_is_named_by_a_word(text, kind):
    assert create_message({"map": text}).WhichOneof("map") == kind


def test_a_drawn_board_takes_mountains_and_cities_and_others_do_not():
    drawn = create_message({"map": "20x21", "mountains": 0.1, "cities": 3}).uniform
    assert (drawn.height, drawn.width, drawn.mountains, drawn.cities) == (20, 21, 0.1, 3)
    assert not create_message({"map": "20x21"}).uniform.HasField("cities")
    with pytest.raises(UsageError, match="drawn board"):
        create_message({"cities": 3})


@pytest.mark.parametrize(
    "options",
    [{"map": "20"}, {"map": "G0 .\nX ."}, {"sides": 3}, {"tick_ms": -1}, {"seed": "x"}],
)
def test_what_is_no_option_says_so(options):
    with pytest.raises(UsageError):
        create_message(options)
