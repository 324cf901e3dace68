"""Rows of many seats: what updates come to, and what a new connection sends again."""

import numpy as np
import pytest
from game_messages import GAME, HEIGHT, SEATS, WIDTH, frame
from hypothesis import given
from hypothesis import strategies as st
from scripted_host import PASS

from farm.client import JoinedGame
from farm.client.games.many import ManyRows, create_many, join_many
from farm.errors import CorruptDataError, UsageError
from farm.rpc.v1 import games_pb2
from farm.spec import frame_bytes, tiles

SIZE = frame_bytes(HEIGHT * WIDTH, SEATS)
TERMINATED, TRUNCATED, WAITS, FIRST = 1, 2, 4, 8


def opened(n_rows=3, *, size=SIZE, n_allies=0):
    rows = [games_pb2.ManyRow(game_id=GAME + r, seat=0, n_allies=n_allies) for r in range(n_rows)]
    message = games_pb2.PlayManyOpened(
        rows=rows, height=HEIGHT, width=WIDTH, n_seats=SEATS, frame_bytes=size
    )
    return games_pb2.PlayManyResponse(opened=message).SerializeToString()


def updated(*entries, game_ids=()):
    """Of entries (row, tick, flags, reward); the general's army tells the tick."""
    raw = b"".join(
        frame({6: (tiles.SELF, tiles.GENERAL, 5 + tick)}).tobytes() for _, tick, _, _ in entries
    )
    rows, ticks, flags, reward = zip(*entries, strict=True)
    message = games_pb2.PlayManyUpdate(
        rows=np.array(rows, "<i4").tobytes(),
        ticks=np.array(ticks, "<i4").tobytes(),
        frames=raw,
        reward=np.array(reward, "<f4").tobytes(),
        flags=bytes(flags),
        game_ids=np.array(game_ids, "<u8").tobytes(),
    )
    return games_pb2.PlayManyResponse(update=message).SerializeToString()


def sent(raw):
    message = games_pb2.PlayManyRequest.FromString(raw).actions
    return dict(
        zip(
            np.frombuffer(message.rows, "<i4").tolist(),
            np.frombuffer(message.actions, "<i4").tolist(),
            strict=True,
        )
    )


def armies(rows):
    return rows.frames["army"].reshape(rows.n_rows, -1)[:, 6].tolist()


@pytest.fixture
def rows():
    """Three joined rows that wait."""
    made = ManyRows(join_many([JoinedGame(GAME + row, 0, "t") for row in range(3)]))
    made.open()
    made.receive(opened())
    made.receive(updated(*((row, 0, WAITS | FIRST, 0.0) for row in range(3))))
    return made


def test_rows_that_wait_are_acted_for_and_no_others(rows):
    rows.begin_step()
    assert sent(rows.act(np.array([1, 2, PASS]))) == {0: 1, 1: 2, 2: PASS}
    assert rows.act(np.array([1, 2, 3])) is None
    rows.receive(updated((1, 1, WAITS, 0.25)))
    assert not rows.is_stepped
    assert sent(rows.act(np.array([7, 8, 9]))) == {1: 8}
    rows.receive(updated((0, 1, WAITS, 0.0), (1, 2, WAITS, 0.25), (2, 1, 0, 0.0)))
    assert rows.is_stepped
    assert rows.to_move.tolist() == [True, True, False]
    assert armies(rows) == [6, 7, 6]
    assert rows.reward.tolist() == [0.0, 0.5, 0.0]


def test_a_last_frame_and_the_first_of_the_next_game_come_in_one_update():
    rows = ManyRows(create_many(2, [0], {"bots": {1: "random"}}, autoreset=True))
    rows.open()
    rows.receive(opened(2))
    rows.receive(updated((0, 0, WAITS | FIRST, 0.0), (1, 0, WAITS | FIRST, 0.0)))
    rows.begin_step()
    rows.act(np.array([0, 0]))
    rows.receive(
        updated(
            (0, 9, TERMINATED, 1.0),
            (0, 0, WAITS | FIRST, 0.0),
            (1, 1, WAITS, 0.0),
            game_ids=[0, GAME + 8, 0],
        )
    )
    assert rows.is_stepped
    assert not rows.is_over
    assert rows.final_rows.tolist() == [0]
    assert rows.final_frames["army"].reshape(-1)[6] == 14
    assert armies(rows) == [5, 6]
    assert rows.terminated.tolist() == rows.first.tolist() == [True, False]
    assert rows.reward.tolist() == [1.0, 0.0]
    assert rows.game_id.tolist() == [GAME + 8, GAME + 1]


def test_games_without_followers_are_over_when_every_row_is(rows):
    rows.begin_step()
    rows.receive(updated((0, 1, TERMINATED, -1.0), (1, 1, TRUNCATED, 0.0)))
    assert not rows.is_over
    rows.receive(updated((2, 1, TERMINATED, 1.0)))
    assert rows.is_over
    assert rows.terminated.tolist() == [True, False, True]
    assert rows.truncated.tolist() == [False, True, False]
    assert rows.final_rows.tolist() == [0, 1, 2]


def test_after_a_reconnection_an_action_for_an_open_tick_is_sent_again_and_no_other(rows):
    rows.act(np.array([1, 2, 3]))
    rows.open()
    rows.receive(opened())
    # Row 0 has not played its tick: the action was lost. Row 1 has. Row 2 does not wait for it.
    rows.receive(updated((0, 0, WAITS, 0.0), (1, 1, WAITS, 0.0), (2, 0, 0, 0.0)))
    assert sent(rows.take_again()) == {0: 1}
    assert rows.take_again() is None
    assert rows.to_move.tolist() == [False, True, False]
    rows.begin_step()
    rows.receive(updated((0, 1, WAITS, 0.0), (2, 1, WAITS, 0.0)))
    assert rows.is_stepped
    assert rows.take_again() is None


def test_within_a_connection_nothing_is_sent_twice(rows):
    rows.act(np.array([1, 2, 3]))
    rows.receive(updated((0, 0, WAITS, 0.0)))
    assert rows.take_again() is None
    assert not rows.to_move[0]


def test_a_host_of_another_build_is_refused(rows):
    fresh = ManyRows(join_many([JoinedGame(GAME, 0, "t")]))
    fresh.open()
    with pytest.raises(CorruptDataError, match="same version"):
        fresh.receive(opened(size=SIZE + 4))
    rows.open()
    with pytest.raises(CorruptDataError, match="came back"):
        rows.receive(opened(2))


@pytest.mark.parametrize("entry", [(3, 0, WAITS, 0.0), (-1, 0, WAITS, 0.0)])
def test_rows_that_are_none_are_refused(rows, entry):
    with pytest.raises(CorruptDataError, match="rows"):
        rows.receive(updated(entry))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_answer_are_corrupt(raw):
    rows = ManyRows(join_many([JoinedGame(GAME, 0, "t")]))
    rows.open()
    with pytest.raises(CorruptDataError):
        rows.receive(raw)


def test_an_update_before_the_opening_is_corrupt():
    rows = ManyRows(join_many([JoinedGame(GAME, 0, "t")]))
    rows.open()
    with pytest.raises(CorruptDataError, match="out of turn"):
        rows.receive(updated((0, 0, WAITS, 0.0)))


def test_no_games_and_no_seats_are_refused():
    for n_games, seats in ((0, [0]), (4097, [0]), (1, [])):
        with pytest.raises(UsageError):
            create_many(n_games, seats, {}, autoreset=False)
    with pytest.raises(UsageError):
        join_many([])
