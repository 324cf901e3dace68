"""Official maps: every rule holds of every map, and the means are those of the game's server."""

import math

import numpy as np
import pytest
from engine.ground import neighbours, reachable
from engine.kernels import clear_all_ways, flood_from
from engine.official_maps import broken_rules, official_maps, openness

from farm.engine.settings import HEIGHT, WIDTH, official_settings, settings
from farm.engine.state import allocate
from farm.spec import tiles
from farm.spec.boards import max_board
from farm.spec.limits import MAX_SIDE

TEAMS_2V2 = (0, 0, 1, 1)
TEAMS_4X2 = (0, 1, 2, 3, 3, 2, 1, 0)
TEAMS_2X8 = (0, 1) * 8
TEAMS_UNEVEN = (0, 1, 1, 1, 2)
GAMES = [
    (2, None), (3, None), (4, None), (5, None), (6, None), (7, None), (8, None), (9, None),
    (12, None), (16, None), (4, TEAMS_2V2), (8, TEAMS_4X2), (16, TEAMS_2X8), (5, TEAMS_UNEVEN),
]  # fmt: skip
REFERENCE = {
    2: {"width": 19.6, "cities": 10.6, "mountains": 0.207},
    4: {"width": 21.9, "cities": 15.6, "mountains": 0.204},
    8: {"width": 27.6, "cities": 25.9, "mountains": 0.205},
    12: {"width": 30.7, "cities": 35.1, "mountains": 0.204},
}
"""Means over `REFERENCE_MAPS` maps each."""
REFERENCE_MAPS = 200
ROUNDING = {"width": 0.05, "cities": 0.05, "mountains": 0.0005}
"""Half a unit of the last digit they are stated in."""
DEVIATIONS = 4.0
"""Standard errors of the difference of two means: one in 16,000 by chance, and seeds are fixed."""
LEAST_DISTANCE = {2: 15, 4: 13, 8: 10, 12: 10}
FAST, SLOW = 120, 1000


@pytest.mark.parametrize(("n_seats", "teams"), GAMES)
def test_every_map_keeps_every_rule(n_seats, teams):
    for number, board in enumerate(official_maps(FAST // 3, n_seats, teams)):
        assert broken_rules(board) == [], f"game {number}"


@pytest.mark.parametrize("n_seats", REFERENCE)
def test_the_means_are_those_of_official_maps_within_the_error_of_both_samples(n_seats):
    assert far_from_reference(list(official_maps(FAST, n_seats))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("n_seats", REFERENCE)
def test_of_a_thousand_maps_every_one_keeps_the_rules_and_the_means_are_right(n_seats):
    boards = list(official_maps(SLOW, n_seats, seed=2))
    assert [broken_rules(board) for board in boards] == [[]] * SLOW
    assert far_from_reference(boards) == {}
    assert favoured_seats(boards) == []


@pytest.mark.slow
@pytest.mark.parametrize("teams", [TEAMS_2V2, TEAMS_4X2, TEAMS_2X8])
def test_of_a_thousand_maps_with_teams_every_one_keeps_the_rules_and_no_seat_is_favoured(teams):
    boards = list(official_maps(SLOW, len(teams), teams, seed=2))
    assert [broken_rules(board) for board in boards] == [[]] * SLOW
    assert favoured_seats(boards) == []


@pytest.mark.parametrize(("n_seats", "teams"), [(2, None), (6, None), (4, TEAMS_2V2)])
def test_no_seat_has_more_open_ground_than_another_on_average(n_seats, teams):
    assert favoured_seats(list(official_maps(FAST, n_seats, teams))) == []


def test_the_enemies_of_a_map_come_as_near_as_the_rules_let_them():
    for n_seats, least in LEAST_DISTANCE.items():
        nearest = min(least_distance(board) for board in official_maps(FAST, n_seats))
        assert nearest == least


def test_padding_lays_the_same_map_into_the_upper_left_and_mountains_around_it():
    for n_seats, teams in ((2, None), (5, None), (8, TEAMS_4X2)):
        alone = official_maps(20, n_seats, teams)
        padded = official_maps(20, n_seats, teams, pad=True)
        for own, largest in zip(alone, padded, strict=True):
            assert (largest.height, largest.width) == max_board(n_seats, len(set(own.sides)))
            shape = (largest.height, largest.width)
            terrain, army = largest.terrain.reshape(shape), largest.army.reshape(shape)
            corner = np.s_[: own.height, : own.width]
            assert (terrain[corner].ravel() == own.terrain).all()
            assert (army[corner].ravel() == own.army).all()
            outside = terrain.copy()
            outside[corner] = tiles.MOUNTAIN
            assert (outside == tiles.MOUNTAIN).all()
            places = [divmod(cell, own.width) for cell in own.generals]
            assert [divmod(cell, largest.width) for cell in largest.generals] == places


def test_sizes_reach_from_the_least_to_the_largest_board():
    for n_seats in (2, 7, 9):
        boards = list(official_maps(1500, n_seats))
        sides = {side for board in boards for side in (board.height, board.width)}
        assert max(sides) == max_board(n_seats, n_seats)[0]
        assert min(sides) == math.floor(16 + min(8, n_seats) + max(0, n_seats - 6) / 2 + 0.5)
    assert max(max_board(n, s)[0] for n in range(2, 17) for s in range(2, n + 1)) < MAX_SIDE


def test_armies_of_cities_are_rounded_so_that_both_ends_come_half_as_often():
    armies = np.concatenate(
        [board.army[board.terrain == tiles.CITY] for board in official_maps(1000, 4)]
    )
    counts = np.bincount(armies - 40, minlength=11)
    expected = armies.size * np.array([0.05, *[0.1] * 9, 0.05])
    # Chi-squared with ten degrees of freedom: above 35.6 once in ten thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 35.6


def test_rules_that_cannot_be_kept_give_way_step_by_step():
    strict = list(official_maps(40, 16, TEAMS_2X8))
    lax = list(official_maps(40, 16, TEAMS_2X8, strict=0))
    assert max(board.drawn for board in strict) > 1
    assert sum(board.drawn for board in lax) < sum(board.drawn for board in strict)
    broken = [broken_rules(board) for board in lax]
    assert {name for names in broken for name in names} == {"enemies apart", "teammates near"}
    # The first map asks for a spacing smaller by one, and each further one for one less.
    assert all(least_distance(board) >= 15 - board.drawn for board in lax)


def test_when_nothing_else_helps_ways_between_the_generals_are_cleared():
    games = allocate(1, 20 * 30, 3)
    terrain = np.full((20, 30), tiles.MOUNTAIN, np.uint8)
    places = [(3, 4), (17, 28), (0, 29)]
    clear_all_ways(games, terrain, np.array(places))
    passable = (terrain != tiles.MOUNTAIN).ravel()
    cells = [row * 30 + column for row, column in places]
    assert reachable(cells[0], passable, 20, 30).issuperset(cells)
    assert passable.sum() < 24 + 14 + 25 + 3 + 1


def test_a_flood_reaches_what_a_walk_reaches():
    rng = np.random.default_rng(3)
    games = allocate(1, 4, 2)
    for share in (0.1, 0.3, 0.4, 0.5):
        for _ in range(50):
            height, width = rng.integers(2, 49, 2)
            ground = rng.random((height, width)) > share
            start = int(rng.integers(height * width))
            ground.ravel()[start] = True
            found = np.zeros_like(ground)
            flood_from(games, ground, divmod(start, int(width)), found)
            walked = reachable(start, ground.ravel(), int(height), int(width))
            assert set(np.flatnonzero(found).tolist()) == walked


def test_a_flood_follows_a_way_that_winds_through_every_row():
    games = allocate(1, 4, 2)
    ground = np.ones((48, 48), np.bool_)
    ground[1::2] = False
    ground[1::4, -1] = True
    ground[3::4, 0] = True
    found = np.zeros_like(ground)
    flood_from(games, ground, (0, 0), found)
    assert (found == ground).all()


def test_the_openness_of_an_empty_corner_is_that_of_the_formula():
    board = next(official_maps(1, 2))._replace(height=30, width=30)
    empty = board._replace(terrain=np.zeros(900, np.uint8))
    # In a corner m + 1 cells are m steps away.
    assert openness(empty, 0) == pytest.approx(
        sum((m + 1) * 20 / 1.35 ** (m - 1) for m in range(1, 10))
    )
    assert len(neighbours(0, 30, 30)) == 2


def test_the_board_of_official_settings_is_the_largest_for_seats_and_sides():
    made = official_settings(4, teams=TEAMS_2V2)
    assert (made.numbers[HEIGHT], made.numbers[WIDTH]) == max_board(4, 2) == (26, 26)
    with pytest.raises(ValueError, match="at least two sides"):
        official_settings(4, teams=(1, 1, 1, 1))
    with pytest.raises(ValueError, match="-1 maps"):
        official_settings(4, strict=-1)
    with pytest.raises(ValueError, match="max_ticks -1"):
        settings(9, 9, 2, max_ticks=-1)


def far_from_reference(boards):
    """What has another mean than official maps, with both means and the error allowed."""
    values = {
        "width": np.array([board.width for board in boards]),
        "cities": np.array([len(board.cells(tiles.CITY)) for board in boards]),
        "mountains": np.array([board.mountain_share for board in boards]),
    }
    found = {}
    for name, expected in REFERENCE[len(boards[0].generals)].items():
        sample = values[name]
        error = sample.std(ddof=1) * math.sqrt(1 / sample.size + 1 / REFERENCE_MAPS)
        allowed = DEVIATIONS * error + ROUNDING[name]
        if abs(sample.mean() - expected) > allowed:
            found[name] = (sample.mean(), expected, allowed)
    return found


def favoured_seats(boards):
    """Seats that have the most open ground more or less often than by chance."""
    scores = np.array([[openness(board, cell) for cell in board.generals] for board in boards])
    n_maps, n_seats = scores.shape
    best = scores == scores.max(axis=1, keepdims=True)
    wins = (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    error = math.sqrt(n_maps / n_seats * (1 - 1 / n_seats))
    return np.flatnonzero(np.abs(wins - n_maps / n_seats) > DEVIATIONS * error).tolist()


def least_distance(board):
    places = [divmod(cell, board.width) for cell in board.generals]
    return min(
        abs(row - other[0]) + abs(column - other[1])
        for (row, column), side in zip(places, board.sides, strict=True)
        for other, there in zip(places, board.sides, strict=True)
        if there != side
    )
