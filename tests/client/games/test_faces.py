"""Both faces over real sockets, against a scripted host: the same script, the same outcome."""

import numpy as np
import pytest
from game_messages import GAME, HEIGHT, WIDTH
from scripted_host import OWNER, PASS, TOKEN

from farm.client import NO_RETRY, EventKind, GameObservation, Move, Phase
from farm.errors import GameRejectedError, UnavailableError, UsageError
from farm.rpc import names

pytestmark = pytest.mark.timeout(60)


def passes(update):
    return [] if update.to_move else None


def test_a_game_is_made_found_joined_and_asked_about(host, face):
    farm = host()
    client = face(farm.address)
    options = {"map": "6x7", "bots": {1: "random"}, "seed": 5, "tick_ms": 250, "fog": False}
    created = client.do(lambda c: c.create(**options))
    assert (created.game_id, created.owner_token) == (GAME, OWNER)
    asked = farm.created
    assert (asked.n_seats, asked.uniform.height, asked.uniform.width) == (2, 6, 7)
    assert (dict(asked.bots), asked.seed, asked.tick_ms) == ({1: "random"}, 5, 250)
    assert asked.no_fog
    assert asked.key
    joined = client.do(lambda c: c.join(GAME, name="me"))
    assert (joined.seat, joined.token, joined.info.phase) == (0, TOKEN, Phase.RUNNING)
    assert [seat.name for seat in joined.info.seats] == ["me", "random"]
    stats = client.do(lambda c: c.stats(GAME, TOKEN))
    assert [player.cities for player in stats.players] == [2, None]
    assert stats.players[0].actions_rejected == {"limit": 1}
    assert (stats.seed, stats.duration_ms) == (None, 12)


def test_all_pages_of_games_are_walked(host, face):
    games = face(host().address).do(lambda c: c.games(Phase.RUNNING))
    assert [game.game_id for game in games] == [GAME, GAME + 1, GAME + 2]


def test_the_owner_pauses_and_resumes(host, face):
    client = face(host().address)
    assert client.do(lambda c: c.pause(GAME, OWNER)) is Phase.PAUSED
    assert client.do(lambda c: c.resume(GAME, OWNER)) is Phase.RUNNING


def test_a_seat_acts_and_looks_without_a_stream(host, face):
    client = face(host().address)
    before = client.do(lambda c: c.state(GAME, TOKEN))
    result = client.do(lambda c: c.submit(GAME, TOKEN, Move(6, 7), expected_tick=0, key="k"))
    again = client.do(lambda c: c.submit(GAME, TOKEN, Move(6, 7), expected_tick=0, key="k"))
    assert result == again
    after = client.do(lambda c: c.state(GAME, TOKEN, after_tick=0, wait_s=5.0))
    assert isinstance(after, GameObservation)
    assert (before.army_at(6), after.army_at(6), after.tick) == (5, 6, 1)


def test_a_refusal_carries_its_reason_and_which_move_it_was(host, face):
    client = face(host().address)
    with pytest.raises(GameRejectedError) as caught:
        client.do(lambda c: c.submit(GAME, TOKEN, Move(6, 7), Move(3, 4)))
    error = caught.value
    assert (error.reason, error.move, error.game_id) == ("NOT_YOUR_CELL", 1, GAME)
    assert error.status == "FAILED_PRECONDITION"
    with pytest.raises(GameRejectedError) as caught:
        client.do(lambda c: c.submit(GAME, TOKEN, expected_tick=3))
    assert (caught.value.reason, caught.value.tick) == ("WRONG_TICK", 0)
    with pytest.raises(GameRejectedError, match="PERMISSION_DENIED"):
        client.do(lambda c: c.state(GAME, "guess"))


def test_a_limit_says_when_to_try_again(host, face):
    farm = host()
    farm.refuse[names.CREATE_GAME] = "LIMIT"
    with pytest.raises(GameRejectedError) as caught:
        face(farm.address).do(lambda c: c.create())
    assert (caught.value.reason, caught.value.retry_after_s) == ("LIMIT", 1.5)


def test_a_games_host_is_a_farm_enough(host, face):
    farm = host()
    assert face(farm.host_address).do(lambda c: c.join(GAME)).token == TOKEN


def test_the_token_of_the_farm_goes_with_every_call(host, face):
    farm = host()
    client = face(farm.address, token="secret")
    client.do(lambda c: c.join(GAME))
    client.do(lambda c: c.state(GAME, TOKEN))
    assert farm.tokens == {"Bearer secret"}
    with pytest.raises(UsageError, match="plaintext"):
        face("10.0.0.5:50051", token="secret")


def test_no_farm_is_said_at_once(face):
    with pytest.raises(UnavailableError, match="no farm answers"):
        face("127.0.0.1:1").do(lambda c: c.create())


def test_a_farm_without_a_games_host_says_how_to_get_one(host, face):
    farm = host()
    farm.is_hostless = True
    with pytest.raises(UnavailableError, match="games=on"):
        face(farm.address).do(lambda c: c.create())


def test_a_stream_tells_every_tick_and_ends_with_the_game(host, face):
    farm = host(last_tick=3)
    updates, results = face(farm.address).play(GAME, TOKEN, passes)
    assert [update.tick for update in updates] == [0, 1, 2, 3]
    assert [update.army_at(6) for update in updates] == [5, 6, 7, 8]
    assert [result.tick for result in results] == [0, 1, 2][: len(results)]
    kinds = [event.kind for update in updates for event in update.events]
    assert kinds == [EventKind.GAME_STARTED, EventKind.GAME_ENDED]
    assert (updates[-1].phase, updates[-1].winners) == (Phase.ENDED, (0,))


def test_a_stream_that_is_cut_goes_on_and_tells_no_event_twice(host, face):
    farm = host(last_tick=4)

    def cut_once(update):
        if update.tick == 2 and farm.calls.count(names.PLAY) == 1:
            farm.cut()
            return None
        return passes(update)

    updates, _ = face(farm.address).play(GAME, TOKEN, cut_once)
    assert [update.tick for update in updates] == [0, 1, 2, 2, 3, 4]
    assert [e.sequence for u in updates for e in u.events] == [1, 9]
    assert [opening.after_event for opening in farm.openings] == [0, 1]


def test_an_action_whose_answer_was_lost_is_sent_again_and_done_once(host, face):
    farm = host(last_tick=3)

    def lose_an_answer(update):
        farm.is_mute = update.tick == 0
        if update.tick == 1 and farm.calls.count(names.PLAY) == 1:
            farm.cut()
            return None
        return [Move(6, 7)] if update.to_move else None

    _, results = face(farm.address).play(GAME, TOKEN, lose_an_answer)
    assert [tick for tick, _ in farm.orders] == [0, 1, 2]
    assert results[0].tick == 0
    assert results[0].error is None


def test_a_host_that_comes_back_elsewhere_is_found(host, face):
    farm = host(last_tick=4)
    client = face(farm.address)

    def move_once(update):
        if update.tick == 2 and farm.calls.count(names.PLAY) == 1:
            farm.move_away()
            return None
        return passes(update)

    updates, _ = client.play(GAME, TOKEN, move_once)
    assert updates[-1].phase is Phase.ENDED
    farm.move_away()
    assert client.do(lambda c: c.state(GAME, TOKEN)).tick == 4


def test_a_stream_of_a_game_that_nobody_knows_is_refused_at_once(host, face):
    client = face(host().address)
    with pytest.raises(GameRejectedError, match="NOT_FOUND"):
        client.watch(99, TOKEN, 1)
    with pytest.raises(GameRejectedError, match="PERMISSION_DENIED"):
        client.watch(GAME, "guess", 1)


def test_a_stream_gives_up_when_the_host_stays_away(host, face):
    farm = host()
    client = face(farm.address, retry=NO_RETRY)

    def close(_update):
        farm.close()

    with pytest.raises(UnavailableError):
        client.play(GAME, TOKEN, close)


def test_rows_move_in_step_until_all_games_are_over(host, face):
    farm = host(last_tick=3)
    passing = np.full(2, PASS)
    seats, steps = face(farm.address).step_many(lambda _: passing, 9, bots={1: "random"})
    opening = farm.openings[0].create
    assert (opening.n_games, list(opening.seats), opening.game.n_seats) == (2, [0], 2)
    assert (len(seats), seats.height, seats.width, seats.is_over) == (2, HEIGHT, WIDTH, True)
    assert steps[0].first.all()
    assert [step.reward.tolist() for step in steps[1:]] == [[0.5, 0.5]] * 3
    assert [bool(step.terminated.all()) for step in steps] == [False, False, False, True]
    assert steps[-1].final_rows.tolist() == [0, 1]
    assert (steps[-1].final_frames["army"].reshape(2, -1)[:, 6] == 8).all()
    assert farm.orders == [(tick, [PASS, PASS]) for tick in range(3)]


def test_an_ended_row_is_followed_by_a_new_game(host, face):
    farm = host(last_tick=2)
    passing = np.full(2, PASS)
    seats, steps = face(farm.address).step_many(
        lambda _: passing, 5, bots={1: "random"}, autoreset=True
    )
    assert not seats.is_over
    assert [step.terminated.all() for step in steps].count(True) == 2
    ended = next(step for step in steps if step.terminated.all())
    assert (ended.final_frames["army"].reshape(2, -1)[:, 6] == 7).all()


def test_games_made_for_a_stream_that_died_are_gone_and_that_is_said(host, face):
    farm = host()

    def die(_seats):
        farm.is_mute = True
        return np.full(2, PASS)

    with pytest.raises(UnavailableError):
        face(farm.address).step_many(die, 5, bots={1: "random"})


def test_actions_that_are_none_are_refused_before_they_are_sent(host, face):
    client = face(host().address)
    for bad in ([PASS], [PASS + 1, 0], [0.5, 0.5]):
        with pytest.raises(UsageError, match="actions"):
            client.step_many(lambda _, bad=bad: np.array(bad), 5, bots={1: "random"})
