"""Spans of a real games host: an action from its call, over its tick, to the update about it."""

import asyncio

import pytest

from farm.rpc import names

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

import kept_spans
from kept_spans import events
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from farm.client import AsyncGameClient, GameClient

pytestmark = pytest.mark.timeout(300)

WHOLE = ["accepted", "tick_applied", "update_sent"]
BOARD = """
G0 . . . .
.  . . . .
.  . . . .
.  . . . .
.  . . . G1
"""


@pytest.fixture
def calls(host, connect, tmp_path, monkeypatch):
    """Calls to a host that traces."""
    exporter = kept_spans.asked_for(tmp_path, monkeypatch)
    next(exporter)(kept_spans.NAME)
    yield connect(host())
    next(exporter, None)


def duel(calls):
    """A lockstep game that has begun: its id, and the tokens of both seats."""
    game_id = calls.create(board=BOARD).game_id
    return game_id, [calls.join(game_id, name).token for name in ("anna", "bob")]


def tick_of(span, name):
    return dict(events(span))[name]["farm.tick"]


def test_an_action_of_play_goes_from_accepted_over_its_tick_to_the_update_that_shows_it(calls):
    game_id, (anna, bob) = duel(calls)
    play = calls.play(game_id, anna)
    play.act()
    calls.submit(game_id, bob)
    play.until(lambda message: message.update.tick == 1)
    play.half_close()
    for _ in play:
        pass
    (stream,) = kept_spans.wait("/Play")
    mine = [span for span in kept_spans.wait("action", 1) if span.attributes["farm.seat"] == 0]
    (action,) = mine
    assert action.parent.span_id == stream.context.span_id
    assert action.context.trace_id == stream.context.trace_id
    assert [name for name, _ in events(action)] == WHOLE
    assert tick_of(action, "tick_applied") == tick_of(action, "update_sent") == 1
    assert action.attributes["farm.game_id"] == str(game_id)
    assert dict(events(stream))["opened"] == {"farm.game_id": str(game_id), "farm.seat": 0}
    assert dict(events(stream))["ended"] == {"reason": "ok"}


def test_an_action_by_a_call_of_its_own_is_shown_by_the_state_that_is_asked_for(calls):
    game_id, tokens = duel(calls)
    for token in tokens:
        calls.submit(game_id, token)
    assert calls.state(game_id, tokens[0], after_tick=0, wait_ms=20_000).tick == 1
    (action,) = kept_spans.wait("action")
    call = next(
        span
        for span in kept_spans.wait(names.SUBMIT_ACTION, 2)
        if span.context.span_id == action.parent.span_id
    )
    assert call.context.trace_id == action.context.trace_id
    assert [name for name, _ in events(action)] == WHOLE
    assert action.attributes["farm.seat"] == 0


def test_each_action_is_followed_to_its_own_tick(calls):
    game_id, (anna, bob) = duel(calls)
    stream = calls.stream(game_id, anna)
    calls.submit(game_id, anna)
    calls.submit(game_id, bob)
    stream.until(lambda update: update.tick == 1)
    kept_spans.wait("action")
    calls.submit(game_id, anna)
    calls.submit(game_id, bob)
    stream.until(lambda update: update.tick == 2)
    ticks = [tick_of(span, "tick_applied") for span in kept_spans.wait("action", 2)]
    assert ticks == [1, 2]
    stream.call.cancel()


def test_a_host_that_does_not_trace_follows_nothing(host, connect):
    calls = connect(host())
    kept_spans._SPANS.clear()
    game_id, tokens = duel(calls)
    for token in tokens:
        calls.submit(game_id, token)
    assert calls.state(game_id, tokens[0], after_tick=0, wait_ms=20_000).tick == 1
    assert calls.hosting.stop_host() == 0
    assert kept_spans.all_spans() == []


@pytest.fixture
def agent():
    """A span of the program that plays."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("agent").start_span("episode")
    with trace.use_span(span):
        yield span.get_span_context()


def test_what_an_agent_does_is_in_its_own_trace_down_to_the_action(calls, agent):
    game_id, (anna, bob) = duel(calls)
    with GameClient(calls.hosting.address) as client, client.play(game_id, anna) as play:
        next(play)
        play.submit()
        client.submit(game_id, bob)
        while next(play).tick < 1:
            pass
    actions = kept_spans.wait("action")
    callers = kept_spans.wait("/Play") + kept_spans.wait(names.SUBMIT_ACTION)
    for span in callers:
        assert (span.parent.span_id, span.parent.is_remote) == (agent.span_id, True)
    assert {span.context.trace_id for span in actions + callers} == {agent.trace_id}


def test_the_asyncio_face_passes_the_trace_on_too(calls, agent):
    game_id, _ = duel(calls)

    async def script():
        async with AsyncGameClient(calls.hosting.address) as client:
            return [game.game_id async for game in client.games()]

    assert game_id in asyncio.run(script())
    span = kept_spans.wait(names.LIST_GAMES)[0]
    assert span.context.trace_id == agent.trace_id
