"""Libraries, warnings and crashes come out as lines of the same form."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import farm
from farm.telemetry import log
from farm.telemetry.stdlib import Handler

ROOT = Path(farm.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _configured(restored_logging):  # noqa: ARG001 - set up after it
    log.configure(role="experiences", fmt="json", level="info")


@pytest.mark.parametrize("name", ["grpc", "grpc._server", "hydra", "asyncio", "concurrent.futures"])
def test_a_librarys_message_is_a_line(lines, name):
    logging.getLogger(name).warning("lost %d of %s", 3, "x")
    (line,) = lines()
    assert line["event"] == "library_message"
    assert (line["level"], line["logger"]) == ("warning", name)
    assert line["message"] == "lost 3 of x"
    assert line["role"] == "experiences"


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (20, "info"),
        (25, "info"),
        (30, "warning"),
        (40, "error"),
        (50, "critical"),
        (60, "critical"),
    ],
)
def test_levels_of_the_standard_library_have_their_names(lines, number, level):
    logging.getLogger("x").log(number, "hello")
    assert lines()[0]["level"] == level


def test_libraries_follow_the_level_but_never_below_info(lines):
    log.set_level("debug")
    logging.getLogger("numba.core").debug("unheard")
    logging.getLogger("x").info("heard")
    log.set_level("error")
    logging.getLogger("x").warning("unheard")
    assert [line["message"] for line in lines()] == ["heard"]


def test_a_librarys_exception_is_one_field(lines):
    try:
        Path("/nowhere/at/all").stat()
    except OSError:
        logging.getLogger("asyncio").exception("task failed")
    (line,) = lines()
    assert line["level"] == "error"
    assert line["exception"].endswith("'/nowhere/at/all'")


def test_a_record_that_cannot_be_formatted_is_logged_in_parts(lines):
    record = logging.LogRecord("x", logging.WARNING, "", 0, "lost %d", ("no number",), None)
    Handler(log.get_logger()).emit(record)
    (line,) = lines()
    assert line["message"] == "lost %d % ('no number',)"


def test_a_former_stream_handler_is_replaced(capfd):
    logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
    log.configure(role="x", fmt="json")
    logging.getLogger("y").warning("once")
    captured = capfd.readouterr()
    assert captured.out.count("once") == 1
    assert "once" not in captured.err


def test_a_warning_is_a_line(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("careful", UserWarning, stacklevel=1)
    (line,) = lines()
    assert line["logger"] == "py.warnings"
    assert "UserWarning: careful" in line["message"]


def test_an_exception_that_ends_a_thread_is_a_line(lines, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def fail():
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="drainer")
    thread.start()
    thread.join(10)
    (line,) = lines()
    assert (line["event"], line["level"]) == ("uncaught_exception", "critical")
    assert line["thread"] == "drainer"
    assert line["exception"].endswith("ValueError: in a thread")


def run_script(body: str) -> subprocess.CompletedProcess:
    script = f"from farm.telemetry import log; log.configure(role='r', fmt='json')\n{body}"
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_exception_that_ends_the_process_is_a_line_and_nothing_else():
    done = run_script("raise RuntimeError('the end')")
    line = json.loads(done.stdout)
    assert line["event"] == "uncaught_exception"
    assert line["exception"].endswith("RuntimeError: the end")
    assert done.stderr == ""
    assert done.returncode == 1


def test_an_exception_in_a_destructor_is_a_line():
    done = run_script("class A:\n  def __del__(self): raise RuntimeError('late')\na = A(); del a")
    line = json.loads(done.stdout)
    assert line["event"] == "unraisable_exception"
    assert "RuntimeError: late" in line["exception"]


def test_ctrl_c_stays_what_it_is():
    done = run_script("raise KeyboardInterrupt")
    assert done.stdout == ""
    assert done.returncode == -signal.SIGINT
