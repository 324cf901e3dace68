"""Leases against a model: a byte is unread, with one member, waiting for another, or settled."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.errors import InvalidRequestError
from farm.serve.leases import Group, Mark

N_RINGS = 2


def at(position):
    return Mark(position, position // 8)


class GroupMachine(RuleBasedStateMachine):
    """Plays members that come, take, acknowledge and go, beside a dict of every cell."""

    def __init__(self):
        super().__init__()
        self.group = Group([at(0)] * N_RINGS)
        self.read = [0] * N_RINGS
        self.cells = [{} for _ in range(N_RINGS)]  # position -> "back", "settled" or a batch id
        self.members = {}  # number -> its batch ids

    def note(self, spans, state):
        for span in spans:
            for position in range(span.start.position, span.end.position, 8):
                self.cells[span.ring][position] = state

    @rule()
    def join(self):
        number = self.group.join()
        assert number not in self.members
        self.members[number] = set()

    @precondition(lambda self: self.members)
    @rule(data=st.data(), ring=st.integers(0, N_RINGS - 1), cells=st.integers(1, 5))
    def lease_new(self, data, ring, cells):
        member = data.draw(st.sampled_from(sorted(self.members)))
        self.read[ring] += 8 * cells
        span = self.group.read(ring, at(self.read[ring]))
        self.hand_out(member, [span], 0)

    @precondition(lambda self: self.members and self.group.returned_bytes())
    @rule(data=st.data())
    def lease_what_came_back(self, data):
        member = data.draw(st.sampled_from(sorted(self.members)))
        span = self.group.take_returned()
        lowest = min(p for p, state in self.cells[span.ring].items() if state == "back")
        assert span.start.position == lowest or self.other_ring_is_first(span)
        n_cells = (span.end.position - span.start.position) // 8
        keep = data.draw(st.integers(1, n_cells))
        if keep < n_cells:
            span, rest = self.group.split(span, at(span.start.position + 8 * keep))
            self.group.put_back(rest)
        self.hand_out(member, [span], keep)

    def other_ring_is_first(self, span):
        """Order is kept within a ring; across rings it goes by position."""
        mine = [p for p, state in self.cells[span.ring].items() if state == "back"]
        return span.start.position in mine

    def hand_out(self, member, spans, redelivered):
        records = sum(span.end.records - span.start.records for span in spans)
        lease = self.group.lease(
            member,
            spans,
            n_bytes=8 * records,
            records=records,
            experiences=records,
            redelivered_records=redelivered,
        )
        self.members[member].add(lease.batch_id)
        self.note(spans, lease.batch_id)

    @precondition(lambda self: any(self.members.values()))
    @rule(data=st.data())
    def acknowledge(self, data):
        member = data.draw(st.sampled_from([m for m, held in self.members.items() if held]))
        batch_id = data.draw(st.sampled_from(sorted(self.members[member])))
        (lease,) = self.group.acknowledge(member, [batch_id])
        self.members[member].remove(batch_id)
        if not lease.lost:
            self.note(lease.spans, "settled")

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
            needed = [position for position, state in cells.items() if state != "settled"]
            expected = min(needed, default=self.read[ring])
            assert self.group.release_mark(ring) == at(expected)

    @invariant()
    def nothing_is_lost_or_counted_twice(self):
        leased = sum(
            1 for cells in self.cells for state in cells.values() if isinstance(state, int)
        )
        back = sum(1 for cells in self.cells for state in cells.values() if state == "back")
        assert self.group.leased_records == leased
        assert self.group.returned_bytes() == 8 * back


GroupMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_a_group_of_members_agrees_with_the_model = GroupMachine.TestCase


def lease_of(group, member, end):
    span = group.read(0, at(end))
    return group.lease(member, [span], n_bytes=8, records=1, experiences=4)


def test_an_acknowledgement_counts_once():
    group = Group([at(0)])
    member = group.join()
    lease = lease_of(group, member, 8)
    group.acknowledge(member, [lease.batch_id])
    with pytest.raises(InvalidRequestError, match="acknowledged before"):
        group.acknowledge(member, [lease.batch_id])


@pytest.mark.parametrize("bad", [77, 1])
def test_batches_acknowledged_beside_one_that_is_not_there_stay_with_the_member(bad):
    group = Group([at(0)])
    member = group.join()
    lease_of(group, member, 8)
    lease_of(group, member, 16)
    with pytest.raises(InvalidRequestError, match=f"batch {bad} "):
        group.acknowledge(member, [1, 2, bad])
    assert group.leased_records == 2
    assert group.release_mark(0) == at(0)
    assert len(group.acknowledge(member, [2, 1])) == 2
    assert group.release_mark(0) == at(16)


def test_a_member_cannot_acknowledge_for_another():
    group = Group([at(0)])
    mine, other = group.join(), group.join()
    lease = lease_of(group, mine, 8)
    with pytest.raises(InvalidRequestError):
        group.acknowledge(other, [lease.batch_id])


def test_what_several_members_leave_comes_back_in_the_order_of_the_ring():
    group = Group([at(0)])
    first, second = group.join(), group.join()
    for member, end in ((first, 8), (second, 16), (first, 24)):
        lease_of(group, member, end)
    group.leave(first)
    group.leave(second)
    starts = [group.take_returned().start.position for _ in range(3)]
    assert starts == [0, 8, 16]


def test_a_ring_cannot_be_read_backwards():
    group = Group([at(16)])
    with pytest.raises(ValueError, match="read back"):
        group.read(0, at(8))


def test_a_span_with_nothing_to_deliver_holds_nothing():
    group = Group([at(0)])
    group.settle(group.read(0, at(64)))
    assert group.release_mark(0) == at(64)
