"""Generated maps: what every one of them promises."""

from collections import deque

import numpy as np
import pytest

from farm.engine.batch import Batch
from farm.engine.settings import settings
from farm.spec import tiles

CASES = {
    "20x20 duel": {"height": 20, "width": 20, "n_seats": 2},
    "10x10 duel": {"height": 10, "width": 10, "n_seats": 2, "cities": 4},
    "smallest": {"height": 4, "width": 4, "n_seats": 2, "cities": 3, "mountains": 0.35},
    "as many as fit": {"height": 4, "width": 4, "n_seats": 16},
    "oblong": {"height": 6, "width": 30, "n_seats": 3},
    "crowded": {"height": 20, "width": 20, "n_seats": 16},
    "large and blocked": {"height": 40, "width": 40, "n_seats": 8, "mountains": 0.35},
    "largest": {"height": 64, "width": 64, "n_seats": 16, "cities": 60},
    "teams": {"height": 20, "width": 20, "n_seats": 6, "teams": (0, 1, 2, 0, 1, 2)},
}
N_MAPS = 24


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def maps(request):
    return Batch(N_MAPS, settings(**request.param), seed=11), request.param


def neighbours(cell, height, width):
    row, column = divmod(cell, width)
    steps = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [r * width + c for r, c in steps if 0 <= r < height and 0 <= c < width]


def reachable(start, passable, height, width):
    reached, left = {start}, deque([start])
    while left:
        for cell in neighbours(left.popleft(), height, width):
            if cell not in reached and passable[cell]:
                reached.add(cell)
                left.append(cell)
    return reached


def distance(one, other, width):
    return abs(one // width - other // width) + abs(one % width - other % width)


def enemy_distances(generals, sides, width):
    return [
        distance(one, other, width)
        for i, one in enumerate(generals)
        for j, other in enumerate(generals[:i])
        if sides[i] != sides[j]
    ]


def test_every_general_reaches_every_other_without_passing_a_city(maps):
    batch, _ = maps
    for g in range(N_MAPS):
        terrain = batch.games.terrain[g]
        generals = batch.games.general[g].tolist()
        passable = (terrain != tiles.MOUNTAIN) & (terrain != tiles.CITY)
        reached = reachable(generals[0], passable, batch.height, batch.width)
        assert reached.issuperset(generals)


def test_generals_stand_on_cells_of_their_own(maps):
    batch, _ = maps
    for generals in batch.games.general.tolist():
        assert len(set(generals)) == batch.n_seats


def test_a_map_has_the_mountains_and_cities_asked_for_where_they_fit(maps):
    batch, case = maps
    n_cells = batch.height * batch.width
    mountains = (batch.games.terrain == tiles.MOUNTAIN).sum(axis=1)
    cities = (batch.games.terrain == tiles.CITY).sum(axis=1)
    asked = int(n_cells * case.get("mountains", 0.2))
    assert (mountains <= asked).all()
    assert (cities <= case.get("cities", 10)).all()
    if n_cells >= 100 and case.get("mountains", 0.2) <= 0.2:
        assert mountains.mean() >= 0.98 * asked
        assert cities.mean() >= 0.98 * case.get("cities", 10)


def test_cities_have_the_armies_of_the_rules_and_plain_cells_none(maps):
    batch, _ = maps
    games = batch.games
    armies = games.army[games.terrain == tiles.CITY]
    assert ((armies >= 40) & (armies <= 50)).all()
    assert (games.army[games.terrain == tiles.PLAIN] == 0).all()
    assert (games.army[games.terrain == tiles.GENERAL] == 1).all()


@pytest.mark.parametrize(("n_seats", "apart"), [(2, 15), (3, 14), (4, 13), (8, 10)])
def test_where_there_is_room_enemy_generals_are_as_far_apart_as_in_official_maps(n_seats, apart):
    side = 20 if n_seats == 2 else 12 * n_seats**0.5 + 8
    batch = Batch(N_MAPS, settings(int(side), int(side), n_seats), seed=5)
    for generals in batch.games.general.tolist():
        assert min(enemy_distances(generals, range(n_seats), batch.width)) >= apart


def test_on_a_small_board_they_are_as_far_apart_as_it_allows():
    batch = Batch(N_MAPS, settings(10, 10, 2, cities=4), seed=5)
    for generals in batch.games.general.tolist():
        assert distance(*generals, 10) >= 8


def test_maps_differ_from_game_to_game_and_generals_are_spread_over_the_board():
    batch = Batch(400, settings(20, 20, 2), seed=5)
    assert len({terrain.tobytes() for terrain in batch.games.terrain}) == 400
    row, column = np.divmod(batch.games.general.ravel(), 20)
    # Uniform over 0..19 has mean 9.5; spacing pushes both to the rim alike.
    assert abs(row.mean() - 9.5) < 1.0
    assert abs(column.mean() - 9.5) < 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 20, 2), "sides are 4 to 64"),
        ((20, 65, 2), "sides are 4 to 64"),
        ((20, 20, 1), "2 to 16"),
        ((20, 20, 17), "2 to 16"),
    ],
)
def test_settings_out_of_bounds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        settings(*arguments)


def test_teams_of_another_number_or_of_one_side_are_refused():
    with pytest.raises(ValueError, match="3 teams for 2 seats"):
        settings(20, 20, 2, teams=(1, 2, 3))
    with pytest.raises(ValueError, match="at least two sides"):
        settings(20, 20, 2, teams=(1, 1))
