"""The text of a board says what it holds, and what is wrong with one that does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.spec.boards import Board, board_text, max_board, parse_board

TEXT = """
# a comment, and an empty line

G0  .  M   C45
.   N7 S   G1   # the second row
D   .  S12 .
M   M  .   D3
"""


def test_a_text_is_read_cell_by_cell():
    assert parse_board(TEXT) == Board(
        height=4,
        width=4,
        generals=(0, 7),
        mountains=(2, 12, 13),
        cities=(3,),
        city_armies=(45,),
        swamps=(6, 10),
        deserts=(8, 15),
        neutrals=(5, 10, 15),
        neutral_armies=(7, 12, 3),
    )


@st.composite
def boards(draw):
    height, width = draw(st.integers(4, 9)), draw(st.integers(4, 9))
    cells = draw(st.permutations(range(height * width)))
    generals = tuple(cells[: draw(st.integers(2, 5))])
    kinds = {
        cell: draw(st.sampled_from(("land", "mountain", "city", "swamp", "desert", "neutral")))
        for cell in sorted(cells[len(generals) :])
    }
    of = {kind: tuple(c for c, k in kinds.items() if k == kind) for kind in set(kinds.values())}
    cities, neutrals = of.get("city", ()), of.get("neutral", ())
    armies = st.integers(0, 1_000_000)
    return Board(
        height=height,
        width=width,
        generals=generals,
        mountains=of.get("mountain", ()),
        cities=cities,
        city_armies=tuple(draw(armies) for _ in cities),
        swamps=of.get("swamp", ()),
        deserts=of.get("desert", ()),
        neutrals=neutrals,
        neutral_armies=tuple(draw(armies) for _ in neutrals),
    )


@given(boards())
def test_a_board_survives_the_way_through_its_text(board):
    assert parse_board(board_text(board)) == board


BAD = [
    (TEXT.replace("N7", "N"), "line 5: cell 'N'; N takes a number"),
    (TEXT.replace("C45", "C"), "line 4: cell 'C'; C takes a number"),
    (TEXT.replace("C45", "X"), "line 4: cell 'X'; cells are"),
    (TEXT.replace("C45", "C9999999"), "line 4: cell 'C9999999'; at most 1,000,000"),
    (TEXT.replace("D   .", "D   M1"), "line 6: cell 'M1'; M takes no number"),
    (TEXT.replace("D   .  S12 .", "D . S12"), "line 6: 3 cells, and 4 in the first row"),
    (TEXT.replace("G1", "G2"), r"generals of seats \[0, 2\]; each seat from 0 on has one"),
    (TEXT.replace("G1", "G0"), r"generals of seats \[0, 0\]"),
    (TEXT.replace("G1", "."), r"generals of seats \[0\]"),
    ("G0 . G1 .\n" + ". . . .\n" * 2, "3 rows of 4 cells; both are 4 to 64"),
    ("G0 . G1 .\n" + ". . . .\n" * 64, "65 rows of 4 cells"),
    ("", "0 rows of 0 cells"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_text_that_is_no_board_is_refused_by_line_and_cell(text, message):
    with pytest.raises(ValueError, match=message):
        parse_board(text)


def test_the_largest_official_boards_are_those_of_the_rules():
    # p + 4 + n / 2, never quite reached, rounded: the official rules of map generation.
    assert max_board(2, 2) == (23, 23)
    assert max_board(4, 4) == max_board(4, 2) == (26, 26)
    assert max_board(7, 7) == (31, 31)
    assert max_board(8, 8) == (33, 33)
    assert max_board(8, 4) == (34, 34)
    assert max_board(12, 12) == (37, 37)
    assert max_board(16, 16) == (41, 41)
    assert max_board(16, 8) == (44, 44)
