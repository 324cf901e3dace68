"""The ledger against a set."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.client import ledger
from farm.client.ledger import SequenceLedger


@settings(max_examples=200, deadline=None)
@given(noted=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=80))
def test_it_agrees_with_a_set(noted):
    made = SequenceLedger()
    seen = {}
    duplicates = 0
    for worker, sequence in noted:
        mine = seen.setdefault(worker, set())
        assert made.note(worker, sequence) == (sequence not in mine)
        duplicates += sequence in mine
        mine.add(sequence)
    missing = sum(max(mine) - min(mine) + 1 - len(mine) for mine in seen.values())
    assert (made.duplicates, made.missing) == (duplicates, missing)


def test_in_order_one_run_is_kept_however_long_it_gets():
    made = SequenceLedger()
    for sequence in range(5_000):
        made.note(0, sequence)
    assert made._workers[0].first == [0]
    assert made._workers[0].last == [4_999]


def test_a_gap_that_is_filled_is_no_longer_missing():
    made = SequenceLedger()
    made.note(0, 1)
    made.note(0, 4)
    assert made.missing == 2
    made.note(0, 3)
    made.note(0, 2)
    assert made.missing == 0


def test_memory_is_bounded_and_what_was_given_up_stays_missing(monkeypatch):
    monkeypatch.setattr(ledger, "MAX_RUNS", 8)
    made = SequenceLedger()
    for sequence in range(0, 200, 2):
        made.note(0, sequence)
    assert len(made._workers[0].first) == 8
    assert made.missing == 99
    assert made.note(0, 197)
    assert made.missing == 98


def test_what_comes_from_below_the_memory_is_new_each_time_and_changes_no_count(monkeypatch):
    """Dropped as a repeat, it would be acknowledged and lost."""
    monkeypatch.setattr(ledger, "MAX_RUNS", 8)
    made = SequenceLedger()
    for sequence in range(0, 200, 2):
        made.note(0, sequence)
    assert made.note(0, 3)
    assert made.note(0, 3)
    assert made.note(0, 4)
    assert (made.duplicates, made.missing) == (0, 99)
    assert not made.note(0, 198)


@settings(max_examples=200, deadline=None)
@given(noted=st.lists(st.integers(0, 60), max_size=80))
def test_with_little_memory_nothing_new_is_ever_taken_for_a_repeat(noted):
    made = SequenceLedger()
    seen = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "MAX_RUNS", 3)
        for sequence in noted:
            assert made.note(0, sequence) or sequence in seen
            assert len(made._workers[0].first) <= 3
            seen.add(sequence)


def test_numbers_start_over_after_a_restart_and_counts_go_on():
    made = SequenceLedger()
    made.note(0, 5)
    made.note(0, 5)
    made.restart()
    assert made.note(0, 5)
    assert made.duplicates == 1
