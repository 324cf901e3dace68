"""`farm tail` against a real service."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from handmade import Spec, message
from serving import Serving

from farm.cli.main import main
from farm.cli.tail import Tally
from farm.client import Client, Retry, Trajectory

ROOT = Path(__file__).resolve().parents[2]
N = 30

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def serving(instance):
    """A service with N trajectories in its ring: 15 games, each with a seat that ended."""
    made = Serving(instance)
    made.ring.write(*[Spec(game_id=k // 2, seat=k % 2, terminated=k % 2 == 0) for k in range(N)])
    yield made
    made.close()


def tail(capsys, serving, *options):
    """The exit code and the lines of `farm tail`."""
    code = main(["tail", serving.address, *options])
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if '"level"' not in line]
    return code, lines, captured.err


def test_an_observer_sees_everything_and_acknowledges_nothing(capsys, serving):
    code, lines, _ = tail(capsys, serving, "--seconds", "0.3", "--json")
    total = json.loads(lines[-1])
    assert code == 0
    assert total["summary"]
    assert (total["trajectories"], total["experiences"], total["games_finished"]) == (N, 4 * N, 15)
    assert (total["lost"], total["skipped"], total["connections"]) == (None, 0, 1)
    assert serving.counter("subscriptions") == 0


def test_a_member_of_the_group_acknowledges_and_knows_of_loss(capsys, serving):
    code, lines, _ = tail(capsys, serving, "--group", "--seconds", "0.3", "--json")
    total = json.loads(lines[-1])
    assert code == 0
    assert (total["trajectories"], total["lost"], total["duplicates"]) == (N, 0, 0)
    assert serving.counter("acknowledged_records") == N


def test_filters_reach_the_farm(capsys, serving):
    options = ("--seat", "1", "--game", "3", "--game", "4", "--policy", "expander")
    _, lines, _ = tail(capsys, serving, *options, "--seconds", "0.3", "--json")
    assert json.loads(lines[-1])["trajectories"] == 2


def test_filters_do_not_go_together_with_the_group_of_the_trainers(capsys, serving):
    code, _, err = tail(capsys, serving, "--group", "--seat", "1")
    assert code == 2
    assert "leave the filters out" in err


def test_a_group_of_its_own_gets_everything_too_and_may_filter(capsys, serving):
    tail(capsys, serving, "--group", "--seconds", "0.3", "--json")
    serving.ring.write(*[Spec(game_id=k // 2, seat=k % 2) for k in range(10)])
    options = ("--group", "mine", "--seat", "1", "--seconds", "0.3", "--json")
    _, lines, _ = tail(capsys, serving, *options)
    assert json.loads(lines[-1])["trajectories"] == 5
    _, lines, _ = tail(capsys, serving, "--group", "--seconds", "0.3", "--json")
    assert json.loads(lines[-1])["trajectories"] == 10


def test_without_a_terminal_it_prints_lines_and_a_summary(capsys, serving):
    code, lines, _ = tail(capsys, serving, "--seconds", "1.2")
    assert code == 0
    assert serving.instance in lines[0]
    assert "experiences/s" in lines[1]
    assert "120 in all" in lines[-1]
    assert "skipped: 0" in lines[-1]


def test_json_lines_come_once_a_second(capsys, serving):
    _, lines, _ = tail(capsys, serving, "--seconds", "2.1", "--json")
    samples = [json.loads(line) for line in lines]
    assert [sample["summary"] for sample in samples] == [False, False, False, True]
    assert samples[0]["seconds"] == pytest.approx(1.0, abs=0.3)
    assert 0 <= samples[0]["ring_fill"] <= 1


@pytest.fixture
def held(instance):
    """A service whose rings are full, held by a group that has no member any longer."""
    made = Serving(instance, capacity_bytes=1 << 16)
    with Client(made.address) as client, client.subscribe(auto_ack=False) as member:
        made.ring.write(Spec())
        next(member)
    while made.ring.write(Spec()):
        pass
    made.wait(lambda: made.counter("streams") == 0, "the member to be gone")
    yield made
    made.close()


def test_an_observer_beside_a_group_without_members_is_told_once_why_nothing_comes(capsys, held):
    code, lines, _ = tail(capsys, held, "--seconds", "3.2")
    assert code == 0
    (notice,) = [line for line in lines if "nobody takes from it" in line]
    assert "group default" in notice
    assert "farm tail --group" in notice


def test_json_lines_say_that_the_rings_are_held(capsys, held):
    _, lines, _ = tail(capsys, held, "--seconds", "2.2", "--json")
    assert json.loads(lines[-1])["held"]


def test_a_flow_is_not_held(capsys, serving):
    _, lines, _ = tail(capsys, serving, "--seconds", "2.2")
    assert not [line for line in lines if "nobody takes" in line]


def test_no_farm_is_one_line_and_exit_code_69(capsys):
    assert main(["tail", "127.0.0.1:9"]) == 69
    captured = capsys.readouterr()
    assert captured.err == "farm: no farm answers at 127.0.0.1:9: Connection refused\n"
    assert captured.out == ""


def test_a_farm_that_goes_away_ends_it_with_a_summary(capsys, serving, monkeypatch):
    monkeypatch.setattr("farm.cli.tail.RETRY", Retry(deadline_s=0.2))
    stopper = threading.Timer(0.5, serving.stop_service)
    address = serving.address
    stopper.start()
    code, lines, err = tail(capsys, serving, "--json")
    stopper.join()
    assert code == 69
    assert json.loads(lines[-1])["trajectories"] == N
    assert address in err


def test_ctrl_c_ends_it_with_a_summary_and_exit_code_0(serving):
    shown = subprocess.Popen(
        [sys.executable, "-m", "farm.cli.main", "tail", serving.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert serving.instance in shown.stdout.readline()
        assert "120 in all" in shown.stdout.readline()
        shown.send_signal(signal.SIGINT)
        out, err = shown.communicate(timeout=30)
        assert shown.returncode == 0
        assert "120 in all" in out.splitlines()[-1]
        assert err == ""
    finally:
        shown.kill()
        shown.wait()


def test_on_a_terminal_one_line_is_rewritten(serving, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    code, lines, _ = tail(capsys, serving, "--seconds", "1.2")
    assert code == 0
    assert "120 in all" in lines[-1]


def test_a_game_counts_once_and_the_memory_of_games_is_bounded(monkeypatch):
    monkeypatch.setattr("farm.cli.tail.REMEMBERED_GAMES", 5)
    tally = Tally()
    ends = [Trajectory(message(Spec(game_id=k, truncated=True))) for k in range(20)]
    for trajectory in ends:
        tally.count([trajectory, trajectory])
    assert tally.games_finished == 20
    assert len(tally._finished) == 5
