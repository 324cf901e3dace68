"""Bursts: what comes too often is left out and counted, errors never, and the count is told."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.bench import log_line
from farm.telemetry import log
from farm.telemetry.burst import MAX_EVENTS, OTHERS, BurstLimit

S = 1_000_000_000
TOLD = "log_lines_left_out"


@pytest.fixture
def clock(monkeypatch):
    """The clock of the log: a list of one number, in nanoseconds."""
    now = [0]
    monkeypatch.setattr(log.time, "monotonic_ns", lambda: now[0])
    return now


@pytest.fixture
def logger(clock):  # noqa: ARG001 - the log reads it
    log.configure(role="experiences", fmt="json", level="debug")
    log.set_burst(3, 10.0)
    return log.get_logger()


def events(lines):
    return [line["event"] for line in lines()]


def test_a_burst_is_cut_and_counted_by_event(logger, lines, clock):
    for _ in range(10):
        logger.info("refused")
    for _ in range(5):
        logger.info("joined")
    assert events(lines) == ["refused"] * 3 + ["joined"] * 3
    clock[0] = 10 * S
    logger.info("refused", again=True)
    told, line = lines()
    assert (told["event"], told["level"], told["role"]) == (TOLD, "warning", "experiences")
    assert (told["lines"], told["events"]) == (9, {"refused": 7, "joined": 2})
    assert told["window_s"] == 10.0
    assert line["again"] is True


def test_levels_of_one_event_have_room_of_their_own(logger, lines):
    for _ in range(4):
        logger.debug("refused")
        logger.info("refused")
        logger.warning("refused")
    assert events(lines) == ["refused"] * 9
    log.finish()
    assert lines()[0]["events"] == {"refused": 3}


def test_errors_are_never_left_out(logger, lines):
    for _ in range(10):
        logger.error("failed")
        logger.critical("failed")
        logger.log("error", "failed")
    assert events(lines) == ["failed"] * 30
    log.finish()
    assert lines() == []


def test_what_was_left_out_is_told_once_the_window_is_over_though_nothing_else_happens(
    logger, lines, clock
):
    for _ in range(4):
        logger.info("refused")
    lines()
    clock[0] = 10 * S - 1
    log.poll()
    assert lines() == []
    clock[0] = 10 * S
    log.poll()
    log.poll()
    assert events(lines) == [TOLD]


def test_an_error_after_the_window_tells_it_too(logger, lines, clock):
    for _ in range(4):
        logger.info("refused")
    clock[0] = 11 * S
    logger.error("failed")
    assert events(lines)[-2:] == [TOLD, "failed"]


def test_at_the_end_of_a_process_it_is_told_at_once(logger, lines, clock):
    for _ in range(5):
        logger.info("refused")
    clock[0] = 2 * S
    log.finish()
    log.finish()
    *_, told = lines()
    assert (told["event"], told["lines"], told["window_s"]) == (TOLD, 2, 2.0)


def test_a_window_that_left_nothing_out_is_not_told(logger, lines, clock):
    for second in (0, 10, 20, 31):
        clock[0] = second * S
        for _ in range(3):
            logger.info("refused")
    log.poll()
    log.finish()
    assert events(lines) == ["refused"] * 12


def test_lines_below_the_level_take_no_room_and_are_not_counted(logger, lines):
    log.set_level("info")
    for _ in range(9):
        logger.debug("refused")
    log.finish()
    assert lines() == []


def test_libraries_are_bounded_too(logger, lines):  # noqa: ARG001 - configures the log
    for number in range(9):
        logging.getLogger("noisy").warning("again %d", number)
    log.finish()
    *_, told = lines()
    assert told["events"] == {"library_message": 6}


def test_another_bound_tells_what_the_one_before_left_out(logger, lines):
    for _ in range(5):
        logger.info("refused")
    log.set_burst(3, 10.0)
    assert TOLD not in events(lines)
    log.set_burst(0, 10.0)
    assert events(lines) == [TOLD]
    for _ in range(50):
        logger.info("refused")
    assert len(lines()) == 50


def test_an_event_that_is_no_text_is_logged_and_bounded(logger, lines):
    for _ in range(5):
        logger.info(["odd"])
    log.finish()
    *odd, told = lines()
    assert [line["event"] for line in odd] == [["odd"]] * 3
    assert told["lines"] == 2


def test_without_a_bound_every_line_is_there(lines):
    log.configure(role="x", fmt="json")
    for _ in range(1_000):
        log.get_logger().info("refused")
    assert len(lines()) == 1_000


@given(
    st.lists(
        st.tuples(st.sampled_from(["info", "debug"]), st.sampled_from("abc"), st.integers(0, 4)),
        max_size=200,
    ),
    st.integers(1, 5),
)
def test_what_is_admitted_and_what_is_told_add_up_to_what_was_asked_for(asked, n_lines):
    limit, now_ns = BurstLimit(n_lines, 5.0), 0
    admitted, told = 0, 0
    in_window: dict = {}
    for level, event, seconds in asked:
        now_ns += seconds * S
        if limit.is_over(now_ns):
            left_out = limit.take(now_ns)
            told += left_out.n_lines if left_out else 0
            in_window = {}
        if limit.admits(level, event, now_ns):
            admitted += 1
            in_window[level, event] = in_window.get((level, event), 0) + 1
            assert in_window[level, event] <= n_lines
        else:
            assert in_window[level, event] == n_lines
    left_out = limit.take(now_ns)
    assert admitted + told + (left_out.n_lines if left_out else 0) == len(asked)


def test_names_without_end_take_no_memory_without_end():
    limit = BurstLimit(1, 5.0)
    n_events = 3 * MAX_EVENTS
    admitted = sum(limit.admits("info", f"event_{number}", 0) for number in range(n_events))
    assert admitted == MAX_EVENTS + 1
    left_out = limit.take(0)
    assert left_out.events == {OTHERS: n_events - admitted}


def test_threads_that_log_at_once_are_all_counted():
    limit, admitted = BurstLimit(100, 60.0), []

    def ask():
        admitted.append(sum(limit.admits("info", "refused", 0) for _ in range(2_000)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 100
    assert limit.take(0).n_lines == 8 * 2_000 - 100


def test_the_bench_measures_a_line_beside_the_standard_librarys(capfd):
    figures = log_line.run(0.5)
    assert 0 < figures["left_out_ns_p50"] < figures["line_ns_p50"] < figures["stdlib_line_ns_p50"]
    assert figures["file_line_ns_p50"] > figures["left_out_ns_p50"]
    assert figures["line_bytes"] > 200
    assert figures["ratio_to_stdlib"] == pytest.approx(
        figures["line_ns_p50"] / figures["stdlib_line_ns_p50"], abs=0.01
    )
    assert figures["ratio_to_stdlib"] < 0.6  # 0.3, alone on a machine: 4.5 us of 15
    assert capfd.readouterr().out == ""  # standard output is the command's
