"""What every generator of maps promises, whatever else it draws."""

import numpy as np
import pytest
from engine.ground import reachable

from farm.engine.batch import reset_games
from farm.engine.settings import (
    HEIGHT,
    WIDTH,
    fixed_settings,
    named_settings,
    official_settings,
    settings,
    toy_settings,
)
from farm.engine.state import MOUNTAIN_OWNER, NEUTRAL_OWNER, allocate
from farm.spec import tiles
from farm.spec.boards import parse_board

CROSS = """
    G0  .  .  M  .  .   # two quarters, and a strait
    .   .  .  M  .  C45
    .   N3 .  .  S5 .
    .   .  D  M  .  .
    C50 .  .  M  .  G1
"""
GENERATORS = {
    "uniform": settings(20, 20, 2),
    "uniform teams": settings(24, 18, 6, teams=(0, 1, 2, 0, 1, 2)),
    "official": official_settings(2),
    "official of own size": official_settings(2, pad=False),
    "official for 12": official_settings(12, pad=False),
    "official teams": official_settings(4, teams=(0, 1, 1, 0)),
    "toy": toy_settings(5, 6, 3),
    "fixed": fixed_settings(parse_board(CROSS)),
}
N_MAPS = 16
SEED = 11


class Maps:
    """Games of consecutive numbers, in a batch with room to spare."""

    def __init__(self, new_game, numbers, *, seed=SEED, spare_cells=0, spare_seats=0):
        self.settings, self.seed = new_game, np.uint64(seed)
        n_cells = int(new_game.numbers[HEIGHT]) * int(new_game.numbers[WIDTH])
        n_seats = new_game.teams.size
        self.games = allocate(len(numbers), n_cells + spare_cells, min(n_seats + spare_seats, 16))
        self.reset(numbers)

    def reset(self, numbers):
        reset_games(self.games, self.seed, np.array(numbers, np.uint64), self.settings)

    def height(self, g):
        return int(self.games.height[g])

    def width(self, g):
        return int(self.games.width[g])

    def n_cells(self, g):
        return self.height(g) * self.width(g)

    def terrain(self, g):
        return self.games.terrain[g, : self.n_cells(g)]

    def generals(self, g):
        return self.games.general[g, : self.games.n_seats[g]].tolist()

    def state(self, g):
        """Everything that a map consists of, and what the seats see of it."""
        rows = (self.games.terrain, self.games.army, self.games.owner)
        cells = tuple(array[g, : self.n_cells(g)].tobytes() for array in rows)
        return self.height(g), self.width(g), *self.generals(g), cells


@pytest.fixture(params=GENERATORS.values(), ids=GENERATORS.keys(), scope="module")
def maps(request):
    return Maps(request.param, range(N_MAPS))


def test_every_seat_has_a_general_on_a_cell_of_its_own_and_of_the_board(maps):
    for g in range(N_MAPS):
        generals = maps.generals(g)
        assert len(set(generals)) == maps.settings.teams.size
        assert all(0 <= cell < maps.n_cells(g) for cell in generals)
        assert (maps.terrain(g)[generals] == tiles.GENERAL).all()
        assert (maps.terrain(g) == tiles.GENERAL).sum() == len(generals)


def test_generals_belong_to_their_seats_with_an_army_of_1_and_nothing_else_to_anybody(maps):
    for g in range(N_MAPS):
        owner = maps.games.owner[g, : maps.n_cells(g)]
        generals = maps.generals(g)
        assert owner[generals].tolist() == list(range(len(generals)))
        assert maps.games.army[g, generals].tolist() == [1] * len(generals)
        others = np.delete(owner, generals)
        assert set(others.tolist()) <= {NEUTRAL_OWNER, MOUNTAIN_OWNER}
        assert ((owner == MOUNTAIN_OWNER) == (maps.terrain(g) == tiles.MOUNTAIN)).all()


def test_every_general_reaches_every_other_without_passing_a_city(maps):
    for g in range(N_MAPS):
        passable = (maps.terrain(g) != tiles.MOUNTAIN) & (maps.terrain(g) != tiles.CITY)
        generals = maps.generals(g)
        reached = reachable(generals[0], passable, maps.height(g), maps.width(g))
        assert reached.issuperset(generals)


def test_cities_have_the_armies_of_the_rules_and_mountains_none(maps):
    for g in range(N_MAPS):
        army = maps.games.army[g, : maps.n_cells(g)]
        cities = army[maps.terrain(g) == tiles.CITY]
        assert cities.size > 0
        assert ((cities >= 40) & (cities <= 50)).all()
        assert (army[maps.terrain(g) == tiles.MOUNTAIN] == 0).all()


def test_a_board_is_no_larger_than_the_settings_say(maps):
    for g in range(N_MAPS):
        assert 4 <= maps.height(g) <= maps.settings.numbers[HEIGHT]
        assert 4 <= maps.width(g) <= maps.settings.numbers[WIDTH]


def test_a_map_follows_from_seed_and_number_alone(maps):
    again = Maps(maps.settings, range(N_MAPS))
    assert [again.state(g) for g in range(N_MAPS)] == [maps.state(g) for g in range(N_MAPS)]


def test_a_map_does_not_depend_on_its_row_its_room_or_what_others_drew_before(maps):
    other = Maps(maps.settings, [7, 300, 9], seed=SEED, spare_cells=70, spare_seats=2)
    other.reset([501, 3, 502])
    assert other.state(1) == maps.state(3)


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in {"toy", "fixed"}])
def test_drawn_maps_differ_from_game_to_game_and_from_seed_to_seed(name):
    drawn = Maps(GENERATORS[name], range(200))
    assert len({drawn.state(g) for g in range(200)}) == 200
    assert Maps(GENERATORS[name], [0], seed=SEED + 1).state(0) != drawn.state(0)


def test_on_a_toy_map_only_who_sits_where_is_drawn():
    drawn = Maps(toy_settings(4, 4, 4), range(300))
    assert {tuple(sorted(drawn.generals(g))) for g in range(300)} == {(0, 3, 12, 15)}
    assert len({tuple(drawn.generals(g)) for g in range(300)}) == 24
    assert drawn.terrain(0)[2 * 4 + 2] == tiles.CITY


def test_two_generals_of_a_toy_map_stand_in_opposite_corners():
    drawn = Maps(toy_settings(6, 9, 2), range(20))
    assert {tuple(drawn.generals(g)) for g in range(20)} == {(0, 53), (53, 0)}


def test_a_toy_map_takes_a_general_for_every_cell_of_its_rim_and_no_more():
    drawn = Maps(toy_settings(4, 4, 12), [0])
    assert set(drawn.generals(0)) == set(range(16)) - {5, 6, 9, 10}
    with pytest.raises(ValueError, match="12 cells of its rim for 13 generals"):
        toy_settings(4, 4, 13)


def test_a_fixed_map_is_the_board_of_its_text():
    drawn = Maps(GENERATORS["fixed"], [5])
    kinds = [int(kind) for kind in drawn.terrain(0)]
    plain, city, general, mountain = tiles.PLAIN, tiles.CITY, tiles.GENERAL, tiles.MOUNTAIN
    assert (drawn.height(0), drawn.width(0)) == (5, 6)
    assert kinds[:6] == [general, plain, plain, mountain, plain, plain]
    assert kinds[12:18] == [plain, plain, plain, plain, tiles.SWAMP, plain]
    assert kinds[24:] == [city, plain, plain, mountain, plain, general]
    armies = {cell: int(army) for cell, army in enumerate(drawn.games.army[0, :30]) if army}
    assert armies == {0: 1, 11: 45, 13: 3, 16: 5, 24: 50, 29: 1}


def test_a_map_of_an_unknown_kind_or_without_its_board_is_refused():
    options = {"size": (9, 9), "mountains": 0.2, "cities": 3, "pad": True}
    with pytest.raises(ValueError, match="no map 'offical'; there are uniform, official"):
        named_settings("offical", 2, **options)
    with pytest.raises(ValueError, match="a general for each of 3 seats"):
        named_settings("fixed", 3, board=parse_board(CROSS), **options)
    with pytest.raises(ValueError, match="a general for each of 2 seats"):
        named_settings("fixed", 2, **options)
