"""The balance as it arrives, and gaps beside it."""

import pytest

from farm.client.balance import Amount, gaps, parse_balance
from farm.client.core import Inbox
from farm.client.ledger import Seen, SequenceLedger
from farm.client.retry import NO_RETRY
from farm.client.session import Session, stream_call, subscribe_call
from farm.errors import UsageError
from farm.rpc.v1 import experience_pb2 as pb

PARTS = ("before", "acknowledged", "filtered", "passed", "corrupt", "waiting")


def amount(records):
    return pb.Amount(records=records, experiences=4 * records)


def group(name="default", *, leased=0, **parts):
    amounts = {part: amount(parts.get(part, 0)) for part in PARTS}
    return pb.GroupBalance(group=name, leased_records=leased, **amounts)


def ring(*groups, worker=0, published=0, dropped=0, sampled=0, aborted=0):
    reasons = {"ring_full": dropped, "sampled": sampled}
    return pb.RingBalance(
        worker=worker,
        claimed=amount(published + dropped + sampled + aborted),
        published=amount(published),
        dropped={reason: amount(n) for reason, n in reasons.items() if n},
        aborted=amount(aborted),
        groups=groups,
    )


def balance(*rings, exact=True):
    return parse_balance(pb.GetBalanceResponse(rings=rings, exact=exact).SerializeToString())


def the_gap(seen, *groups, name="default", **facts):
    (found,) = gaps({0: seen} if seen else {}, balance(ring(*groups, **facts)), name)
    return found


def test_every_figure_arrives():
    parts = {part: 1 + place for place, part in enumerate(PARTS)}
    made = balance(
        ring(group(leased=3, **parts), worker=2, published=21, dropped=4, sampled=5, aborted=6)
    )
    (only,) = made.rings
    assert made.exact
    assert (only.worker, only.claimed, only.published) == (2, Amount(36, 144), Amount(21, 84))
    assert only.dropped == {"ring_full": Amount(4, 16), "sampled": Amount(5, 20)}
    assert (only.n_dropped, only.aborted) == (9, Amount(6, 24))
    (row,) = only.groups
    assert [getattr(row, part) for part in PARTS] == [Amount(n, 4 * n) for n in range(1, 7)]
    assert (row.group, row.leased_records, row.accounted) == ("default", 3, only.published)


def test_a_reader_that_has_everything_lacks_nothing():
    gap = the_gap(Seen(0, 9, 0), group(acknowledged=10), published=10)
    assert (gap.received, gap.missing, gap.lost) == (10, 0, 0)
    assert gap.is_explained


def test_gaps_are_what_the_worker_dropped():
    gap = the_gap(Seen(0, 12, 3), group(acknowledged=10), published=10, dropped=2, sampled=1)
    assert (gap.missing, gap.dropped, gap.lost) == (3, 3, 0)
    assert gap.is_explained


def test_drops_before_the_first_and_behind_the_last_that_arrived_are_gaps_too():
    gap = the_gap(Seen(2, 11, 0), group(acknowledged=10), published=10, dropped=5)
    assert (gap.missing, gap.dropped, gap.lost) == (5, 5, 0)
    assert gap.is_explained


def test_what_nobody_counted_is_lost():
    gap = the_gap(Seen(0, 9, 1), group(acknowledged=10), published=10)
    assert (gap.missing, gap.dropped, gap.lost) == (1, 0, 1)
    assert not gap.is_explained


def test_a_loss_is_not_hidden_by_as_many_drops():
    gap = the_gap(Seen(0, 10, 2), group(acknowledged=10), published=10, dropped=1)
    assert (gap.missing, gap.dropped, gap.lost) == (2, 1, 1)
    assert not gap.is_explained


def test_what_waits_or_was_left_out_is_explained():
    gap = the_gap(
        Seen(0, 5, 2), group(acknowledged=4, filtered=1, passed=1, waiting=4), published=10
    )
    assert (gap.left_out, gap.waiting, gap.missing, gap.lost) == (2, 4, 6, 0)
    assert gap.is_explained


def test_a_group_made_later_has_no_right_to_what_was_before():
    gap = the_gap(Seen(6, 9, 0), group(before=6, acknowledged=4), published=10)
    assert (gap.missing, gap.lost) == (0, 0)
    assert gap.is_explained


def test_of_a_worker_that_has_sent_nothing_yet_everything_waits():
    gap = the_gap(None, group(waiting=3), published=3)
    assert (gap.received, gap.missing, gap.waiting, gap.lost) == (0, 3, 3, 0)
    assert gap.is_explained


def test_arrived_and_not_acknowledged_is_below_nothing():
    assert the_gap(Seen(0, 2, 0), group(waiting=3, leased=3), published=3).lost == -3


def test_a_group_that_is_gone_is_named_with_those_there_are():
    with pytest.raises(UsageError, match=r"no group 'blue'.*default, red"):
        the_gap(None, group(), group("red"), name="blue")


def test_a_stream_beside_the_groups_has_no_gaps():
    session = Session("", stream_call({}), NO_RETRY)
    with pytest.raises(UsageError, match="only a subscription"):
        session.gaps(balance(ring(group())))


def test_a_subscription_compares_what_its_own_group_got():
    session = Session("", subscribe_call({"group": "red"}), NO_RETRY)
    (gap,) = session.gaps(balance(ring(group(), group("red", waiting=1), published=1)))
    assert gap.waiting == 1


def test_what_an_inbox_has_seen_is_what_its_ledger_noted():
    ledger = SequenceLedger()
    inbox = Inbox(1)
    assert inbox.seen == ledger.seen() == {}
