"""Accounts of clients, without a clock: the bucket against a plain model, counts, forgetting."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config.schema import LimitsConfig
from farm.serve.quota import (
    BYTE_BURST_NS,
    NS_PER_S,
    Bucket,
    Client,
    Clients,
    Way,
    byte_wait_ns,
    take_bytes,
    try_admit,
)


class Tokens:
    """The bucket as textbooks have it: tokens that drip in, up to a brim; exact numbers."""

    def __init__(self, rate, brim):
        self.rate, self.brim = rate, brim
        self.level, self.at_ns = Fraction(brim), 0

    def _drip(self, now_ns):
        dripped = Fraction(self.rate * (now_ns - self.at_ns), NS_PER_S)
        self.level = min(Fraction(self.brim), self.level + dripped)
        self.at_ns = now_ns

    def wait_ns(self, wanted, now_ns):
        """Nanoseconds until `wanted` tokens are there, rounded up."""
        self._drip(now_ns)
        return max(0, -((self.level - wanted) * NS_PER_S // self.rate))

    def take(self, n, now_ns):
        self._drip(now_ns)
        self.level -= n


STEPS = st.lists(
    st.tuples(st.integers(0, 3 * NS_PER_S), st.integers(1, 5_000)), min_size=1, max_size=60
)


@given(st.sampled_from([1, 2, 5, 100, 1_000, 1_000_000]), STEPS)
def test_a_bucket_refuses_like_one_of_tokens_with_room_for_a_second_of_them(rate, steps):
    """Calls: one token each, taken only if it is there. These rates divide a second."""
    bucket, model, now_ns = Bucket(), Tokens(rate, brim=rate), 0
    cost_ns = NS_PER_S // rate
    for pause_ns, _ in steps:
        now_ns += pause_ns
        wait_ns = bucket.wait_ns(cost_ns, NS_PER_S, now_ns)
        assert wait_ns == model.wait_ns(1, now_ns)
        if not wait_ns:
            bucket.take(cost_ns, now_ns)
            model.take(1, now_ns)


@given(st.sampled_from([100, 1_000, 100_000]), STEPS)
def test_a_bucket_in_debt_waits_like_one_of_tokens_below_zero(rate, steps):
    """Bytes: taken whole whenever there is no debt."""
    bucket, now_ns = Bucket(), 0
    model = Tokens(rate, brim=Fraction(rate * BYTE_BURST_NS, NS_PER_S))
    for pause_ns, n_bytes in steps:
        now_ns += pause_ns
        wait_ns = bucket.wait_ns(0, BYTE_BURST_NS, now_ns)
        assert wait_ns == model.wait_ns(0, now_ns)
        if not wait_ns:
            bucket.take(n_bytes * NS_PER_S // rate, now_ns)
            model.take(n_bytes, now_ns)


@given(st.integers(65_536, 1 << 30), st.lists(st.integers(1, 1 << 24), min_size=5, max_size=40))
def test_in_the_long_run_bytes_pass_at_the_rate_whatever_the_messages(rate, messages):
    client, limits, now_ns = Client(), LimitsConfig(bytes_per_second_out=rate), 0
    for n_bytes in messages:
        now_ns += byte_wait_ns(client, limits, Way.OUT, now_ns)
        assert byte_wait_ns(client, limits, Way.OUT, now_ns) == 0
        take_bytes(client, limits, Way.OUT, n_bytes, now_ns)
    now_ns += byte_wait_ns(client, limits, Way.OUT, now_ns)
    owed_ns = max(0, sum(messages) * NS_PER_S // rate - BYTE_BURST_NS)
    assert owed_ns - len(messages) <= now_ns <= owed_ns


def test_unused_time_saves_up_no_more_than_a_burst():
    client, limits = Client(), LimitsConfig(calls_per_second=10)
    now_ns = 3600 * NS_PER_S
    admitted = [try_admit(client, limits, is_stream=False, now_ns=now_ns) for _ in range(30)]
    assert [one is None for one in admitted] == [True] * 10 + [False] * 20
    assert {one.retry_ns for one in admitted[10:]} == {NS_PER_S // 10}


def test_a_refused_call_costs_nothing_so_that_the_told_time_is_right():
    client, limits, now_ns = Client(), LimitsConfig(calls_per_second=4), NS_PER_S
    while (refusal := try_admit(client, limits, is_stream=True, now_ns=now_ns)) is None:
        pass
    assert refusal.key == "calls_per_second"
    for _ in range(100):
        assert try_admit(client, limits, is_stream=True, now_ns=now_ns)
    assert try_admit(client, limits, is_stream=True, now_ns=now_ns + refusal.retry_ns) is None


@pytest.mark.parametrize(("is_stream", "key"), [(True, "open_streams"), (False, "calls_in_flight")])
def test_what_is_open_is_counted_each_kind_for_itself(is_stream, key):
    client, limits = Client(), LimitsConfig(open_streams=2, calls_in_flight=2)
    for _ in range(2):
        assert try_admit(client, limits, is_stream=is_stream, now_ns=0) is None
    assert try_admit(client, limits, is_stream=is_stream, now_ns=0).key == key
    assert try_admit(client, limits, is_stream=not is_stream, now_ns=0) is None
    client.opened(is_stream=is_stream, change=-1)
    assert try_admit(client, limits, is_stream=is_stream, now_ns=0) is None


def test_without_a_rate_nothing_waits_and_no_debt_is_made():
    client = Client()
    take_bytes(client, LimitsConfig(), Way.OUT, 1 << 40, 0)
    assert byte_wait_ns(client, LimitsConfig(), Way.OUT, 0) == 0
    assert byte_wait_ns(client, LimitsConfig(bytes_per_second_out=65_536), Way.OUT, 0) == 0


def test_ways_have_a_debt_each():
    client, limits = Client(), LimitsConfig(bytes_per_second_out=65_536, bytes_per_second_in=65_536)
    take_bytes(client, limits, Way.OUT, 1 << 20, 0)
    assert byte_wait_ns(client, limits, Way.OUT, 0) > 0
    assert byte_wait_ns(client, limits, Way.IN, 0) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=200))
def test_no_more_clients_are_remembered_than_there_is_room_for_and_none_that_has_something_open(
    calls,
):
    clients, most = Clients(most=4), 4
    busy = {}
    for number, closes in calls:
        name, n_before = f"host {number}", len(clients)
        client = clients.of(name)
        if name in busy:
            assert client is busy[name]
        # Who is one too many, as others had something open, is forgotten for the next new one.
        assert len(clients) <= max(most, n_before, len(busy) + 1)
        if closes and name in busy:
            busy.pop(name).opened(is_stream=True, change=-1)
        elif not closes and name not in busy:
            client.opened(is_stream=True)
            busy[name] = client
    for name in list(busy):
        busy.pop(name).opened(is_stream=True, change=-1)
    clients.of("another")
    assert len(clients) <= most


def test_who_was_silent_longest_is_forgotten_first():
    clients = Clients(most=2)
    first, second = clients.of("a"), clients.of("b")
    clients.of("a")
    clients.of("c")
    assert clients.of("a") is first
    assert clients.of("b") is not second
