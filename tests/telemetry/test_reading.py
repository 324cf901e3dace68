"""Log lines read back, from chunks that end anywhere and lines that others have written into."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.telemetry.reading import MAX_LINE_BYTES, Event, Foreign, LineSplitter, entries
from farm.telemetry.render import json_line

EVENT = {"ts": "2026-01-02T03:04:05.678901Z", "level": "info", "event": "farm_ready"}
LINE = json.dumps(EVENT, separators=(",", ":"))


def read(*chunks):
    """The entries of a stream in these chunks, as texts and dicts."""
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()
    return [
        dict(entry.fields) if isinstance(entry, Event) else entry.text
        for line in lines
        for entry in entries(line)
    ]


@given(
    st.dictionaries(st.text(max_size=9), st.text(max_size=99) | st.integers(), max_size=5),
    st.lists(st.integers(1, 60), max_size=20),
)
def test_what_the_log_writes_is_read_back_however_it_is_cut(fields, cuts):
    line = json_line({**EVENT, **{f"x_{key}": value for key, value in fields.items()}})
    stream = line * 3
    chunks = []
    for cut in cuts:
        chunks.append(stream[:cut])
        stream = stream[cut:]
    assert read(*chunks, stream) == [json.loads(line)] * 3


@given(st.binary(max_size=300))
def test_any_bytes_are_read_and_the_events_between_them_found(noise):
    found = read(noise.replace(b"{", b"(") + b"\n" + LINE.encode() + b"\n" + noise)
    assert EVENT in found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"Fatal Python error: Aborted{LINE}", ["Fatal Python error: Aborted", EVENT]),
        (f"{LINE}{LINE}", [EVENT, EVENT]),
        (f"{LINE} and on", [EVENT, " and on"]),
        (f'{{"ts":"2026-01{LINE}', ['{"ts":"2026-01', EVENT]),
        (LINE[:-9], [LINE[:-9]]),
        (f"\r\n  \n{LINE}\r", [EVENT]),
        ('{"ts":"t","level":"info"}', ['{"ts":"t","level":"info"}']),
        ('{"ts":1,"level":"info","event":"e"}', ['{"ts":1,"level":"info","event":"e"}']),
        ("[1, 2]", ["[1, 2]"]),
        ("caf\udce9 " + LINE, ["caf\ufffd ", EVENT]),
    ],
)
def test_a_line_may_hold_text_events_and_halves_of_events(line, found):
    assert read(line.encode(errors="surrogateescape")) == found


def test_an_event_knows_whom_it_is_about():
    (of_child,) = entries(json_line({**EVENT, "role": "rollout", "worker": 0}).rstrip())
    assert (of_child.role, of_child.child, of_child.name) == ("rollout", "rollout-0", "farm_ready")
    (of_farm,) = entries(json_line({**EVENT, "role": "supervisor"}).rstrip())
    assert (of_farm.role, of_farm.child) == ("supervisor", "supervisor")


def test_a_line_without_end_is_taken_in_pieces():
    splitter = LineSplitter()
    lines = [line for _ in range(5) for line in splitter.feed(b"x" * MAX_LINE_BYTES)]
    assert {len(line) for line in lines} == {MAX_LINE_BYTES}
    assert sum(map(len, [*lines, *splitter.finish()])) == 5 * MAX_LINE_BYTES


def test_nothing_is_foreign_in_an_empty_line():
    assert list(entries(b"")) == []
    assert list(entries(b"text")) == [Foreign("text")]
