"""The readers of real rings against a model, killed at any store and taken over from what is kept.

Groups of every policy, members that come, take, acknowledge and go, records of two seats. A death
is an exception in the middle of a store: everything in this process's memory is then forgotten and
made anew from the segments, as a replacement would. A torn write has written its first half.
"""

import itertools
import uuid
from pathlib import Path

import numpy as np
import pytest
from handmade import HandMadeRing, Spec, header
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from farm.rpc.v1 import experience_pb2
from farm.serve import rings as rings_module
from farm.serve.batch import Limits
from farm.serve.filters import compile_filter
from farm.serve.groups import Groups
from farm.serve.hub import Hub, Opening
from farm.serve.policy import Policy
from farm.serve.rings import Ring
from farm.serve.stats import Statistics
from farm.shm.balance import read_balance
from farm.shm.groups import GroupKind, attach_groups, create_groups
from farm.shm.ring_layout import FATE_OFFSET, Fate
from farm.shm.successor import is_settled
from farm.spec.trajectory import RECORD_HEADER

N_RINGS = 2
CAPACITY = 1 << 13
LIMITS = Limits(
    min_batch_bytes=1,
    max_batch_bytes=400,
    max_wait_ns=0,
    client_timeout_ns=1 << 60,
    lease_ns=1 << 60,
    credit_bytes=4_000,
)
ODD = compile_filter(experience_pb2.Filter(seats=[1]))
KINDS = {
    "all": Opening(group="all"),
    "odd": Opening(group="odd", wanted=ODD),
    "viewer": Opening(group="viewer", policy=Policy(GroupKind.LATEST)),
    "half": Opening(group="half", policy=Policy(GroupKind.SAMPLE, 0.5)),
}
LOSSLESS = ("all", "odd")
N_STORES = N_RINGS * (2 * 3 + 3 + 1)
"""Of a release: a checkpoint of each of two groups, one of the ring, its head."""
EXPERIENCES_AT = RECORD_HEADER.fields["n_steps"][1]
_real_release = rings_module.release


class Killed(BaseException):
    """The service dies here."""


class HubMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.instance = f"test-{uuid.uuid4().hex[:10]}"
        self.block = create_groups(self.instance, run_id=1, capacity=CAPACITY, n_rings=N_RINGS)
        self.written = [HandMadeRing(self.instance, ring, CAPACITY) for ring in range(N_RINGS)]
        self.records = [[] for _ in range(N_RINGS)]  # (seat, n_steps), by sequence
        self.fuse = None
        self.handed = {name: set() for name in KINDS}
        self.acked = {name: set() for name in KINDS}
        rings_module.release = self.release_head

    @initialize()
    def begin(self):
        self.start()

    # What dies with the service.

    def start(self):
        self.fuse = None
        self.block.close()
        self.block = attach_groups(self.instance)
        store, write = self.block.segment.store, self.block.segment.write
        self.block.segment.store = lambda at, value: (self.burn(), store(at, value))
        self.block.segment.write = lambda at, raw: self.torn_write(write, at, raw)
        self.rings = [
            Ring(number, ring.segment, self.block, None) for number, ring in enumerate(self.written)
        ]
        self.hub = Hub(self.rings, Groups(self.block, self.rings, {}, 0))
        self.statistics = Statistics(16)
        self.members = []  # (member, name, {batch id: records})

    def burn(self):
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed

    def torn_write(self, write, at, raw):
        try:
            self.burn()
        except Killed:
            write(at, raw[: len(raw) // 2])
            raise
        write(at, raw)

    def release_head(self, mem, position):
        self.burn()
        _real_release(mem, position)

    def scan(self):
        for ring in self.rings:
            while True:
                n_headers, may_be_more = ring.scan(self.statistics.room())
                self.statistics.add(n_headers)
                if not may_be_more:
                    break

    def round(self):
        self.scan()
        self.hub.follow_rings()
        self.hub.release()

    # What happens to it.

    @rule(ring=st.integers(0, N_RINGS - 1), seats=st.lists(st.integers(0, 1), max_size=12))
    def write(self, ring, seats):
        for seat in seats:
            sequence = self.written[ring].n_written
            spec = Spec(worker=ring, sequence=sequence, seat=seat, n_steps=1 + sequence % 5)
            if not self.written[ring].write_bytes(small_record(spec), n_experiences=spec.n_steps):
                break
            self.records[ring].append((seat, spec.n_steps))

    @rule()
    def look(self):
        self.round()

    @rule(name=st.sampled_from(sorted(KINDS)))
    def join(self, name):
        if len(self.members) < 6:
            self.members.append((self.hub.join(KINDS[name], 0, limit_bytes=4_000), name, {}))

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def take(self, data):
        self.scan()
        self.take_batch(data.draw(st.sampled_from(self.members)))

    def take_batch(self, entry):
        member, name, held = entry
        made = member.try_batch(0, LIMITS)
        if made is None:
            return False
        batch = experience_pb2.ExperienceBatch.FromString(made[0])
        names = {(one.worker, one.sequence) for one in batch.trajectories}
        assert all(self.is_wanted(name, *one) for one in names)
        if names & self.handed[name]:
            assert batch.redelivered
        self.handed[name] |= names
        held[batch.batch_id] = names
        return True

    @precondition(lambda self: any(held for _, _, held in self.members))
    @rule(data=st.data())
    def acknowledge(self, data):
        member, name, held = data.draw(st.sampled_from([one for one in self.members if one[2]]))
        batch_id = data.draw(st.sampled_from(sorted(held)))
        self.acknowledge_batch(member, name, held, batch_id)

    def acknowledge_batch(self, member, name, held, batch_id):
        self.acked[name] |= held.pop(batch_id)
        member.acknowledge([batch_id], 0)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data):
        entry = data.draw(st.sampled_from(self.members))
        self.members.remove(entry)
        self.hub.leave(entry[0], 0)

    @rule(stores=st.integers(0, 12), first=st.sampled_from(["ack", "look", "join", "take"]))
    def die(self, stores, first):
        """At some store on the way, or between two of them, whatever is going on."""
        self.scan()
        self.fuse = stores
        try:
            if first == "join":
                self.hub.join(KINDS["half"], 0, limit_bytes=1_000)
            for entry in self.members:
                if first == "take":
                    self.take_batch(entry)
                if first == "ack" and entry[2]:
                    self.acknowledge_batch(*entry, min(entry[2]))
            self.round()
        except Killed:
            pass
        self.start()

    @precondition(lambda self: any(map(self.is_settled, range(N_RINGS))))
    @rule(data=st.data(), capacity=st.sampled_from([CAPACITY, CAPACITY // 2, 4 * CAPACITY]))
    def replace(self, data, capacity):
        """A ring in which nothing is left, by one of another capacity."""
        ring = data.draw(st.sampled_from([*filter(self.is_settled, range(N_RINGS))]))
        self.written[ring].replace(capacity)

    @rule(ring=st.integers(0, N_RINGS - 1), fate=st.sampled_from(list(Fate)[:3]))
    def let_end(self, ring, fate):
        """A worker waits for all of its ring to be released, for a while or for long, or not."""
        self.written[ring].segment.store(FATE_OFFSET, fate)

    # What must hold.

    def is_settled(self, ring):
        return is_settled(self.written[ring].segment)

    def is_wanted(self, name, ring, sequence):
        return name != "odd" or self.records[ring][sequence][0] == 1

    @invariant()
    def every_record_is_accounted_for(self):
        found = read_balance(
            self.block,
            [(number, ring.segment) for number, ring in enumerate(self.written)],
            experiences_at=EXPERIENCES_AT,
            running=False,
        )
        assert found.exact, found.differences
        for number, row in enumerate(found.rings):
            assert row.published.records == len(self.records[number])
            for group in row.groups:
                self.settled_as_it_was(number, group)

    def settled_as_it_was(self, ring, row):
        """In a lossless group each record settled was acknowledged, or is not wanted."""
        first, end = row.before.records, row.settled.records
        inside = range(first, end)
        if row.group not in LOSSLESS:
            assert row.acknowledged.records <= len(self.acked[row.group])
            return
        wanted = [one for one in inside if self.is_wanted(row.group, ring, one)]
        assert all((ring, one) in self.acked[row.group] for one in wanted)
        steps = [self.records[ring][one][1] for one in wanted]
        assert (row.acknowledged.records, row.acknowledged.experiences) == (len(steps), sum(steps))
        assert row.filtered.records == len(inside) - len(wanted)
        assert row.passed.records == row.corrupt.records == 0

    def teardown(self):
        try:
            self.everything_comes_out()
        finally:
            rings_module.release = _real_release
            self.block.close()
            for ring in self.written:
                ring.close()
            for path in Path("/dev/shm").glob(f"farm-{self.instance}-*"):
                path.unlink()

    def everything_comes_out(self):
        """A lossless group still gets what it has not acknowledged; then the rings are empty."""
        if not hasattr(self, "hub"):
            return
        self.start()  # whoever had a batch is gone
        self.round()
        for name in (group.name for group in self.hub.groups):
            entry = (self.hub.join(KINDS[name], 0, limit_bytes=4_000), name, {})
            for _ in itertools.repeat(None, 1_000):
                if not self.take_batch(entry):
                    break
                self.acknowledge_batch(*entry, min(entry[2]))
                self.round()
        self.round()
        for name in LOSSLESS:
            group = self.block.find(name)
            if group is None:
                continue
            for ring in range(N_RINGS):
                first = group.settled(ring).before.records
                wanted = range(first, len(self.records[ring]))
                due = {(ring, one) for one in wanted if self.is_wanted(name, ring, one)}
                assert due <= self.acked[name]
        if len(self.hub.groups):
            assert all(ring.head == ring.tail for ring in self.rings)
        self.every_record_is_accounted_for()


def small_record(spec):
    message = experience_pb2.Trajectory(
        worker=spec.worker, sequence=spec.sequence, seat=spec.seat, n_steps=spec.n_steps
    )
    batch = experience_pb2.ExperienceBatch(trajectories=[message])
    return header(spec, np.zeros(1)).tobytes() + batch.SerializeToString()


HubMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_readers_that_die_anywhere_lose_and_miscount_nothing = HubMachine.TestCase


@pytest.mark.parametrize("stores", range(24))
def test_a_release_that_dies_at_any_of_its_stores_is_finished_by_the_next_service(stores):
    machine = HubMachine()
    machine.start()
    try:
        for name in LOSSLESS:
            machine.join(name)
        for ring in range(N_RINGS):
            machine.write(ring, [0, 1, 1, 0])
        machine.scan()
        for entry in machine.members:
            while machine.take_batch(entry):
                machine.acknowledge_batch(*entry, min(entry[2]))
        machine.fuse = stores
        try:
            machine.hub.release()
        except Killed:
            assert stores < N_STORES
        else:
            assert stores >= N_STORES
        machine.start()
        machine.every_record_is_accounted_for()
    finally:
        machine.teardown()
