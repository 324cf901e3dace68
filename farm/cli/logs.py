"""`farm logs`: the JSON log lines of a farm, from a pipe, a file or the journal, for a person."""

import argparse
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from farm.cli.logs_filter import Filter, Wanted, wanted_of
from farm.cli.logs_sources import file_chunks, journal_chunks, pipe_chunks
from farm.errors import EXIT_OK, UsageError
from farm.telemetry.reading import Entry, Event, LineSplitter, entries
from farm.telemetry.render import console_line

STDIN = 0
_DATE_CHARS = len("2026-01-02")

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""Control characters, which may come from anywhere and would drive the terminal, as text."""
_ESCAPED_TEXT = {code: text for code, text in _ESCAPED.items() if chr(code) not in "\n\t"}


def run(args: argparse.Namespace) -> int:
    """Show a log until its end, or with `--follow` until Ctrl-C.

    Raises:
        FileAccessError: it cannot be read.
        UsageError: it is unclear what to read.
    """
    wanted = wanted_of(args, datetime.now(UTC))
    chunks = _chunks(args, wanted)
    show = _Json() if args.json else _Text()
    passes = Filter(wanted).passes
    try:
        for found in _read(chunks):
            lines = b"".join(show(entry) for entry in found if passes(entry))
            if lines:
                sys.stdout.buffer.write(lines)
                sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        if not args.follow:
            raise
    return EXIT_OK


def _chunks(args: argparse.Namespace, wanted: Wanted) -> Iterable[bytes]:
    if args.journal is not None:
        if args.file is not None:
            raise UsageError(f"{args.file} or --journal {args.journal}: one of them")
        since_s = wanted.since.timestamp() if wanted.since else None
        return journal_chunks(args.journal, follow=args.follow, since_s=since_s)
    if args.file is not None and args.file != "-":
        return file_chunks(Path(args.file), follow=args.follow)
    if args.file is None and _nothing_comes():
        raise UsageError("nothing to read: give a file, - for standard input, or --journal UNIT")
    return pipe_chunks(STDIN)


def _nothing_comes() -> bool:
    """Whether nobody has put anything at standard input: a terminal, or /dev/null."""
    try:
        return stat.S_ISCHR(os.fstat(STDIN).st_mode)
    except OSError:
        return True


def _read(chunks: Iterable[bytes]) -> Iterator[list[Entry]]:
    """The entries of each chunk."""
    splitter = LineSplitter()
    for chunk in chunks:
        lines = splitter.feed(chunk) if chunk else splitter.finish()
        yield [entry for line in lines for entry in entries(line)]


class _Json:
    """The lines as they were; what is no log line becomes one."""

    def __call__(self, entry: Entry) -> bytes:
        if isinstance(entry, Event):
            return f"{entry.line}\n".encode()
        return msgspec.json.encode({"event": "foreign_line", "text": entry.text}) + b"\n"


class _Text:
    """Columns, as `farm up` shows them on a terminal, with a line for each new day."""

    def __init__(self) -> None:
        self._colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._date = ""

    def __call__(self, entry: Entry) -> bytes:
        if not isinstance(entry, Event):
            return f"{entry.text.translate(_ESCAPED_TEXT)}\n".encode(errors="backslashreplace")
        line = console_line(_harmless(entry), colors=self._colors)
        date = entry.ts[:_DATE_CHARS].translate(_ESCAPED)
        if date == self._date:
            return line
        self._date = date
        return f"-- {date} (UTC)\n".encode(errors="backslashreplace") + line


def _harmless(event: Event) -> dict[str, object]:
    return {
        key.translate(_ESCAPED): value.translate(_ESCAPED_TEXT if key == "exception" else _ESCAPED)
        if isinstance(value, str)
        else value
        for key, value in event.fields.items()
    }
