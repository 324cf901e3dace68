"""Leases against a model: a byte is unread, with one member, waiting for another, or settled."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.errors import InvalidRequestError
from farm.serve.leases import NOTHING, Group, LeftOut, Mark, mark_of
from farm.shm.groups import Amount, Settled

N_RINGS = 2
CELL = 8
"""Bytes of ring in the model's units; a cell is one record of two experiences."""
KINDS = ("acknowledged", "filtered", "passed", "corrupt")


def at(position):
    return Mark(position, position // CELL, position // CELL * 2)


def amount(n_records):
    return Amount(n_records, 2 * n_records)


def new_group(*starts):
    places = [Settled(start, before=amount(start // CELL)) for start in starts]
    return Group(places, list(starts))


class GroupMachine(RuleBasedStateMachine):
    """Plays members that come, take, acknowledge and go, beside a dict of every cell.

    A cell is "back" (waits for another member), a batch id (with a member), or one of KINDS. Cells
    that nobody is to get are left out when they are read, and count once their span is settled.
    """

    def __init__(self):
        super().__init__()
        self.group = new_group(*[0] * N_RINGS)
        self.read = [0] * N_RINGS
        self.cells = [{} for _ in range(N_RINGS)]
        self.left_out = [{} for _ in range(N_RINGS)]  # position -> the kind it will count as
        self.members = {}  # number -> its batch ids

    def note(self, spans, state):
        for span in spans:
            for position in range(span.start.position, span.end.position, CELL):
                self.cells[span.ring][position] = state

    def settle_cells(self, ring, positions, kind):
        for position in positions:
            self.cells[ring][position] = self.left_out[ring].get(position, kind)

    @rule()
    def join(self):
        number = self.group.join()
        assert number not in self.members
        self.members[number] = set()

    @precondition(lambda self: self.members)
    @rule(
        data=st.data(),
        ring=st.integers(0, N_RINGS - 1),
        kinds=st.lists(st.sampled_from([None, None, *KINDS[1:]]), min_size=1, max_size=5),
    )
    def lease_new(self, data, ring, kinds):
        member = data.draw(st.sampled_from(sorted(self.members)))
        span = self.read_on(ring, kinds)
        if None in kinds:
            self.hand_out(member, [span], 0)
        else:
            self.group.settle(span)
            self.settle_cells(ring, range(span.start.position, span.end.position, CELL), None)

    def read_on(self, ring, kinds):
        start = self.read[ring]
        self.read[ring] += CELL * len(kinds)
        for place, kind in enumerate(kinds):
            if kind is not None:
                self.left_out[ring][start + CELL * place] = kind
        return self.group.read(ring, at(self.read[ring]), left_out_of(kinds))

    @precondition(lambda self: self.members and self.group.returned_bytes())
    @rule(data=st.data())
    def lease_what_came_back(self, data):
        member = data.draw(st.sampled_from(sorted(self.members)))
        span = self.group.take_returned()
        lowest = min(p for p, state in self.cells[span.ring].items() if state == "back")
        assert span.start.position == lowest or self.other_ring_is_first(span)
        n_cells = (span.end.position - span.start.position) // CELL
        keep = data.draw(st.integers(1, n_cells))
        # Read again, it is another member's filter that counts: this one wants everything.
        for position in range(span.start.position, span.end.position, CELL):
            self.left_out[span.ring].pop(position, None)
        if keep < n_cells:
            span, rest = self.group.split(span, at(span.start.position + CELL * keep))
            self.group.put_back(rest)
        span.left_out = NOTHING
        self.hand_out(member, [span], keep)

    def other_ring_is_first(self, span):
        """Order is kept within a ring; across rings it goes by position."""
        mine = [p for p, state in self.cells[span.ring].items() if state == "back"]
        return span.start.position in mine

    def hand_out(self, member, spans, redelivered):
        records = sum(span.delivered.records for span in spans)
        lease = self.group.lease(
            member,
            spans,
            n_bytes=CELL * records,
            records=records,
            experiences=2 * records,
            redelivered_records=redelivered,
        )
        self.members[member].add(lease.batch_id)
        self.note(spans, lease.batch_id)

    @precondition(lambda self: any(self.members.values()))
    @rule(data=st.data())
    def acknowledge(self, data):
        member = data.draw(st.sampled_from([m for m, held in self.members.items() if held]))
        batch_id = data.draw(st.sampled_from(sorted(self.members[member])))
        held = [(r, p) for r, cells in enumerate(self.cells) for p in cells if cells[p] == batch_id]
        done = self.group.acknowledge(member, [batch_id])
        self.members[member].remove(batch_id)
        delivered = [(ring, p) for ring, p in held if p not in self.left_out[ring]]
        assert done.amount == amount(len(delivered))
        for ring, position in held:
            self.settle_cells(ring, [position], "acknowledged")

    @rule(ring=st.integers(0, N_RINGS - 1), cells=st.integers(0, 4))
    def pass_over(self, ring, cells):
        self.read[ring] += CELL * cells
        self.group.pass_over(ring, at(self.read[ring]))
        unsettled = [
            position
            for position in range(0, self.read[ring], CELL)
            if self.cells[ring].get(position) not in KINDS
        ]
        self.settle_cells(ring, unsettled, "passed")

    @precondition(lambda self: self.members)
    @rule(data=st.data(), batch_id=st.integers(0, 50))
    def acknowledge_what_it_does_not_have(self, data, batch_id):
        member = data.draw(st.sampled_from(sorted(self.members)))
        if batch_id not in self.members[member]:
            with pytest.raises(InvalidRequestError):
                self.group.acknowledge(member, [batch_id])

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data):
        member = data.draw(st.sampled_from(sorted(self.members)))
        self.group.leave(member)
        self.take_back(self.members.pop(member))

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def lose_everything_and_stay(self, data):
        member = data.draw(st.sampled_from(sorted(self.members)))
        self.group.reclaim(member)
        self.take_back(self.members[member])

    def take_back(self, batch_ids):
        for cells in self.cells:
            cells.update({p: "back" for p, state in cells.items() if state in batch_ids})

    @invariant()
    def rings_are_released_up_to_the_first_byte_that_somebody_may_need(self):
        for ring, cells in enumerate(self.cells):
            needed = [position for position, state in cells.items() if state not in KINDS]
            expected = min(needed, default=self.read[ring])
            assert mark_of(self.group.settled(ring)) == at(expected)

    @invariant()
    def what_is_settled_is_counted_as_what_became_of_it(self):
        for ring, cells in enumerate(self.cells):
            settled = self.group.settled(ring)
            before = [state for p, state in cells.items() if p < settled.position]
            for kind in KINDS:
                assert getattr(settled, kind) == amount(before.count(kind)), kind

    @invariant()
    def nothing_is_lost_or_counted_twice(self):
        for ring, cells in enumerate(self.cells):
            leased = [p for p, state in cells.items() if isinstance(state, int)]
            delivered = [p for p in leased if p not in self.left_out[ring]]
            assert self.group.leased(ring) == len(delivered)
        back = sum(1 for cells in self.cells for state in cells.values() if state == "back")
        assert self.group.leased_records == sum(map(self.group.leased, range(N_RINGS)))
        assert self.group.returned_bytes() == CELL * back


def left_out_of(kinds):
    return LeftOut(*(amount(kinds.count(kind)) for kind in KINDS[1:]))


GroupMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_a_group_of_members_agrees_with_the_model = GroupMachine.TestCase


def lease_of(group, member, end):
    span = group.read(0, at(end))
    return group.lease(member, [span], n_bytes=8, records=1, experiences=4)


def test_an_acknowledgement_counts_once():
    group = new_group(0)
    member = group.join()
    lease = lease_of(group, member, 8)
    group.acknowledge(member, [lease.batch_id])
    with pytest.raises(InvalidRequestError, match="acknowledged before"):
        group.acknowledge(member, [lease.batch_id])


@pytest.mark.parametrize("bad", [77, 1])
def test_batches_acknowledged_beside_one_that_is_not_there_stay_with_the_member(bad):
    group = new_group(0)
    member = group.join()
    lease_of(group, member, 8)
    lease_of(group, member, 16)
    with pytest.raises(InvalidRequestError, match=f"batch {bad} "):
        group.acknowledge(member, [1, 2, bad])
    assert group.leased_records == 2
    assert group.settled(0).position == 0
    assert group.acknowledge(member, [2, 1]).amount == Amount(2, 4)
    assert group.settled(0).position == 16


def test_a_member_cannot_acknowledge_for_another():
    group = new_group(0)
    mine, other = group.join(), group.join()
    lease = lease_of(group, mine, 8)
    with pytest.raises(InvalidRequestError):
        group.acknowledge(other, [lease.batch_id])


def test_what_several_members_leave_comes_back_in_the_order_of_the_ring():
    group = new_group(0)
    first, second = group.join(), group.join()
    for member, end in ((first, 8), (second, 16), (first, 24)):
        lease_of(group, member, end)
    group.leave(first)
    group.leave(second)
    starts = [group.take_returned().start.position for _ in range(3)]
    assert starts == [0, 8, 16]


def test_a_ring_cannot_be_read_backwards():
    group = new_group(16)
    with pytest.raises(ValueError, match="read back"):
        group.read(0, at(8))


def test_a_span_with_nothing_to_deliver_holds_nothing():
    group = new_group(0)
    group.settle(group.read(0, at(64)))
    assert group.settled(0).position == 64


def test_what_was_passed_over_stays_with_its_member_and_its_acknowledgement_changes_nothing():
    group = new_group(0)
    member = group.join()
    lease = lease_of(group, member, 8)
    group.pass_over(0, at(24))
    assert group.settled(0) == Settled(24, passed=amount(3))
    assert group.leased_records == 0
    assert group.acknowledge(member, [lease.batch_id]) == (8, Amount())
    group.leave(member)
    assert group.take_returned() is None


def test_what_a_service_before_had_handed_out_is_remembered():
    group = Group([Settled(8, before=amount(1))], [24])
    assert group.cursor(0) == at(8)
    assert group.handed(0) == 24
    lease_of(group, group.join(), 40)
    assert group.handed(0) == 40
