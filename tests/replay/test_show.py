"""Watching a replay: the picture, the pace, the keys, and the terminal left as it was."""

import io
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from replay.games import march
from rich.console import Console

import farm
from farm.cli.replay_show import Viewer, board, picture
from farm.replay.files import write_replays
from farm.replay.look import look

ROOT = Path(farm.__file__).resolve().parents[1]
DEADLINE_S = 60.0
S = 1_000_000_000

BOARD = """\
 A1*  A2   .   .   seat       army  land
   .   ^   ~   .    A (Ann)      3     2
   . 40+   .   .    B            3     1
   .   .   . B3*
"""
FOGGED = """\
   -   -   -   -   seat       army  land
   -   %  -~   -    A (Ann)      3     2
   -   %   .   .    B            3     1
   -   -   . B3*
"""
LEGEND = """\
A12 army of seat A   * general   + city   ^ mountain   ~ swamp   : desert   - % fog
"""
KEYS = "space pause   \u2192 \u2190 tick   + - speed   f seat   home end   q quit   4 ticks/s\n"


@pytest.fixture
def viewer():
    return Viewer(march(), seat=None, ticks_per_s=4.0)


def drawn(viewer, *, keys):
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(picture(viewer, keys=keys))
    lines = console.file.getvalue().splitlines()
    return "".join(f"{text.rstrip()}\n" for text in lines)


def test_the_picture_has_board_scores_and_keys(viewer):
    viewer.seek(5)
    assert drawn(viewer, keys=True) == (
        "march   tick 5 of 100   all-seeing\n\n" + KEYS + BOARD + LEGEND
    )


def test_the_picture_of_a_seat_is_fogged(viewer):
    viewer.press("seat")
    viewer.press("seat")
    viewer.seek(5)
    assert drawn(viewer, keys=False) == ("march   tick 5 of 100   seen by B\n\n" + FOGGED + LEGEND)


def test_the_picture_says_what_comes_next_and_how_it_ends(viewer):
    viewer.seek(4)
    assert "\nA 0>1  A 1>2\n" in drawn(viewer, keys=False)
    viewer.press("end")
    assert "\nA (Ann) won after 8 ticks\n" in drawn(viewer, keys=False)


def test_a_board_too_wide_for_the_terminal_is_drawn_closer_by_colour_alone(viewer):
    viewer.seek(5)
    view = look(viewer.playback)
    assert board(view, width=16).plain == board(view).plain
    assert board(view, width=15).plain.splitlines() == [
        " 1*  2  .  .",
        "  .  ^  ~  .",
        "  .40+  .  .",
        "  .  .  . 3*",
    ]


def test_scores_go_above_a_board_that_leaves_no_room_beside_it(viewer):
    console = Console(width=40, file=io.StringIO(), color_system=None)
    console.print(picture(viewer, keys=False, width=40))
    assert "\n A 1/1  B 1/1" in console.file.getvalue()
    assert "seat" not in console.file.getvalue().partition("\nA12")[0]


def test_it_plays_at_its_speed_and_stops_at_the_end(viewer):
    viewer.poll(0)
    assert [viewer.poll(now) for now in (S // 8, S // 4, S, 9 * S, 10 * S)] == [0, 1, 3, 4, 0]
    assert viewer.is_at_end


def test_it_waits_until_the_next_tick_is_due_but_never_long(viewer):
    viewer.poll(0)
    assert viewer.wait_s(S // 4 - 1000) == pytest.approx(1e-6)
    assert viewer.wait_s(0) == 0.1
    viewer.press("pause")
    assert viewer.wait_s(S) == 0.1


def test_a_pause_holds_the_game_and_loses_no_time(viewer):
    viewer.poll(0)
    viewer.press("pause")
    assert viewer.poll(5 * S) == 0
    viewer.press("pause")
    assert viewer.poll(5 * S + S // 8) == 0
    assert viewer.poll(5 * S + S // 4) == 1


@pytest.mark.parametrize(
    ("keys", "tick"),
    [
        (["next", "next", "next"], 3),
        (["next", "next", "back"], 1),
        (["back"], 0),
        (["end"], 8),
        (["end", "next"], 8),
        (["end", "back", "back"], 6),
        (["end", "start"], 0),
    ],
)
def test_keys_go_to_any_tick_and_hold_there(viewer, keys, tick):
    for key in keys:
        viewer.press(key)
    assert viewer.playback.tick == tick
    assert viewer.is_paused


def test_going_back_shows_the_same_state_again(viewer):
    viewer.seek(5)
    digest = viewer.playback.digest()
    viewer.seek(8)
    viewer.seek(5)
    assert viewer.playback.digest() == digest


def test_the_speed_has_bounds(viewer):
    for _ in range(20):
        viewer.press("faster")
    assert viewer.ticks_per_s == 256
    for _ in range(20):
        viewer.press("slower")
    assert viewer.ticks_per_s == 0.25


def test_the_seat_key_goes_around(viewer):
    seats = []
    for _ in range(4):
        viewer.press("seat")
        seats.append(viewer.seat)
    assert seats == [0, 1, None, 0]


def read_until(fd, text):
    """What a terminal shows, up to and with a text."""
    shown = b""
    deadline = time.monotonic() + DEADLINE_S
    while text not in shown:
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"no {text!r} in {shown!r}"
        shown += os.read(fd, 65_536)
    return shown


def test_on_a_terminal_keys_work_and_the_terminal_is_left_as_it_was(tmp_path):
    path = tmp_path / "march.replay"
    write_replays(path, [march()])
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    child = subprocess.Popen(
        [sys.executable, "-m", "farm.cli.main", "replay", path, "--show", "--speed", "100"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    try:
        read_until(ours, b"tick 8 of 100")
        os.write(ours, b"\x1b[D")
        read_until(ours, b"tick 7 of 100")
        os.write(ours, b"fq")
        read_until(ours, b"unfinished after 7 ticks")
        assert child.wait(DEADLINE_S) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        child.kill()
        child.wait()
        os.close(ours)
        os.close(theirs)
