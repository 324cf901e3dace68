"""A game as its updates tell it: frames from deltas, events once each, nothing of nonsense."""

import contextlib
from itertools import pairwise

import numpy as np
import pytest
from game_messages import (
    GAME,
    HEIGHT,
    N_CELLS,
    SEATS,
    WIDTH,
    delta,
    event,
    frame,
    observation,
    tile,
    update,
)
from hypothesis import given
from hypothesis import strategies as st

from farm.client import EventKind, GameBoard, GameObservation, GameUpdate, Phase
from farm.client.games.view import GameView, parse_update
from farm.errors import CorruptDataError
from farm.rpc.v1 import games_pb2
from farm.spec import frame_dtype, tiles


@pytest.fixture
def view():
    return GameView(GAME)


frames = st.builds(
    lambda raw: np.frombuffer(raw, frame_dtype(HEIGHT, WIDTH, SEATS))[0],
    st.binary(
        min_size=frame_dtype(HEIGHT, WIDTH, SEATS).itemsize,
        max_size=frame_dtype(HEIGHT, WIDTH, SEATS).itemsize,
    ),
)


@given(st.lists(frames, min_size=1, max_size=6))
def test_deltas_rebuild_every_frame(those):
    view = GameView(GAME)
    seen = [view.receive(update(0, view=observation(those[0])))]
    for tick, (before, after) in enumerate(pairwise(those), 1):
        seen.append(view.receive(update(tick, view=delta(before, after))))
    for made, wanted in zip(seen, those, strict=True):
        assert isinstance(made, GameObservation)
        for field in ("army", "tile", "total_army", "total_land", "alive"):
            assert np.array_equal(made.frame[field], wanted[field])
    assert [made.tick for made in seen] == list(range(len(those)))


def test_an_observation_that_was_handed_out_stays_as_it_was(view):
    first = view.receive(update(0, view=observation()))
    second = frame({6: (tiles.SELF, tiles.GENERAL, 9)})
    later = view.receive(update(1, view=delta(frame(), second)))
    assert (first.army_at(6), later.army_at(6)) == (5, 9)
    with pytest.raises(ValueError, match="read-only"):
        later.army[0, 0] = 1


def test_an_update_without_a_view_says_what_the_board_was(view):
    view.receive(update(3, view=observation()))
    paused = view.receive(update(3, phase=games_pb2.PHASE_PAUSED))
    assert (paused.phase, paused.army_at(6)) == (Phase.PAUSED, 5)


def test_a_lobby_has_no_board(view):
    made = view.receive(update(0, phase=games_pb2.PHASE_LOBBY))
    assert type(made) is GameUpdate
    assert (made.phase, made.tick, made.to_move) == (Phase.LOBBY, 0, False)


def test_a_delta_before_an_observation_is_refused_also_after_a_reconnection(view):
    change = delta(frame(), frame({6: (tiles.SELF, tiles.GENERAL, 9)}))
    with pytest.raises(CorruptDataError, match="before an observation"):
        view.receive(update(1, view=change))
    view.receive(update(1, view=observation()))
    view.reopen()
    with pytest.raises(CorruptDataError, match="before an observation"):
        view.receive(update(2, view=change))


@pytest.mark.parametrize(
    "change",
    [
        games_pb2.Delta(cells=b"\x01\x00", army=b"\x01\x00\x02\x00", tile=b"\x01"),
        games_pb2.Delta(cells=b"\x01\x00", army=b"\x01\x00"),
        games_pb2.Delta(cells=N_CELLS.to_bytes(2, "little"), army=b"\x01\x00", tile=b"\x01"),
        games_pb2.Delta(cells=b"\x01", army=b"", tile=b""),
        games_pb2.Delta(scores=b"\x01"),
    ],
)
def test_a_delta_that_does_not_fit_is_refused_and_changes_nothing(view, change):
    view.receive(update(0, view=observation()))
    with pytest.raises(CorruptDataError):
        view.receive(update(1, view=change))
    assert view.receive(update(1)).army_at(6) == 5


def test_a_frame_of_another_size_is_refused(view):
    message = observation()
    message.width += 1
    with pytest.raises(CorruptDataError, match="same version"):
        view.receive(update(0, view=message))


def test_an_update_of_another_game_is_refused(view):
    with pytest.raises(CorruptDataError, match=f"game 8 for {GAME}"):
        view.receive(update(0, game=8))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_update_are_corrupt_or_an_update(raw):
    with contextlib.suppress(CorruptDataError):
        GameView(GAME).receive(parse_update(raw))


def test_events_come_once_each_and_in_order_over_all_connections(view):
    first = view.receive(update(0, view=observation(), events=[event(2), event(1)]))
    assert [e.sequence for e in first.events] == [1, 2]
    assert view.after_event == 2
    view.reopen()
    again = view.receive(update(0, view=observation(), events=[event(2), event(5)]))
    assert [e.sequence for e in again.events] == [5]
    assert view.receive(update(1)).events == ()
    assert view.after_event == 5


def test_an_event_says_what_is_known_and_none_of_what_is_not(view):
    captured = event(1, games_pb2.CITY_CAPTURED, by=0, cell=0, tick=4)
    strange = games_pb2.Event(sequence=2)
    strange.kind = 99
    made, other = view.receive(update(4, events=[captured, strange])).events
    assert (made.kind, made.by, made.cell, made.seat) == (EventKind.CITY_CAPTURED, 0, 0, None)
    assert other.kind is EventKind.UNKNOWN


def test_a_spectator_sees_the_whole_board(view):
    owner = np.full(N_CELLS, -1, np.int8)
    owner[3] = 1
    full = games_pb2.FullState(
        height=HEIGHT,
        width=WIDTH,
        owner=owner.tobytes(),
        army=np.arange(N_CELLS, dtype="<i4").tobytes(),
        terrain=bytes(N_CELLS),
        scores=[
            games_pb2.Score(seat=1, army=5, land=2, alive=True),
            games_pb2.Score(seat=0, army=4, land=1, alive=False),
        ],
    )
    board = view.receive(update(2, view=full))
    assert isinstance(board, GameBoard)
    assert board.owner.shape == board.army.shape == (HEIGHT, WIDTH)
    assert (board.owner.flat[3], board.army.flat[7]) == (1, 7)
    assert board.scores == ((4, 1, False), (5, 2, True))
    full.army = full.army[4:]
    with pytest.raises(CorruptDataError):
        view.receive(update(3, view=full))


def test_tile_codes_are_those_of_the_spec():
    assert tile(tiles.SELF, tiles.CITY) == 33
