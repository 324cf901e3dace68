"""On a terminal text is for people: overrides stand out, logs are columns; NO_COLOR is heard."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import farm

ROOT = Path(farm.__file__).resolve().parents[1]
LOG = "from farm.telemetry import log; log.configure(role='r'); log.get_logger().error('failed')"


@pytest.fixture
def on_terminal():
    """Run Python with a terminal as standard output; returns what it shows."""

    def run(*args, **env):
        ours, theirs = pty.openpty()
        plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        child = subprocess.Popen(
            [sys.executable, *args],
            env={**plain, "PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
        )
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65_536):
                shown += chunk
        except OSError:  # EIO: the other side is closed, which is how a terminal ends
            pass
        os.close(ours)
        assert child.wait(60) == 0
        return shown.decode()

    return run


def test_an_override_stands_out_from_dimmed_comments(on_terminal):
    lines = on_terminal("-m", "farm.cli.main", "config", "worker.count=3").splitlines()
    (count,) = [line for line in lines if "count: 3" in line]
    (games,) = [line for line in lines if "  games: " in line]
    assert "\x1b[33m#" in count
    assert "\x1b[2m#" in games


def test_no_color_means_no_color(on_terminal):
    assert "\x1b" not in on_terminal("-m", "farm.cli.main", "config", NO_COLOR="1")
    assert "\x1b" not in on_terminal("-c", LOG, NO_COLOR="1")


def test_logs_are_readable_lines(on_terminal):
    shown = on_terminal("-c", LOG)
    assert "\x1b[31m" in shown
    assert "error    r            failed" in shown
    assert '{"ts"' not in shown
