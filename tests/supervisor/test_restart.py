import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.supervisor.restart import GiveUp, RestartAt, RestartPolicy, decide, forget

S = 1_000_000_000
POLICY = RestartPolicy(intensity=4, period_ns=60 * S, backoff_ns=S // 5)


def test_the_first_restart_is_at_once():
    assert decide(POLICY, [], now_ns=100 * S, jitter=0.9) == RestartAt(at_ns=100 * S, nth=1)


@pytest.mark.parametrize(("n_earlier", "full_wait_s"), [(1, 0.2), (2, 0.4), (3, 0.8)])
def test_each_further_restart_waits_twice_as_long(n_earlier, full_wait_s):
    earlier = [(90 + n) * S for n in range(n_earlier)]
    least = decide(POLICY, earlier, now_ns=100 * S, jitter=0.0)
    most = decide(POLICY, earlier, now_ns=100 * S, jitter=1.0)
    assert (least.at_ns - 100 * S) / S == pytest.approx(full_wait_s / 2)
    assert (most.at_ns - 100 * S) / S == pytest.approx(full_wait_s)
    assert least.nth == n_earlier + 1


def test_one_death_more_than_the_intensity_within_the_period_is_given_up():
    assert decide(POLICY, [97 * S, 98 * S, 99 * S, 99 * S], now_ns=100 * S, jitter=0.5) == GiveUp(4)


def test_deaths_before_the_period_do_not_count():
    earlier = [40 * S, 40 * S, 40 * S, 40 * S]
    assert decide(POLICY, earlier, now_ns=100 * S, jitter=0.5) == RestartAt(at_ns=100 * S, nth=1)


def test_what_no_longer_counts_is_forgotten():
    assert forget(POLICY, [10 * S, 40 * S, 41 * S, 99 * S], now_ns=100 * S) == [41 * S, 99 * S]


def test_a_child_that_dies_steadily_is_either_given_up_or_slower_than_the_intensity():
    """Walks a whole crash loop: children that die as soon as they are spawned."""
    now_ns, deaths = 0, []
    for _ in range(1000):
        decision = decide(POLICY, deaths, now_ns=now_ns, jitter=0.5)
        if isinstance(decision, GiveUp):
            break
        deaths = [*forget(POLICY, deaths, now_ns=now_ns), now_ns]
        now_ns = decision.at_ns
    assert isinstance(decision, GiveUp)
    assert len(deaths) == POLICY.intensity


@given(
    intensity=st.integers(1, 10_000),
    period_ns=st.integers(1, 86_400 * S),
    backoff_ns=st.integers(1, 86_400 * S),
    n_earlier=st.integers(0, 10_000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_never_negative_nor_beyond_the_period(
    intensity, period_ns, backoff_ns, n_earlier, jitter
):
    policy = RestartPolicy(intensity=intensity, period_ns=period_ns, backoff_ns=backoff_ns)
    decision = decide(policy, [1000 * S] * n_earlier, now_ns=1000 * S, jitter=jitter)
    if n_earlier >= intensity:
        assert decision == GiveUp(n_earlier)
    else:
        assert 0 <= decision.at_ns - 1000 * S <= period_ns
