"""The balance is exact while every record is accounted for, and says where one is not."""

import random
from dataclasses import dataclass, field

import msgspec
import pytest

from farm.shm import ring as kernels
from farm.shm.balance import lag_bytes, read_instance, read_ring
from farm.shm.groups import Amount, GroupKind, Released, create_groups
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import (
    ATTEMPTED_RECORDS_OFFSET,
    DATA_OFFSET,
    HEAD_OFFSET,
    create_ring,
)

CAPACITY = 1 << 14
COUNT_AT = 6
"""Where a record of these tests has its number of experiences."""
KINDS = ("acknowledged", "filtered", "passed", "corrupt")


@dataclass
class Instance:
    """A ring with groups that settle record by record, in this process."""

    name: str
    groups: object
    ring: object
    producer: object = None
    ends: list = field(default_factory=list)
    """Of each record published: position behind it, and its experiences."""

    def __post_init__(self):
        self.producer = RingProducer(self.ring)

    def claim(self, n_experiences, n_bytes=40):
        room = self.producer.try_claim(n_bytes, n_experiences)
        assert room is not None
        room[:] = bytes(n_bytes)
        room[COUNT_AT : COUNT_AT + 2] = n_experiences.to_bytes(2, "little")

    def write(self, n_experiences, n_bytes=40):
        self.claim(n_experiences, n_bytes)
        self.producer.publish()
        self.ends.append((int(self.producer.cursor[kernels.PUBLISHED]), n_experiences))

    def settle(self, slot, kind, n_records=1):
        for _ in range(n_records):
            settled = slot.settled(0)
            end, n_experiences = self.ends[settled.total.records]
            amount = getattr(settled, kind) + Amount(1, n_experiences)
            slot.settle(0, msgspec.structs.replace(settled, position=end, **{kind: amount}))

    def release(self):
        """As the service does: what the last group has settled, and then the head."""
        least = min((slot.settled(0) for slot in self.groups.slots()), key=lambda s: s.position)
        total = least.total
        self.groups.set_released(0, Released(least.position, total.records, total.experiences))
        kernels.release(self.ring.mem, least.position)

    def start(self):
        return {0: self.groups.released(0)}

    def balance(self, *, running=False):
        return read_instance(self.name, experiences_at=COUNT_AT, running=running)


@pytest.fixture
def farm(instance):
    with (
        create_groups(instance, run_id=9, capacity=CAPACITY, n_rings=1) as groups,
        create_ring(instance, 0, CAPACITY) as ring,
    ):
        yield Instance(instance, groups, ring)


def test_a_fresh_farm_has_nothing_and_is_exact(farm):
    balance = farm.balance()
    assert balance.exact
    assert balance.run_id == 9
    assert set(balance.sums().values()) == {Amount()}
    assert balance.owed == {}


def test_what_nobody_took_is_in_the_ring_and_owed_to_nobody(farm):
    farm.write(32)
    farm.write(5)
    balance = farm.balance()
    assert balance.exact
    assert balance.rings[0].in_ring == balance.rings[0].published == Amount(2, 37)
    assert balance.owed == {}


def test_every_group_has_its_own_account_of_the_same_records(farm):
    farm.write(10)
    early = farm.groups.claim("early", GroupKind.LOSSLESS, starts=farm.start())
    for n_experiences in (1, 2, 4, 8):
        farm.write(n_experiences)
    farm.settle(early, "acknowledged", 2)
    farm.settle(early, "filtered")
    early.leased_records = 1
    farm.release()
    late = farm.groups.claim("late", GroupKind.LATEST, starts=farm.start())
    farm.settle(late, "passed", 2)
    balance = farm.balance()
    assert balance.exact
    assert balance.rings[0].released == Amount(3, 13)
    rows = {row.group: row for row in balance.rings[0].groups}
    assert rows["early"].acknowledged == Amount(2, 11)
    assert rows["early"].filtered == Amount(1, 2)
    assert rows["early"].waiting == Amount(2, 12)
    assert rows["late"].before == Amount(3, 13)
    assert rows["late"].passed == Amount(2, 12)
    assert rows["late"].waiting == Amount()
    assert balance.owed == {"early": 2}, "a group that is not lossless is owed nothing"
    totals = {total.group: total for total in balance.groups}
    assert totals["early"].leased_records == 0, "a dead farm's leases are gone"
    (alive, _) = farm.balance(running=True).groups
    assert alive.leased_records == 1
    assert totals["early"].acknowledged == Amount(2, 11)
    assert lag_bytes(early, [(0, farm.ring)]) == 2 * 48
    assert lag_bytes(late, [(0, farm.ring)]) == 0


def test_what_a_producer_has_in_hand_is_aborted_once_it_is_dead(farm):
    farm.write(7)
    farm.claim(5)
    kernels.drop(farm.ring.mem, farm.producer.cursor, kernels.SAMPLED, 2, 6)
    (alive,) = farm.balance(running=True).rings
    (dead,) = farm.balance(running=False).rings
    assert (alive.in_hand, alive.aborted) == (Amount(3, 11), Amount())
    assert (dead.in_hand, dead.aborted) == (Amount(), Amount(3, 11))
    farm.producer.publish()
    (found,) = farm.balance(running=True).rings
    assert found.dropped == {"ring_full": Amount(), "sampled": Amount(2, 6)}
    assert found.attempted == Amount(4, 18)
    assert found.published == Amount(2, 12)
    assert found.in_hand == found.aborted == Amount()


@pytest.mark.parametrize("seed", range(4))
def test_it_stays_exact_through_deaths_drops_wraps_and_every_kind_of_settling(farm, seed):
    chance = random.Random(seed)
    slots = [farm.groups.claim("a", GroupKind.LOSSLESS, starts=farm.start())]
    attempted = Amount()
    for round_number in range(400):
        for _ in range(chance.randrange(3)):
            n_experiences = chance.randrange(33)
            if kernels.free_bytes(farm.ring.mem, farm.producer.cursor) > 2_000:
                farm.write(n_experiences, chance.randrange(8, 900))
            else:
                reason = chance.choice([kernels.RING_FULL, kernels.SAMPLED])
                kernels.drop(farm.ring.mem, farm.producer.cursor, reason, 1, n_experiences)
            attempted += Amount(1, n_experiences)
        if chance.random() < 0.2 and kernels.free_bytes(farm.ring.mem, farm.producer.cursor) > 99:
            farm.claim(3)
            attempted += Amount(1, 3)
            farm.producer = RingProducer(farm.ring)
        if round_number == 200:
            farm.release()
            slots.append(farm.groups.claim("b", GroupKind.SAMPLE, starts=farm.start()))
        for slot in slots if chance.random() < 0.1 else ():
            waiting = len(farm.ends) - slot.settled(0).total.records
            farm.settle(slot, chance.choice(KINDS), chance.randrange(waiting + 1))
        if chance.random() < 0.5:
            farm.release()
        balance = farm.balance()
        assert balance.exact, balance.differences
        (found,) = balance.rings
        parts = [found.published, found.aborted, *found.dropped.values()]
        assert sum(parts, Amount()) == found.attempted == attempted
        assert found.published == Amount(len(farm.ends), sum(n for _, n in farm.ends))
    assert found.dropped["ring_full"].records > 0
    assert found.aborted.records > 20


def test_a_record_that_a_group_left_out_of_its_account_is_missed(farm):
    slot = farm.groups.claim("trainer", GroupKind.LOSSLESS, starts=farm.start())
    for n_experiences in (3, 4, 5):
        farm.write(n_experiences)
    farm.settle(slot, "acknowledged")
    skipped = msgspec.structs.replace(slot.settled(0), position=farm.ends[1][0])
    slot.settle(0, skipped)
    balance = farm.balance()
    assert not balance.exact
    (text,) = balance.differences
    assert text.startswith("ring 0, group trainer: 3 records (12 experiences) published")
    assert text.endswith("off by 1 (4)")


def test_a_head_beyond_what_was_kept_or_beyond_a_group_is_a_difference(farm):
    farm.groups.claim("trainer", GroupKind.LOSSLESS, starts=farm.start())
    farm.write(3)
    farm.ring.store(HEAD_OFFSET, farm.ends[0][0])
    assert "head" in farm.balance().differences[0]
    farm.groups.set_released(0, Released(farm.ends[0][0], 1, 3))
    texts = farm.balance().differences
    assert any("stands at 0" in text for text in texts)


def test_a_service_killed_before_the_head_moved_is_no_difference(farm):
    slot = farm.groups.claim("trainer", GroupKind.LOSSLESS, starts=farm.start())
    farm.write(3)
    farm.settle(slot, "acknowledged")
    assert farm.balance().exact, "killed after the group's place"
    farm.groups.set_released(0, Released(farm.ends[0][0], 1, 3))
    assert farm.balance().exact, "killed after the released one"


def test_bytes_that_are_no_record_are_damage_and_what_is_behind_is_still_counted(farm):
    slot = farm.groups.claim("trainer", GroupKind.LOSSLESS, starts=farm.start())
    behind = farm.groups.claim("behind", GroupKind.LOSSLESS, starts=farm.start())
    for n_experiences in (1, 2, 4, 8, 16):
        farm.write(n_experiences)
    farm.settle(slot, "acknowledged")
    farm.settle(behind, "acknowledged", 4)
    farm.ring.store(DATA_OFFSET + farm.ends[1][0], 0xDEAD_BEEF)
    balance = farm.balance()
    assert balance.exact, balance.differences
    (found,) = balance.rings
    assert found.damaged == Amount(2, 12)
    assert {row.group: row.waiting for row in found.groups} == {
        "trainer": Amount(4, 30),
        "behind": Amount(1, 16),
    }


def test_records_too_short_for_a_count_have_no_experiences(farm):
    room = farm.producer.try_claim(3, 0)
    room[:] = b"abc"
    farm.producer.publish()
    assert farm.balance().rings[0].in_ring == Amount(1, 0)


def test_a_ring_that_is_being_overwritten_is_read_once_more(farm, monkeypatch):
    farm.groups.claim("trainer", GroupKind.LATEST, starts=farm.start())
    while kernels.free_bytes(farm.ring.mem, farm.producer.cursor) > 2_000:
        farm.write(9, 500)
    moved = []
    real = type(farm.groups).slots

    def move_on(groups):
        """Between the first look at the ring and its walk, a whole lap goes by."""
        if not moved:
            moved.append(True)
            slot = real(farm.groups)[0]
            for _ in range(60):
                farm.settle(slot, "passed", len(farm.ends) - slot.settled(0).total.records)
                farm.release()
                farm.write(9, 500)
        return real(groups)

    monkeypatch.setattr(type(farm.groups), "slots", move_on)
    found = read_ring(farm.groups, 0, farm.ring, experiences_at=COUNT_AT, running=True)
    assert moved
    assert found.differences == ()
    assert found.damaged == Amount()


def test_attempts_that_were_wiped_out_are_no_crash(farm):
    farm.write(3)
    farm.ring.store(ATTEMPTED_RECORDS_OFFSET, 0)
    assert farm.balance().rings[0].attempted == Amount(1, 3)


def test_it_reads_the_rings_of_workers_that_are_gone_too(farm, instance):
    with create_ring(instance, 12, CAPACITY) as other, create_ring(instance, 64, 1 << 13) as tiny:
        for ring, n in ((other, 2), (tiny, 3)):
            extra = Instance(instance, farm.groups, ring)
            for _ in range(n):
                extra.write(1)
        balance = farm.balance()
        assert [(found.ring, found.in_ring.records) for found in balance.rings] == [
            (0, 0),
            (12, 2),
            (64, 3),
        ]
        assert RingConsumer(other).peek() is not None, "and changes nothing"
