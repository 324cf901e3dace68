"""Groups and their places in the rings: kept, found again, and whole after any death."""

import random

import pytest

from farm.errors import CorruptDataError, SegmentAbsentError, SegmentFullError, SegmentLayoutError
from farm.shm import groups
from farm.shm.groups import (
    MAX_GROUPS,
    MAX_RINGS,
    SUBMITTED_RING,
    Amount,
    GroupKind,
    Released,
    Settled,
    attach_groups,
    create_groups,
)
from farm.shm.segment import Segment

STORES_OF_CHECKPOINT = 3


@pytest.fixture
def block(instance):
    with create_groups(instance, run_id=77, capacity=1 << 16, n_rings=2, n_host_rings=3) as made:
        yield made


def progress(step):
    """Some value of every field, different for every step."""
    amounts = [Amount(step * 10 + field, step * 320 + field) for field in range(5)]
    return Settled(step * 4096, *amounts)


@pytest.mark.usefixtures("block")
def test_what_the_supervisor_made_everyone_reads(instance):
    with attach_groups(instance, readonly=True) as seen:
        assert (seen.run_id, seen.capacity, seen.n_rings, seen.adoptions) == (77, 1 << 16, 2, 0)
        assert seen.n_host_rings == 3
        assert seen.slots() == []
        assert seen.find("trainer") is None
        assert seen.released(0) == Released()


def test_a_group_is_found_with_all_that_it_was_made_with(instance, block):
    starts = {0: Released(640, 5, 160), SUBMITTED_RING: Released(64, 1, 32)}
    block.claim("trainer", GroupKind.SAMPLE, sample=0.1, declared=True, starts=starts)
    with attach_groups(instance, readonly=True) as seen:
        slot = seen.find("trainer")
        assert (slot.name, slot.kind, slot.sample, slot.declared) == (
            "trainer",
            "sample",
            0.1,
            True,
        )
        assert slot.created_ns > 0
        assert (slot.n_members, slot.last_ack_ns, slot.leased_records) == (0, 0, 0)
        assert slot.settled(0) == Settled(640, before=Amount(5, 160))
        assert slot.settled(1) == Settled()
        assert slot.settled(SUBMITTED_RING) == Settled(64, before=Amount(1, 32))
        assert [slot.handed(ring) for ring in (0, 1, SUBMITTED_RING)] == [640, 0, 64]


def test_what_is_settled_and_released_is_kept_for_every_ring(instance, block):
    slot = block.claim("a", GroupKind.LOSSLESS, starts={})
    for ring in range(MAX_RINGS):
        slot.settle(ring, progress(ring))
        slot.set_handed(ring, ring * 8)
        block.set_released(ring, Released(ring * 16, ring, ring * 2))
    with attach_groups(instance, readonly=True) as seen:
        for ring in range(MAX_RINGS):
            assert seen.find("a").settled(ring) == progress(ring)
            assert seen.find("a").handed(ring) == ring * 8
            assert seen.released(ring) == Released(ring * 16, ring, ring * 2)


def test_the_total_of_what_is_settled_is_the_sum_of_its_kinds():
    assert progress(1).total == Amount(10 + 11 + 12 + 13 + 14, 320 + 321 + 322 + 323 + 324)


def test_groups_do_not_share_their_places(block):
    slots = [block.claim(f"g{k}", GroupKind.LATEST, starts={}) for k in range(MAX_GROUPS)]
    for k, slot in enumerate(slots):
        slot.settle(SUBMITTED_RING, progress(k))
        slot.set_handed(SUBMITTED_RING, k)
        slot.leased_records = k
    for k, slot in enumerate(slots):
        assert slot.settled(SUBMITTED_RING) == progress(k)
        assert (slot.handed(SUBMITTED_RING), slot.leased_records, slot.name) == (k, k, f"g{k}")


def test_one_group_too_many_is_refused_until_one_is_removed(block):
    for k in range(MAX_GROUPS):
        block.claim(f"g{k}", GroupKind.LOSSLESS, starts={}).settle(3, progress(9))
    with pytest.raises(SegmentFullError, match="16 groups"):
        block.claim("late", GroupKind.LOSSLESS, starts={})
    block.find("g5").release()
    late = block.claim("late", GroupKind.LOSSLESS, starts={})
    assert late.settled(3) == Settled(), "nothing is left of the group that had the slot"
    assert block.find("g5") is None
    assert len(block.slots()) == MAX_GROUPS


def test_the_longest_name_fits_whole(block):
    name = "x" * groups.MAX_NAME_BYTES
    assert block.claim(name, GroupKind.LOSSLESS, starts={}).name == name


def test_a_position_may_be_any_word(block):
    slot = block.claim("a", GroupKind.LOSSLESS, starts={})
    slot.settle(0, Settled((1 << 64) - 8))
    assert slot.settled(0).position == (1 << 64) - 8


class KilledError(Exception):
    """The service ends here."""


@pytest.fixture
def kill_before(monkeypatch):
    """Lets the n-th write to a segment from now on be the last but one; whether all happened."""

    def run(function, n_writes):
        left = n_writes

        def counted(real):
            def write(segment, offset, value):
                nonlocal left
                if left == 0:
                    raise KilledError
                left -= 1
                real(segment, offset, value)

            return write

        with monkeypatch.context() as patch:
            patch.setattr(Segment, "store", counted(Segment.store))
            patch.setattr(Segment, "write", counted(Segment.write))
            try:
                function()
            except KilledError:
                return False
        assert left == 0, "fewer writes than this test thinks"
        return True

    return run


@pytest.mark.parametrize("n_writes", range(STORES_OF_CHECKPOINT + 1))
@pytest.mark.parametrize("n_before", range(4))
def test_a_service_killed_anywhere_leaves_the_checkpoint_before_or_after(
    instance, block, kill_before, n_before, n_writes
):
    slot = block.claim("a", GroupKind.LOSSLESS, starts={})
    for step in range(1, n_before):
        slot.settle(1, progress(step))
        block.set_released(1, Released(step))
    before = slot.settled(1), block.released(1)

    settles = kill_before(lambda: slot.settle(1, progress(9)), n_writes)
    releases = kill_before(lambda: block.set_released(1, Released(9)), n_writes)
    assert settles == releases == (n_writes == STORES_OF_CHECKPOINT)
    after = progress(9), Released(9)
    with attach_groups(instance) as replacement:
        found = replacement.find("a").settled(1), replacement.released(1)
        assert found == (after if settles else before)
        replacement.find("a").settle(1, progress(10))
        assert replacement.find("a").settled(1) == progress(10)


def test_a_service_killed_while_it_makes_a_group_leaves_none(block, kill_before):
    n_writes = 0
    while not kill_before(
        lambda: block.claim("a", GroupKind.LOSSLESS, starts={0: Released(8)}), n_writes
    ):
        assert block.slots() == []
        n_writes += 1
    assert n_writes > 5
    assert [slot.name for slot in block.slots()] == ["a"]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_torn_of_the_line_in_force_never_passes_for_another(block, seed):
    chance = random.Random(seed)
    slot = block.claim("a", GroupKind.LOSSLESS, starts={})
    slot.settle(1, progress(1))
    slot.settle(1, progress(2))
    at = slot.base + groups._SETTLED_AT + groups._CHECKPOINT_BYTES
    for _ in range(200):
        offset = at + 8 * chance.randrange(32)
        kept = block.segment.load(offset)
        block.segment.store(offset, chance.choice([0, kept + 1, chance.getrandbits(64)]))
        try:
            assert slot.settled(1) in {progress(1), progress(2)}
        finally:
            block.segment.store(offset, kept)


def test_garbage_in_both_lines_is_an_error_that_says_what_to_do(block):
    slot = block.claim("a", GroupKind.LOSSLESS, starts={})
    block.segment.write(slot.base + groups._SETTLED_AT, b"\xff" * groups._CHECKPOINT_BYTES)
    with pytest.raises(CorruptDataError, match="--discard"):
        slot.settled(0)
    block.segment.store(slot.base + 8, 99)
    with pytest.raises(CorruptDataError, match="kind 99"):
        _ = slot.kind


def test_another_layout_or_none_is_refused(instance, monkeypatch):
    with pytest.raises(SegmentAbsentError):
        attach_groups(instance)
    create_groups(instance, run_id=1, capacity=4096, n_rings=1).close()
    monkeypatch.setattr(groups, "GROUPS_LAYOUT", groups.GROUPS_LAYOUT + 1)
    with pytest.raises(SegmentLayoutError):
        attach_groups(instance)
