"""Log lines read back: from bytes as they arrive to events, with everything else kept as it is.

Standard output of a farm is shared by its processes, by what the interpreter prints when it dies
(`faulthandler` writes piece by piece) and by whoever started it. So a line may be an event, a
foreign text, or a text with an event behind it; and where a file was cut or a machine died, half an
event. Nothing is thrown away: what is no event is foreign.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct

MAX_LINE_BYTES = 1 << 16
"""A longer line is taken in pieces: events are at most `render.MAX_LINE_BYTES` long."""
_EVENT_BEGINS = '{"ts":'
"""How every event begins, see `log`."""
_REQUIRED = ("ts", "level", "event")


class Event(Struct, frozen=True):
    """One line that a process of a farm logged."""

    fields: Mapping[str, object]
    """As logged; `ts`, `level` and `event` are texts."""
    line: str
    """Its JSON, as it was read."""

    @property
    def ts(self) -> str:
        """When, in UTC; texts of this form sort by time."""
        return str(self.fields["ts"])

    @property
    def level(self) -> str:
        """Its level."""
        return str(self.fields["level"])

    @property
    def name(self) -> str:
        """What happened."""
        return str(self.fields["event"])

    @property
    def role(self) -> str:
        """Role of the process that it is about."""
        return str(self.fields.get("role", ""))

    @property
    def child(self) -> str:
        """Role and number, such as `rollout-0`; the role alone of a process without a number."""
        worker = self.fields.get("worker")
        return self.role if worker is None else f"{self.role}-{worker}"


class Foreign(Struct, frozen=True):
    """A text between the events."""

    text: str


Entry: TypeAlias = Event | Foreign


class LineSplitter:
    """Makes lines of chunks that end anywhere; holds back at most one line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without their newline."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        while len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]
        return lines

    def finish(self) -> list[bytes]:
        """The last line, if its newline never came."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def entries(line: bytes) -> Iterator[Entry]:
    """What one line holds, in its order; nothing for an empty one."""
    event = _whole(line)
    if event is not None:
        yield event
        return
    text = line.decode(errors="replace").rstrip("\r")
    while text:
        event, before, text = _first(text)
        if before.strip():
            yield Foreign(before)
        if event is not None:
            yield event


def _whole(line: bytes) -> Event | None:
    """The usual case, and the fast one."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Event(found, line.decode()) if _is_event(found) else None


def _first(text: str) -> tuple[Event | None, str, str]:
    """The first event in a text, what stands before it, and what comes after."""
    at = text.find(_EVENT_BEGINS)
    while at >= 0:
        try:
            found, end = _DECODER.raw_decode(text, at)
        except ValueError:  # half an event
            found, end = None, at
        if _is_event(found):
            return Event(found, text[at:end]), text[:at], text[end:]
        at = text.find(_EVENT_BEGINS, at + 1)
    return None, text, ""


def _is_event(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(found.get(key), str) for key in _REQUIRED)


_DECODER = json.JSONDecoder()
