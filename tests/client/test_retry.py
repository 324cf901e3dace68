"""Back-off without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.client import NO_RETRY, Retry
from farm.client.retry import Backoff

SLOW = Retry(first_s=1.0, ceiling_s=8.0, deadline_s=1_000.0)


def test_waits_double_up_to_the_ceiling():
    backoff = Backoff(SLOW)
    waits = [backoff.next_wait_s(0.0, jitter=1.0) for _ in range(6)]
    assert waits == [1, 2, 4, 8, 8, 8]


@given(jitter=st.floats(0, 1, exclude_max=True))
def test_jitter_takes_up_to_half(jitter):
    wait_s = Backoff(SLOW).next_wait_s(0.0, jitter)
    assert 0.5 <= wait_s <= 1.0


def test_no_wait_goes_beyond_the_deadline():
    backoff = Backoff(Retry(first_s=10.0, ceiling_s=10.0, deadline_s=12.0))
    assert backoff.next_wait_s(100.0, 1.0) == 10
    assert backoff.next_wait_s(110.0, 1.0) == pytest.approx(2)
    assert backoff.next_wait_s(112.0, 1.0) is None


def test_the_deadline_counts_from_the_beginning_of_the_outage():
    backoff = Backoff(Retry(deadline_s=5.0))
    assert backoff.next_wait_s(1_000.0, 0.0) is not None
    assert backoff.next_wait_s(1_004.9, 0.0) is not None
    assert backoff.next_wait_s(1_005.1, 0.0) is None


def test_a_connection_ends_the_outage():
    backoff = Backoff(SLOW)
    for _ in range(5):
        backoff.next_wait_s(0.0, 1.0)
    backoff.connected()
    assert backoff.next_wait_s(5_000.0, 1.0) == 1


def test_no_retry_tries_once():
    assert Backoff(NO_RETRY).next_wait_s(0.0, 0.0) is None


def test_a_long_outage_does_not_overflow():
    backoff = Backoff(Retry(deadline_s=1e9))
    for _ in range(5_000):
        assert backoff.next_wait_s(0.0, 1.0) <= 5.0


@given(jitter=st.floats(0, 1, exclude_max=True))
def test_a_farm_that_says_when_is_not_asked_before_and_not_much_later(jitter):
    backoff = Backoff(Retry(first_s=0.1, deadline_s=60.0))
    assert 3.0 <= backoff.next_wait_s(0.0, jitter, at_least_s=3.0) <= 3.75


def test_a_back_off_that_is_longer_than_what_the_farm_says_stays():
    assert Backoff(SLOW).next_wait_s(0.0, jitter=1.0, at_least_s=0.2) == 1.0


def test_nobody_waits_for_a_time_beyond_the_deadline():
    assert Backoff(Retry(deadline_s=5.0)).next_wait_s(0.0, 0.0, at_least_s=5.1) is None
