"""PlayMany: many seats packed into one stream."""

import grpc
import numpy as np
import pytest
from hosting import RefusedError, pass_rows

from farm.games import kernels
from farm.games.rows import Rows
from farm.games.warm_up import compile_kernels
from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb
from farm.spec import frame_dtype
from farm.spec.actions import legal_mask, pass_action
from farm.spec.observation import frame_bytes

pytestmark = pytest.mark.timeout(300)

TERMINATED, TRUNCATED, WAITS, FIRST = 1, 2, 4, 8
DUEL = {"n_seats": 2, "uniform": pb.UniformMap(height=10, width=10), "seed": 5}


class Update:
    """An update, unpacked."""

    def __init__(self, opened, message):
        update = message.update
        self.rows = np.frombuffer(update.rows, "<i4")
        self.ticks = np.frombuffer(update.ticks, "<i4")
        self.frames = np.frombuffer(update.frames, np.uint8).reshape(-1, opened.frame_bytes)
        self.reward = np.frombuffer(update.reward, "<f4")
        self.flags = np.frombuffer(update.flags, np.uint8)
        self.game_ids = np.frombuffer(update.game_ids, "<u8")
        self.raw = update
        sizes = {len(self.rows), len(self.ticks), len(self.frames), len(self.reward)}
        assert sizes == {len(self.flags)}

    @property
    def waiting(self):
        return self.rows[self.flags & WAITS > 0]


def many(calls, *, n_games=3, seats=(0, 1), autoreset=False, **fields):
    """A stream that has created games: the stream and its first message."""
    create = pb.ManyGames(
        game=pb.CreateGameRequest(**(DUEL | fields)),
        n_games=n_games,
        seats=seats,
        autoreset=autoreset,
    )
    opening = pb.PlayManyRequest(open=pb.PlayManyOpen(create=create))
    stream = calls.talk(names.PLAY_MANY, opening)
    return stream, next(stream).opened


def random_actions(opened, update, rng):
    """For each row that waits a legal action."""
    dtype = frame_dtype(opened.height, opened.width, opened.n_seats)
    wanted = np.flatnonzero(update.flags & WAITS)
    seen = update.frames[wanted].view(dtype)[:, 0]
    mask = legal_mask(seen["tile"], seen["army"], 0)
    score = rng.random(mask.shape) * mask
    score[:, -1] *= 0.01
    return update.rows[wanted], score.argmax(axis=1).astype("<i4")


def send(stream, rows, actions):
    packed = pb.PlayManyActions(
        rows=np.asarray(rows, "<i4").tobytes(), actions=np.asarray(actions, "<i4").tobytes()
    )
    stream.send(pb.PlayManyRequest(actions=packed))


def test_games_are_made_for_the_stream_and_every_row_begins(shared):
    stream, opened = many(shared, n_games=3)
    assert [row.seat for row in opened.rows] == [0, 1] * 3
    assert len({row.game_id for row in opened.rows}) == 3
    assert (opened.height, opened.width, opened.n_seats) == (10, 10, 2)
    assert opened.frame_bytes == frame_bytes(100, 2)
    first = Update(opened, next(stream))
    assert list(first.rows) == list(range(6))
    assert set(first.ticks) == {0}
    assert set(first.flags) == {WAITS | FIRST}
    assert not first.reward.any()
    assert list(first.game_ids) == [row.game_id for row in opened.rows]
    state = shared.state(opened.rows[3].game_id, opened.rows[3].token)
    assert state.observation.frame == first.frames[3].tobytes()
    stream.half_close()


def test_games_of_a_stream_count_their_seeds_on_from_the_first(shared):
    boards = []
    for seed in (5, 6):
        stream, opened = many(shared, n_games=2, seed=seed)
        boards.append(Update(opened, next(stream)).frames)
        stream.half_close()
    assert boards[0][2:4].tobytes() == boards[1][0:2].tobytes()
    assert boards[0][0:2].tobytes() != boards[0][2:4].tobytes()


def test_a_learner_that_answers_each_update_drives_the_games_in_step(shared):
    stream, opened = many(shared, n_games=4)
    for tick in range(20):
        update = Update(opened, next(stream))
        assert list(update.rows) == list(range(8))
        assert set(update.ticks) == {tick}
        assert list(update.waiting) == list(range(8))
        assert bool(update.raw.game_ids) is (tick == 0)
        stream.send(pass_rows(opened, update.waiting))
    stream.half_close()


def test_only_games_whose_seats_have_all_acted_go_on(shared):
    stream, opened = many(shared, n_games=3)
    next(stream)
    stream.send(pass_rows(opened, [0, 2, 3]))
    update = Update(opened, next(stream))
    assert list(update.rows) == [2, 3]
    stream.send(pass_rows(opened, [1, 4, 5]))
    seen = set()
    while seen != {0, 1, 4, 5}:
        seen |= set(Update(opened, next(stream)).rows.tolist())
    stream.half_close()


def test_whole_games_are_played_to_their_end_and_followed_by_others(shared):
    stream, opened = many(shared, n_games=4, autoreset=True, max_turns=30)
    rng = np.random.default_rng(3)
    n_ends = 0
    game_of = {}
    for _ in range(200):
        update = Update(opened, next(stream))
        last = {}
        for at, row in enumerate(update.rows.tolist()):
            flags = int(update.flags[at])
            if flags & FIRST:
                assert update.ticks[at] == 0
                assert update.reward[at] == 0
                assert row not in game_of or row in last
                assert game_of.get(row) != update.game_ids[at]
                game_of[row] = update.game_ids[at]
            elif flags & (TERMINATED | TRUNCATED):
                last[row] = at
                n_ends += 1
                assert not flags & WAITS
                assert update.ticks[at] <= 60
        assert set(last) <= set(update.waiting.tolist())
        send(stream, *random_actions(opened, update, rng))
    assert n_ends >= 8
    assert n_ends % 2 == 0
    stream.half_close()


def test_without_autoreset_the_stream_ends_with_the_last_game(shared):
    stream, opened = many(shared, n_games=2, max_turns=5)
    flags = {}
    for message in stream:
        update = Update(opened, message)
        flags |= dict(zip(update.rows.tolist(), update.flags.tolist(), strict=True))
        if update.waiting.size:
            stream.send(pass_rows(opened, update.waiting))
    assert flags == dict.fromkeys(range(4), TRUNCATED)


def test_rewards_are_those_of_the_farm(host, connect):
    calls = connect(host(reward={"step": -0.25, "draw": 3.0}))
    stream, opened = many(calls, n_games=1, max_turns=3)
    rewards = []
    for message in stream:
        update = Update(opened, message)
        rewards.append(update.reward.tolist())
        if update.waiting.size:
            stream.send(pass_rows(opened, update.waiting))
    assert rewards == [[0.0, 0.0], *[[-0.25, -0.25]] * 5, [2.75, 2.75]]


def test_bots_hold_the_seats_that_the_stream_does_not_play(shared):
    stream, opened = many(shared, n_games=2, seats=[1], bots={0: "expander"}, max_turns=40)
    assert [row.seat for row in opened.rows] == [1, 1]
    lands = []
    for message in stream:
        update = Update(opened, message)
        seen = update.frames.view(frame_dtype(10, 10, 2))[:, 0]
        lands.append(seen["total_land"][0].tolist())
        if update.waiting.size:
            stream.send(pass_rows(opened, update.waiting))
    assert lands[-1][0] == 1
    assert lands[-1][1] > 5


def test_what_is_not_legal_is_counted_and_passes(shared):
    stream, opened = many(shared, n_games=1)
    next(stream)
    game = opened.rows[0]
    for action in (0, -1, 801, 2**31 - 1, -(2**31)):
        send(stream, [0, 1], [action, pass_action(100)])
        next(stream)
    stats = shared.stats(game.game_id, game.token)
    assert stats.game.tick == 5
    assert sum(stats.players[0].actions_rejected.values()) == 5
    assert stats.players[0].actions_accepted == 0
    stream.half_close()


def test_games_of_a_stream_are_cancelled_with_it(shared):
    stream, opened = many(shared)
    next(stream)
    stream.half_close()
    list(stream)
    row = opened.rows[0]
    assert shared.state(row.game_id, row.token).phase == pb.PHASE_CANCELLED


def test_a_stream_that_breaks_takes_its_games_with_it(shared):
    stream, opened = many(shared)
    next(stream)
    stream.call.cancel()
    row = opened.rows[0]
    shared.hosting.wait(
        lambda: shared.state(row.game_id, row.token).phase == pb.PHASE_CANCELLED, "the cancellation"
    )


def test_joined_seats_are_played_and_stay_when_the_stream_ends(shared):
    created = [shared.create(**DUEL) for _ in range(2)]
    keys = [
        pb.SeatKey(game_id=one.game_id, token=shared.join(one.game_id, f"{n}").token)
        for one in created
        for n in range(2)
    ]
    opening = pb.PlayManyRequest(open=pb.PlayManyOpen(seats=keys[:3]))
    stream = shared.talk(names.PLAY_MANY, opening)
    opened = next(stream).opened
    assert [(row.game_id, row.seat, row.token) for row in opened.rows] == [
        (created[0].game_id, 0, ""),
        (created[0].game_id, 1, ""),
        (created[1].game_id, 0, ""),
    ]
    update = Update(opened, next(stream))
    stream.send(pass_rows(opened, update.waiting))
    assert list(Update(opened, next(stream)).rows) == [0, 1]
    shared.submit(created[1].game_id, keys[3].token)
    assert list(Update(opened, next(stream)).rows) == [2]
    stream.half_close()
    list(stream)
    assert shared.state(created[0].game_id, keys[0].token).phase == pb.PHASE_RUNNING


def test_rows_of_a_lobby_begin_with_its_game(shared):
    created = shared.create(**DUEL)
    anna = shared.join(created.game_id)
    key = pb.SeatKey(game_id=created.game_id, token=anna.token)
    opening = pb.PlayManyRequest(open=pb.PlayManyOpen(seats=[key]))
    stream = shared.talk(names.PLAY_MANY, opening)
    opened = next(stream).opened
    shared.join(created.game_id)
    update = Update(opened, next(stream))
    assert (list(update.rows), list(update.flags)) == ([0], [WAITS | FIRST])
    stream.half_close()


def test_a_seat_that_dies_is_told_once_and_the_others_go_on(shared):
    created = shared.create(**(DUEL | {"n_seats": 3}))
    keys = [
        pb.SeatKey(game_id=created.game_id, token=shared.join(created.game_id).token)
        for _ in range(3)
    ]
    stream = shared.talk(names.PLAY_MANY, pb.PlayManyRequest(open=pb.PlayManyOpen(seats=keys)))
    opened = next(stream).opened
    next(stream)
    shared.unary(names.SURRENDER, game_id=created.game_id, token=keys[1].token)
    flags = {0: [], 1: [], 2: []}
    for _ in range(4):
        stream.send(pass_rows(opened, [0, 2]))
        update = Update(opened, next(stream))
        while update.ticks.max() == 0:
            for row, flag in zip(update.rows.tolist(), update.flags.tolist(), strict=True):
                flags[row].append(flag)
            update = Update(opened, next(stream))
        for row, flag in zip(update.rows.tolist(), update.flags.tolist(), strict=True):
            flags[row].append(flag)
    assert flags[1] == [TERMINATED]
    assert set(flags[0]) == {WAITS}
    stream.half_close()


def test_a_game_called_off_ends_its_rows(shared):
    created = shared.create(**DUEL)
    keys = [
        pb.SeatKey(game_id=created.game_id, token=shared.join(created.game_id).token)
        for _ in range(2)
    ]
    stream = shared.talk(names.PLAY_MANY, pb.PlayManyRequest(open=pb.PlayManyOpen(seats=keys)))
    opened = next(stream).opened
    next(stream)
    shared.owner(names.CANCEL_GAME, created)
    updates = [Update(opened, message) for message in stream]
    assert [list(one.flags) for one in updates] == [[TRUNCATED, TRUNCATED]]


def refusal(calls, opening):
    stream = calls.talk(names.PLAY_MANY, pb.PlayManyRequest(open=opening))
    with pytest.raises(RefusedError) as refused:
        list(stream)
    return refused.value


def test_an_opening_that_cannot_be_is_refused_by_its_field(shared):
    game = pb.CreateGameRequest(**DUEL)

    def made(**fields):
        return pb.PlayManyOpen(create=pb.ManyGames(**({"game": game, "n_games": 2} | fields)))

    created = shared.create(**DUEL)
    key = pb.SeatKey(game_id=created.game_id, token=shared.join(created.game_id).token)
    other = shared.create(n_seats=3)
    odd = pb.SeatKey(game_id=other.game_id, token=shared.join(other.game_id).token)
    both = made(seats=[0, 1])
    both.seats.append(key)
    for opening, field in [
        (pb.PlayManyOpen(), "seats"),
        (both, "create"),
        (made(), "seats"),
        (made(seats=[0, 0]), "seats"),
        (made(seats=[0, 2]), "seats"),
        (made(seats=[0]), "seats"),
        (made(seats=[0, 1], n_games=0), "n_games"),
        (made(seats=[0, 1], n_games=4097), "n_games"),
        (pb.PlayManyOpen(seats=[key, key]), "seats"),
        (pb.PlayManyOpen(seats=[key, odd]), "seats"),
    ]:
        error = refusal(shared, opening)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
        assert field in error.message
    bad = pb.SeatKey(game_id=created.game_id, token="x")
    assert refusal(shared, pb.PlayManyOpen(seats=[bad])).reason == "BAD_TOKEN"


def test_more_games_than_the_host_has_room_for_leave_none_behind(shared):
    def n_open():
        phases = [pb.PHASE_LOBBY, pb.PHASE_RUNNING, pb.PHASE_PAUSED]
        return len(shared.unary(names.LIST_GAMES, phases=phases, page_size=500).games)

    before = n_open()
    game = pb.CreateGameRequest(**DUEL)
    opening = pb.PlayManyOpen(create=pb.ManyGames(game=game, n_games=1000, seats=[0, 1]))
    error = refusal(shared, opening)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT")
    assert n_open() <= before


@pytest.mark.parametrize(
    ("rows", "actions"),
    [([0, 0], [1, 1]), ([6], [0]), ([-1], [0]), ([0, 1], [0]), ([2**31 - 1], [0])],
)
def test_actions_that_do_not_fit_the_rows_end_the_stream(shared, rows, actions):
    stream, _ = many(shared)
    next(stream)
    send(stream, rows, actions)
    with pytest.raises(RefusedError) as refused:
        list(stream)
    assert refused.value.reason == "BAD_REQUEST"


def test_numbers_that_are_cut_off_end_the_stream(shared):
    stream, _ = many(shared)
    next(stream)
    packed = pb.PlayManyActions(rows=b"\0\0\0", actions=b"\0\0\0\0")
    stream.send(pb.PlayManyRequest(actions=packed))
    with pytest.raises(RefusedError) as refused:
        list(stream)
    assert refused.value.reason == "BAD_REQUEST"


def test_a_learner_that_reads_late_misses_no_reward_and_no_end(host, connect):
    calls = connect(host(reward={"step": 1.0}))
    stream, opened = many(calls, n_games=2, seats=[0, 1], tick_ms=10, max_turns=10, autoreset=True)
    per_game = []
    reward = np.zeros(4)
    while len(per_game) < 12:
        update = Update(opened, next(stream))
        for at, row in enumerate(update.rows.tolist()):
            reward[row] += update.reward[at]
            if update.flags[at] & TRUNCATED:
                assert update.ticks[at] == 20
                per_game.append(reward[row])
                reward[row] = 0
    assert set(per_game) == {20.0}
    stream.half_close()


def test_a_whole_game_compiles_no_kernel_anew(shared):
    compile_kernels()
    known = {name: list(kernel.signatures) for name, kernel in kernels_of(kernels).items()}
    stream, opened = many(shared, n_games=1, seats=[0, 1], max_turns=5, collect=True)
    for message in stream:
        waiting = Update(opened, message).waiting
        if waiting.size:
            stream.send(pass_rows(opened, waiting))
    assert known == {name: list(kernel.signatures) for name, kernel in kernels_of(kernels).items()}


def kernels_of(module):
    return {name: it for name, it in vars(module).items() if hasattr(it, "signatures")}


def joined(calls, **fields):
    """A key for each seat of a new game of two, the first of which is alone."""
    created = calls.create(**(DUEL | fields))
    tokens = [calls.join(created.game_id, f"{n}").token for n in range(2)]
    return [pb.SeatKey(game_id=created.game_id, token=token) for token in tokens]


def test_a_game_without_fog_beside_it_does_not_change_what_a_row_sees(shared):
    keys = [*joined(shared, no_fog=True), *joined(shared)]
    stream = shared.talk(names.PLAY_MANY, pb.PlayManyRequest(open=pb.PlayManyOpen(seats=keys)))
    opened = next(stream).opened
    for _ in range(2):
        update = Update(opened, next(stream))
        assert list(update.rows) == [0, 1, 2, 3]
        for key, frame in zip(keys, update.frames, strict=True):
            state = shared.state(key.game_id, key.token)
            assert state.observation.frame == frame.tobytes()
        stream.send(pass_rows(opened, update.waiting))
    stream.half_close()


def test_actions_of_a_row_whose_game_has_not_begun_are_not_taken(host, connect):
    calls = connect(host(games={"max_games": 2}))
    running = joined(calls)
    # Its slot had a game in which the seat lived.
    before = calls.create(**DUEL)
    for _ in range(2):
        calls.join(before.game_id)
    calls.owner(names.CANCEL_GAME, before)
    created = calls.create(**DUEL)
    anna = calls.join(created.game_id)
    key = pb.SeatKey(game_id=created.game_id, token=anna.token)
    opening = pb.PlayManyOpen(seats=[key, *running])
    stream = calls.talk(names.PLAY_MANY, pb.PlayManyRequest(open=opening))
    opened = next(stream).opened
    next(stream)
    stream.send(pass_rows(opened, [0, 1, 2]))
    assert list(Update(opened, next(stream)).rows) == [1, 2]
    calls.join(created.game_id)
    update = Update(opened, next(stream))
    assert (list(update.rows), list(update.flags)) == ([0], [WAITS | FIRST])
    assert calls.stats(key.game_id, key.token).players[0].actions_accepted == 0
    stream.half_close()


def test_games_that_end_while_others_are_made_are_told_like_any(host, connect):
    """A turn takes 20 ms, which is less than it takes to make the others."""
    calls = connect(host(games={"max_games": 256}))
    stream, opened = many(calls, n_games=256, seats=[0, 1], tick_ms=10, max_turns=1)
    flags = np.zeros(512, np.uint8)
    for message in stream:
        update = Update(opened, message)
        np.bitwise_or.at(flags, update.rows, update.flags & (FIRST | TRUNCATED))
    assert set(flags.tolist()) == {FIRST | TRUNCATED}
    assert len({row.game_id for row in opened.rows}) == 256


def test_a_stream_that_cannot_take_ticks_in_ends_and_the_others_go_on(shared, monkeypatch):
    (bad, _), (good, opened) = many(shared), many(shared)
    next(bad)
    played, calls = Rows.played, []

    def fail_once(rows, slots):
        calls.append(rows)
        if len(calls) == 1:  # of the stream that listens the longest
            raise RuntimeError("rows that cannot be read")
        return played(rows, slots)

    monkeypatch.setattr(Rows, "played", fail_once)
    for tick in range(3):
        update = Update(opened, next(good))
        assert set(update.ticks.tolist()) == {tick}
        good.send(pass_rows(opened, update.waiting))
    with pytest.raises(RefusedError) as refused:
        next(bad)
    assert refused.value.code is grpc.StatusCode.INTERNAL
    assert calls.count(calls[0]) == 1
    next(good)
    good.half_close()
