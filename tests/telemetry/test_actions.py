"""Spans of actions: from the call that brought one, over its tick, to the update that shows it."""

import pytest

from farm.telemetry.actions import MAX_AGE_S, NO_ACTIONS, ActionSpans

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from farm.telemetry.tracing import Tracer

S = 1_000_000_000
GAME, SEAT = (1 << 63) + 7, 2


class Host:
    """A traced host: one game at a tick."""

    def __init__(self, sampler=sampling.ALWAYS_ON, **options):
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = Tracer(provider)
        self.actions = ActionSpans(self.tracer, **options)
        self.tick = 10
        self.now_ns = 5 * S

    def act(self, due_tick=10, seat=SEAT, game_id=GAME):
        call = self.tracer.served("Play", (), {})
        with self.tracer.current(call):
            self.actions.accepted(game_id, seat, due_tick, self.now_ns)
        return call

    def poll(self, tick, gone=()):
        self.actions.poll(self.now_ns, lambda game_id: None if game_id in gone else tick)

    def spans(self):
        return [span for span in self.exporter.get_finished_spans() if span.name == "action"]

    def events(self):
        return [[event.name for event in span.events] for span in self.spans()]


def test_an_action_is_accepted_applied_and_told():
    host = Host()
    call = host.act()
    host.poll(10)
    host.actions.sent(GAME, SEAT, 10)
    assert host.spans() == []
    host.poll(11)
    host.poll(12)
    host.actions.sent(GAME, SEAT, 12)
    (span,) = host.spans()
    assert host.events() == [["accepted", "tick_applied", "update_sent"]]
    assert [dict(event.attributes) for event in span.events[1:]] == [
        {"farm.tick": 11},
        {"farm.tick": 12},
    ]
    assert span.parent.span_id == call.get_span_context().span_id
    assert dict(span.attributes) == {
        "farm.game_id": str(GAME),
        "farm.seat": SEAT,
        "farm.due_tick": 10,
    }
    assert host.actions.n_in_flight == 0


def test_a_move_behind_others_is_applied_by_its_own_tick():
    host = Host()
    host.act(due_tick=12)
    host.poll(12)
    host.actions.sent(GAME, SEAT, 12)
    assert host.spans() == []
    host.poll(13)
    host.actions.sent(GAME, SEAT, 13)
    assert host.events() == [["accepted", "tick_applied", "update_sent"]]


def test_an_update_of_another_seat_or_game_or_an_older_one_ends_nothing():
    host = Host()
    host.act()
    host.poll(12)
    host.actions.sent(GAME, SEAT + 1, 12)
    host.actions.sent(GAME + 1, SEAT, 12)
    host.actions.sent(GAME, SEAT, 11)
    assert host.spans() == []


def test_one_update_tells_all_actions_that_it_shows():
    host = Host()
    host.act()
    host.act()
    host.act(due_tick=11)
    host.poll(11)
    host.actions.sent(GAME, SEAT, 11)
    assert len(host.spans()) == 2
    assert host.actions.n_in_flight == 1


def test_an_action_whose_game_is_gone_or_that_nobody_is_told_of_ends_all_the_same():
    host = Host()
    host.act(game_id=1)
    host.act(game_id=2)
    host.poll(11, gone={1})
    assert host.events() == [["accepted"]]
    host.now_ns += int(MAX_AGE_S * S) + 1
    host.poll(11)
    assert host.events() == [["accepted"], ["accepted", "tick_applied"]]
    assert host.actions.n_in_flight == 0


def test_no_more_are_followed_than_there_is_room_for():
    host = Host(max_in_flight=2)
    for _ in range(5):
        host.act()
    assert host.actions.n_in_flight == 2
    host.poll(11)
    host.actions.sent(GAME, SEAT, 11)
    assert len(host.spans()) == 2
    host.act()
    assert host.actions.n_in_flight == 1


def test_an_action_of_a_call_that_is_not_sampled_is_not_followed():
    host = Host(sampler=sampling.ALWAYS_OFF)
    host.act()
    assert host.actions.n_in_flight == 0


def test_an_action_outside_of_a_call_is_not_followed():
    host = Host()
    host.actions.accepted(GAME, SEAT, 10, 0)
    assert host.actions.n_in_flight == 0


def test_without_traces_none_is_followed():
    NO_ACTIONS.accepted(GAME, SEAT, 10, 0)
    NO_ACTIONS.poll(0, lambda _game_id: 11)
    NO_ACTIONS.sent(GAME, SEAT, 11)
    assert NO_ACTIONS.n_in_flight == 0
