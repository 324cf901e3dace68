"""Where every record is, as a message: counted by the producers, by the groups, and in the rings.

Three parties count, each for itself: a worker what it claims and publishes, a group what it
settles, this service what it finds in the ring. That they agree is the balance, and `exact` says
so. It is as of what each worker has published last; what it has claimed since is in its hands, and
counts when it is published, or as aborted when the worker's replacement finds that it never was.
"""

from farm.rpc.v1 import experience_pb2
from farm.serve.groups import NamedGroup
from farm.serve.leases import Mark, mark_of
from farm.serve.pump import Pump
from farm.serve.rings import Ring
from farm.shm.groups import Amount
from farm.shm.ring_layout import Checkpoint

_TRIES = 16
"""Scans of one ring, until one comes as far as its worker has published."""


def balance_message(pump: Pump) -> experience_pb2.GetBalanceResponse:
    """The reply to GetBalance."""
    reply = experience_pb2.GetBalanceResponse(exact=True)
    for index, ring in enumerate(pump.hub.rings):
        saved, agrees = _counted(pump, ring)
        balance = _ring_balance(ring, saved)
        balance.groups.extend(_group_balance(group, index, ring) for group in pump.hub.groups)
        reply.rings.append(balance)
        reply.exact = reply.exact and agrees
    return reply


def _counted(pump: Pump, ring: Ring) -> tuple[Checkpoint, bool]:
    """What the producer has counted, and whether the ring holds just that."""
    for _ in range(_TRIES):
        pump.scan(ring)
        saved = ring.view.checkpoint()
        if saved.tail == ring.tail.position:
            break
    return saved, ring.tail == Mark(saved.tail, saved.records, saved.experiences)


def _ring_balance(ring: Ring, saved: Checkpoint) -> experience_pb2.RingBalance:
    dropped = {
        "ring_full": Amount(saved.dropped_records, saved.dropped_experiences),
        "sampled": Amount(saved.sampled_records, saved.sampled_experiences),
    }
    aborted = Amount(saved.aborted_records, saved.aborted_experiences)
    balance = experience_pb2.RingBalance(
        worker=ring.worker,
        claimed=_message(Amount(saved.sequence, saved.accounted_experiences) + aborted),
        published=_message(Amount(saved.records, saved.experiences)),
        aborted=_message(aborted),
    )
    for reason, amount in dropped.items():
        balance.dropped[reason].CopyFrom(_message(amount))
    return balance


def _group_balance(group: NamedGroup, index: int, ring: Ring) -> experience_pb2.GroupBalance:
    group.keep(index)  # whoever has just acknowledged something shall find it here
    settled = group.settled(index)
    return experience_pb2.GroupBalance(
        group=group.name,
        before=_message(settled.before),
        acknowledged=_message(settled.acknowledged),
        filtered=_message(settled.filtered),
        passed=_message(settled.passed),
        corrupt=_message(settled.corrupt),
        waiting=_message(ring.tail.since(mark_of(settled))),
        leased_records=group.leases.leased(index),
    )


def _message(amount: Amount) -> experience_pb2.Amount:
    return experience_pb2.Amount(records=amount.records, experiences=amount.experiences)
