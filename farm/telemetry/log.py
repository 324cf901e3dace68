"""Logging, the same in every process: `configure` once at the start, `get_logger` anywhere.

    logger.info("worker_ready", steps=32)
    {"ts":"2026-01-02T03:04:05.678901Z","level":"info","event":"worker_ready","role":"rollout",
     "worker":0,"pid":4711,"generation":1,"steps":32}

Events are snake_case names, everything else is fields. Standard library loggers (grpc, hydra,
asyncio), warnings and uncaught exceptions come out the same way (`stdlib.py`). Level and fields of
the process can change at any time and hold for loggers that exist already; this is why the level is
looked up at each call, where structlog's own filtering logger would freeze it.

An event that comes too often is left out beyond `set_burst`, and `log_lines_left_out` says how
often once its window is over: with the next line of any event, at the next `poll`, or by `finish`.
Errors are never left out: a caller may have been told that the log has one.
"""

import os
import sys
import time
from collections.abc import MutableMapping
from typing import Literal, TypeAlias

import structlog

from farm.telemetry import stdlib
from farm.telemetry.burst import BurstLimit
from farm.telemetry.render import console_line, exception_text, json_line
from farm.telemetry.writer import LineWriter

Format: TypeAlias = Literal["auto", "json", "console"]
STDOUT = 1

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The numbers of the standard library."""


class Logger(structlog.BoundLoggerBase):
    """A logger with fields of its own: `logger.bind(game_id=7)` makes one with more of them."""

    def debug(self, event: str, /, **fields: object) -> None:
        """Of interest only while looking for a fault."""
        if _PROCESS.threshold <= LEVELS["debug"]:
            self._emit("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """What an operator wants to know happened; once per batch of work, never per game."""
        if _PROCESS.threshold <= LEVELS["info"]:
            self._emit("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Something is off, and the farm goes on as before."""
        if _PROCESS.threshold <= LEVELS["warning"]:
            self._emit("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Something failed; `exc_info=error` adds the traceback."""
        self._emit("error", event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """An error with the traceback of the exception being handled."""
        self._emit("error", event, {"exc_info": True, **fields})

    def critical(self, event: str, /, **fields: object) -> None:
        """The process cannot go on."""
        self._emit("critical", event, fields)

    def log(self, level: str, event: str, /, **fields: object) -> None:
        """At a level known only at run time."""
        if _PROCESS.threshold <= LEVELS[level]:
            self._emit(level, event, fields)

    def _emit(self, level: str, event: str, fields: dict[str, object]) -> None:
        if _PROCESS.burst is None or _has_room(_PROCESS.burst, level, event):
            self._write(level, event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        (line,), _ = self._process_event(level, event, fields)
        self._logger.write(line)


class _Process:
    """What all loggers of a process share; module state, as there is one standard output."""

    def __init__(self) -> None:
        self.threshold = LEVELS["info"]
        self.fields: dict[str, object] = {"pid": os.getpid()}
        self.writer = LineWriter(STDOUT)
        self.burst: BurstLimit | None = None
        self.console = False
        self.colors = False
        self._second = 0
        self._second_text = ""

    def write(self, line: bytes) -> None:
        """The wrapped logger's side: structlog hands every finished line to this object."""
        self.writer.write(line)

    def render(self, _logger: object, level: str, event: MutableMapping[str, object]) -> bytes:
        """The only processor of the chain: put the fields in order and make a line of them."""
        name = event.pop("event")
        if "exc_info" in event:
            text = exception_text(event.pop("exc_info"))
            if text is not None:
                event["exception"] = text
        ts = self._timestamp()
        line = {"ts": ts, "level": level, "event": name, **self.fields, **event}
        line["ts"], line["level"] = ts, level
        return console_line(line, colors=self.colors) if self.console else json_line(line)

    def _timestamp(self) -> str:
        """UTC with microseconds. Formatting the second is what costs, so it is kept."""
        second, ns = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{ns // 1000:06d}Z"


_PROCESS = _Process()


def configure(
    *,
    role: str,
    worker: int | str | None = None,
    generation: int | None = None,
    level: str = "info",
    fmt: Format = "auto",
    fd: int = STDOUT,
) -> None:
    """Set up logging for this process, without a bound on bursts; a second call replaces the first.

    Args:
        role: what this process is, such as `supervisor`, `rollout`, `experiences`.
        worker: its index among those of its role.
        generation: its incarnation.
        level: lowest level that is logged: debug, info, warning or error.
        fmt: `json`, `console`, or `auto`: console when `fd` is a terminal.
        fd: descriptor that the lines are written to.
    """
    sys.stdout.flush()  # what was printed so far comes before the first line
    _PROCESS.writer = LineWriter(fd)
    _PROCESS.burst = None
    _PROCESS.console = _PROCESS.writer.isatty() if fmt == "auto" else fmt == "console"
    _PROCESS.colors = _PROCESS.writer.isatty() and not os.environ.get("NO_COLOR")
    _PROCESS.fields = {}
    set_fields(role=role, worker=worker, pid=os.getpid(), generation=generation)
    structlog.configure(
        processors=[_PROCESS.render],
        wrapper_class=Logger,
        logger_factory=_sink,
        cache_logger_on_first_use=True,
    )
    stdlib.route(get_logger())
    set_level(level)


def set_level(level: str) -> None:
    """Change the lowest level that is logged, for all loggers of the process.

    Raises:
        KeyError: no such level.
    """
    _PROCESS.threshold = LEVELS[level]
    stdlib.set_level(LEVELS[level])


def set_burst(n_lines: int, window_s: float) -> None:
    """Bound the lines of one event, at one level below error, for all loggers of the process.

    Args:
        n_lines: within a window; 0 for no bound.
        window_s: seconds of a window.
    """
    burst = _PROCESS.burst
    if burst is not None:
        if (burst.n_lines, burst.window_s) == (n_lines, window_s):
            return
        _end_window(burst, time.monotonic_ns())
    _PROCESS.burst = BurstLimit(n_lines, window_s) if n_lines else None


def poll() -> None:
    """Say what was left out, if the window is over; for duty cycles, it costs a look at a clock."""
    burst = _PROCESS.burst
    if burst is not None and burst.is_over(now_ns := time.monotonic_ns()):
        _end_window(burst, now_ns)


def finish() -> None:
    """Say what was left out so far: the process ends, or goes on without a word for long."""
    if _PROCESS.burst is not None:
        _end_window(_PROCESS.burst, time.monotonic_ns())


def set_fields(**fields: object) -> None:
    """Set fields of every line of this process, such as `config_epoch`; None removes one."""
    merged = {**_PROCESS.fields, **fields}
    _PROCESS.fields = {key: value for key, value in merged.items() if value is not None}


def get_logger(**fields: object) -> Logger:
    """A logger with these fields; may be made before `configure` is called."""
    return Logger(_sink(), [_PROCESS.render], dict(fields))


def lines_left_out() -> int:
    """Lines that could not be written since `configure`: nobody read them."""
    return _PROCESS.writer.left_out


def _has_room(burst: BurstLimit, level: str, event: object) -> bool:
    now_ns = time.monotonic_ns()
    if burst.is_over(now_ns):
        _end_window(burst, now_ns)
    if LEVELS[level] >= LEVELS["error"]:
        return True
    return burst.admits(level, event if isinstance(event, str) else repr(type(event)), now_ns)


def _end_window(burst: BurstLimit, now_ns: int) -> None:
    left_out = burst.take(now_ns)
    if left_out is not None:
        fields = {
            "lines": left_out.n_lines,
            "events": left_out.events,
            "window_s": left_out.window_s,
        }
        get_logger()._write("warning", "log_lines_left_out", fields)  # noqa: SLF001 - past the bound


def _sink(*_arguments: object) -> _Process:
    return _PROCESS
