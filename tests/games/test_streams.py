"""StreamGame and Play: what comes, in which order, and what ends them."""

import threading
import time

import grpc
import numpy as np
import pytest
from hosting import Eyes, Refused

from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb

pytestmark = pytest.mark.timeout(300)

BOARD = """
G0 . . . .
.  . . . .
.  . . . .
.  . . . .
.  . . . G1
"""


@pytest.fixture
def game(shared):
    """A lockstep duel: created, and the tokens of both seats."""
    created = shared.create(board=BOARD, spectators=True)
    return created, [shared.join(created.game_id, name).token for name in ("anna", "bob")]


def kinds(update):
    return [event.kind for event in update.events]


def test_a_stream_begins_with_everything_and_goes_on_with_deltas(shared, game):
    created, tokens = game
    stream, eyes = shared.stream(created.game_id, tokens[0]), Eyes()
    first = next(stream)
    assert first.WhichOneof("view") == "observation"
    assert kinds(first) == [
        pb.GAME_CREATED,
        pb.PLAYER_JOINED,
        pb.PLAYER_JOINED,
        pb.GAME_STARTED,
    ] or set(kinds(first)) >= {pb.PLAYER_JOINED, pb.GAME_STARTED}
    assert first.to_move
    eyes.see(first)
    for tick in range(1, 8):
        shared.pass_ticks(created, tokens)
        update = stream.until(lambda one, tick=tick: one.tick == tick)
        assert update.WhichOneof("view") == "delta"
        frame = shared.state(created.game_id, tokens[0]).observation.frame
        assert eyes.see(update).tobytes() == frame
    stream.call.cancel()


def test_every_tick_that_a_ready_reader_could_see_is_shown(shared, game):
    created, tokens = game
    stream = shared.stream(created.game_id, tokens[1])
    assert next(stream).tick == 0
    seen = []
    for tick in range(1, 6):
        shared.pass_ticks(created, tokens)
        seen.append(stream.until(lambda one, tick=tick: one.tick >= tick).tick)
    assert seen == [1, 2, 3, 4, 5]
    stream.call.cancel()


def test_a_stream_in_a_lobby_tells_who_comes_and_begins_to_show_with_the_start(shared):
    created = shared.create(board=BOARD)
    anna = shared.join(created.game_id, "anna").token
    stream = shared.stream(created.game_id, anna)
    first = next(stream)
    assert (first.phase, first.WhichOneof("view")) == (pb.PHASE_LOBBY, None)
    shared.join(created.game_id, "bob")
    started = stream.until(lambda one: one.phase == pb.PHASE_RUNNING)
    assert started.WhichOneof("view") == "observation"
    assert pb.GAME_STARTED in kinds(started)
    stream.call.cancel()


def test_a_spectator_sees_everything_at_every_tick(shared, game):
    created, tokens = game
    stream = shared.stream(created.game_id, created.spectator_token)
    assert next(stream).WhichOneof("view") == "full"
    shared.pass_ticks(created, tokens)
    update = stream.until(lambda one: one.tick == 1)
    assert update.WhichOneof("view") == "full"
    assert not update.to_move
    stream.call.cancel()


def test_a_stream_ends_with_the_update_of_the_end(shared, game):
    created, tokens = game
    streams = [shared.stream(created.game_id, tokens[1]), shared.play(created.game_id, tokens[1])]
    for stream in streams:
        next(stream)
    shared.unary(names.SURRENDER, game_id=created.game_id, token=tokens[0])
    for updates in (list(streams[0]), [one.update for one in streams[1]]):
        last = updates[-1]
        assert (last.phase, list(last.winners)) == (pb.PHASE_ENDED, [1])
        events = {event.kind: event for update in updates for event in update.events}
        assert list(events[pb.GAME_ENDED].winners) == [1]
        assert events[pb.PLAYER_ELIMINATED].seat == 0
        assert not events[pb.PLAYER_ELIMINATED].HasField("by")
    again = list(shared.stream(created.game_id, tokens[1]))
    assert [one.phase for one in again] == [pb.PHASE_ENDED]
    assert again[0].WhichOneof("view") == "observation"


def test_a_stream_that_resumes_gets_the_events_behind_the_last_it_had(shared, game):
    created, tokens = game
    stream = shared.stream(created.game_id, tokens[0])
    last = next(stream).events[-1].sequence
    stream.call.cancel()
    shared.owner(names.PAUSE_GAME, created)
    shared.owner(names.RESUME_GAME, created)
    again = next(shared.stream(created.game_id, tokens[0], after_event=last))
    assert min(event.sequence for event in again.events) > last
    assert {pb.GAME_PAUSED, pb.GAME_RESUMED} <= set(kinds(again))
    assert pb.PLAYER_JOINED not in kinds(again)
    assert again.WhichOneof("view") == "observation"


def test_a_pause_and_what_follows_are_told_as_they_happen(shared, game):
    created, tokens = game
    stream = shared.stream(created.game_id, tokens[0])
    next(stream)
    shared.owner(names.PAUSE_GAME, created)
    paused = stream.until(lambda one: one.phase == pb.PHASE_PAUSED)
    assert pb.GAME_PAUSED in kinds(paused)
    assert not paused.to_move
    shared.owner(names.CANCEL_GAME, created)
    last = list(stream)[-1]
    assert last.phase == pb.PHASE_CANCELLED
    assert pb.GAME_CANCELLED in kinds(last)


def test_a_second_stream_of_a_seat_gets_everything_too(shared, game):
    created, tokens = game
    streams = [shared.stream(created.game_id, tokens[0]), shared.play(created.game_id, tokens[0])]
    for stream in streams:
        next(stream)
    shared.pass_ticks(created, tokens)
    assert streams[0].until(lambda one: one.tick == 1)
    assert streams[1].until(lambda one: one.update.tick == 1)
    for stream in streams:
        stream.call.cancel()


def results_of(stream, n_results):
    """The next results of a Play stream; updates between them are passed over."""
    return [stream.until(lambda one: one.HasField("result")).result for _ in range(n_results)]


def test_actions_on_play_are_answered_in_their_order_refusals_among_them(shared, game):
    created, tokens = game
    stream = shared.play(created.game_id, tokens[0])
    stream.act(key="pass")
    stream.act((0, 7), key="far")
    stream.act((0, 5), key="weak")
    stream.act(key="late", expected_tick=77)
    stream.act(key="pass")
    first, far, weak, late, again = results_of(stream, 5)
    assert [one.key for one in (first, far, weak, late, again)] == [
        "pass",
        "far",
        "weak",
        "late",
        "pass",
    ]
    assert not first.HasField("error")
    assert again == first
    told = [(one.error.reason, one.error.game_id) for one in (far, weak, late)]
    assert told == [
        (pb.NOT_ADJACENT, created.game_id),
        (pb.NOTHING_TO_MOVE, created.game_id),
        (pb.WRONG_TICK, created.game_id),
    ]
    shared.submit(created.game_id, tokens[1])
    assert stream.until(lambda one: one.update.tick == 1)
    stream.call.cancel()


def test_an_action_on_play_is_seen_in_a_later_update(shared, game):
    created, tokens = game
    shared.pass_ticks(created, tokens, 2)
    stream, eyes = shared.play(created.game_id, tokens[0]), Eyes()
    eyes.see(next(stream).update)
    stream.act((0, 5))
    (result,) = results_of(stream, 1)
    assert (result.tick, result.queued) == (2, 1)
    shared.submit(created.game_id, tokens[1])
    eyes.see(stream.until(lambda one: one.update.tick == 3).update)
    assert eyes.frame[50 + 5] & 31 == 1
    stream.call.cancel()


def test_a_half_close_answers_what_was_sent_and_ends_play_not_the_game(shared, game):
    created, tokens = game
    stream = shared.play(created.game_id, tokens[0])
    for number in range(200):
        stream.act(key=f"{number}")
    stream.half_close()
    answered = [one.result.key for one in stream if one.HasField("result")]
    assert answered == [str(number) for number in range(200)]
    assert shared.state(created.game_id, tokens[0]).phase == pb.PHASE_RUNNING


@pytest.mark.parametrize(
    "first", [b"\xff\xff", b"", pb.PlayRequest(action=pb.Action()).SerializeToString(), None]
)
def test_play_begins_with_open(shared, first):
    stream = shared.talk(names.PLAY, first)
    stream.half_close()
    with pytest.raises(Refused) as refused:
        next(stream)
    assert (refused.value.code, refused.value.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "BAD_REQUEST",
    )


@pytest.mark.parametrize("second", [b"\xff\xff", pb.PlayRequest(open=pb.StreamGameRequest())])
def test_behind_open_play_takes_only_actions(shared, game, second):
    created, tokens = game
    stream = shared.play(created.game_id, tokens[0])
    stream.send(second)
    with pytest.raises(Refused) as refused:
        list(stream)
    assert refused.value.reason == "BAD_REQUEST"
    assert refused.value.detail.game_id == created.game_id


def test_a_seat_whose_stream_breaks_is_disconnected_and_back_with_the_next_one(host, connect):
    calls = connect(host(games={"quiet_s": 0.2}))
    created = calls.create(board=BOARD, spectators=True, tick_ms=20)
    anna, bob = (calls.join(created.game_id, name).token for name in ("anna", "bob"))
    watching = calls.stream(created.game_id, created.spectator_token)
    others = connect(calls.hosting)
    playing = [others.play(created.game_id, token) for token in (anna, bob)]
    for stream in playing:
        next(stream)
    playing[0].call.cancel()
    gone = watching.until(lambda one: pb.PLAYER_DISCONNECTED in kinds(one))
    assert [event.seat for event in gone.events if event.kind == pb.PLAYER_DISCONNECTED] == [0]
    playing[0] = others.play(created.game_id, anna)
    next(playing[0])
    back = watching.until(lambda one: pb.PLAYER_RECONNECTED in kinds(one))
    assert [event.seat for event in back.events if event.kind == pb.PLAYER_RECONNECTED] == [0]
    for stream in (watching, *playing):
        stream.call.cancel()


def test_a_reader_that_takes_nothing_is_cut_off_and_the_others_are_served(host, connect):
    calls = connect(host(serve={"client_timeout_s": 1.0}))
    created = calls.create(
        uniform=pb.UniformMap(height=20, width=20),
        spectators=True,
        tick_ms=10,
        bots={0: "random", 1: "random"},
    )
    slow = connect(calls.hosting).stream(created.game_id, created.spectator_token)
    quick = calls.stream(created.game_id, created.spectator_token)
    began_s = time.monotonic()
    ticks = []
    while calls.hosting.slot.counter("streams") == 2:
        ticks.append(next(quick).tick)
        assert time.monotonic() - began_s < 60
    assert np.diff(ticks).max() < 50
    with pytest.raises(Refused) as refused:
        list(slow)
    assert refused.value.code in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    quick.call.cancel()


def test_a_slow_reader_finds_ticks_merged_and_every_event(host, connect):
    calls = connect(host(games={"max_turns": 300}))
    created = calls.create(
        uniform=pb.UniformMap(height=20, width=20, cities=40, mountains=0.0),
        tick_ms=10,
        n_seats=4,
        bots=dict.fromkeys(range(4), "expander"),
        spectators=True,
    )
    stream = calls.stream(created.game_id, created.spectator_token)
    sequences, ticks = [], []
    for update in stream:
        ticks.append(update.tick)
        sequences += [event.sequence for event in update.events]
        if update.tick < 500:
            time.sleep(0.05)
    assert sequences == list(range(1, sequences[-1] + 1))
    assert ticks == sorted(ticks)
    assert update.phase == pb.PHASE_ENDED


def test_a_flood_of_actions_is_answered_as_it_is_read_and_starves_nobody(host, connect):
    calls = connect(host())
    created = calls.create(board=BOARD, tick_ms=20)
    anna, bob = (calls.join(created.game_id, name).token for name in ("anna", "bob"))
    flooding = connect(calls.hosting).play(created.game_id, anna)
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            flooding.act((0, 24))
            time.sleep(0.0001)

    flooder = threading.Thread(target=flood, daemon=True)
    flooder.start()
    try:
        took = []
        for _ in range(50):
            began_s = time.monotonic()
            calls.state(created.game_id, bob)
            took.append(time.monotonic() - began_s)
        assert np.median(took) < 0.5
    finally:
        stop.set()
        flooder.join()
        flooding.call.cancel()
    assert calls.state(created.game_id, bob).phase == pb.PHASE_RUNNING
