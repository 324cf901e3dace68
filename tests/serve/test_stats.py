"""Statistics against sums over plain lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import InvalidRequestError, NotFoundError
from farm.serve import stats
from farm.serve.stats import Statistics, StatsRow
from farm.spec.trajectory import RECORD_HEADER


def rows(**columns):
    made = np.zeros(len(next(iter(columns.values()))), dtype=RECORD_HEADER)
    made["n_steps"] = 1
    for name, values in columns.items():
        made[name] = values
    return made


def count(statistics, headers):
    while len(headers):
        room = statistics.room().view(RECORD_HEADER)
        n = min(len(room), len(headers))
        room[:n] = headers[:n]
        statistics.add(n)
        headers = headers[n:]
    return statistics


def test_before_the_first_record_everything_is_zero():
    statistics = Statistics(8)
    assert statistics.total() == StatsRow()
    assert statistics.per_seat() == {}


headers = st.lists(
    st.tuples(
        st.integers(0, 5),  # game
        st.integers(0, 3),  # seat
        st.integers(1, 9),  # steps
        st.floats(-100, 100),  # reward
        st.booleans(),  # terminated
        st.booleans(),  # truncated
        st.integers(1, 1 << 62),  # wall time
    ),
    max_size=30,
)
NAMES = ("game_id", "seat", "n_steps", "reward_sum", "terminated", "truncated", "wall_time_ns")


@settings(max_examples=80, deadline=None)
@given(chunks=st.lists(headers, max_size=4), window=st.integers(1, 40))
def test_totals_seats_and_games_are_sums_over_what_was_counted(chunks, window):
    statistics = Statistics(window)
    made = []
    for chunk in chunks:
        if chunk:
            columns = dict(zip(NAMES, zip(*chunk, strict=True), strict=True))
            count(statistics, rows(**columns))
            statistics.total()  # counts what is pending: chunks of any size
        made += chunk
    assert_row(statistics.total(), made)
    by_seat = statistics.per_seat()
    assert set(by_seat) == {row[1] for row in made}
    for seat, row in by_seat.items():
        mine = [r for r in made if r[1] == seat]
        assert_row(row, mine, n_games=sum(r[4] or r[5] for r in mine))
    newest = made[-window:]
    games = sorted({row[0] for row in newest})
    for game, row in statistics.per_game(games).items():
        assert_row(row, [r for r in newest if r[0] == game])


def assert_row(row, made, n_games=None):
    assert row.trajectories == len(made)
    assert row.experiences == sum(r[2] for r in made)
    finished = {r[0] for r in made if r[4] or r[5]}
    assert row.games_finished == (len(finished) if n_games is None else n_games)
    rewards = [r[3] for r in made] or [0.0]
    assert row.reward_mean == pytest.approx(sum(rewards) / len(rewards))
    assert (row.reward_min, row.reward_max) == (min(rewards), max(rewards))
    times = [r[6] for r in made] or [0]
    assert (row.oldest_ns, row.newest_ns) == (min(times), max(times))


def test_a_game_counts_once_though_its_seats_end_apart():
    statistics = Statistics(8)
    count(statistics, rows(game_id=[1, 1, 2], seat=[0, 1, 0], terminated=[1, 0, 0]))
    assert statistics.total().games_finished == 1
    count(statistics, rows(game_id=[1, 2], seat=[1, 0], terminated=[1, 0], truncated=[0, 1]))
    assert statistics.total().games_finished == 2


def test_the_memory_of_finished_games_is_bounded(monkeypatch):
    monkeypatch.setattr(stats, "REMEMBERED_GAMES", 10)
    statistics = Statistics(8)
    for start in range(0, 100, 5):
        count(statistics, rows(game_id=range(start, start + 5), terminated=[1] * 5))
    assert statistics.total().games_finished == 100
    assert len(statistics._finished) == 10


def test_a_game_that_left_the_window_is_not_found():
    statistics = count(Statistics(4), rows(game_id=[1, 2, 2, 2, 2]))
    assert statistics.per_game([2])[2].trajectories == 4
    with pytest.raises(NotFoundError, match="game 1 is not among the newest 4"):
        statistics.per_game([1])


def test_a_question_for_as_many_games_as_may_be_asked_for_is_a_sum_over_each():
    n_games = stats.MAX_GAMES
    game_id = np.random.default_rng(1).permutation(np.repeat(np.arange(2 * n_games), 3))
    steps = np.arange(1, len(game_id) + 1) % 256
    statistics = count(Statistics(1 << 14), rows(game_id=game_id, n_steps=steps))
    wanted = list(range(2 * n_games - 2, -2, -2))
    found = statistics.per_game(wanted)
    assert set(found) == set(wanted)
    for game, row in found.items():
        assert row.trajectories == 3
        assert row.experiences == steps[game_id == game].sum()


def test_a_question_looks_at_the_window_once_however_many_games_it_names(monkeypatch):
    statistics = count(Statistics(1 << 12), rows(game_id=np.arange(1 << 12) % 512))
    passes = []
    split = stats._split
    monkeypatch.setattr(
        stats, "_split", lambda headers, ids: passes.append(len(headers)) or split(headers, ids)
    )
    tallied = []
    add = stats._Tally.add
    monkeypatch.setattr(
        stats._Tally,
        "add",
        lambda self, headers, **more: tallied.append(len(headers)) or add(self, headers, **more),
    )
    statistics.per_game(list(range(512)))
    assert passes == [1 << 12]
    assert sum(tallied) == 1 << 12


def test_a_game_that_is_named_twice_has_one_row():
    statistics = count(Statistics(8), rows(game_id=[1, 2, 1]))
    assert statistics.per_game([1, 1])[1].trajectories == 2
    assert statistics.per_game([]) == {}


def test_a_question_for_too_many_games_is_refused():
    with pytest.raises(InvalidRequestError, match="1025 games; at most 1024"):
        Statistics(8).per_game(list(range(1025)))


def test_totals_and_seats_count_what_left_the_window():
    statistics = count(Statistics(4), rows(game_id=range(11), seat=[0, 1] * 5 + [0]))
    assert statistics.total().trajectories == 11
    assert {seat: row.trajectories for seat, row in statistics.per_seat().items()} == {0: 6, 1: 5}


def test_a_chunk_larger_than_the_window_leaves_its_newest():
    statistics = count(Statistics(4), rows(game_id=range(11)))
    assert sorted(statistics.per_game([7, 8, 9, 10])) == [7, 8, 9, 10]


def test_a_flood_is_counted_in_full():
    n = 3 * stats.PENDING_HEADERS + 17
    statistics = count(Statistics(16), rows(game_id=np.arange(n), n_steps=np.full(n, 32)))
    assert statistics.total().experiences == 32 * n
