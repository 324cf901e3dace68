"""`log_line`: what one line of the log costs its process, beside the standard library's logging.

A line is formatted and written, each by a write of its own: to a pipe, as under systemd and in
containers, and to a file. The pipe is emptied between spells, outside of the time that counts. The
reference in the same run is a logger of the standard library whose formatter is `json.dumps` of the
same fields, on the same pipe.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

from farm.errors import UsageError
from farm.telemetry import log

SPELL_LINES: Final = 100
"""Lines between two looks at the clock; 20 KB of them, which a pipe (64 KiB) takes."""
ENDLESS: Final = 1 << 30
"""Lines and seconds that no run comes to."""
FIELDS: Final[dict[str, object]] = {
    "method": "/farm.rpc.v1.ExperienceService/Subscribe",
    "records": 4711,
    "share": 0.5,
    "groups": {"default": 17, "evaluation": 0},
}
"""Of a line as the experiences service logs them."""
_READ_BYTES = 1 << 16
_PERCENT_99 = 0.99

Spell = Callable[[], None]
"""Logs SPELL_LINES lines."""


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Log for a share of `seconds` each.

    Returns:
        line_ns_p50, line_ns_p99: of a line into the pipe, on average over a spell.
        file_line_ns_p50: of a line into a file.
        left_out_ns_p50: of a line that the burst limit leaves out.
        below_level_ns_p50: of a line below the level.
        line_bytes: length of a line.
        stdlib_line_ns_p50: the reference.
        ratio_to_stdlib: line_ns_p50 over that.

    Raises:
        UsageError: there are overrides; no config is involved.
    """
    if overrides:
        raise UsageError(f"log_line takes no overrides, not {' '.join(overrides)}")
    share_s = seconds / 5
    with _pipe() as (read_fd, write_fd), open(write_fd, "w", closefd=False) as stream:
        line_bytes = _configure(write_fd, read_fd)
        lines = _spells(share_s, _ours, read_fd)
        below = _spells(share_s, _below_level, read_fd)
        reference = _spells(share_s, _reference(stream), read_fd)
        log.set_burst(1, window_s=2 * seconds)
        left_out = _spells(share_s, _ours, read_fd)
        log.finish()
    with tempfile.TemporaryFile() as file:
        log.configure(role="bench", worker=0, generation=1, fmt="json", fd=file.fileno())
        log.set_burst(ENDLESS, window_s=ENDLESS)
        to_file = _spells(share_s, _ours, None)
    log.configure(role="bench")
    return {
        "lines": len(lines) * SPELL_LINES,
        "line_bytes": line_bytes,
        "line_ns_p50": _quantile(lines, 0.5),
        "line_ns_p99": _quantile(lines, _PERCENT_99),
        "file_line_ns_p50": _quantile(to_file, 0.5),
        "left_out_ns_p50": _quantile(left_out, 0.5),
        "below_level_ns_p50": _quantile(below, 0.5),
        "stdlib_line_ns_p50": _quantile(reference, 0.5),
        "ratio_to_stdlib": round(_quantile(lines, 0.5) / _quantile(reference, 0.5), 3),
    }


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    try:
        yield read_fd, write_fd
    finally:
        os.close(read_fd)
        os.close(write_fd)


def _configure(write_fd: int, read_fd: int) -> int:
    """Log into the pipe, as far from the burst limit as a farm mostly is; the length of a line."""
    log.configure(role="bench", worker=0, generation=1, fmt="json", fd=write_fd)
    log.set_burst(ENDLESS, window_s=ENDLESS)
    log.get_logger().info("batch_served", **FIELDS)
    return len(os.read(read_fd, _READ_BYTES))


def _spells(seconds: float, spell: Spell, read_fd: int | None) -> list[float]:
    """Nanoseconds of a line in each spell, sorted."""
    took_ns: list[float] = []
    until_s = time.perf_counter() + seconds
    while not took_ns or time.perf_counter() < until_s:
        began_ns = time.perf_counter_ns()
        spell()
        took_ns.append((time.perf_counter_ns() - began_ns) / SPELL_LINES)
        if read_fd is not None:
            _empty(read_fd)
    return sorted(took_ns)


def _empty(read_fd: int) -> None:
    try:
        while os.read(read_fd, _READ_BYTES):
            pass
    except BlockingIOError:
        return


def _ours() -> None:
    logger = log.get_logger()
    for _ in range(SPELL_LINES):
        logger.info("batch_served", **FIELDS)


def _below_level() -> None:
    logger = log.get_logger()
    for _ in range(SPELL_LINES):
        logger.debug("batch_served", **FIELDS)


class _JsonFormatter(logging.Formatter):
    """A line with what ours have."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        ts = f"{second}.{int(record.msecs * 1_000):06d}Z"
        head = {"ts": ts, "level": record.levelname.lower()}
        about = {"role": "bench", "worker": 0, "pid": record.process, "generation": 1}
        return json.dumps({**head, "event": record.msg, **about, **vars(record)["fields"]})


def _reference(stream: TextIO) -> Spell:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonFormatter())
    logger = logging.Logger("reference", logging.INFO)  # noqa: LOG001 - leaves no trace in the process
    logger.addHandler(handler)

    def spell() -> None:
        for _ in range(SPELL_LINES):
            logger.info("batch_served", extra={"fields": FIELDS})

    return spell


def _quantile(ordered: Sequence[float], share: float) -> int:
    return round(ordered[int(share * (len(ordered) - 1))])
