"""Deaths between any two stores of a publish, a drop or an abandonment.

The kernels run as plain Python here, from the same source, with a store that fails when its time
comes; that the compiled code keeps this order is what release stores are for (test_atomics.py).
"""

import random

import pytest

from farm.shm import ring
from farm.shm.ring_layout import RingView

STORES_OF_PUBLISH = 9
STORES_OF_CHECKPOINT = 8


class KilledError(Exception):
    """The producer ends here."""


@pytest.fixture
def segment(make_ring):
    return make_ring(4096, 4096 - 64)


@pytest.fixture
def run(segment, monkeypatch):
    """Runs a kernel as Python and kills it before its n-th store; whether it lived."""
    monkeypatch.setattr(ring, "_checkpoint", ring._checkpoint.py_func)

    def run(kernel, *args, n_stores):
        left = n_stores

        def store_release(_mem, at, value):
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            segment.store(at, int(value))

        monkeypatch.setattr(ring, "store_release", store_release)
        try:
            kernel.py_func(*args)
        except KilledError:
            return False
        assert left == 0, "fewer stores than this test thinks"
        return True

    return run


def totals(segment):
    saved = RingView(segment).checkpoint()
    return saved.sequence, saved.experiences, saved.dropped_records, saved.tail


@pytest.mark.parametrize("n_stores", range(STORES_OF_PUBLISH + 1))
def test_a_publish_happens_with_its_last_store_and_not_before(segment, run, n_stores):
    mem = segment.mem
    cursor = ring.recover(segment)
    ring.try_claim(mem, cursor, 24)
    ring.publish(mem, cursor, 10, 0)
    before = totals(segment)

    ring.try_claim(mem, cursor, 24)
    ring.try_claim(mem, cursor, 24)
    lived = run(ring.publish, mem, cursor, 20, 0, n_stores=n_stores)
    assert lived == (n_stores == STORES_OF_PUBLISH)
    assert totals(segment) == ((3, 30, 0, 4096 - 64 + 96) if lived else before)
    assert ring.recover(segment)[ring.SEQUENCE] == (3 if lived else 1)


@pytest.mark.parametrize("n_stores", range(STORES_OF_CHECKPOINT + 1))
def test_a_drop_happens_with_its_last_store_and_not_before(segment, run, n_stores):
    cursor = ring.recover(segment)
    before = totals(segment)
    lived = run(ring.drop, segment.mem, cursor, 2, 64, n_stores=n_stores)
    assert lived == (n_stores == STORES_OF_CHECKPOINT)
    assert totals(segment) == ((2, 0, 2, before[3]) if lived else before)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_whenever_the_next_goes_on_from_the_last_that_happened(segment, run, seed):
    chance = random.Random(seed)
    mem = segment.mem
    cursor = ring.recover(segment)
    sequence, experiences, dropped, tail = totals(segment)
    for _ in range(150):
        ring.release(mem, ring.load_tail(mem))
        n_claims = chance.randrange(3)
        for _ in range(n_claims):
            assert ring.try_claim(mem, cursor, chance.randrange(100)) > 0
        n_dropped = chance.randrange(3)
        if n_claims == 0:
            n_stores = chance.randrange(STORES_OF_CHECKPOINT + 1)
            lived = run(ring.drop, mem, cursor, n_dropped, n_dropped, n_stores=n_stores)
        else:
            n_dropped = 0
            n_stores = chance.randrange(STORES_OF_PUBLISH + 1)
            lived = run(ring.publish, mem, cursor, n_claims, 0, n_stores=n_stores)
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
