"""Every refusal is a status and an ErrorDetail, and the game goes on as if nothing was asked."""

import grpc
import pytest
from hosting import RefusedError

from farm.rpc import names
from farm.rpc.status import GAME_STATUS
from farm.rpc.v1 import games_pb2 as pb

pytestmark = pytest.mark.timeout(300)

BOARD = """
G0 M . . .
.  . . . .
.  . . . .
.  . . . .
.  . . . G1
"""
Code = grpc.StatusCode


def refusal(act, *args, **fields):
    """How a call is refused."""
    with pytest.raises(RefusedError) as refused:
        act(*args, **fields)
    error = refused.value
    if error.detail is not None:
        assert error.code is GAME_STATUS[error.reason]
        assert error.detail.message == error.message
    return error


@pytest.fixture
def duel(shared):
    created = shared.create(board=BOARD)
    return created, [shared.join(created.game_id, name).token for name in ("anna", "bob")]


MOVES = {
    "NOT_YOUR_CELL": [((24, 19),), ((7, 8),)],
    "OFF_BOARD": [((0, 25),), ((4_000_000_000, 5),)],
    "NOT_ADJACENT": [((0, 6),), ((0, 0),), ((0, 10),)],
    "MOUNTAIN": [((0, 1),)],
    "NOTHING_TO_MOVE": [((0, 5),)],
}


@pytest.mark.parametrize(
    ("reason", "moves"), [(reason, moves) for reason, all_ in MOVES.items() for moves in all_]
)
def test_a_move_that_cannot_be_is_refused_with_its_reason_and_changes_nothing(
    shared, duel, reason, moves
):
    created, (anna, _) = duel
    before = shared.state(created.game_id, anna)
    error = refusal(shared.submit, created.game_id, anna, *moves)
    assert error.reason == reason
    assert error.detail.game_id == created.game_id
    assert shared.state(created.game_id, anna) == before


def test_the_number_of_the_refused_move_is_told_and_none_of_its_request_is_accepted(shared, duel):
    created, tokens = duel
    shared.pass_ticks(created, tokens, 2)
    error = refusal(shared.submit, created.game_id, tokens[0], (0, 5), (5, 10), (10, 12))
    assert (error.reason, error.detail.move) == ("NOT_ADJACENT", 2)
    assert shared.state(created.game_id, tokens[0]).queued == 0


def test_an_action_for_another_tick_changes_nothing_and_is_told_the_tick(shared, duel):
    created, tokens = duel
    shared.pass_ticks(created, tokens, 2)
    for tick in (0, 1, 3, 4_000_000_000):
        error = refusal(shared.submit, created.game_id, tokens[0], expected_tick=tick)
        assert (error.code, error.reason, error.detail.tick) == (Code.ABORTED, "WRONG_TICK", 2)
    assert shared.state(created.game_id, tokens[0]).to_move
    shared.submit(created.game_id, tokens[0], expected_tick=2)


def test_a_phase_that_does_not_allow_it_is_named(shared, duel):
    created, tokens = duel
    lobby = shared.create()
    in_lobby = shared.join(lobby.game_id).token
    asked = [
        refusal(shared.submit, lobby.game_id, in_lobby),
        refusal(shared.unary, names.SURRENDER, game_id=lobby.game_id, token=in_lobby),
        refusal(shared.owner, names.PAUSE_GAME, lobby),
        refusal(shared.owner, names.RESUME_GAME, created),
    ]
    shared.owner(names.CANCEL_GAME, created)
    asked += [
        refusal(shared.owner, names.CANCEL_GAME, created),
        refusal(shared.owner, names.PAUSE_GAME, created),
        refusal(shared.submit, created.game_id, tokens[0]),
        refusal(shared.unary, names.SURRENDER, game_id=created.game_id, token=tokens[0]),
    ]
    assert {error.reason for error in asked} == {"WRONG_PHASE"}


def test_of_two_who_want_the_last_seat_one_gets_it(shared):
    created = shared.create(bots={0: "random"}, n_seats=3)
    shared.join(created.game_id)
    assert refusal(shared.join, created.game_id, seat=1).reason == "SEAT_TAKEN"
    assert refusal(shared.join, created.game_id, seat=0).reason == "SEAT_TAKEN"
    assert refusal(shared.join, created.game_id, seat=3).reason == "BAD_REQUEST"
    shared.join(created.game_id)
    assert refusal(shared.join, created.game_id).reason in {"GAME_FULL", "WRONG_PHASE"}


def test_a_dead_seat_is_told_so(shared):
    created = shared.create(n_seats=3)
    tokens = [shared.join(created.game_id).token for _ in range(3)]
    shared.unary(names.SURRENDER, game_id=created.game_id, token=tokens[1])
    assert refusal(shared.submit, created.game_id, tokens[1]).reason == "SEAT_DEAD"
    again = refusal(shared.unary, names.SURRENDER, game_id=created.game_id, token=tokens[1])
    assert again.reason == "SEAT_DEAD"
    assert shared.state(created.game_id, tokens[1]).phase == pb.PHASE_RUNNING


@pytest.mark.parametrize("game_id", [0, 10**9, 2**64 - 1])
def test_an_unknown_game_is_not_found_by_any_call(shared, game_id):
    seat = {"game_id": game_id, "token": "x"}
    owner = {"game_id": game_id, "owner_token": "x"}
    for method, fields in {
        names.JOIN_GAME: {"game_id": game_id, "name": "anna"},
        names.SUBMIT_ACTION: seat,
        names.GET_GAME_STATE: seat,
        names.SURRENDER: seat,
        names.PAUSE_GAME: owner,
        names.RESUME_GAME: owner,
        names.CANCEL_GAME: owner,
        names.GET_GAME_STATS: seat,
    }.items():
        error = refusal(shared.unary, method, **fields)
        assert (error.code, error.reason) == (Code.NOT_FOUND, "UNKNOWN_GAME")
        assert error.detail.game_id == game_id
    assert refusal(next, shared.stream(game_id, "x")).reason == "UNKNOWN_GAME"
    assert refusal(next, shared.play(game_id, "x")).reason == "UNKNOWN_GAME"


def test_a_token_is_good_for_what_it_was_given_for_and_nothing_else(shared):
    created = shared.create(board=BOARD, spectators=True)
    anna = shared.join(created.game_id, "anna").token
    shared.join(created.game_id, "bob")
    other = shared.create(board=BOARD)
    stranger = shared.join(other.game_id).token
    game = created.game_id
    spectator, owner = created.spectator_token, created.owner_token
    asked = [
        *(
            refusal(shared.submit, game, token)
            for token in ("", "x", stranger, owner, spectator, anna[:-1], anna + "x")
        ),
        *(refusal(shared.state, game, token) for token in ("", stranger, owner)),
        *(refusal(next, shared.stream(game, token)) for token in ("", stranger, owner)),
        *(refusal(next, shared.play(game, token)) for token in ("", stranger, owner, spectator)),
        *(refusal(shared.stats, game, token) for token in ("", stranger, other.owner_token)),
        *(
            refusal(shared.unary, method, game_id=game, owner_token=token)
            for method in (names.PAUSE_GAME, names.RESUME_GAME, names.CANCEL_GAME)
            for token in ("", anna, spectator, other.owner_token)
        ),
        *(
            refusal(shared.unary, names.SURRENDER, game_id=game, token=token)
            for token in ("", stranger, owner, spectator)
        ),
    ]
    assert {(one.code, one.reason) for one in asked} == {(Code.PERMISSION_DENIED, "BAD_TOKEN")}


def test_a_game_without_spectators_has_no_token_that_sees_everything(shared):
    created = shared.create()
    assert refusal(shared.state, created.game_id, created.spectator_token).reason == "BAD_TOKEN"


BAD_GAMES = [
    ({"n_seats": 1}, "n_seats"),
    ({"n_seats": 17}, "n_seats"),
    ({"n_seats": 4_000_000_000}, "n_seats"),
    ({"name": "x" * 65}, "name"),
    ({"name": "\x1b[2J"}, "name"),
    ({"toy": pb.ToyMap(height=3, width=5)}, "height"),
    ({"toy": pb.ToyMap(height=5, width=65)}, "width"),
    ({"uniform": pb.UniformMap(height=8, width=8, mountains=0.5)}, "mountains"),
    ({"uniform": pb.UniformMap(height=8, width=8, mountains=float("nan"))}, "mountains"),
    ({"uniform": pb.UniformMap(height=8, width=8, cities=10_000)}, "cities"),
    ({"board": "G0 . ?"}, "board"),
    ({"board": BOARD, "n_seats": 3}, "board"),
    ({"teams": [0]}, "teams"),
    ({"teams": [1, 1]}, "teams"),
    ({"rules": "house"}, "rules"),
    ({"tick_ms": 9}, "tick_ms"),
    ({"tick_ms": 600_001}, "tick_ms"),
    ({"bots": {2: "random"}}, "bots"),
    ({"bots": {0: "clever"}}, "bots"),
    ({"max_turns": 4_000_000_000}, "max_turns"),
    ({"key": "k" * 65}, "key"),
]


@pytest.mark.parametrize(("fields", "field"), BAD_GAMES)
def test_settings_that_no_game_can_have_are_refused_by_the_name_of_the_field(shared, fields, field):
    error = refusal(shared.create, **fields)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_REQUEST")
    assert field in error.message


def test_a_game_without_a_map_is_refused(shared):
    error = refusal(shared.unary, names.CREATE_GAME, n_seats=2)
    assert error.reason == "BAD_REQUEST"
    assert "map" in error.message


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        (names.JOIN_GAME, {"name": "x" * 33}, "name"),
        (names.JOIN_GAME, {"name": "é" * 17}, "name"),
        (names.JOIN_GAME, {"name": "a\nb"}, "name"),
        (names.JOIN_GAME, {"name": "\x9b2J"}, "name"),
        (names.JOIN_GAME, {"name": "a", "key": "k" * 65}, "key"),
        (names.JOIN_GAME, {"name": "a", "seat": 2}, "seat"),
        (names.JOIN_GAME, {"name": "a", "seat": 4_000_000_000}, "seat"),
        (names.GET_GAME_STATE, {"after_tick": 1, "wait_ms": 30_001}, "wait_ms"),
        (names.LIST_GAMES, {"page_size": 501}, "page_size"),
        (names.LIST_GAMES, {"phases": [0]}, "phases"),
        (names.LIST_GAMES, {"phases": [7]}, "phases"),
    ],
)
def test_a_field_out_of_bounds_is_named(shared, method, fields, field):
    created = shared.create()
    token = shared.join(created.game_id).token
    if method != names.LIST_GAMES:
        fields = {"game_id": created.game_id} | fields
    if method == names.GET_GAME_STATE:
        fields["token"] = token
    error = refusal(shared.unary, method, **fields)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_REQUEST")
    assert field in error.message


def test_a_key_of_an_action_is_bounded(shared, duel):
    created, (anna, _) = duel
    error = refusal(shared.submit, created.game_id, anna, key="k" * 65)
    assert (error.reason, "key" in error.message) == ("BAD_REQUEST", True)


def test_a_queue_has_room_for_so_many_moves_and_no_more(host, connect):
    calls = connect(host(games={"max_queue": 4}))
    created = calls.create(board=BOARD)
    tokens = [calls.join(created.game_id).token for _ in range(2)]
    calls.pass_ticks(created, tokens, 2)
    error = refusal(
        calls.submit, created.game_id, tokens[0], *[(0, 5), (5, 10), (10, 5)], (5, 0), (0, 5)
    )
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "LIMIT")
    assert error.detail.retry_after_ms > 0
    first = calls.submit(created.game_id, tokens[0], (0, 5), (5, 10), (10, 5), (5, 0))
    assert first.queued == 4
    assert refusal(calls.submit, created.game_id, tokens[0], (0, 5)).reason == "LIMIT"
    assert calls.submit(created.game_id, tokens[0], (0, 5), clear=True).queued == 1


def test_a_host_has_room_for_so_many_games_and_says_when_to_try_again(host, connect):
    calls = connect(host(games={"max_games": 2}))
    created = [calls.create() for _ in range(2)]
    error = refusal(calls.create)
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "LIMIT")
    assert error.detail.retry_after_ms > 0
    calls.owner(names.CANCEL_GAME, created[0])
    calls.create()


def test_a_client_has_room_for_so_many_games(host, connect):
    calls = connect(host(games={"max_games_per_client": 1}))
    calls.create()
    error = refusal(calls.create)
    assert (error.reason, "max_games_per_client" in error.message) == ("LIMIT", True)


def test_one_stream_too_many_is_refused_and_a_place_is_free_again_later(host, connect):
    hosting = host(games={"max_streams": 2})
    calls = connect(hosting)
    created = calls.create(spectators=True)
    streams = [calls.stream(created.game_id, created.spectator_token) for _ in range(2)]
    for stream in streams:
        next(stream)
    error = refusal(next, calls.stream(created.game_id, created.spectator_token))
    assert (error.reason, "games.max_streams" in error.message) == ("LIMIT", True)
    assert error.detail.retry_after_ms > 0
    streams[0].call.cancel()
    hosting.wait(lambda: hosting.slot.counter("streams") == 1, "a free place")
    assert next(calls.stream(created.game_id, created.spectator_token))


@pytest.mark.parametrize(
    "method",
    [
        name
        for name in names.__dict__.values()
        if name
        in (
            names.CREATE_GAME,
            names.LIST_GAMES,
            names.JOIN_GAME,
            names.SUBMIT_ACTION,
            names.GET_GAME_STATE,
            names.SURRENDER,
            names.PAUSE_GAME,
            names.GET_GAME_STATS,
        )
    ],
)
def test_bytes_that_are_no_request_are_refused(shared, method):
    error = refusal(shared.raw, method, b"\xff\xff\xff\xff")
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_REQUEST")
    assert "no farm.rpc.v1." in error.message
