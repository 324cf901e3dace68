"""Events as JSON lines: fields, levels, tracebacks, and what changes while a process runs."""

import copy
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog

import farm
from farm.telemetry import log

ROOT = Path(farm.__file__).resolve().parents[1]


def configure(**values):
    log.configure(**{"role": "rollout", "worker": 3, "generation": 2, "fmt": "json", **values})


def test_a_line_has_time_level_event_and_the_process_first(lines):
    configure()
    before = time.time()
    log.get_logger().info("worker_ready", steps=32, share=0.5)
    (line,) = lines()
    ts = line.pop("ts")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", ts)
    assert ts >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))
    assert list(line.items()) == [
        ("level", "info"),
        ("event", "worker_ready"),
        ("role", "rollout"),
        ("worker", 3),
        ("pid", os.getpid()),
        ("generation", 2),
        ("steps", 32),
        ("share", 0.5),
    ]


def test_what_a_process_does_not_have_is_left_out(lines):
    configure(role="supervisor", worker=None, generation=None)
    log.get_logger().info("started")
    assert set(lines()[0]) == {"ts", "level", "event", "role", "pid"}


def test_times_never_go_back_within_a_process(lines):
    configure()
    for _ in range(2000):
        log.get_logger().info("tick")
    times = [line["ts"] for line in lines()]
    assert times == sorted(times)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_level_lets_through_itself_and_what_is_worse(lines, level):
    configure(level=level)
    logger = log.get_logger()
    names = ["debug", "info", "warning", "error", "critical"]
    for name in names:
        getattr(logger, name)("something")
        logger.log(name, "something_else")
    passed = names[names.index(level) :]
    assert [line["level"] for line in lines()] == [name for name in passed for _ in range(2)]


def test_the_level_changes_for_loggers_that_exist(lines):
    configure(level="info")
    logger = log.get_logger(part="a").bind(more=1)
    logger.debug("unheard")
    log.set_level("debug")
    logger.debug("heard")
    log.set_level("error")
    logger.warning("unheard")
    assert [line["event"] for line in lines()] == ["heard"]


def test_an_unknown_level_is_refused():
    configure()
    with pytest.raises(KeyError):
        log.set_level("loud")


def test_fields_of_the_process_come_and_go_for_loggers_that_exist(lines):
    configure()
    logger = log.get_logger()
    log.set_fields(config_epoch=4)
    logger.info("one")
    log.set_fields(config_epoch=None)
    logger.info("two")
    one, two = lines()
    assert one["config_epoch"] == 4
    assert "config_epoch" not in two


def test_a_second_configure_replaces_the_first_also_for_loggers_that_exist(lines):
    configure(role="first")
    logger = log.get_logger()
    configure(role="second", worker=None)
    logger.info("hello")
    (line,) = lines()
    assert line["role"] == "second"
    assert "worker" not in line


def test_configuring_again_and_again_leaves_one_handler():
    for _ in range(5):
        configure()
    ours = [handler for handler in logging.getLogger().handlers if "stdlib" in repr(type(handler))]
    assert len(ours) == 1


def test_bound_fields_are_in_every_line_of_that_logger_only(lines):
    configure()
    logger = log.get_logger(game_id=7)
    logger.bind(seat=1).info("one", turn=5)
    logger.info("two")
    one, two = lines()
    assert (one["game_id"], one["seat"], one["turn"]) == (7, 1, 5)
    assert "seat" not in two


def test_a_line_about_another_process_says_so(lines):
    configure(role="supervisor", worker=None)
    log.get_logger().info("child_died", role="rollout", worker=2, pid=17)
    (line,) = lines()
    assert (line["role"], line["worker"], line["pid"]) == ("rollout", 2, 17)


def test_time_and_level_cannot_be_overwritten(lines):
    configure()
    log.get_logger().info("odd", level="mine", ts="never", method_name="x")
    (line,) = lines()
    assert line["level"] == "info"
    assert line["ts"] != "never"
    assert line["method_name"] == "x"


def fail():
    raise ValueError("broken\nin two lines")


def test_an_exception_is_one_field_of_one_line(lines):
    configure()
    try:
        fail()
    except ValueError as error:
        log.get_logger().exception("failed", step=1)
        log.get_logger().error("failed", exc_info=error)
        log.get_logger().critical("failed", exc_info=sys.exc_info())
    for line in lines():
        assert line["exception"].startswith("Traceback (most recent call last)")
        assert line["exception"].endswith("ValueError: broken\nin two lines")
        assert "exc_info" not in line


def test_without_an_exception_there_is_no_such_field(lines):
    configure()
    log.get_logger().error("failed", exc_info=True)
    log.get_logger().error("failed", exc_info=None)
    assert all("exception" not in line and "exc_info" not in line for line in lines())


def test_structlogs_own_loggers_come_out_the_same(lines):
    configure()
    structlog.get_logger().bind(a=1).info("from_structlog", b=2)
    (line,) = lines()
    assert (line["role"], line["a"], line["b"]) == ("rollout", 1, 2)


def test_logging_works_before_it_is_configured():
    script = "from farm.telemetry.log import get_logger; get_logger().info('early', a=1)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"event":"early"' in done.stdout


def test_what_was_printed_before_comes_before():
    script = (
        "from farm.telemetry import log; print('hello'); "
        "log.configure(role='x'); log.get_logger().info('after')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == "hello"
    assert '"event":"after"' in second


def test_auto_is_json_where_nobody_watches(lines):
    configure(fmt="auto")
    log.get_logger().info("hello")
    assert lines()[0]["event"] == "hello"


def test_the_console_gets_columns(capfd):
    configure(fmt="console")
    log.get_logger().warning("ring_full", fill=0.9)
    text = capfd.readouterr().out
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} warning  rollout-3    ring_full +generation=2 fill=0.9\n", text
    )


def test_a_logger_can_be_copied_with_what_holds_it():
    assert copy.copy(log.get_logger(a=1)) == log.get_logger(a=1)
