"""What a fault in one game, and what one client's games, cost the others: nothing."""

import numpy as np
import pytest
from playing import Playing, S, duel_spec, games_config

from farm.errors import FileAccessError, GameError
from farm.games import register
from farm.games.events import Kind
from farm.games.lifecycle import Phase
from farm.games.recording import Recording

pytestmark = pytest.mark.timeout(300)

DUEL = "G0 . . .\n. . . .\n. . . .\n. . . G1\n"


def pass_tick(host, *games):
    for game in games:
        for seat in range(game.spec.n_seats):
            if game.is_alive(seat):
                host.submit(game, seat)
    return host.poll()


def deaf_to(host, deaf, *kinds):
    def fail(game, _event):
        if game is deaf:
            raise RuntimeError("a subscriber that cannot take this game")

    host.bus.subscribe(fail, *kinds)


def test_a_fault_at_the_end_of_one_game_leaves_the_others_their_end():
    host = Playing()
    bad, good = host.start(max_turns=1), host.start(max_turns=1)
    deaf_to(host, bad, Kind.GAME_ENDED)
    for _ in range(2):
        assert pass_tick(host, bad, good) == 2
    assert (good.phase, good.tick, good.row) == (Phase.ENDED, 2, -1)
    assert (bad.is_open, bad.row) == (False, -1)
    assert [game_id for game_id, _ in host.faults] == [bad.game_id]
    assert host.slots.n_taken == 0


def test_a_fault_within_a_tick_of_one_game_fails_it_and_the_others_go_on():
    host = Playing()
    board = "G0 C0 . .\n. . . .\n. . . .\n. . . G1\n"
    bad, good = (host.start(kind="fixed", height=0, width=0, board=board) for _ in range(2))
    deaf_to(host, bad, Kind.CITY_CAPTURED)
    for _ in range(2):
        pass_tick(host, bad, good)
    for game in (bad, good):
        host.submit(game, 0, (0, 1, 0))
        host.submit(game, 1)
    assert host.poll() == 2
    assert (bad.phase, good.phase) == (Phase.ERROR, Phase.RUNNING)
    assert host.kinds(bad)[-1] is Kind.GAME_FAILED
    assert host.kinds(good)[-1] is Kind.CITY_CAPTURED
    assert pass_tick(host, good) == 1
    assert (bad.tick, good.tick) == (3, 4)


def test_a_game_fails_even_if_nobody_can_take_the_news():
    host = Playing()
    bad, good = host.start(max_turns=1), host.start(max_turns=2)
    deaf_to(host, bad)
    host.host.register.fail(bad, ValueError("a fault"), host.now_ns, host.wall_ns)
    assert (bad.phase, bad.row) == (Phase.ERROR, -1)
    assert pass_tick(host, good) == 1


def test_a_game_whose_start_cannot_be_written_does_not_wait_for_players_it_has(
    tmp_path, monkeypatch
):
    host = Playing(folder=tmp_path / "host-0")
    game = host.create()
    host.join(game, "anna")

    def fail(*_args):
        raise FileAccessError("no space left")

    monkeypatch.setattr(host.host.register.journal, "moved", fail)
    with pytest.raises(FileAccessError):
        host.join(game, "ben")
    assert game.phase is Phase.ERROR
    assert host.slots.n_taken == 0
    host.close()


def test_moves_of_everybody_that_wait_are_played_without_a_rest():
    host = Playing()
    game = host.start(kind="fixed", height=0, width=0, board=DUEL)
    for _ in range(10):
        pass_tick(host, game)
    there_and_back = ((0, 1, 0), (1, 0, 0), (0, 1, 0))
    host.submit(game, 0, *there_and_back)
    host.submit(game, 1, *((15 - start, 15 - end, half) for start, end, half in there_and_back))
    for left in (2, 1):
        assert host.poll() == 1
        assert game.queued(0) == game.queued(1) == left
        assert host.host.next_due_ns(host.now_ns) == host.now_ns
    assert host.poll() == 1
    assert host.host.next_due_ns(host.now_ns) > host.now_ns
    assert host.poll() == 0


def test_moves_of_one_that_wait_hurry_nobody():
    host = Playing()
    game = host.start(kind="fixed", height=0, width=0, board=DUEL)
    for _ in range(10):
        pass_tick(host, game)
    host.submit(game, 0, (0, 1, 0), (1, 0, 0))
    host.submit(game, 1)
    assert host.poll() == 1
    assert host.host.next_due_ns(host.now_ns) > host.now_ns
    assert host.poll() == 0


def test_refusals_of_both_ways_to_act_add_up_and_stay_when_the_game_is_over():
    host = Playing()
    game = host.start()
    for _ in range(2):
        with pytest.raises(GameError):
            host.submit(game, 0, key="k" * 65)
    for _ in range(3):
        host.host.submit_many(
            np.array([game.row]), np.array([0]), np.array([3], np.int32), host.now_ns
        )
    statistics = host.host.register.statistics
    assert statistics.of(game)[0].rejected == {"bad_request": 5}
    host.host.cancel(game, host.now_ns, host.wall_ns)
    assert statistics.of(game)[0].rejected == {"bad_request": 5}
    assert statistics.rejected == 5


def test_time_to_act_is_of_seats_that_the_game_waited_for():
    host = Playing()
    game = host.start(kind="fixed", height=0, width=0, board=DUEL, tick_ms=1000)
    for _ in range(10):
        host.poll(1.0)
    host.now_s += 0.25
    host.submit(game, 0, (0, 1, 0), (1, 0, 0), (0, 1, 0))
    host.poll(0.75)
    host.now_s += 0.9
    assert not game.is_awaited(0)
    host.submit(game, 0, (1, 0, 0))
    assert host.slots.clocks.act_ns[game.row, 0].tolist() == [S // 4, S // 4, 1]


def test_boards_of_games_that_are_over_take_so_much_memory_and_no_more(monkeypatch):
    host = Playing(games_config(keep_s=600))
    games = [host.start() for _ in range(6)]
    for game in games:
        host.host.cancel(game, host.now_ns, host.wall_ns)
    monkeypatch.setattr(register, "MAX_KEPT_BYTES", 2 * games[0].last_bytes)
    host.poll(1.0)
    assert [game.game_id for game in host.host.games()] == [5, 6]
    host.wait(601, step_s=50)
    assert list(host.host.games()) == []
    assert host.host.register._over_bytes == 0


def test_a_duel_of_the_host_s_own_making_is_small_in_memory():
    host = Playing()
    game = host.start(duel_spec())
    host.host.cancel(game, host.now_ns, host.wall_ns)
    assert game.last_bytes < 1024


def test_games_that_only_bots_play_leave_half_of_the_time_to_others():
    host = Playing(games_config(max_games=64))
    bots = dict.fromkeys(range(4), "random")
    for seed in range(40):
        host.start(n_seats=4, height=12, width=12, seed=seed, bots=bots)
    # In lockstep they rest for 1 ms a tick, and together are expected to take more than that.
    assert host.slots.clocks.cost_ns.sum() > S // 1000
    began_s, spent_ns = host.now_s, []
    host.bus.subscribe_ticks(
        lambda played: spent_ns.append(host.slots.clocks.cost_ns[played.rows].sum())
    )
    host.wait(1.0, step_s=0.0005)
    assert 0.4 < sum(spent_ns) / ((host.now_s - began_s) * S) <= 0.51


def test_a_round_has_room_for_small_games_of_others_however_many_large_ones_are_due():
    host = Playing(games_config(max_games=80, max_side=64, max_seats=16))
    greedy = [
        host.start(
            caller="greedy", n_seats=16, height=64, width=64, cities=0, seed=seed, tick_ms=10
        )
        for seed in range(64)
    ]
    duel = host.start(caller="victim", tick_ms=10)
    due_ns = int(host.slots.clocks.due_ns[duel.row])
    for _ in range(200):
        host.poll(0.004)  # what a round may take
        assert host.now_ns - host.slots.clocks.due_ns[duel.row] < 4_000_000
    assert duel.tick == (host.now_ns - due_ns) // (10 * S // 1000) + 1
    ticks = [game.tick for game in greedy]
    assert sum(ticks) >= 190 - duel.tick
    assert max(ticks) - min(ticks) <= 1


class Recorder:
    """In place of a recorder: notes the ticks of each game, and cannot take those of one."""

    def __init__(self):
        self.n_ticks, self.refused, self.calls = {}, None, []

    def begin(self, about, *_):
        self.n_ticks[about.game_id] = 0

    def ticked(self, game_id):
        if game_id == self.refused:
            raise MemoryError("no room for a step")
        self.n_ticks[game_id] += 1

    def abandon(self, game_id):
        self.calls.append(("abandon", game_id))

    def ended(self, game_id):
        self.calls.append(("ended", game_id))


def test_a_game_whose_experiences_cannot_be_taken_down_is_over_and_no_other():
    host = Playing()
    recorder = Recorder()
    Recording(recorder, host.slots, host.bus)
    told = []
    host.bus.subscribe_ticks(lambda played: told.append([game.game_id for game in played.games]))
    first, bad, last = (host.start(collect=True) for _ in range(3))
    assert pass_tick(host, first, bad, last) == 3
    recorder.refused = bad.game_id
    assert pass_tick(host, first, bad, last) == 3
    assert [game.phase for game in (first, bad, last)] == [
        Phase.RUNNING,
        Phase.ERROR,
        Phase.RUNNING,
    ]
    assert host.kinds(bad)[-1] is Kind.GAME_FAILED
    assert [(game_id, type(error)) for game_id, error in host.faults] == [
        (bad.game_id, MemoryError)
    ]
    assert pass_tick(host, first, last) == 2
    assert recorder.n_ticks == {first.game_id: 3, bad.game_id: 1, last.game_id: 3}
    assert recorder.calls == [("abandon", bad.game_id)]
    assert told[-1] == [first.game_id, last.game_id]


def test_a_listener_that_raises_is_told_no_more_ticks_and_costs_no_game_its_own():
    host = Playing()
    calls, told = [], []

    def fail(_played):
        calls.append(1)
        raise RuntimeError("a listener that cannot take ticks")

    host.bus.subscribe_ticks(fail)
    host.bus.subscribe_ticks(lambda played: told.append(len(played.games)))
    games = host.start(), host.start()
    for _ in range(3):
        assert pass_tick(host, *games) == 2
    assert [game.phase for game in games] == [Phase.RUNNING] * 2
    assert (len(calls), told) == (1, [2, 2, 2])
    assert [(game_id, str(error)) for game_id, error in host.faults] == [
        (None, "a listener that cannot take ticks")
    ]
    host.bus.unsubscribe_ticks(fail)
