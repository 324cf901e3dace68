"""One game across its connections: what is sent again, what is asked for, when it gives up."""

import pytest
from game_messages import GAME, event, observation, refused, update

from farm.client import ActionResult, Move, Retry
from farm.client.games.outbox import MAX_UNANSWERED, Keys
from farm.client.games.session import GameSession, PlaySession
from farm.errors import (
    CorruptDataError,
    GameRejectedError,
    RejectedError,
    UnavailableError,
    UsageError,
)
from farm.rpc.v1 import games_pb2

RETRY = Retry(first_s=0.1, ceiling_s=1.0, deadline_s=10.0)
GONE = UnavailableError("gone")


@pytest.fixture
def session():
    return PlaySession(GAME, "token", RETRY, Keys("k"))


def requests(messages):
    return [games_pb2.PlayRequest.FromString(message) for message in messages]


def updated(**fields):
    return games_pb2.PlayResponse(update=update(**fields)).SerializeToString()


def answer(key, **fields):
    result = games_pb2.ActionResult(key=key, **fields)
    return games_pb2.PlayResponse(result=result).SerializeToString()


def test_a_stream_opens_with_the_game_and_its_token(session):
    (first,) = requests(session.open())
    assert first.open == games_pb2.StreamGameRequest(game_id=GAME, token="token")
    plain = GameSession(GAME, "token", RETRY, after_event=4)
    (raw,) = plain.open()
    assert games_pb2.StreamGameRequest.FromString(raw).after_event == 4


def test_a_new_connection_asks_for_the_events_that_are_new(session):
    session.open()
    session.receive(updated(view=observation(), events=[event(3)]))
    session.failed(GONE, 0.0, 0.0)
    (again,) = requests(session.open())
    assert again.open.after_event == 3


def test_what_has_no_answer_is_sent_again_in_order_and_with_its_key(session):
    session.open()
    keys = [session.submit([Move(6, 7)], expected_tick=tick)[0] for tick in range(3)]
    assert keys == ["k-1", "k-2", "k-3"]
    result = session.receive(answer("k-1", tick=0, queued=1))
    assert result == ActionResult("k-1", 0, 1)
    session.failed(GONE, 0.0, 0.0)
    opening, *again = requests(session.open())
    assert opening.HasField("open")
    assert [request.action.key for request in again] == ["k-2", "k-3"]
    assert [request.action.expected_tick for request in again] == [1, 2]
    session.receive(answer("k-2"))
    session.receive(answer("k-3"))
    session.failed(GONE, 0.0, 0.0)
    assert len(session.open()) == 1


def test_an_answer_to_nothing_is_corrupt(session):
    session.open()
    with pytest.raises(CorruptDataError, match="'k-9'"):
        session.receive(answer("k-9"))


def test_no_more_is_under_way_than_the_game_remembers(session):
    for _ in range(MAX_UNANSWERED):
        session.submit([])
    with pytest.raises(UsageError, match="no answer"):
        session.submit([])
    session.receive(answer("k-1"))
    session.submit([])


def test_a_refused_action_says_why_and_ends_nothing(session):
    session.submit([Move(6, 7)])
    error = refused(games_pb2.NOT_YOUR_CELL, move=2)
    result = session.receive(answer("k-1", tick=3, error=error))
    assert isinstance(result.error, GameRejectedError)
    assert (result.error.reason, result.error.move) == ("NOT_YOUR_CELL", 2)
    assert result.error.status == "FAILED_PRECONDITION"
    assert not session.is_over


def test_the_waits_grow_until_the_deadline_and_begin_anew_after_a_message(session):
    assert session.failed(GONE, 0.0, 0.0) == 0.05
    assert session.failed(GONE, 0.1, 0.0) == 0.1
    session.open()
    session.receive(updated(view=observation()))
    assert session.failed(GONE, 100.0, 0.0) == 0.05
    with pytest.raises(UnavailableError):
        session.failed(GONE, 110.1, 0.0)


def test_a_refusal_of_the_stream_is_final(session):
    for reason in ("BAD_TOKEN", "UNKNOWN_GAME"):
        with pytest.raises(GameRejectedError, match="no"):
            session.failed(GameRejectedError("X", "no", reason=reason), 0.0, 0.0)
    with pytest.raises(RejectedError):
        session.failed(RejectedError("INTERNAL", "what"), 0.0, 0.0)


def test_too_many_streams_are_waited_out_by_who_was_connected_before(session):
    full = GameRejectedError("RESOURCE_EXHAUSTED", "no", reason="LIMIT", retry_after_s=2.0)
    with pytest.raises(GameRejectedError):
        session.failed(full, 0.0, 0.0)
    session.open()
    session.receive(updated(view=observation()))
    assert session.failed(full, 1.0, 0.0) == 2.0


@pytest.mark.parametrize(
    "phase", [games_pb2.PHASE_ENDED, games_pb2.PHASE_CANCELLED, games_pb2.PHASE_ERROR]
)
def test_the_end_of_the_game_is_the_end_of_the_session(session, phase):
    session.receive(updated(view=observation()))
    assert not session.is_over
    session.receive(updated(tick=1, phase=phase, winners=[0]))
    assert session.is_over


@pytest.mark.parametrize("raw", [b"", b"\xff", b"nonsense"])
def test_a_message_that_is_neither_update_nor_answer_is_corrupt(session, raw):
    with pytest.raises(CorruptDataError):
        session.receive(raw)
