"""`farm logs`, as it is typed: reads from a pipe, a file that is rotated, and the journal."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

import farm

ROOT = Path(farm.__file__).resolve().parents[1]
DEADLINE_S = 60
FAKE_JOURNALCTL = """#!/bin/sh
echo "$@" >"$0.called"
cat "$0.lines" 2>/dev/null
[ -z "$FAKE_FOLLOWS" ] || exec sleep 600
exit "${FAKE_EXIT:-0}"
"""


def line(event, *, at="2026-01-02T03:04:05.678901Z", level="info", **fields):
    return json.dumps({"ts": at, "level": level, "event": event, **fields}, separators=(",", ":"))


LINES = (
    line("farm_starting", role="supervisor", pid=1),
    line("child_spawned", role="rollout", worker=0, child_pid=7),
    line("child_spawned", role="rollout", worker=1, child_pid=8),
    "Fatal Python error: Aborted",
    line("child_crashed", level="error", role="rollout", worker=1, exception="Traceback\nOops: 1"),
    line("experiences_serving", at="2026-01-03T00:00:00.000001Z", role="experiences", worker=0),
    line("ring_full", at="2026-01-03T00:00:01.000001Z", level="warning", role="rollout", worker=0),
)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "farm.log"
    path.write_text("".join(f"{text}\n" for text in LINES))
    return path


@pytest.fixture
def logs(run_here, log):
    """Run it on the log; the lines it shows."""

    def run(*args):
        done = run_here("logs", str(log), *args)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


def events(lines):
    """Names of the events shown, by column."""
    return [text[35:].split()[0] for text in lines if text[2:3] == ":"]


class Live:
    """`farm logs` as a process, whose lines are awaited one by one."""

    def __init__(self, *args, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "farm.cli.main", "logs", *map(str, args)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._kill = threading.Timer(DEADLINE_S, self.process.kill)
        self._kill.start()

    def next(self):
        """The next line; empty if there is none any more, or none comes within the deadline."""
        return self.process.stdout.readline().rstrip("\n")

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        rest, errors = self.process.communicate(timeout=DEADLINE_S)
        self._kill.cancel()
        return self.process.returncode, rest, errors


@pytest.fixture
def live():
    started = []

    def start(*args, **options):
        started.append(Live(*args, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.wait()


def test_a_log_is_shown_in_columns_with_a_line_for_each_day(logs):
    assert logs() == [
        "-- 2026-01-02 (UTC)",
        "03:04:05.678 info     supervisor   farm_starting",
        "03:04:05.678 info     rollout-0    child_spawned            child_pid=7",
        "03:04:05.678 info     rollout-1    child_spawned            child_pid=8",
        "Fatal Python error: Aborted",
        "03:04:05.678 error    rollout-1    child_crashed",
        "Traceback",
        "Oops: 1",
        "-- 2026-01-03 (UTC)",
        "00:00:00.000 info     experiences-0 experiences_serving",
        "00:00:01.000 warning  rollout-0    ring_full",
    ]


def test_a_role_is_that_of_all_its_children_or_one_child(logs):
    assert events(logs("--role", "rollout-1")) == ["child_spawned", "child_crashed"]
    assert len(events(logs("--role", "rollout"))) == 4
    assert events(logs("--role", "supervisor", "--role", "experiences"))[0] == "farm_starting"
    assert logs("--role", "nobody") == []


def test_a_level_is_the_lowest_shown_and_dumps_of_crashes_are_never_hidden_by_it(logs):
    shown = logs("--level", "warning")
    assert events(shown) == ["child_crashed", "ring_full"]
    assert "Fatal Python error: Aborted" in shown
    assert events(logs("--level", "error")) == ["child_crashed"]


def test_an_event_may_be_a_pattern(logs):
    assert events(logs("--event", "child_*", "--event", "ring_full")) == [
        "child_spawned",
        "child_spawned",
        "child_crashed",
        "ring_full",
    ]
    assert logs("--event", "child") == []


def test_filters_add_up(logs):
    shown = logs("--role", "rollout", "--event", "child_*", "--level", "error")
    assert events(shown) == ["child_crashed"]


@pytest.mark.parametrize(
    "since", ["2026-01-03", "2026-01-03T00:00", "2026-01-03T01:00:00+01:00", "2026-01-03T00:00:00Z"]
)
def test_since_a_time_hides_what_was_before_and_the_foreign_lines_there(logs, since):
    assert logs("--since", since)[1:] == [
        "00:00:00.000 info     experiences-0 experiences_serving",
        "00:00:01.000 warning  rollout-0    ring_full",
    ]


def test_since_so_long_ago_counts_back_from_now(run_here, tmp_path):
    now = datetime.now(UTC)
    log = tmp_path / "log"
    texts = []
    for ago_s in (7_300, 7_100, 30):
        at = (now - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        texts.append(line(f"ago_{ago_s}", at=at))
    log.write_text("\n".join(texts))
    shown = {
        since: events(run_here("logs", str(log), "--since", since).stdout.splitlines())
        for since in ("1d", "2h", "10m", "120.5m", "5s")
    }
    assert shown == {
        "1d": ["ago_7300", "ago_7100", "ago_30"],
        "2h": ["ago_7100", "ago_30"],
        "120.5m": ["ago_7100", "ago_30"],
        "10m": ["ago_30"],
        "5s": [],
    }


@pytest.mark.parametrize("since", ["soon", "10", "-5m", "2026-13-01", "999999999d", ""])
def test_since_what_is_no_time_is_a_usage_error(run_here, log, since):
    done = run_here("logs", str(log), f"--since={since}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"farm: --since {since}: no time; give 90s")


def test_json_gives_the_lines_as_they_were_and_foreign_ones_as_json(logs):
    shown = logs("--json")
    assert [text for text in shown if text in LINES] == [LINES[n] for n in (0, 1, 2, 4, 5, 6)]
    assert json.loads(shown[3]) == {"event": "foreign_line", "text": "Fatal Python error: Aborted"}
    assert logs("--json", "--event", "ring_full") == [LINES[6]]


def test_a_torn_last_line_and_bytes_that_are_no_text_are_shown(run_here, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\xff\xfe\n" + LINES[0].encode() + b"\n" + LINES[1][:40].encode())
    shown = run_here("logs", str(log)).stdout.splitlines()
    assert shown[0] == "\ufffd\ufffd"
    assert shown[-1] == LINES[1][:40]


def test_no_log_drives_the_terminal(run_here, tmp_path):
    log = tmp_path / "log"
    evil = "\x1b[2J\x9b1m\a\r"
    texts = [evil, line(f"e{evil}", at=f"2026{evil}", **{f"k{evil}": evil}, exception=f"a\n{evil}")]
    log.write_text("\n".join(texts))
    shown = run_here("logs", str(log)).stdout
    assert not {code for code in shown if ord(code) < 0x20 or 0x7F <= ord(code) < 0xA0} - {"\n"}
    assert "\\x1b[2J" in shown


@pytest.mark.parametrize("word", [["-"], []])
def test_a_pipe_is_shown_as_it_comes(live, word):
    read_fd, write_fd = os.pipe()
    shown = live(*word, stdin=read_fd)
    os.close(read_fd)
    os.write(write_fd, f"{LINES[0]}\n{LINES[1]}\n".encode())
    assert [shown.next() for _ in range(3)][2].split()[2:4] == ["rollout-0", "child_spawned"]
    os.write(write_fd, LINES[2].encode())
    os.close(write_fd)
    code, rest, errors = shown.wait()
    assert (code, errors) == (0, "")
    assert rest.split()[2:4] == ["rollout-1", "child_spawned"]


def test_without_anything_to_read_it_says_what_could_be_read(run_farm):
    done = run_farm("logs")
    assert done.returncode == 2
    assert done.stderr == (
        "farm: nothing to read: give a file, - for standard input, or --journal UNIT\n"
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "No such file or directory"), (".", "Is a directory")]
)
def test_what_cannot_be_read_is_one_line_and_exit_code_69(run_here, tmp_path, name, reason):
    done = run_here("logs", str(tmp_path / name))
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr == f"farm: cannot read {tmp_path / name}: {reason}\n"


def test_a_file_is_followed_through_growth_rotation_and_truncation(live, log):
    shown = live(log, "--follow", "--event", "e*")
    assert shown.next() == "-- 2026-01-03 (UTC)"
    assert "experiences_serving" in shown.next()
    with log.open("a") as file:
        file.write(line("e_grown", at="2026-01-03T01:00:00Z")[:30])
        file.flush()
        file.write(line("e_grown", at="2026-01-03T01:00:00Z")[30:] + "\n")
    assert "e_grown" in shown.next()
    log.rename(log.with_suffix(".1"))
    with log.with_suffix(".1").open("a") as file:
        file.write(line("e_late", at="2026-01-03T02:00:00Z") + "\n" + '{"ts":"half')
    log.write_text(line("e_rotated", at="2026-01-03T03:00:00Z") + "\n")
    assert "e_late" in shown.next()
    assert "e_rotated" in shown.next()
    log.write_text("")
    with log.open("a") as file:
        file.write(line("e_cut", at="2026-01-03T04:00Z") + "\n")
    assert "e_cut" in shown.next()
    assert shown.stop() == (0, "", "")


def test_following_ends_when_the_reader_goes_away_though_no_line_comes(live, log):
    shown = live(log, "--follow")
    shown.next()
    shown.process.stdout.close()
    shown.process.wait(DEADLINE_S)
    assert shown.process.returncode == 0
    assert shown.process.stderr.read() == ""


def test_a_reader_that_takes_one_line_ends_it_quietly(log):
    log.write_text("".join(f"{text}\n" for text in LINES * 5_000))
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m farm.cli.main logs "$1" | head -n 1', sys.executable, str(log)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("-- 2026-01-02 (UTC)\n", "")


@pytest.fixture
def journal(tmp_path):
    """A stand-in for journalctl that prints LINES; `called()` is what it was called with."""
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(FAKE_JOURNALCTL)
    program.chmod(0o755)
    lines = Path(f"{program}.lines")
    lines.write_text("".join(f"{text}\n" for text in LINES))

    class Journal:
        env: ClassVar = {"PATH": f"{program.parent}:{os.environ['PATH']}"}

        def called(self):
            return Path(f"{program}.called").read_text().split()

        def clear(self):
            lines.unlink()

    return Journal()


def test_the_journal_of_a_unit_is_read_through_journalctl(live, journal):
    shown = live("--journal", "farm", "--level", "error", "--role", "rollout", env=journal.env)
    code, rest, errors = shown.wait()
    assert (code, errors) == (0, "")
    assert "child_crashed" in rest.splitlines()[1]
    assert journal.called() == [
        *("--output=cat", "--all", "--quiet", "--no-pager", "--unit=farm"),
    ]


def test_the_journal_is_asked_for_the_time_that_is_wanted(live, journal):
    shown = live("--journal", "farm@blue", "--since", "2026-01-03", env=journal.env)
    code, rest, _ = shown.wait()
    assert code == 0
    assert "child_spawned" not in rest
    assert "ring_full" in rest
    assert "--since=@1767398400" in journal.called()


def test_following_the_journal_ends_with_ctrl_c_and_leaves_no_journalctl(live, journal, is_alive):
    env = {**journal.env, "FAKE_FOLLOWS": "1"}
    shown = live("--journal", "farm", "--follow", "--since", "2026-01-01", env=env)
    assert shown.next() == "-- 2026-01-02 (UTC)"
    assert {"--follow", "--lines=all"} <= set(journal.called())
    (child,) = (
        Path(f"/proc/{shown.process.pid}/task/{shown.process.pid}/children").read_text().split()
    )
    assert is_alive(int(child))
    assert shown.stop()[0] == 0
    assert not is_alive(int(child))


def test_a_journalctl_that_fails_or_is_absent_is_one_line_and_exit_code_69(live, journal, tmp_path):
    failed = live("--journal", "farm", env={**journal.env, "FAKE_EXIT": "3"}).wait()
    assert failed[0] == 69
    assert failed[2] == "farm: journalctl ended with exit code 3\n"
    absent = live("--journal", "farm", env={"PATH": str(tmp_path)}).wait()
    assert absent[0] == 69
    assert absent[2].startswith("farm: cannot run journalctl: No such file or directory; ")


def test_an_empty_journal_says_what_may_be_the_reason(live, journal):
    journal.clear()
    code, rest, errors = live("--journal", "farn", env=journal.env).wait()
    assert (code, rest) == (0, "")
    assert errors.startswith("farm: nothing is logged of farn: is that its name")


def test_a_file_and_a_journal_are_one_too_many(run_here, log):
    done = run_here("logs", str(log), "--journal", "farm")
    assert done.returncode == 2
    assert "one of them" in done.stderr


def test_what_a_farm_logs_is_what_it_shows(run_here, tmp_path):
    """The writer and the reader agree, through a real process and its file."""
    script = (
        "from farm.telemetry import log\n"
        "log.configure(role='rollout', worker=3, generation=2)\n"
        "try: 1/0\n"
        "except ZeroDivisionError: log.get_logger().exception('child_crashed', steps=7)"
    )
    path = tmp_path / "log"
    with path.open("wb") as file:
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=file,
            timeout=DEADLINE_S,
            check=True,
        )
    shown = run_here("logs", str(path), "--role", "rollout-3").stdout
    assert "error    rollout-3    child_crashed            generation=2 steps=7" in shown
    assert "ZeroDivisionError: division by zero" in shown
