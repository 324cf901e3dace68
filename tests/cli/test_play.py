"""`farm play`: what it takes, which agent it finds, how it ends; a person's game through a pty."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from game_messages import GAME
from scripted_host import TOKEN, ScriptedHost

import farm
from farm.cli.arguments import build_parser, parse
from farm.cli.play import game_options, load_agent
from farm.client import AsyncAgent, ExpanderAgent, RandomAgent
from farm.errors import EXIT_INTERNAL, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE, UsageError

ROOT = Path(farm.__file__).resolve().parents[1]
DEADLINE_S = 30.0
MAIN = (
    "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
    "from farm.cli.main import main; sys.exit(main(sys.argv[1:]))"
)
"""The command, with standard input as the terminal of its session: Ctrl-C is a signal then."""

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def host():
    started = []

    def start(**options):
        started.append(ScriptedHost(**options))
        return started[-1]

    yield start
    for made in started:
        made.close()


@pytest.fixture
def bots(tmp_path, monkeypatch):
    """A module of agents in the current folder."""
    (tmp_path / "mybots.py").write_text(
        "from farm.client import Agent, AsyncAgent, Move\n"
        "class Right(Agent):\n"
        "    def act(self, observation):\n"
        "        return Move(6, 7)\n"
        "class Awaited(AsyncAgent):\n"
        "    async def act(self, observation):\n"
        "        return None\n"
        "class Broken(Agent):\n"
        "    def act(self, observation):\n"
        "        return 1 // 0\n"
        "thing = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("mybots", None)


def parsed(line):
    return parse(build_parser(), ["play", *line.split()])


def options(line):
    return game_options(parsed(line), 0)


def test_a_new_game_is_an_official_duel_with_the_expander():
    made = options("--agent random")
    assert made == {
        "map": "official",
        "seats": 2,
        "bots": {1: "expander"},
        "tick_ms": 0,
        "fog": True,
        "collect": False,
    }
    assert options("--human")["tick_ms"] == 500


def test_opponents_take_the_seats_in_turn_and_the_last_one_all_that_are_left():
    assert options("--agent random --opponent hunter --opponent random")["bots"] == {
        1: "hunter",
        2: "random",
    }
    line = "--agent random --seats 4 --seat 2 --opponent hunter --opponent expander"
    assert options(line)["bots"] == {0: "hunter", 1: "expander", 3: "expander"}
    assert options("--agent random --opponent none")["bots"] == {}
    with pytest.raises(UsageError, match="--seats"):
        options("--agent random --seats 2 --opponent random --opponent random")


def test_a_board_is_drawn_or_read_from_a_file(tmp_path):
    assert options("--agent random --board 12x13")["map"] == "12x13"
    file = tmp_path / "board.txt"
    file.write_text("G0 . . .\n. . . .\n. . . G2\n. . . G1\n")
    made = options(f"--agent random --map {file}")
    assert made["map"].startswith("G0")
    assert made["seats"] == 3


def test_seeds_count_up_over_the_games_of_a_row():
    args = parsed("--agent random --seed 7 --games 3")
    assert [game_options(args, number)["seed"] for number in range(3)] == [7, 8, 9]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--agent random --human",
        "--agent random --game 1 --new",
        "--agent random --board 12",
        "--agent random --map nowhere.txt",
        "--agent random --tick-ms 5",
        "--agent random --opponent nobody",
        "--agent random --seats 17",
    ],
)
def test_options_that_are_none_are_refused_by_the_parser(line, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(line)
    assert caught.value.code == EXIT_USAGE
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "--agent random --board 12x12 --map official",
        "--agent random --seat-token T",
        "--agent random --game 1 --seed 0",
        "--agent random --game 1 --opponent hunter",
        "--agent random --game 1 --games 2",
        "--human --games 2",
        "--human --json",
        "--agent nobody",
        "--agent nowhere:Bot",
        "--agent mybots:thing",
        "--agent mybots:Absent",
        "--agent mybots:Awaited --by polling",
    ],
)
@pytest.mark.usefixtures("bots")
def test_options_that_do_not_go_together_are_one_line(run_here, line):
    done = run_here("play", *line.split())
    assert done.returncode == EXIT_USAGE
    assert done.stderr.startswith("farm: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("bots")
def test_agents_have_short_names_or_come_from_a_module():
    assert isinstance(load_agent("random", 1), RandomAgent)
    assert isinstance(load_agent("expander", None), ExpanderAgent)
    assert type(load_agent("mybots:Right", None)).__name__ == "Right"
    assert isinstance(load_agent("mybots:Awaited", None), AsyncAgent)


@pytest.mark.parametrize("by", ["stream", "polling"])
@pytest.mark.usefixtures("bots")
def test_an_agent_plays_and_the_result_is_a_line(host, run_here, by):
    served = host(last_tick=3)
    words = ("--agent", "mybots:Right", "--by", by, "--opponent", "hunter")
    done = run_here("play", served.address, *words)
    assert done.returncode == EXIT_OK
    assert done.stdout == "game 7  seat 0  won  1 turns  3 actions\n"
    assert [moves for _, moves in served.orders] == [[(6, 7, False)]] * 3
    assert dict(served.created.bots) == {1: "hunter"}


@pytest.mark.usefixtures("bots")
def test_results_are_json_for_programs(host, run_here):
    done = run_here("play", host(last_tick=2).address, "--agent", "mybots:Awaited", "--json")
    line = json.loads(done.stdout)
    assert (line["won"], line["ticks"], line["phase"], line["refused"]) == (True, 2, "ended", {})


@pytest.mark.usefixtures("bots")
def test_a_seat_that_was_left_is_gone_on_with(host, run_here):
    served = host(last_tick=2)
    words = ("--game", str(GAME), "--seat-token", TOKEN)
    done = run_here("play", served.address, "--agent", "mybots:Right", *words)
    assert done.returncode == EXIT_OK
    assert "JoinGame" not in served.calls


@pytest.mark.usefixtures("bots")
def test_an_agent_that_raises_ends_with_its_traceback_and_gives_up(host, run_here):
    served = host()
    done = run_here("play", served.address, "--agent", "mybots:Broken")
    assert done.returncode == EXIT_INTERNAL
    assert "1 // 0" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert served.surrendered


def test_no_farm_and_no_game_are_one_line(host, run_here):
    done = run_here("play", "127.0.0.1:1", "--agent", "random")
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stderr.count("\n") == 1
    done = run_here("play", host().address, "--agent", "random", "--game", "99")
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stderr == "farm: NOT_FOUND: no\n"


def test_a_person_without_a_terminal_is_told_so(run_farm):
    done = run_farm("play", "--human")
    assert done.returncode == EXIT_USAGE
    assert "needs a terminal" in done.stderr


class Terminal:
    """`farm play --human` on a pseudo-terminal."""

    def __init__(self, *words, **env):
        self._ours, theirs = pty.openpty()
        self._theirs = theirs
        self.before = termios.tcgetattr(theirs)
        self.child = subprocess.Popen(
            [sys.executable, "-c", MAIN, "play", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "USER": "ann", **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.raw = b""

    @property
    def text(self):
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.raw).decode(errors="replace")

    def _read(self, wait_s):
        if select.select([self._ours], [], [], wait_s)[0]:
            self.raw += os.read(self._ours, 65_536)

    def until(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come:\n{self.text[-3000:]}"
            assert self.child.poll() is None, f"it ended before {what}:\n{self.text[-3000:]}"
            self._read(0.1)

    def until_shown(self, text):
        self.until(lambda: text in self.text, repr(text))

    def press(self, keys):
        os.write(self._ours, keys)

    def end(self):
        """The exit code, with the terminal as it was."""
        deadline = time.monotonic() + DEADLINE_S
        while self.child.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text[-3000:]}"
            self._read(0.1)
        self._read(0.2)
        assert termios.tcgetattr(self._theirs) == self.before
        assert self.raw.count(b"\x1b[?1049h") == self.raw.count(b"\x1b[?1049l") == 1
        assert self.raw.rindex(b"\x1b[?25h") > self.raw.rindex(b"\x1b[?25l")
        return self.child.returncode

    def clean_up(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def sit():
    seated = []

    def sit_down(*words, **env):
        seated.append(Terminal(*words, **env))
        return seated[-1]

    yield sit_down
    for terminal in seated:
        terminal.clean_up()


def test_a_person_plays_a_game_with_the_keys(host, sit):
    served = host(last_tick=3, tick_ms=500)
    terminal = sit("--human", served.address)
    terminal.until_shown("running")
    assert "you are A" in terminal.text
    terminal.press(b" \x1b[C")
    terminal.until(lambda: len(served.orders) == 1, "the first move")
    terminal.press(b"a")  # from a cell that is not the person's
    terminal.until_shown("refused: no")
    terminal.press(b"h zs")
    terminal.until(lambda: len(served.orders) == 2, "the second move")
    terminal.until_shown("tick 2")
    terminal.press(b".")
    terminal.until_shown("any key leaves")
    assert [moves for _, moves in served.orders] == [[(6, 7, False)], [(6, 11, True)], []]
    assert "A (me) wins" in terminal.text
    terminal.press(b" ")
    assert terminal.end() == EXIT_OK
    assert f"game {GAME}  ended" in terminal.text


def test_ctrl_c_leaves_the_game_and_says_how_to_come_back(host, sit):
    served = host()
    terminal = sit("--human", served.address)
    terminal.until_shown("running")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert f"--game {GAME} --seat-token {TOKEN}" in terminal.text
    assert not served.surrendered


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal_too(host, sit, number):
    terminal = sit("--human", host().address)
    terminal.until_shown("running")
    terminal.child.send_signal(number)
    assert terminal.end() == 128 + number


def test_a_game_that_is_gone_restores_the_terminal_and_is_said(host, sit):
    served = host()
    terminal = sit("--human", served.address)
    terminal.until_shown("running")
    check = served._check

    def forget(request):
        request.token = "another"
        check(request)

    served._check = forget
    served.cut()
    assert terminal.end() == EXIT_UNAVAILABLE
    assert "PERMISSION_DENIED" in terminal.text


def test_giving_up_takes_two_keys(host, sit):
    served = host()
    terminal = sit("--human", served.address)
    terminal.until_shown("running")
    terminal.press(b"x")
    terminal.until_shown("x again")
    assert not served.surrendered
    terminal.press(b"x")
    terminal.until(lambda: served.surrendered, "the surrender")


def test_a_terminal_that_cannot_be_drawn_on_is_refused(host, sit):
    terminal = sit("--human", host().address, TERM="dumb")
    while terminal.child.poll() is None:
        terminal._read(0.1)
    terminal._read(0.2)
    assert terminal.child.returncode == EXIT_USAGE
    assert "needs a terminal" in terminal.text
