"""The ledger against a set."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.client import ledger
from farm.client.ledger import Seen, SequenceLedger

names = st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 40))
"""Of a worker whose numbers go on in each generation: no number is of two."""


def generation_of(sequence):
    return 1 + sequence // 20


@settings(max_examples=200, deadline=None)
@given(noted=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70)), max_size=80))
def test_it_agrees_with_a_set(noted):
    made = SequenceLedger()
    seen = {}
    duplicates = 0
    for worker, sequence in noted:
        mine = seen.setdefault(worker, set())
        is_new = made.note(worker, generation_of(sequence), sequence)
        assert is_new == (sequence not in mine)
        duplicates += sequence in mine
        mine.add(sequence)
    missing = {worker: max(mine) - min(mine) + 1 - len(mine) for worker, mine in seen.items()}
    assert (made.duplicates, made.missing) == (duplicates, sum(missing.values()))
    assert made.seen() == {
        worker: Seen(min(mine), max(mine), missing[worker]) for worker, mine in seen.items()
    }
    assert all(made.seen()[worker].records == len(mine) for worker, mine in seen.items())


@settings(max_examples=200, deadline=None)
@given(noted=st.lists(names, max_size=80))
def test_a_name_is_a_duplicate_only_of_itself(noted):
    """A number that comes again under another generation is not taken for a repeat."""
    made = SequenceLedger()
    seen = set()
    for name in noted:
        assert made.note(*name) == (name not in seen)
        seen.add(name)
    assert made.duplicates == len(noted) - len(seen)
    assert made.missing >= 0


def test_in_order_one_run_is_kept_however_long_it_gets():
    made = SequenceLedger()
    for sequence in range(5_000):
        made.note(0, 1, sequence)
    (runs,) = made._workers[0].generations.values()
    assert (runs.first, runs.last) == ([0], [4_999])


def test_a_gap_that_is_filled_is_no_longer_missing():
    made = SequenceLedger()
    made.note(0, 1, 1)
    made.note(0, 1, 4)
    assert made.missing == 2
    made.note(0, 1, 3)
    made.note(0, 1, 2)
    assert made.missing == 0


def test_what_an_earlier_generation_brings_late_fills_its_gap():
    made = SequenceLedger()
    made.note(0, 1, 0)
    made.note(0, 2, 4)
    assert made.missing == 3
    for sequence in (1, 2, 3):
        assert made.note(0, 1, sequence)
    assert made.missing == 0
    assert not made.note(0, 1, 3)
    assert made.note(0, 2, 5)


def test_memory_is_bounded_and_what_was_given_up_stays_missing(monkeypatch):
    monkeypatch.setattr(ledger, "MAX_RUNS", 8)
    made = SequenceLedger()
    for sequence in range(0, 200, 2):
        made.note(0, 1, sequence)
    assert len(made._workers[0].generations[1].first) == 8
    assert made.missing == 99
    assert made.note(0, 1, 197)
    assert made.missing == 98


def test_what_comes_from_below_the_memory_is_new_each_time_and_changes_no_count(monkeypatch):
    """Dropped as a repeat, it would be acknowledged and lost."""
    monkeypatch.setattr(ledger, "MAX_RUNS", 8)
    made = SequenceLedger()
    for sequence in range(0, 200, 2):
        made.note(0, 1, sequence)
    assert made.note(0, 1, 3)
    assert made.note(0, 1, 3)
    assert made.note(0, 1, 4)
    assert (made.duplicates, made.missing) == (0, 99)
    assert not made.note(0, 1, 198)


def test_generations_are_bounded_and_a_forgotten_one_is_new_each_time(monkeypatch):
    monkeypatch.setattr(ledger, "MAX_GENERATIONS", 4)
    made = SequenceLedger()
    for generation in range(1, 11):
        assert made.note(0, generation, generation)
    assert len(made._workers[0].generations) == 4
    assert made.note(0, 1, 1)
    assert made.note(0, 6, 6)
    assert not made.note(0, 7, 7)
    assert (made.duplicates, made.missing) == (1, 0)
    assert made.seen() == {0: Seen(1, 10, 0)}


@settings(max_examples=200, deadline=None)
@given(noted=st.lists(st.integers(0, 60), max_size=80))
def test_with_little_memory_nothing_new_is_ever_taken_for_a_repeat(noted):
    made = SequenceLedger()
    seen = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "MAX_RUNS", 3)
        patch.setattr(ledger, "MAX_GENERATIONS", 2)
        for sequence in noted:
            assert made.note(0, generation_of(sequence), sequence) or sequence in seen
            assert all(len(runs.first) <= 3 for runs in made._workers[0].generations.values())
            assert len(made._workers[0].generations) <= 2
            seen.add(sequence)


def test_numbers_start_over_after_a_restart_and_counts_go_on():
    made = SequenceLedger()
    made.note(0, 1, 5)
    made.note(0, 1, 5)
    made.restart()
    assert made.note(0, 1, 5)
    assert made.duplicates == 1
    assert made.seen() == {0: Seen(5, 5, 0)}
