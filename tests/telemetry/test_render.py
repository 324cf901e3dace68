"""Rendering: any value gives one valid line, no line is longer than a pipe takes in one piece."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.telemetry.render import MAX_LINE_BYTES, console_line, exception_text, json_line


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


class Recursive:
    def __init__(self):
        self.me = [self]

    def __str__(self):
        return "recursive"


def decoded(**fields):
    line = json_line({"ts": "t", "level": "info", "event": "e", **fields})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= MAX_LINE_BYTES
    return json.loads(line)


VALUES = [
    (np.int64(3), 3),
    (np.float32(0.5), 0.5),
    (np.bool_(1), True),
    (np.arange(3, dtype=np.uint16), [0, 1, 2]),
    (Path("/a/b"), "/a/b"),
    ({1: 2}, {"1": 2}),
    ((1, 2), [1, 2]),
    (1 << 70, 1 << 70),
    (float("nan"), None),
    (float("inf"), None),
    ("two\nlines \x00 \x1b[31m", "two\nlines \x00 \x1b[31m"),
    ("lone \udc80", "lone \\udc80"),
    ({"a": "lone \udc80"}, "{'a': 'lone \\udc80'}"),
    (ValueError("bad"), "bad"),
    (Unprintable(), "<Unprintable whose repr raised RuntimeError>"),
    (Recursive(), "recursive"),
]


@pytest.mark.parametrize(("value", "read"), VALUES, ids=lambda value: type(value).__name__)
def test_any_value_is_logged_and_leaves_the_others_as_they_are(value, read):
    line = decoded(value=value, other=1)
    assert line["value"] == read
    assert line["other"] == 1


def test_a_value_that_holds_itself_does_not_end_the_process():
    loop: list = []
    loop.append(loop)
    assert decoded(value=loop, other=1)["other"] == 1


def test_a_long_traceback_keeps_its_beginning_and_more_of_its_end():
    text = "Traceback" + "x" * 20_000 + "ValueError: the reason"
    line = decoded(exception=text, worker=3)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: the reason")
    assert "left out]" in line["exception"]
    assert len(line["exception"]) > MAX_LINE_BYTES // 2
    assert line["worker"] == 3


def test_short_fields_survive_beside_long_ones():
    line = decoded(short="s", long="y" * 9_000, nested=[["z" * 500]] * 30, number=5)
    assert (line["short"], line["number"]) == ("s", 5)


def test_escapes_count_at_their_written_length():
    assert "left out" in decoded(text='"\n' * 3_000)["text"]


def test_a_line_of_too_many_fields_says_how_much_it_leaves_out():
    line = decoded(**{f"field_{number}": "x" * 30 for number in range(500)})
    assert line["event"] == "e"
    assert line["left_out_bytes"] > MAX_LINE_BYTES


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=3_000), max_size=8))
def test_no_text_makes_a_line_too_long_or_invalid(fields):
    line = json_line({**fields, "event": "e"})
    assert len(line) <= MAX_LINE_BYTES
    assert json.loads(line)["event"] == "e"


@given(st.dictionaries(st.text(max_size=20), st.floats() | st.binary() | st.text(), max_size=4))
def test_a_console_line_takes_anything_too(fields):
    line = console_line({"ts": "t", "level": "info", "event": "e", **fields}, colors=True)
    assert line.endswith(b"\n")


def test_the_console_quotes_what_would_run_together():
    line = console_line({"event": "e", "a": "two words", "b": "", "c": 1.5}, colors=False)
    assert line.endswith(b"a='two words' b='' c=1.5\n")


def test_the_console_puts_the_traceback_below():
    line = console_line({"event": "e", "exception": "Traceback\nValueError"}, colors=False)
    assert line.endswith(b"e\nTraceback\nValueError\n")


def test_colors_are_by_level_and_only_where_asked_for():
    event = {"ts": "t", "level": "error", "event": "e"}
    assert b"\x1b[31m" in console_line(event, colors=True)
    assert b"\x1b" not in console_line(event, colors=False)


@pytest.mark.parametrize("nothing", [None, False, 0, (None, None, None), True, "yes"])
def test_no_exception_has_no_text(nothing):
    assert exception_text(nothing) is None


def test_a_chain_of_exceptions_is_told_whole():
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    text = exception_text(error)
    assert text.startswith("KeyError: 'inner'")
    assert text.endswith("ValueError: outer")
