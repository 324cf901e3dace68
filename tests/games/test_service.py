"""The unary calls over a real port: what each promises in games.proto."""

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from hosting import RefusedError

from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb
from farm.spec.boards import parse_board
from farm.spec.observation import frame_bytes

pytestmark = pytest.mark.timeout(300)

OPEN_BOARD = """
G0 . . . .
.  . . . .
.  . C5 . .
.  . . M .
.  . . . G1
"""
CORNER, BELOW_IT = 0, 5


def duel(calls, **fields):
    """A running game of two agents: its CreateGameResponse and both tokens."""
    created = calls.create(**({"board": OPEN_BOARD} | fields))
    return created, [calls.join(created.game_id, name).token for name in ("anna", "bob")]


def test_a_game_is_created_joined_and_starts_with_its_last_seat(shared):
    created = shared.create(name="for tea", tick_ms=600_000)
    assert created.owner_token
    assert not created.spectator_token
    first = shared.join(created.game_id, "anna")
    assert (first.seat, first.game.phase, first.game.name) == (0, pb.PHASE_LOBBY, "for tea")
    second = shared.join(created.game_id, "bob")
    assert (second.seat, second.game.phase) == (1, pb.PHASE_RUNNING)
    assert second.game.started_ns >= second.game.created_ns > 0
    assert [seat.kind for seat in second.game.seats] == ["agent", "agent"]
    assert [seat.name for seat in second.game.seats] == ["anna", "bob"]
    assert second.token != first.token


def test_seats_of_bots_are_taken(shared):
    created = shared.create(bots={0: "random"})
    joined = shared.join(created.game_id)
    assert joined.seat == 1
    assert [seat.kind for seat in joined.game.seats] == ["bot", "agent"]
    assert joined.game.seats[0].name == "random"


def test_a_repeated_creation_with_the_same_key_gets_the_first_answer(shared):
    first = shared.create(key="mine alone", spectators=True)
    assert shared.create(key="mine alone", spectators=True) == first
    assert shared.create(spectators=True).game_id != first.game_id


def test_a_repeated_join_with_the_same_key_gets_the_first_answer(shared):
    created = shared.create()
    first = shared.join(created.game_id, key="a secret of anna's")
    again = shared.join(created.game_id, key="a secret of anna's")
    assert (again.seat, again.token) == (first.seat, first.token)


def test_a_repeated_action_with_the_same_key_is_carried_out_once(shared):
    created, (anna, bob) = duel(shared)
    shared.pass_ticks(created, (anna, bob), 2)
    moves = ((CORNER, BELOW_IT),)
    first = shared.submit(created.game_id, anna, *moves, key="1")
    assert shared.submit(created.game_id, anna, *moves, key="1") == first
    assert first.queued == 1
    assert shared.state(created.game_id, anna).queued == 1


def test_a_lobby_has_no_view_and_a_running_game_has(shared):
    created = shared.create(spectators=True)
    anna = shared.join(created.game_id).token
    for token in (anna, created.spectator_token):
        state = shared.state(created.game_id, token)
        assert (state.phase, state.WhichOneof("view")) == (pb.PHASE_LOBBY, None)
    shared.join(created.game_id)
    assert shared.state(created.game_id, anna).WhichOneof("view") == "observation"
    assert shared.state(created.game_id, created.spectator_token).WhichOneof("view") == "full"


def test_a_seat_sees_its_frame_and_a_spectator_the_whole_board(shared):
    created, (anna, _) = duel(shared, spectators=True)
    seen = shared.state(created.game_id, anna)
    assert (seen.tick, seen.to_move, seen.queued) == (0, True, 0)
    observation = seen.observation
    assert (observation.seat, observation.n_seats, observation.n_allies) == (0, 2, 0)
    assert (observation.height, observation.width) == (5, 5)
    assert len(observation.frame) == frame_bytes(25, 2)
    full = shared.state(created.game_id, created.spectator_token).full
    board = parse_board(OPEN_BOARD)
    owner = np.frombuffer(full.owner, np.int8)
    assert [int(owner[cell]) for cell in board.generals] == [0, 1]
    assert int(owner[board.mountains[0]]) == -2
    assert int(np.frombuffer(full.army, "<i4")[board.cities[0]]) == 5
    assert len(full.terrain) == 25
    assert [(one.seat, one.land, one.alive) for one in full.scores] == [(0, 1, True), (1, 1, True)]


def test_a_lockstep_game_plays_a_tick_when_every_seat_has_acted(shared):
    created, (anna, bob) = duel(shared)
    answered = shared.submit(created.game_id, anna)
    assert answered.tick == 0
    waiting = shared.state(created.game_id, anna)
    assert (waiting.tick, waiting.to_move) == (0, False)
    assert shared.state(created.game_id, bob).to_move
    shared.submit(created.game_id, bob)
    assert shared.state(created.game_id, anna, after_tick=0, wait_ms=10_000).tick == 1


def test_a_long_poll_ends_with_the_next_tick_or_when_its_time_is_over(shared):
    created, (anna, _) = duel(shared)
    assert shared.state(created.game_id, anna, after_tick=0, wait_ms=50).tick == 0
    timed, (anna, _) = duel(shared, tick_ms=30)
    assert shared.state(timed.game_id, anna, after_tick=2, wait_ms=10_000).tick >= 3


def test_a_long_poll_ends_with_the_game(shared):
    created, (anna, bob) = duel(shared)
    path = names.method_path(names.GET_GAME_STATE, names.GAME_SERVICE)
    request = pb.GetGameStateRequest(
        game_id=created.game_id, token=anna, after_tick=100, wait_ms=30_000
    )
    waiting = shared.channel.unary_unary(path).future(request.SerializeToString(), timeout=20)
    shared.unary(names.SURRENDER, game_id=created.game_id, token=bob)
    state = pb.GameUpdate.FromString(waiting.result())
    assert (state.phase, list(state.winners)) == (pb.PHASE_ENDED, [0])


def test_games_are_listed_by_id_in_pages_and_by_phase(shared):
    made = [shared.create(name=f"page {n}").game_id for n in range(5)]
    duel(shared)
    listed, token = [], ""
    while True:
        page = shared.unary(
            names.LIST_GAMES, phases=[pb.PHASE_LOBBY], page_size=2, page_token=token
        )
        assert len(page.games) <= 2
        listed += page.games
        token = page.next_page_token
        if not token:
            break
    ids = [game.game_id for game in listed]
    assert ids == sorted(ids)
    assert set(made) <= set(ids)
    assert {game.phase for game in listed} == {pb.PHASE_LOBBY}
    everything = shared.unary(names.LIST_GAMES, page_size=500)
    assert set(ids) < {game.game_id for game in everything.games}
    assert not everything.next_page_token


def test_a_page_token_outlives_its_host(host, connect):
    before = connect(host())
    made = [before.create().game_id for _ in range(2)]
    token = before.unary(names.LIST_GAMES, page_size=1).next_page_token
    after = connect(host())
    after.create(), after.create()
    page = after.unary(names.LIST_GAMES, page_token=token)
    assert [game.game_id for game in page.games] == [made[1]]


@pytest.mark.parametrize("token", ["x", "AAAA", "é" * 30, "0" * 4000])
def test_a_page_token_that_was_not_given_out_is_refused(shared, token):
    with pytest.raises(RefusedError) as refused:
        shared.unary(names.LIST_GAMES, page_token=token)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in refused.value.message


def test_an_owner_pauses_resumes_and_cancels(shared):
    created, (anna, bob) = duel(shared)
    assert shared.owner(names.PAUSE_GAME, created).phase == pb.PHASE_PAUSED
    for token in (anna, bob):
        shared.submit(created.game_id, token)
    state = shared.state(created.game_id, anna, after_tick=0, wait_ms=50)
    assert (state.phase, state.tick) == (pb.PHASE_PAUSED, 0)
    assert shared.owner(names.RESUME_GAME, created).phase == pb.PHASE_RUNNING
    assert shared.state(created.game_id, anna, after_tick=0, wait_ms=10_000).tick == 1
    assert shared.owner(names.CANCEL_GAME, created).phase == pb.PHASE_CANCELLED
    assert shared.state(created.game_id, anna).phase == pb.PHASE_CANCELLED


def test_a_surrender_ends_a_duel_at_once(shared):
    created, (anna, bob) = duel(shared)
    shared.unary(names.SURRENDER, game_id=created.game_id, token=anna)
    state = shared.state(created.game_id, bob)
    assert (state.phase, list(state.winners)) == (pb.PHASE_ENDED, [1])
    listed = shared.unary(names.LIST_GAMES, phases=[pb.PHASE_ENDED], page_size=500).games
    (mine,) = [game for game in listed if game.game_id == created.game_id]
    assert list(mine.winners) == [1]


def test_statistics_say_who_has_what_and_how_they_act(shared):
    created, (anna, bob) = duel(shared, spectators=True)
    shared.pass_ticks(created, (anna, bob), 2)
    shared.submit(created.game_id, anna, (CORNER, BELOW_IT), clear=True)
    with pytest.raises(RefusedError):
        shared.submit(created.game_id, bob, (CORNER, BELOW_IT))
    stats = shared.stats(created.game_id, created.spectator_token)
    assert stats.game.game_id == created.game_id
    assert [one.name for one in stats.players] == ["anna", "bob"]
    assert [one.actions_accepted for one in stats.players] == [3, 2]
    assert dict(stats.players[1].actions_rejected) == {"not_your_cell": 1}
    assert stats.players[0].act_mean_ms > 0
    assert [one.cities for one in stats.players] == [0, 0]


def test_a_player_learns_of_enemies_the_scoreboard_only_and_no_seed(shared):
    created, (anna, bob) = duel(shared, seed=99, spectators=True)
    shared.submit(created.game_id, bob)
    with pytest.raises(RefusedError):
        shared.submit(created.game_id, bob, (CORNER, BELOW_IT))
    stats = shared.stats(created.game_id, anna)
    mine, enemy = stats.players
    assert mine.HasField("cities")
    assert not enemy.HasField("cities")
    assert (enemy.actions_accepted, dict(enemy.actions_rejected), enemy.act_max_ms) == (0, {}, 0)
    assert (enemy.army, enemy.land, enemy.alive) == (1, 1, True)
    assert not stats.HasField("seed")
    assert not shared.stats(created.game_id, created.spectator_token).HasField("seed")
    shared.unary(names.SURRENDER, game_id=created.game_id, token=bob)
    ended = shared.stats(created.game_id, anna)
    assert ended.seed == 99
    assert ended.players[1].HasField("cities")
    assert ended.players[1].actions_accepted == 1
    assert ended.ended_ns > 0


def test_the_owner_of_a_game_without_spectators_sees_no_more_than_the_scoreboard(shared):
    created, _ = duel(shared)
    stats = shared.stats(created.game_id, created.owner_token)
    assert not any(player.HasField("cities") for player in stats.players)
    watched, _ = duel(shared, spectators=True)
    stats = shared.stats(watched.game_id, watched.owner_token)
    assert all(player.HasField("cities") for player in stats.players)


def test_without_fog_a_seat_sees_everybody(shared):
    created, (anna, bob) = duel(shared, no_fog=True)
    frames = [shared.state(created.game_id, token).observation.frame for token in (anna, bob)]
    owners = [np.frombuffer(frame, np.uint8)[50:75] & 31 for frame in frames]
    assert (owners[0][0], owners[0][24]) == (1, 2)
    assert (owners[1][0], owners[1][24]) == (2, 1)
    assert 31 not in owners[0]


def test_the_server_answers_health_and_reflection(shared):
    check = shared.channel.unary_unary("/grpc.health.v1.Health/Check")
    request = health_pb2.HealthCheckRequest(service=names.GAME_SERVICE)
    answer = health_pb2.HealthCheckResponse.FromString(
        check(request.SerializeToString(), timeout=10)
    )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
