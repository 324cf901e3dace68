"""Spans of a farm, kept where a test can read them, by an exporter like anybody's.

It is found as every exporter of OpenTelemetry is: by the entry point of an installed package, which
`install` writes; and it is asked for by OTEL_TRACES_EXPORTER. Loaded by the farm, not by the tests
that run without OpenTelemetry.
"""

import os
import threading
import time
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

NAME = "kept"
DEADLINE_S = 20.0
_SPANS: list = []
_BLOCK = threading.Event()


class Exporter(SpanExporter):
    """Keeps spans in this process."""

    def export(self, spans):
        _SPANS.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        """There is nothing to end."""


class FileExporter(Exporter):
    """Writes a line of JSON for each span, for a test in another process."""

    def export(self, spans):
        lines = "".join(span.to_json(indent=None) + "\n" for span in spans)
        with Path(os.environ["KEPT_SPANS_FILE"]).open("a", encoding="utf-8") as file:
            file.write(lines)
        return SpanExportResult.SUCCESS


class BlockedExporter(Exporter):
    """Hangs, as one whose collector takes a connection and never answers."""

    def export(self, spans):  # noqa: ARG002 - it never looks at them
        _BLOCK.wait(120.0)
        return SpanExportResult.FAILURE

    def shutdown(self):
        _BLOCK.wait(120.0)


class BrokenExporter(Exporter):
    """Cannot be made."""

    def __init__(self):
        raise RuntimeError("no such collector")


ENTRY_POINTS = f"""[opentelemetry_traces_exporter]
{NAME} = kept_spans:Exporter
{NAME}_file = kept_spans:FileExporter
{NAME}_blocked = kept_spans:BlockedExporter
{NAME}_broken = kept_spans:BrokenExporter
"""


def install(folder):
    """Put what pip would leave of a package with these exporters into a folder of the path."""
    made = folder / "kept_spans-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: kept-spans\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(ENTRY_POINTS)


def asked_for(folder, monkeypatch):
    """For a fixture: a function that asks for one of these exporters, as an operator would."""
    install(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    _SPANS.clear()
    _BLOCK.clear()

    def ask_for(name):
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", name)

    yield ask_for
    _BLOCK.set()


def all_spans():
    """Every span so far."""
    return list(_SPANS)


def wait(name, n=1):
    """The spans whose name ends so, once there are this many."""
    deadline_s = time.monotonic() + DEADLINE_S
    while len(found := [span for span in _SPANS if span.name.endswith(name)]) < n:
        names = [span.name for span in _SPANS]
        assert time.monotonic() < deadline_s, f"{n} spans {name} did not come; there are {names}"
        time.sleep(0.005)
    return found


def events(span):
    """Names and attributes of its events, in order."""
    return [(event.name, dict(event.attributes)) for event in span.events]
