"""The rules, one by one, on positions placed by hand (cell = row * 5 + column)."""

import pytest
from engine.kernels import Position

from farm.engine import rules
from farm.engine.state import LEFT, OUTCOME, TERMINATED, WINNER

FAR = (0, 24)
"""Generals of two players in opposite corners."""
NEUTRAL = -1


def test_a_full_move_leaves_one_and_a_half_move_the_larger_half():
    game = Position(FAR)
    game.place(12, 0, 9)
    game.play((0, 12, 13))
    assert (game.cell(12), game.cell(13)) == ((0, 1), (0, 8))
    game.place(12, 0, 9)
    game.play((0, 12, 11, 1))
    assert (game.cell(12), game.cell(11)) == ((0, 5), (0, 4))


def test_an_army_as_large_as_the_one_it_meets_does_not_take_the_cell():
    game = Position(FAR)
    game.place(12, 0, 6)
    game.place(13, 1, 5)
    game.play((0, 12, 13))
    assert game.cell(13) == (1, 0)


def test_a_larger_army_takes_the_cell_with_the_difference():
    game = Position(FAR)
    game.place(12, 0, 9)
    game.place(13, 1, 5)
    game.play((0, 12, 13))
    assert game.cell(13) == (0, 3)


@pytest.mark.parametrize(
    ("start", "end"), [(12, 14), (12, 12), (4, 5), (12, 40), (-1, 0), (24, 25), (13, 14)]
)
def test_a_move_that_is_off_the_board_or_no_step_or_into_a_mountain_is_dropped(start, end):
    game = Position(FAR, mountains=(14,))
    for cell in (4, 12, 13):
        game.place(cell, 0, 9)
    before = game.owner, game.army
    game.play((0, start, end))
    assert (game.owner, game.army) == before


def test_an_invalid_order_costs_nothing_and_the_next_one_is_taken():
    game = Position(FAR)
    game.place(12, 0, 9)
    game.enqueue(0, 12, 14, 0)
    game.enqueue(0, 13, 14, 0)
    game.play((0, 12, 13))
    assert game.cell(13) == (0, 8)


def test_one_order_a_tick_is_carried_out_and_the_rest_wait():
    game = Position(FAR)
    game.place(12, 0, 9)
    game.enqueue(0, 12, 13, 0)
    game.play((0, 13, 14))
    assert game.cell(13) == (0, 8)
    game.step()
    assert game.cell(14) == (0, 7)


def test_generals_grow_every_second_tick_and_all_land_every_fiftieth():
    game = Position(FAR)
    game.place(12, 0, 1)
    game.skip_to(49)
    assert (game.cell(0), game.cell(12)) == ((0, 25), (0, 1))
    game.step()
    assert (game.cell(0), game.cell(12)) == ((0, 27), (0, 2))


def test_a_city_grows_only_while_it_is_owned():
    game = Position(FAR, cities=(12, 13), city_armies=(5, 5))
    game.place(12, 0, 7)
    game.skip_to(2)
    assert (game.cell(12), game.cell(13)) == ((0, 8), (NEUTRAL, 5))


def test_an_owned_swamp_shrinks_and_is_lost_at_zero():
    game = Position(FAR, swamps=(12,))
    game.place(12, 0, 2)
    game.skip_to(2)
    assert game.cell(12) == (0, 1)
    game.skip_to(4)
    assert game.cell(12) == (NEUTRAL, 0)


def test_an_owned_desert_does_not_grow():
    game = Position(FAR, deserts=(12,))
    game.place(12, 0, 3)
    game.skip_to(50)
    assert game.cell(12) == (0, 3)


def test_a_captured_general_gives_every_cell_with_half_its_army_rounded_up():
    game = Position((0, 24, 4))
    game.place(23, 0, 9)
    game.place(13, 1, 7)
    game.place(14, 1, 4)
    game.play((0, 23, 24))
    assert (game.cell(24), game.cell(13), game.cell(14)) == ((0, 7), (0, 4), (0, 2))
    assert game.generals == [0, -1, 4]
    assert not game.alive(1)
    assert game.games.killer[game.ROW, 1] == 0
    assert game.games.died_at[game.ROW, 1] == 0


def test_captures_in_one_tick_chain_and_halve_twice():
    # 0 takes the general of 1, then 2 takes the general of 0, with the cells that came from 1.
    game = Position((0, 24, 4))
    game.place(23, 0, 9)
    game.place(13, 1, 8)
    game.place(1, 2, 5)
    game.play((0, 23, 24), (2, 1, 0))
    assert game.cell(13) == (2, 2)
    assert [game.alive(seat) for seat in range(3)] == [False, False, True]
    assert game.games.status[game.ROW, OUTCOME] == TERMINATED
    assert game.games.status[game.ROW, WINNER] == 2


def test_a_captured_general_becomes_a_city_that_produces():
    game = Position((0, 24, 4))
    game.place(23, 0, 9)
    game.play((0, 23, 24))
    assert game.cell(24) == (0, 7)
    game.step()
    assert game.cell(24) == (0, 8)


def test_players_who_take_each_others_general_in_one_tick_swap_lands():
    game = Position(FAR)
    game.place(23, 0, 9)
    game.place(1, 1, 8)
    game.place(12, 0, 5)
    game.play((0, 23, 24), (1, 1, 0))
    assert game.generals == [24, 0]
    assert (game.cell(24), game.cell(0)) == ((0, 7), (1, 6))
    assert (game.cell(12), game.cell(23), game.cell(1)) == ((1, 3), (1, 1), (0, 1))
    assert game.alive(0)
    assert game.alive(1)


def test_without_general_trade_the_first_in_order_wins():
    game = Position(FAR, vector=rules.rules_vector({rules.GENERAL_TRADE: 0}))
    game.place(23, 0, 9)
    game.place(1, 1, 8)
    game.play((0, 23, 24), (1, 1, 0))
    assert game.alive(0)
    assert not game.alive(1)


def test_a_trade_needs_both_to_be_strong_enough():
    game = Position(FAR)
    game.place(23, 0, 9)
    game.place(1, 1, 2)
    game.play((0, 23, 24), (1, 1, 0))
    assert game.alive(0)
    assert not game.alive(1)


def test_a_move_to_ones_own_is_carried_out_before_an_attack_on_it():
    game = Position(FAR)
    game.place(11, 0, 6)
    game.place(12, 0, 2)
    game.place(13, 1, 7)
    game.play((1, 13, 12), (0, 11, 12))
    assert game.cell(12) == (0, 1)


def test_the_larger_army_goes_first():
    game = Position((0, 24, 4))
    game.place(11, 0, 4)
    game.place(13, 1, 9)
    game.play((0, 11, 12), (1, 13, 12))
    assert game.cell(12) == (1, 5)


@pytest.mark.parametrize(("tick", "first"), [(0, 0), (1, 1)])
def test_between_equal_armies_the_turn_to_go_first_alternates(tick, first):
    # Who goes second meets an army as large as its own, and leaves it at 0.
    game = Position(FAR)
    game.skip_to(tick)
    game.place(11, 0, 5)
    game.place(13, 1, 5)
    game.play((0, 11, 12), (1, 13, 12))
    assert game.cell(12) == (first, 0)


def test_a_move_waits_for_the_one_that_ends_on_its_start():
    # The attack on 12 would come after the larger army has left it; it waits for the attack.
    game = Position(FAR)
    game.place(12, 0, 20)
    game.place(11, 1, 9)
    game.play((0, 12, 13), (1, 11, 12))
    assert (game.cell(12), game.cell(13)) == ((0, 1), (0, 11))


def test_a_head_on_pair_does_not_wait_for_each_other():
    # The 9 goes first and leaves 2 on 13, which the 3 then meets; had it waited, 4 would be left.
    game = Position((0, 24, 4))
    game.place(12, 0, 9)
    game.place(13, 1, 6)
    game.place(14, 2, 3)
    game.play((0, 12, 13), (1, 13, 12), (2, 14, 13))
    assert game.cell(13) == (0, 0)


def test_where_moves_wait_for_each_other_in_a_circle_the_largest_army_goes_first():
    # The 9 takes cell 8, so that the move from there is lost and 13 is never reached.
    game = Position((0, 24, 4, 20))
    game.place(7, 0, 9)
    game.place(8, 1, 5)
    game.place(13, 2, 6)
    game.place(12, 3, 7)
    game.play((0, 7, 8), (1, 8, 13), (2, 13, 12), (3, 12, 7))
    assert game.cell(8) == (0, 3)
    assert game.cell(13) == (2, 1)


def test_a_teammates_cell_is_taken_with_its_army_but_not_its_general():
    game = Position((0, 24, 4), teams=(1, 2, 1))
    game.place(12, 0, 5)
    game.place(13, 2, 3)
    game.place(3, 0, 5)
    game.play((0, 12, 13))
    assert game.cell(13) == (0, 7)
    game.play((0, 3, 4))
    assert game.cell(4) == (2, 6)


def test_an_army_of_one_may_step_onto_a_teammates_cell_and_takes_it():
    game = Position((0, 24, 4), teams=(1, 2, 1))
    game.place(12, 0, 1)
    game.place(13, 2, 3)
    game.play((0, 12, 13))
    assert (game.cell(12), game.cell(13)) == ((0, 1), (0, 3))


def test_who_surrenders_goes_on_producing_and_is_neutral_after_fifty_ticks():
    game = Position((0, 24, 4))
    game.place(12, 1, 3)
    game.leave(1)
    assert game.games.killer[game.ROW, 1] == LEFT
    game.skip_to(49)
    assert game.cell(24) == (1, 25)
    game.step()
    assert (game.cell(24), game.cell(12)) == ((NEUTRAL, 27), (NEUTRAL, 4))
    assert game.generals == [0, -1, 4]


def test_the_land_of_one_who_left_goes_to_the_first_living_teammate():
    game = Position((0, 24, 4, 20), teams=(1, 2, 1, 2))
    game.leave(3)
    game.skip_to(50)
    assert game.cell(20)[0] == 1


def test_one_who_left_can_be_captured_until_neutral():
    game = Position((0, 24, 4))
    game.place(12, 1, 3)
    game.leave(1)
    game.place(23, 0, 9)
    game.play((0, 23, 24))
    assert game.cell(12) == (0, 2)
    game.skip_to(60)
    assert game.cell(24)[0] == 0


def test_the_game_ends_when_one_team_is_left():
    game = Position((0, 24, 4), teams=(1, 2, 1))
    game.place(23, 2, 9)
    game.play((2, 23, 24))
    assert game.games.status[game.ROW, OUTCOME] == TERMINATED
    assert game.games.side[game.ROW, 0] == game.games.status[game.ROW, WINNER]


def test_the_strongest_stays_when_nobody_moves():
    game = Position(FAR, vector=rules.rules_vector({rules.IDLE_TICKS: 30}))
    game.place(12, 1, 3)
    game.skip_to(29)
    assert game.alive(0)
    game.step()
    assert not game.alive(0)
    assert game.games.status[game.ROW, WINNER] == 1


def test_a_player_who_does_nothing_is_removed_where_the_rules_say_so():
    game = Position(FAR, vector=rules.rules_vector({rules.INACTIVITY: 1}))
    game.play((0, 0, 1))
    game.skip_to(2)
    game.play((0, 0, 1))
    game.skip_to(70)
    assert game.alive(1)
    game.step()
    assert game.alive(0)
    assert not game.alive(1)


def test_in_the_simple_rules_a_capture_halves_nothing_and_leaves_a_general():
    game = Position((0, 24, 4), vector=rules.simple())
    game.place(23, 0, 9)
    game.place(13, 1, 8)
    game.play((0, 23, 24))
    # Sent 8 against 2; everything the captor has then grew by 1, as generals do every tick.
    assert (game.cell(24), game.cell(13)) == ((0, 7), (0, 8))
    assert game.games.terrain[game.ROW, 24] == 2
