"""What a seat is shown: exactly what the rules let it see."""

import random

import numpy as np
import pytest
from engine.kernels import Position, valid_actions
from engine.players import KernelPlayer, oracle_player
from engine.random_games import SEEDS, boards, random_orders
from engine.test_against_oracle import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.engine import rules
from farm.spec import legal_mask, tiles
from farm.spec.limits import MAX_ARMY_SEEN

FOG_OF = {
    "plain": tiles.PLAIN << tiles.OWNER_BITS | tiles.FOG,
    "swamp": tiles.SWAMP << tiles.OWNER_BITS | tiles.FOG,
    "obstacle": tiles.OBSTACLE << tiles.OWNER_BITS | tiles.FOG,
}


def tile(game, seat, cell):
    return int(frames_of(game)[seat]["tile"].ravel()[cell])


def random_position(board, seed, ticks):
    """Oracle and kernels some ticks into a random game under the official rules."""
    rng = random.Random(seed)
    oracle = oracle_player(board, rules.official())
    kernels = KernelPlayer(board, rules.official())
    for _ in range(ticks):
        if not oracle.over:
            for order in random_orders(rng, oracle):
                oracle.enqueue(*order)
                kernels.enqueue(*order)
            oracle.step()
            kernels.step()
    return oracle, kernels


def allies(oracle, player):
    return sum(oracle.friends(player, p) for p in oracle.players) - 1


@pytest.mark.parametrize(
    ("field", "shown"),
    [("mountains", "obstacle"), ("cities", "obstacle"), ("swamps", "swamp"), ("deserts", "plain")],
)
def test_fog_tells_obstacles_and_swamps_from_the_rest(field, shown):
    armies = {"city_armies": (40,)} if field == "cities" else {}
    game = Position((0, 24), **{field: (12,)}, **armies)
    assert tile(game, 0, 12) == FOG_OF[shown]


def test_fog_hides_generals():
    assert tile(Position((0, 24)), 0, 24) == FOG_OF["plain"]


def test_a_cell_is_in_sight_next_to_own_cells_corners_included():
    game = Position((0, 24))
    shown = [cell for cell in range(25) if tile(game, 0, cell) & tiles.OWNER_MASK != tiles.FOG]
    assert shown == [0, 1, 5, 6]


def test_teammates_share_their_sight():
    game = Position((0, 24, 4), teams=(1, 2, 1))
    assert tile(game, 0, 4) == tiles.GENERAL << tiles.OWNER_BITS | tiles.SELF + 1
    assert tile(game, 2, 0) == tiles.GENERAL << tiles.OWNER_BITS | tiles.SELF + 1


def test_a_city_lost_from_sight_stays_known():
    game = Position((0, 24), cities=(12,), city_armies=(40,))
    game.place(6, 0, 2)
    assert tile(game, 0, 12) == tiles.CITY << tiles.OWNER_BITS
    game.place(6, -1, 0)
    assert tile(game, 0, 12) == FOG_OF["obstacle"]


def test_a_general_that_becomes_a_city_out_of_sight_stays_hidden_until_seen():
    game = Position((0, 24, 4))
    game.place(23, 0, 9)
    game.play((0, 23, 24))
    assert tile(game, 2, 24) == FOG_OF["plain"]
    game.place(18, 2, 1)
    game.step()
    game.place(18, -1, 0)
    assert tile(game, 2, 24) == FOG_OF["obstacle"]


def test_an_army_beyond_the_range_of_the_frame_is_shown_as_its_largest():
    game = Position((0, 24))
    game.place(12, 0, 70_000)
    assert frames_of(game)[0]["army"].ravel()[12] == MAX_ARMY_SEEN
    assert game.cell(12) == (0, 70_000)
    game.skip_to(50)
    assert frames_of(game)[0]["army"].ravel()[12] == MAX_ARMY_SEEN


def test_a_change_that_does_not_change_the_bytes_marks_nothing():
    game = Position((0, 24))
    game.place(12, 0, 5)
    game.games.dirty_army[:] = 0
    game.games.dirty_tile[:] = 0
    game.place(12, 0, 5)
    assert not game.games.dirty_army.any()
    assert not game.games.dirty_tile.any()


@settings(max_examples=30)
@given(boards(), SEEDS, st.integers(0, 60))
def test_the_mask_from_the_observation_is_what_the_rules_carry_out(board, seed, ticks):
    oracle, kernels = random_position(board, seed, ticks)
    found = np.zeros(8 * kernels.n_cells + 1, np.bool_)
    for player in oracle.players:
        frame = frames_of(kernels)[player]
        valid_actions(kernels.games, kernels.ROW, player, found)
        mask = legal_mask(frame["tile"], frame["army"], allies(oracle, player))
        assert np.array_equal(mask, found)


@settings(max_examples=30)
@given(boards(), SEEDS, st.integers(0, 60), st.data())
def test_nothing_out_of_sight_changes_an_observation(board, seed, ticks, data):
    # The same position, with armies and owners of what one player can't see changed by hand.
    oracle, kernels = random_position(board, seed, ticks)
    _, unchanged = random_position(board, seed, ticks)
    player = data.draw(st.sampled_from(oracle.players))
    enemies = [p for p in oracle.players if not oracle.friends(player, p)]
    rng = random.Random(seed)
    for cell in set(range(oracle.n_cells)) - oracle.visible(player):
        if oracle.owner[cell] != -2 and cell not in oracle.generals:
            owner = rng.choice([-1, *enemies])
            Position.place(kernels, cell, owner, rng.randrange(100))
    # Nor do growth and decay of it, while nobody moves.
    for game in (kernels, unchanged):
        game.queues.n_orders[:] = 0
    for _ in range(4):
        frames, expected = (frames_of(game)[player] for game in (kernels, unchanged))
        assert np.array_equal(frames["tile"], expected["tile"])
        assert np.array_equal(frames["army"], expected["army"])
        kernels.step()
        unchanged.step()
