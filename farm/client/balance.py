"""Where every record is, as the farm says, and whether what has arrived here agrees with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from farm.client.ledger import Seen
from farm.errors import UsageError
from farm.rpc.v1 import experience_pb2


@dataclass(frozen=True, slots=True)
class Amount:
    """Some records."""

    records: int = 0
    experiences: int = 0
    """Steps in them."""

    def __add__(self, other: Self) -> "Amount":
        return Amount(self.records + other.records, self.experiences + other.experiences)


@dataclass(frozen=True, slots=True)
class GroupBalance:
    """One group's part of one ring."""

    group: str
    before: Amount
    """Released before the group was made."""
    acknowledged: Amount
    filtered: Amount
    """Left out by a member's filter."""
    passed: Amount
    """Left out by the group's own policy."""
    corrupt: Amount
    """Stretches that were no record, and records that were no entry."""
    waiting: Amount
    """Published and not settled."""
    leased_records: int
    """Of these, records that a member has and has not acknowledged."""

    @property
    def accounted(self) -> Amount:
        """All of the above: what was published, if the balance is exact."""
        parts = (self.acknowledged, self.filtered, self.passed, self.corrupt, self.waiting)
        return sum(parts, self.before)


@dataclass(frozen=True, slots=True)
class RingBalance:
    """One worker's ring."""

    worker: int
    claimed: Amount
    """Records that were given a sequence, or were lost before they got one."""
    published: Amount
    dropped: Mapping[str, Amount]
    """By the producer, by reason."""
    aborted: Amount
    """Claimed by a worker that died before it published them."""
    groups: tuple[GroupBalance, ...]

    @property
    def n_dropped(self) -> int:
        """Records dropped for any reason; each has used up a sequence."""
        return sum(amount.records for amount in self.dropped.values())


@dataclass(frozen=True, slots=True)
class Balance:
    """Every record that the workers of a farm ever claimed room for.

    Of each ring `claimed = published + dropped + aborted`, and of each group in it
    `published = before + acknowledged + filtered + passed + corrupt + waiting`.
    """

    rings: tuple[RingBalance, ...]
    exact: bool
    """Whether that was so when it was read; a farm at work is read value after value."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What one subscription lacks of one worker, beside what the farm says it may lack."""

    worker: int
    received: int
    """Trajectories that have arrived, duplicates not counted."""
    missing: int
    """Sequences used up by the worker, from the group's beginning on, that have not arrived."""
    dropped: int
    """Records that the worker dropped, as it counts them."""
    left_out: int
    """Records that the group passed over: by filter, by policy, or for being corrupt."""
    waiting: int
    """Records that the farm has not handed to the group, or that it has not acknowledged."""
    lost: int
    """Records published for the group that neither arrived nor are accounted for. 0 while nothing
    moves; below 0 while trajectories that have arrived are not acknowledged yet."""

    @property
    def is_explained(self) -> bool:
        """Whether every gap is a record that the farm has counted."""
        return self.lost == 0 and self.missing <= self.dropped + self.left_out + self.waiting


def balance_request() -> bytes:
    """A GetBalanceRequest."""
    return experience_pb2.GetBalanceRequest().SerializeToString()


def parse_balance(message: bytes) -> Balance:
    """Read a GetBalanceResponse."""
    reply = experience_pb2.GetBalanceResponse.FromString(message)
    return Balance(rings=tuple(map(_ring, reply.rings)), exact=reply.exact)


def gaps(seen: Mapping[int, Seen], balance: Balance, group: str) -> tuple[Gap, ...]:
    """Compare the sequences that have arrived with the farm's own counts, worker by worker.

    Of use to the sole member of a group; of several, each lacks the others' share.

    Args:
        seen: what has arrived, by worker (`Inbox.seen`).
        balance: read after the last of it was acknowledged.
        group: the group it arrived for.

    Raises:
        UsageError: the farm has no such group.
    """
    return tuple(_gap(ring, _part(ring, group), seen.get(ring.worker)) for ring in balance.rings)


def _gap(ring: RingBalance, part: GroupBalance, seen: Seen | None) -> Gap:
    next_sequence = ring.published.records + ring.n_dropped
    # A group that was there from the start has a right to sequence 0; where a later one began is
    # known from the first that arrived.
    begin = 0
    if part.before.records:
        begin = seen.first if seen else next_sequence
    received = seen.records if seen else 0
    left_out = part.filtered + part.passed + part.corrupt
    accounted = part.before + left_out + part.waiting
    return Gap(
        worker=ring.worker,
        received=received,
        missing=next_sequence - begin - received,
        dropped=ring.n_dropped,
        left_out=left_out.records,
        waiting=part.waiting.records,
        lost=ring.published.records - accounted.records - received,
    )


def _part(ring: RingBalance, group: str) -> GroupBalance:
    for part in ring.groups:
        if part.group == group:
            return part
    listed = ", ".join(part.group for part in ring.groups) or "none"
    raise UsageError(f"the farm has no group {group!r} any longer; there are: {listed}")


def _ring(ring: experience_pb2.RingBalance) -> RingBalance:
    return RingBalance(
        worker=ring.worker,
        claimed=_amount(ring.claimed),
        published=_amount(ring.published),
        dropped={reason: _amount(amount) for reason, amount in ring.dropped.items()},
        aborted=_amount(ring.aborted),
        groups=tuple(_groups(ring.groups)),
    )


def _groups(rows: Iterable[experience_pb2.GroupBalance]) -> Iterable[GroupBalance]:
    for row in rows:
        yield GroupBalance(
            group=row.group,
            before=_amount(row.before),
            acknowledged=_amount(row.acknowledged),
            filtered=_amount(row.filtered),
            passed=_amount(row.passed),
            corrupt=_amount(row.corrupt),
            waiting=_amount(row.waiting),
            leased_records=row.leased_records,
        )


def _amount(amount: experience_pb2.Amount) -> Amount:
    return Amount(amount.records, amount.experiences)
