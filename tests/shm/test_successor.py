"""A ring that is replaced by one of another capacity, step by step."""

import pytest

from farm.shm import balance as balance_module
from farm.shm.balance import read_instance
from farm.shm.control import ControlBlock
from farm.shm.groups import (
    Amount,
    GroupKind,
    Released,
    Settled,
    attach_groups,
    create_groups,
)
from farm.shm.ring import RING_FULL, RingConsumer, RingProducer, drop
from farm.shm.ring_layout import (
    FATE_OFFSET,
    HEAD_OFFSET,
    PARKED_OFFSET,
    TAIL_OFFSET,
    Fate,
    RingView,
    attach_ring,
    create_ring,
    is_replaced,
    ring_indexes,
)
from farm.shm.segment import list_segments
from farm.shm.successor import create_successor, fill, is_settled, succeed, sweep_successors

BEFORE, AFTER = 4096, 16_384
GARBAGE = b"\xff" * 104


@pytest.fixture
def farm(instance):
    """A ring with a history, all of which a group has settled: dropped and aborted records too."""
    with (
        create_groups(instance, run_id=1, capacity=BEFORE, n_rings=1) as groups,
        create_ring(instance, 0, BEFORE) as ring,
    ):
        producer = RingProducer(ring)
        consumer = RingConsumer(ring)
        for _ in range(30):
            producer.try_claim(len(GARBAGE), 3)[:] = GARBAGE
            producer.publish()
            assert consumer.peek() is not None
            consumer.release()
        drop(producer.mem, producer.cursor, RING_FULL, 2, 7)
        assert producer.try_claim(8, 5) is not None  # never published: its producer dies
        slot = groups.claim("trainer", GroupKind.LOSSLESS, starts={})
        tail = ring.load(TAIL_OFFSET)
        slot.settle(0, Settled(tail, acknowledged=Amount(30, 90)))
        groups.set_released(0, Released(tail, 30, 90))
        del producer, consumer
        yield ring


def balance(instance):
    return read_instance(instance, experiences_at=0, running=False)


def facts(instance):
    """What outlives a producer."""
    with attach_ring(instance, 0) as ring:
        view = RingView(ring)
        return view.head, view.tail, view.checkpoint(), ring.generation


def test_a_successor_stands_where_the_ring_stood_and_counts_on(farm, instance):
    farm.adopt(7)
    before, sums = facts(instance), balance(instance).sums()
    assert sums["aborted"] == Amount(1, 5)
    with create_successor(instance, 0, AFTER) as successor:
        succeed(farm, successor)
    assert facts(instance) == before
    found = balance(instance)
    assert found.exact, found.differences
    assert found.sums() == sums
    with attach_ring(instance, 0) as ring:
        assert RingView(ring).capacity == AFTER
        producer, consumer = RingProducer(ring, 8), RingConsumer(ring)
        assert producer.cursor[3] == before[2].sequence, "the sequence goes on without a gap"
        # Through the whole of it, from a position in the middle, and once around.
        for number in range(2 * AFTER // 64):
            producer.try_claim(48)[:] = number.to_bytes(2, "little") * 24
            producer.publish()
            assert bytes(consumer.peek()[:2]) == number.to_bytes(2, "little")
            consumer.release()
        assert RingView(ring).checkpoint().aborted_records == 1
        del producer, consumer


def test_whoever_has_the_old_one_mapped_is_told_and_can_still_read_it(farm, instance):
    with attach_ring(instance, 0, readonly=True) as seen:
        with create_successor(instance, 0, AFTER) as successor:
            assert not is_replaced(seen)
            succeed(farm, successor)
        assert is_replaced(seen)
        assert RingView(seen).used_bytes == 0
        with attach_ring(instance, 0, readonly=True) as ring:
            assert not is_replaced(ring)
            assert ring.load(FATE_OFFSET) == Fate.IN_USE


def test_a_successor_neither_waits_nor_ends_though_the_ring_did(farm, instance):
    farm.store(PARKED_OFFSET, 1)
    farm.store(FATE_OFFSET, Fate.OVERDUE)
    assert RingView(farm).is_ending
    with create_successor(instance, 0, AFTER) as successor:
        succeed(farm, successor)
    with attach_ring(instance, 0) as ring:
        assert not RingView(ring).parked
        assert not RingView(ring).is_ending


def test_a_ring_is_settled_when_everything_published_is_released(farm):
    assert is_settled(farm)
    farm.store(HEAD_OFFSET, farm.load(HEAD_OFFSET) - 112)
    assert not is_settled(farm)


@pytest.mark.parametrize("steps", [(), ("fill",)])
def test_a_death_before_the_name_changes_leaves_the_ring_and_something_to_sweep(
    farm, instance, steps
):
    before, names = facts(instance), list_segments(instance)
    with create_successor(instance, 0, AFTER) as successor:
        if steps:
            fill(farm, successor)
    assert ring_indexes(instance) == [0]
    assert balance(instance).exact
    assert facts(instance) == before
    assert len(sweep_successors(instance)) == 1
    assert sweep_successors(instance) == []
    assert list_segments(instance) == names


def test_a_death_behind_it_leaves_the_new_ring(farm, instance, monkeypatch):
    before = facts(instance)

    def die(*_):
        raise KeyboardInterrupt

    with create_successor(instance, 0, AFTER) as successor:
        monkeypatch.setattr(farm, "store", die)
        with pytest.raises(KeyboardInterrupt):
            succeed(farm, successor)
    assert facts(instance) == before
    assert balance(instance).exact
    assert sweep_successors(instance) == []
    with attach_ring(instance, 0) as ring:
        assert RingView(ring).capacity == AFTER


def test_one_of_another_capacity_can_be_made_before_the_first_is_given_up(instance):
    with create_successor(instance, 0, AFTER), create_successor(instance, 0, 2 * AFTER):
        assert len(list_segments(instance)) == 2
    control = ControlBlock.create(instance, 0)
    control.unlink()
    control.close()
    assert list_segments(instance) == [], "and whoever removes an instance removes them"


def test_an_audit_that_a_change_of_the_ring_overtakes_looks_again(farm, instance, monkeypatch):
    read, looks = balance_module.read_balance, []

    def overtaken(groups, rings, **more):
        if not looks:
            with create_successor(instance, 0, AFTER) as successor:
                succeed(farm, successor)
            go_on(instance)
        looks.append(read(groups, rings, **more))
        return looks[-1]

    monkeypatch.setattr(balance_module, "read_balance", overtaken)
    found = read_instance(instance, experiences_at=0, running=True)
    assert [look.exact for look in looks] == [False, True]
    assert found is looks[-1]
    assert found.sums()["published"].records == 31


def go_on(instance):
    """One more record is published, and taken."""
    with attach_ring(instance, 0) as ring, attach_groups(instance) as groups:
        producer = RingProducer(ring)
        producer.try_claim(8, 3)[:] = bytes(8)
        producer.publish()
        tail = ring.load(TAIL_OFFSET)
        groups.find("trainer").settle(0, Settled(tail, acknowledged=Amount(31, 93)))
        groups.set_released(0, Released(tail, 31, 93))
        ring.store(HEAD_OFFSET, tail)
        del producer
