"""How a log event becomes a line: JSON for machines, columns for people.

A JSON line is at most `MAX_LINE_BYTES` long, PIPE_BUF of pipe(7): up to that length one write to a
pipe is atomic, so that processes that share standard output never mix their lines. A longer event
loses the middle of its longest texts, which in a traceback is the least telling part.
"""

import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import TypeAlias, cast

import msgspec

MAX_LINE_BYTES = 4096
SHORTEST_CUT = 32
"""Texts are cut in the middle down to this many characters before a line is given up."""

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

COLUMNS = ("ts", "level", "event", "role", "worker", "pid", "exception")
"""What the console shows in a place of its own, or not at all (pid); the rest is key=value."""

_STYLES = {"debug": "2", "warning": "33", "error": "31", "critical": "1;31"}
"""SGR parameters of ECMA-48 by level: dim, yellow, red, bold red."""


def json_line(event: Mapping[str, object]) -> bytes:
    """One JSON object and a newline; never raises, whatever the values are."""
    line = _encode(event)
    if len(line) > MAX_LINE_BYTES:
        line = _shortened(event, n_bytes=len(line))
    return line


def console_line(event: Mapping[str, object], *, colors: bool) -> bytes:
    """`12:03:04.123 info     rollout-0  worker_ready  steps=32`, and a traceback below it."""
    level = str(event.get("level", ""))
    name = str(event.get("role", ""))
    if event.get("worker") is not None:
        name += f"-{event['worker']}"
    pairs = [f"{key}={_word(value)}" for key, value in event.items() if key not in COLUMNS]
    clock = str(event.get("ts", ""))[11:23]
    text = f"{clock} {level:<8} {name:<12} {event.get('event', '')!s:<24} {' '.join(pairs)}"
    text = text.rstrip()
    if colors and level in _STYLES:
        text = f"\x1b[{_STYLES[level]}m{text}\x1b[0m"
    if "exception" in event:
        text += f"\n{event['exception']}"
    return f"{text}\n".encode(errors="backslashreplace")


def exception_text(exc_info: object) -> str | None:
    """The traceback that `exc_info` asks for: an exception, a triple, or true for the current."""
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    elif exc_info and not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    if not isinstance(exc_info, tuple) or exc_info[0] is None:
        return None
    kind, error, trace = cast("ExceptionInfo", exc_info)
    return "".join(traceback.format_exception(kind, error, trace)).rstrip()


def _fallback(value: object) -> object:
    """Values that JSON has no form for: NumPy's as Python's, everything else as its text."""
    tolist = getattr(value, "tolist", None)
    return tolist() if callable(tolist) else str(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_fallback)


def _encode(event: Mapping[str, object]) -> bytes:
    try:
        return _ENCODER.encode(event) + b"\n"
    except Exception:  # noqa: BLE001 - a value's own __str__ may raise anything; a log call must not
        return _ENCODER.encode({key: _plain(value) for key, value in event.items()}) + b"\n"


def _plain(value: object) -> object:
    try:
        _ENCODER.encode(value)
    except Exception:  # noqa: BLE001 - as above
        return _text(value)
    return value


def _text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - as above
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate is no UTF-8


def _shortened(event: Mapping[str, object], n_bytes: int) -> bytes:
    texts = {
        key: value
        if isinstance(value, str | int | float | None)
        else _encode({key: value}).decode()
        for key, value in event.items()
    }
    limit = MAX_LINE_BYTES
    while limit > SHORTEST_CUT:
        limit = limit * 3 // 4
        line = _encode({key: _cut(value, limit) for key, value in texts.items()})
        if len(line) <= MAX_LINE_BYTES:
            return line
    kept = {key: _cut(event.get(key), SHORTEST_CUT) for key in ("ts", "level", "event", "pid")}
    return _encode({**kept, "left_out_bytes": n_bytes})


def _cut(value: object, limit: int) -> object:
    """Text over the limit without its middle; twice as much of the end is kept as of the start."""
    if not isinstance(value, str) or len(value) <= limit:
        return value
    head = limit // 3
    return f"{value[:head]} [{len(value) - limit} left out] {value[head - limit :]}"


def _word(value: object) -> str:
    text = value if isinstance(value, str) else _text(value)
    return repr(text) if not text or any(letter.isspace() for letter in text) else text
