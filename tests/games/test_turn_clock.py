"""When ticks are played, and what time does to games: on clocks that the test moves."""

import numpy as np
import pytest
from playing import Playing, S, games_config

from farm.config.schema import RewardConfig
from farm.engine.state import OUTCOME
from farm.errors import GameError
from farm.games.events import Kind
from farm.games.lifecycle import Phase

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def host_of(tmp_path):
    opened = []

    def start(*, journal=False, reward=None, **changes):
        folder = tmp_path / "host-0" if journal else None
        opened.append(Playing(games_config(**changes), folder, reward))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def refused(act, *args, **fields):
    with pytest.raises(GameError) as caught:
        act(*args, **fields)
    return caught.value.reason


def test_a_lockstep_game_waits_for_every_living_seat(host_of):
    host = host_of()
    game = host.start(n_seats=3)
    for seat in (0, 1):
        host.submit(game, seat)
        assert host.poll(0.1) == 0
    host.submit(game, 2)
    assert host.poll() == 1
    host.host.surrender(game, 2, host.now_ns, host.wall_ns)
    for seat in (0, 1):
        host.submit(game, seat)
    host.poll()
    assert game.tick == 2


def test_moves_that_wait_count_as_having_acted(host_of):
    host = host_of()
    game = host.start()
    for _ in range(20):
        for seat in (0, 1):
            host.submit(game, seat)
        host.poll()
    start, end, _ = host.random_move(game, 0, np.random.default_rng(1))
    host.submit(game, 0, (start, end, 0), (end, start, 0), (start, end, 0))
    for tick in (21, 22, 23):
        host.submit(game, 1)
        host.poll()
        assert game.tick == tick
    assert game.queued(0) == 0
    host.submit(game, 1)
    assert host.poll() == 0


def test_a_lockstep_game_passes_for_a_seat_that_takes_too_long(host_of):
    host = host_of(act_timeout_s=5)
    game = host.start()
    host.host.attach(game, 0, host.now_ns)
    host.host.attach(game, 1, host.now_ns)
    host.submit(game, 0)
    host.wait(4.9)
    assert game.tick == 0
    host.wait(0.2)
    assert game.tick == 1
    host.wait(4.7)
    assert game.tick == 1


def test_a_timed_game_plays_at_its_times_whoever_acts(host_of):
    host = host_of()
    game = host.start(tick_ms=100)
    assert host.host.next_due_ns(host.now_ns) <= host.now_ns + int(0.1 * S)
    host.wait(1.0, step_s=0.01)
    assert game.tick == 10


def test_a_clock_that_is_late_does_not_play_ticks_in_a_row(host_of):
    host = host_of()
    game = host.start(tick_ms=100)
    assert host.poll(3.0) == 1
    assert host.poll(0.05) == 0
    assert host.poll(0.06) == 1
    assert game.tick == 2


def test_bots_play_each_other_in_lockstep_and_leave_time_for_others(host_of):
    host = host_of()
    game = host.start(bots={0: "expander", 1: "random"})
    assert game.phase is Phase.RUNNING
    for _ in range(10):
        host.poll()
    assert game.tick == 1
    host.wait(0.05, step_s=0.001)
    assert game.tick > 30


def test_a_paused_game_takes_actions_and_plays_nothing(host_of):
    host = host_of()
    game = host.start(tick_ms=100)
    host.poll(0.11)
    host.host.pause(game, host.now_ns, host.wall_ns)
    host.submit(game, 0)
    host.wait(1.0)
    assert game.tick == 1
    host.host.resume(game, host.now_ns, host.wall_ns)
    host.poll(0.05)
    assert game.tick == 1
    host.poll(0.06)
    assert game.tick == 2
    assert 200 <= game.duration_ms(host.now_ns) <= 230


def test_a_seat_that_stays_away_leaves(host_of):
    host = host_of(quiet_s=2, reconnect_grace_s=3, absent="surrender")
    game = host.start(n_seats=3)
    for seat in (0, 1):
        host.host.attach(game, seat, host.now_ns)
    host.wait(1.9)
    assert game.seats[2].connected
    host.wait(0.3)
    assert not game.seats[2].connected
    host.wait(2.8)
    assert game.is_alive(2)
    host.wait(0.4)
    assert not game.is_alive(2)
    assert host.kinds(game)[-2:] == [Kind.PLAYER_DISCONNECTED, Kind.PLAYER_ELIMINATED]
    for seat in (0, 1):
        host.submit(game, seat)
    assert host.poll() == 1


def test_a_policy_plays_on_for_a_seat_until_it_is_back(host_of):
    host = host_of(quiet_s=1, reconnect_grace_s=1, absent="expander")
    game = host.start(tick_ms=100)
    host.host.attach(game, 0, host.now_ns)
    host.wait(12)
    land = int(game.board.land[1])
    assert land > 3
    assert int(game.board.land[0]) == 1
    assert host.kinds(game)[-2:] == [Kind.PLAYER_DISCONNECTED, Kind.PLAYER_REPLACED]
    host.host.attach(game, 1, host.now_ns)
    assert host.kinds(game)[-1] is Kind.PLAYER_RECONNECTED
    host.wait(2)
    assert int(game.board.land[1]) == land


def test_a_seat_without_a_stream_is_there_as_long_as_it_calls(host_of):
    host = host_of(quiet_s=1, reconnect_grace_s=1)
    game = host.start(tick_ms=1000)
    for _ in range(20):
        host.poll(0.5)
        for seat in (0, 1):
            host.host.touch(game, seat, host.now_ns)
    assert game.phase is Phase.RUNNING
    assert Kind.PLAYER_DISCONNECTED not in host.kinds(game)


def test_a_lobby_and_a_pause_last_so_long_and_an_ended_game_is_forgotten(host_of):
    host = host_of(lobby_s=10, keep_s=5, quiet_s=600)
    lobby, paused = host.create(), host.start()
    host.host.pause(paused, host.now_ns, host.wall_ns)
    host.wait(9.9)
    assert lobby.is_open
    assert paused.is_open
    host.wait(0.3)
    assert (lobby.phase, paused.phase) == (Phase.CANCELLED, Phase.CANCELLED)
    host.wait(4.5)
    assert host.host.game(lobby.game_id) is lobby
    host.wait(1)
    assert refused(host.host.game, lobby.game_id) == "UNKNOWN_GAME"
    assert host.slots.n_taken == 0


def test_a_game_ends_at_its_last_tick_undecided(host_of):
    host = host_of()
    game = host.start(max_turns=2)
    for _ in range(4):
        for seat in (0, 1):
            host.submit(game, seat)
        host.poll()
    assert (game.phase, game.tick, game.winners) == (Phase.ENDED, 4, ())
    _, event = host.events[-1]
    assert (event.kind, event.n_turns, event.winners) == (Kind.GAME_ENDED, 2, ())


def test_rows_of_games_that_are_over_are_used_again(host_of):
    host = host_of(max_games=2)
    for _ in range(20):
        first, second = host.start(), host.start()
        assert refused(host.create) == "LIMIT"
        host.host.surrender(first, 0, host.now_ns, host.wall_ns)
        host.host.cancel(second, host.now_ns, host.wall_ns)
    assert host.slots.n_taken == 0
    assert first.winners == (1,)
    assert first.frame(1).size == first.frame_bytes


def test_equal_seeds_settings_and_actions_make_equal_games(host_of):
    host = host_of()
    games = [host.start(seed=seed, bots={1: "hunter"}) for seed in (5, 5, 6)]
    rng = np.random.default_rng(3)
    for _ in range(40):
        move = host.random_move(games[0], 0, rng)
        for game in games[:2]:
            host.submit(game, 0, *([move] if move else []))
        host.submit(games[2], 0)
        host.poll()
    one, two, three = (game.board.frames.tobytes() for game in games)
    assert one == two
    assert one != three


def test_a_secret_seed_is_drawn_where_none_is_given(host_of):
    host = host_of()
    assert host.create(seed=None).spec.seed == 77


def test_games_of_a_call_are_stepped_together_each_once(host_of):
    host = host_of()
    games = [host.start(seed=seed) for seed in range(8)]
    played = []
    host.bus.subscribe_ticks(lambda one: played.append([game.game_id for game in one.games]))
    for game in games[:5]:
        for seat in (0, 1):
            host.submit(game, seat)
    assert host.poll() == 5
    assert played == [[game.game_id for game in games[:5]]]


def test_rewards_are_those_of_the_config(host_of):
    host = host_of(reward=RewardConfig(step=-0.5, draw=2.0))
    game = host.start(max_turns=1)
    seen = []
    host.bus.subscribe_ticks(
        lambda one: seen.append(host.slots.clocks.reward[one.rows, :2].tolist())
    )
    for _ in range(2):
        for seat in (0, 1):
            host.submit(game, seat)
        host.poll()
    assert seen == [[[-0.5, -0.5]], [[1.5, 1.5]]]


def test_a_journal_that_cannot_be_written_ends_its_game_and_no_other(host_of, monkeypatch):
    host = host_of(journal=True)
    bad, good = host.start(tick_ms=100), host.start(tick_ms=100)
    append = host.files.append

    def fail(game_id, data):
        if game_id == bad.game_id:
            from farm.errors import FileAccessError  # noqa: PLC0415 - for this alone

            raise FileAccessError("no space left")
        append(game_id, data)

    monkeypatch.setattr(host.files, "append", fail)
    host.wait(0.5)
    assert (bad.phase, good.phase) == (Phase.ERROR, Phase.RUNNING)
    assert host.kinds(bad)[-1] is Kind.GAME_FAILED
    assert good.tick >= 4
    assert {game_id for game_id, _ in host.faults} == {bad.game_id}
    assert not host.slots.games.status[good.row, OUTCOME]


def test_captures_are_told_to_who_sees_them_and_deaths_to_all(host_of):
    host = host_of()
    board = "G0 C0 . . . .\n. . . . . .\n. . M M . .\n. . . . . .\n. . . . . .\n. . . . G2 G1\n"
    game = host.start(n_seats=3, kind="fixed", height=0, width=0, board=board)
    for _ in range(2):
        for seat in range(3):
            host.submit(game, seat)
        host.poll()
    host.submit(game, 0, (0, 1, 0))
    for _ in range(12):
        for seat in range(3):
            if game.is_alive(seat) and not game.queued(seat):
                host.submit(game, seat)
        host.poll()
    city = next(event for _, event in host.events if event.kind is Kind.CITY_CAPTURED)
    assert (city.by, city.cell, city.seat, city.seen_by) == (0, 1, None, 0b001)
    # Seat 2 sends its army away, and the neighbour takes its general.
    host.submit(game, 2, (34, 33, 0), clear=True)
    for seat in (0, 1):
        host.submit(game, seat, clear=True)
    host.poll()
    host.submit(game, 1, (35, 34, 0), clear=True)
    for seat in (0, 2):
        host.submit(game, seat, clear=True)
    host.poll()
    taken, out = (event for _, event in host.events[-2:])
    assert (taken.kind, taken.by, taken.seat, taken.cell) == (Kind.GENERAL_CAPTURED, 1, 2, 34)
    assert taken.seen_by == 0b110
    assert (out.kind, out.by, out.seat, out.seen_by) == (Kind.PLAYER_ELIMINATED, 1, 2, 0xFFFF)
    assert game.seats[1].kills == 1


def test_refusals_leave_everything_as_it_was(host_of):
    host = host_of(journal=True)
    game = host.start()
    n_bytes = host.files.n_bytes(game.game_id)
    assert refused(host.submit, game, 0, (0, 99, 0)) == "OFF_BOARD"
    assert refused(host.submit, game, 0, expected_tick=5) == "WRONG_TICK"
    assert host.files.n_bytes(game.game_id) == n_bytes
    assert game.is_awaited(0)
    assert game.seats[0].rejected == {"off_board": 1, "wrong_tick": 1}


def test_a_general_that_its_player_left_behind_is_told_when_it_is_taken(host_of):
    host = host_of()
    board = "G0 . G1 .\n. . . .\n. . . .\nG2 . . .\n"
    game = host.start(n_seats=3, kind="fixed", height=0, width=0, board=board)
    for moves in ({},) * 8 + ({1: (2, 6, 0)},):
        for seat in range(3):
            host.submit(game, seat, *([moves[seat]] if seat in moves else []))
        host.poll()
    host.host.surrender(game, 1, host.now_ns, host.wall_ns)
    for move in ((0, 1, 0), (1, 2, 0)):
        host.submit(game, 0, move)
        host.submit(game, 2)
        host.poll()
    assert host.kinds(game)[-2:] == [Kind.PLAYER_ELIMINATED, Kind.GENERAL_CAPTURED]
    _, taken = host.events[-1]
    assert (taken.by, taken.seat, taken.cell, taken.tick) == (0, 1, 2, game.tick)
    assert [seat.kills for seat in game.seats] == [1, 0, 0]


def test_a_general_that_a_teammate_inherits_is_not_taken(host_of):
    host = host_of()
    board = "G0 . G1 .\n. . . .\n. . . .\nG2 . . .\n"
    game = host.start(
        n_seats=3, kind="fixed", height=0, width=0, board=board, teams=(0, 0, 1), tick_ms=100
    )
    host.host.attach(game, 0, host.now_ns)
    host.host.attach(game, 2, host.now_ns)
    host.host.surrender(game, 1, host.now_ns, host.wall_ns)
    host.wait(7)
    assert game.board.owner[2] == 0
    assert Kind.GENERAL_CAPTURED not in host.kinds(game)
