"""What a person's keys become, and what waits."""

import io

import pytest
from game_messages import GAME, OPEN, frame, observation, update
from rich.console import Console

from farm.cli.play_board import picture, seats_in_view
from farm.cli.play_events import event_text
from farm.cli.play_person import Ask, Person, Send
from farm.client import (
    ActionResult,
    EventKind,
    GameEvent,
    GameInfo,
    Move,
    Phase,
    SeatInfo,
)
from farm.client.games.view import GameView
from farm.errors import GameRejectedError
from farm.rpc.v1 import games_pb2
from farm.spec import tiles


def info(*teams, tick_ms=500):
    seats = tuple(
        SeatInfo(seat, "agent", name, team, alive=True, connected=True)
        for seat, (name, team) in enumerate(zip("XYZW", teams or (0, 1), strict=False))
    )
    return GameInfo(
        game_id=GAME,
        name="",
        phase=Phase.RUNNING,
        tick=0,
        height=4,
        width=5,
        seats=seats,
        tick_ms=tick_ms,
        rules="official",
        no_fog=False,
        spectators=False,
        created_ns=0,
        started_ns=0,
        winners=(),
    )


BOARD = {**OPEN, 1: (tiles.NEUTRAL, tiles.MOUNTAIN, 0), 11: (2, tiles.CITY, 42)}


class Sitting:
    """A person, and a game that answers."""

    def __init__(self, **options):
        self.person = Person(info(**options), 0, is_owner=True)
        self.view = GameView(GAME)
        self.n_sent = 0
        self.tick = -1
        self.go_on()

    def go_on(self, **fields):
        self.tick += 1
        message = update(self.tick, view=observation(frame(BOARD)), **fields)
        self.person.take(self.view.receive(message))

    def press(self, *keys):
        """Press keys; actions are sent, the last command is returned."""
        command = None
        for key in keys:
            command = self.person.press(key)
            if isinstance(command, Send):
                self.n_sent += 1
                self.person.sent(f"k{self.n_sent}", command)
        return command

    def answer(self, number, *, queued=0, error=None):
        self.person.answered(ActionResult(f"k{number}", self.tick, queued, error))


@pytest.fixture
def sitting():
    return Sitting()


def test_the_cursor_begins_at_home_and_stays_on_the_board(sitting):
    assert sitting.person.cursor == 6
    sitting.press("up", "left", "up", "left")
    assert sitting.person.cursor == 0
    assert sitting.press("down", "right") is None
    assert sitting.person.cursor == 6


def test_an_army_that_is_taken_hold_of_moves_with_the_arrows(sitting):
    assert sitting.press("select", "right") == Send((Move(6, 7),))
    assert sitting.press("half", "down") == Send((Move(7, 12, half=True),))
    assert sitting.press("left") == Send((Move(12, 11),))
    assert sitting.person.cursor == 11
    assert sitting.person.waiting == [Move(6, 7), Move(7, 12, half=True), Move(12, 11)]
    assert sitting.press("select", "right") is None


def test_a_mountain_in_sight_is_no_way(sitting):
    assert sitting.press("select", "up") is None
    assert sitting.person.cursor == 6
    assert sitting.person.news[-1] == "that is a mountain"


def test_what_waits_is_what_the_game_has_not_made_yet(sitting):
    sitting.press("select", "right", "right", "down")
    sitting.answer(1, queued=1)
    sitting.answer(2, queued=2)
    assert len(sitting.person.waiting) == 3
    sitting.go_on(queued=1)
    assert sitting.person.waiting == [Move(7, 8), Move(8, 13)]
    sitting.answer(3, queued=2)
    sitting.go_on(queued=0)
    assert sitting.person.waiting == []


def test_an_answer_that_comes_before_the_sending_is_noted_counts(sitting):
    sitting.person.answered(ActionResult("k1", 0, 1))
    sitting.press("select", "right")
    assert sitting.person.waiting == [Move(6, 7)]
    sitting.go_on(queued=0)
    assert sitting.person.waiting == []


def test_a_refused_action_waits_no_longer_and_is_told(sitting):
    sitting.press("select", "right")
    sitting.answer(1, error=GameRejectedError("X", "cell 6 is not yours", reason="NOT_YOUR_CELL"))
    assert sitting.person.waiting == []
    assert sitting.person.news[-1] == "refused: cell 6 is not yours"
    assert (sitting.person.cursor, sitting.person.is_selected) == (6, False)


def test_clearing_forgets_everything_that_waits(sitting):
    sitting.press("select", "right")
    assert sitting.press("clear") == Send(clear=True)
    assert sitting.person.waiting == []


def test_undoing_sends_all_but_the_last_again_unless_a_tick_intervenes(sitting):
    sitting.press("select", "right", "right")
    assert sitting.press("undo") is None  # the answers are awaited first
    sitting.answer(1, queued=1)
    sitting.answer(2, queued=2)
    assert sitting.press("undo") == Send((Move(6, 7),), clear=True, expected_tick=0)
    assert sitting.person.cursor == 7
    sitting.answer(3, queued=1)
    assert sitting.press("undo") == Send((), clear=True, expected_tick=0)
    sitting.answer(4)
    assert sitting.press("undo") is None


def test_the_owner_pauses_and_goes_on(sitting):
    assert sitting.press("pause") == Ask("pause")
    sitting.go_on(phase=games_pb2.PHASE_PAUSED)
    assert sitting.press("pause") == Ask("resume")
    guest = Person(info(), 0, is_owner=False)
    assert guest.press("pause") is None
    assert "pauses" in guest.news[-1]


def test_giving_up_takes_two_keys_in_a_row(sitting):
    assert sitting.press("surrender", "home", "surrender") is None
    assert sitting.press("surrender") == Ask("surrender")


def test_passing_is_an_action_without_moves(sitting):
    assert sitting.press("pass") == Send()


def test_before_there_is_a_board_the_keys_do_nothing():
    person = Person(info(), 0, is_owner=True)
    for key in ("up", "select", "left", "undo", "home", "half"):
        assert person.press(key) is None


def drawn(person, *, width=100, height=30, colours=False):
    console = Console(
        width=width,
        height=height,
        color_system="standard" if colours else None,
        record=True,
        file=io.StringIO(),
        force_terminal=colours,
    )
    console.print(picture(person, width=width, height=height, has_colours=colours))
    return console.export_text()


def test_the_board_shows_the_cursor_what_is_queued_and_what_is_in_fog(sitting):
    sitting.press("select", "right")
    shown = drawn(sitting.person)
    assert "game 7   turn 0   tick 0   running   500 ms a tick   you are A (X)" in shown
    rows = [line for line in shown.splitlines() if "%" in line or "-" in line or "." in line]
    assert any("A5*>" in row and "{." in row.replace(" ", "") for row in rows)
    assert "B42+" in shown
    assert "^" in shown
    assert "1 move queued" in shown
    assert "A (X)" in shown
    assert "army" in shown


def test_a_small_terminal_shows_what_is_around_the_cursor():
    sitting = Sitting()
    shown = drawn(sitting.person, width=24, height=12)
    assert all(len(line) <= 24 for line in shown.splitlines())
    assert "[A5*]" in shown.replace(" ", "")


def test_colours_take_the_place_of_letters(sitting):
    shown = drawn(sitting.person, colours=True)
    assert "A5*" not in shown
    assert "5*" in shown


def test_owners_are_seats_teammates_first():
    assert seats_in_view(info(0, 1, 0, 1), 2) == [2, 0, 1, 3]
    assert seats_in_view(info(0, 1), 1) == [1, 0]


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        (EventKind.PLAYER_JOINED, {"seat": 1}, "B (Y) joins"),
        (EventKind.PLAYER_ELIMINATED, {"seat": 1, "by": 0}, "B (Y) is out, taken by A (X)"),
        (EventKind.PLAYER_ELIMINATED, {"seat": 1}, "B (Y) is out"),
        (EventKind.CITY_CAPTURED, {"by": 0}, "A (X) takes a city"),
        (EventKind.GAME_ENDED, {"winners": (0,), "n_turns": 9}, "A (X) wins after 9 turns"),
        (EventKind.GAME_ENDED, {"n_turns": 9}, "nobody wins after 9 turns"),
        (EventKind.GAME_CANCELLED, {}, "the game is called off"),
        (EventKind.UNKNOWN, {"text": "what"}, "what"),
    ],
)
def test_events_are_told_in_words(kind, fields, text):
    empty = {"seat": None, "by": None, "cell": None, "winners": (), "n_turns": 0}
    event = GameEvent(
        sequence=1, kind=kind, tick=0, duration_ms=0, **{"text": "", **empty, **fields}
    )
    assert event_text(event, info()) == text
