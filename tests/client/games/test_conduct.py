"""When an agent is due to act, and what it is told."""

import pytest
from game_messages import GAME, observation, update

from farm.client import ActionResult, Move, Phase
from farm.client.games.conduct import Conduct
from farm.client.games.view import GameView
from farm.errors import GameRejectedError
from farm.rpc.v1 import games_pb2


class Driver:
    """A conduct, and updates for it."""

    def __init__(self, *, lockstep=True):
        self.conduct = Conduct(GAME, 0, lockstep=lockstep)
        self.view = GameView(GAME)
        self.hooks = []

    def update(self, tick, *, to_move=True, **fields):
        message = update(tick, view=observation(), to_move=to_move, **fields)
        self.hooks += [name for name, _ in self.conduct.updated(self.view.receive(message))]

    def answer(self, tick, reason=None):
        error = GameRejectedError("X", "no", reason=reason, tick=tick) if reason else None
        return self.conduct.answered(ActionResult("", tick, 0, error))

    @property
    def is_due(self):
        return self.conduct.due() is not None


@pytest.fixture
def driver():
    return Driver()


def test_it_acts_once_for_each_tick_that_waits(driver):
    assert not driver.is_due
    driver.update(0)
    assert driver.is_due
    order = driver.conduct.acted(Move(6, 7))
    assert order == ((Move(6, 7),), 0)
    assert not driver.is_due
    driver.answer(0)
    assert not driver.is_due
    driver.update(0)
    assert not driver.is_due
    driver.update(1)
    assert driver.is_due
    driver.update(2, to_move=False)
    assert not driver.is_due


def test_an_answer_makes_the_updates_before_it_old(driver):
    driver.update(0)
    driver.conduct.acted(None)
    driver.update(1)
    driver.update(2)
    assert not driver.is_due
    driver.answer(2)
    assert not driver.is_due
    driver.update(3)
    assert driver.is_due


def test_a_timed_game_takes_an_action_at_any_tick():
    driver = Driver(lockstep=False)
    driver.update(5)
    assert driver.conduct.acted(None) == ((), None)


def test_a_tick_that_was_over_is_acted_for_again_at_the_next(driver):
    driver.update(4)
    driver.conduct.acted(None)
    assert driver.answer(5, "WRONG_TICK") is None
    assert not driver.is_due
    driver.update(5)
    assert driver.is_due


def test_what_is_refused_is_told_and_passed_for_once(driver):
    driver.update(4)
    driver.conduct.acted(Move(0, 1))
    error = driver.answer(4, "NOT_YOUR_CELL")
    assert error.reason == "NOT_YOUR_CELL"
    assert not driver.is_due
    assert driver.conduct.passes() == ((), 4)
    assert driver.conduct.passes() is None
    driver.answer(4)
    driver.update(5)
    assert driver.is_due


@pytest.mark.parametrize("reason", ["WRONG_PHASE", "SEAT_DEAD"])
def test_where_a_pass_would_be_refused_too_it_waits_for_the_next_tick(driver, reason):
    driver.update(4)
    driver.conduct.acted(Move(6, 7))
    driver.answer(4, reason)
    assert driver.conduct.passes() is None
    assert not driver.is_due
    driver.update(5)
    assert driver.is_due


def test_a_refused_pass_is_not_tried_over_and_over(driver):
    driver.update(4)
    driver.conduct.acted(None)
    driver.answer(4, "LIMIT")
    assert driver.conduct.passes() is None
    assert not driver.is_due


def test_the_hooks_are_start_once_and_update_always(driver):
    driver.update(0)
    driver.update(0, to_move=False)
    driver.update(1)
    assert driver.hooks == ["on_start", "on_update", "on_update", "on_update"]


def test_a_lobby_has_nothing_to_show_to_an_agent(driver):
    message = update(0, phase=games_pb2.PHASE_LOBBY)
    assert driver.conduct.updated(driver.view.receive(message)) == ()
    assert not driver.is_due


def test_the_result_counts_what_was_accepted_and_refused(driver):
    driver.update(0)
    driver.conduct.acted(None)
    driver.answer(0)
    driver.update(1)
    driver.conduct.acted(Move(0, 1))
    driver.answer(1, "MOUNTAIN")
    driver.update(9, to_move=False, phase=games_pb2.PHASE_ENDED, winners=[0])
    result = driver.conduct.result()
    assert (result.actions, result.refused) == (1, {"MOUNTAIN": 1})
    assert (result.won, result.ticks, result.turns, result.phase) == (True, 9, 4, Phase.ENDED)
