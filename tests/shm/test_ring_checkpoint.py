"""Deaths between any two stores of a publish, a drop or an abandonment.

The kernels run as plain Python here, from the same source, with a store that fails when its time
comes; that the compiled code keeps this order is what release stores are for (test_atomics.py).
"""

import random

import pytest

from farm.shm import ring
from farm.shm.ring_layout import RingView

STORES_OF_CHECKPOINT = 12
STORES_OF_PUBLISH = STORES_OF_CHECKPOINT + 1
STORES_OF_ATTEMPT = 2
STORES_OF_DROP = STORES_OF_ATTEMPT + STORES_OF_CHECKPOINT


class KilledError(Exception):
    """The producer ends here."""


@pytest.fixture
def segment(make_ring):
    return make_ring(4096, 4096 - 64)


@pytest.fixture
def run(segment, monkeypatch):
    """Runs a kernel as Python and kills it before its n-th store; whether it lived."""

    def run(kernel, *args, n_stores):
        left = n_stores

        def store_release(_mem, at, value):
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            segment.store(at, int(value))

        with monkeypatch.context() as patch:
            patch.setattr(ring, "store_release", store_release)
            for part in ("_checkpoint", "_attempt"):
                patch.setattr(ring, part, getattr(ring, part).py_func)
            try:
                getattr(kernel, "py_func", kernel)(*args)
            except KilledError:
                return False
        assert left == 0, "fewer stores than this test thinks"
        return True

    return run


def totals(segment):
    saved = RingView(segment).checkpoint()
    return saved.sequence, saved.experiences, saved.dropped_records, saved.tail


def aborted(segment):
    """What the next producer finds of those before it."""
    ring.recover(segment)
    saved = RingView(segment).checkpoint()
    return saved.aborted_records, saved.aborted_experiences


@pytest.mark.parametrize("n_stores", range(STORES_OF_PUBLISH + 1))
def test_a_publish_happens_with_its_last_store_and_not_before(segment, run, n_stores):
    mem = segment.mem
    cursor = ring.recover(segment)
    ring.try_claim(mem, cursor, 24, 10)
    ring.publish(mem, cursor, 0)
    before = totals(segment)

    ring.try_claim(mem, cursor, 24, 12)
    ring.try_claim(mem, cursor, 24, 8)
    lived = run(ring.publish, mem, cursor, 0, n_stores=n_stores)
    assert lived == (n_stores == STORES_OF_PUBLISH)
    assert totals(segment) == ((3, 30, 0, 4096 - 64 + 96) if lived else before)
    assert aborted(segment) == ((0, 0) if lived else (2, 20))
    assert ring.recover(segment)[ring.SEQUENCE] == (3 if lived else 1)


@pytest.mark.parametrize("reason", [ring.RING_FULL, ring.SAMPLED])
@pytest.mark.parametrize("n_stores", range(STORES_OF_DROP + 1))
def test_a_drop_happens_with_its_last_store_and_is_aborted_before(segment, run, n_stores, reason):
    cursor = ring.recover(segment)
    before = totals(segment)
    lived = run(ring.drop, segment.mem, cursor, reason, 2, 64, n_stores=n_stores)
    assert lived == (n_stores == STORES_OF_DROP)
    n_dropped = 2 if reason == ring.RING_FULL else 0
    assert totals(segment) == ((2, 0, n_dropped, before[3]) if lived else before)
    if lived:
        assert aborted(segment) == (0, 0)
    else:
        assert aborted(segment) == (2 * (n_stores > 0), 64 * (n_stores > 1))


@pytest.mark.parametrize("n_stores", range(STORES_OF_CHECKPOINT + 1))
def test_what_is_aborted_counts_once_whenever_the_replacement_dies(segment, run, n_stores):
    cursor = ring.recover(segment)
    ring.try_claim(segment.mem, cursor, 24, 5)
    run(ring.recover, segment, n_stores=n_stores)
    assert aborted(segment) == (1, 5)
    assert totals(segment)[0] == 0


def test_deaths_after_a_recovery_add_up(segment):
    for n_deaths in range(1, 50):
        cursor = ring.recover(segment)
        ring.try_claim(segment.mem, cursor, 8, 3)
        assert aborted(segment) == (n_deaths, 3 * n_deaths)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_whenever_the_next_goes_on_and_every_attempt_counts_once(segment, run, seed):
    chance = random.Random(seed)
    mem = segment.mem
    cursor = ring.recover(segment)
    sequence, experiences, dropped, tail = totals(segment)
    attempted = 0
    for _ in range(150):
        ring.release(mem, ring.load_tail(mem))
        n_claims = chance.randrange(3)
        for _ in range(n_claims):
            assert ring.try_claim(mem, cursor, chance.randrange(100), 1) > 0
        attempted += n_claims
        n_dropped = chance.randrange(3)
        if n_claims == 0:
            n_stores = chance.randrange(STORES_OF_DROP + 1)
            lived = run(ring.drop, mem, cursor, ring.RING_FULL, n_dropped, 0, n_stores=n_stores)
            attempted += n_dropped if n_stores > 0 else 0
        else:
            n_dropped = 0
            n_stores = chance.randrange(STORES_OF_PUBLISH + 1)
            lived = run(ring.publish, mem, cursor, 0, n_stores=n_stores)
        if lived:
            sequence += n_claims + n_dropped
            experiences += n_claims
            dropped += n_dropped
            tail = int(cursor[ring.CLAIMED])
        else:
            cursor = ring.recover(segment)
        assert totals(segment) == (sequence, experiences, dropped, tail)
        assert cursor[ring.SEQUENCE] == sequence
        assert cursor[ring.CLAIMED] == tail
        assert attempted == sequence + RingView(segment).checkpoint().aborted_records
