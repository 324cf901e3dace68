"""`farm audit`: where every record is that a farm ever attempted, and whether that adds up.

It reads shared memory, of a running farm or of one that has ended; or it asks the farm at an
address.
"""

import argparse
from typing import TYPE_CHECKING

import msgspec

from farm.cli.audit_table import Audit, GroupRow, RingRow, audit_of, show
from farm.errors import EXIT_INTERNAL, EXIT_OK, SegmentAbsentError, UnavailableError
from farm.shm.balance import RING_FULL, SAMPLED, read_instance, total
from farm.shm.groups import Amount
from farm.shm.lease import running_pid
from farm.spec.trajectory import N_STEPS_OFFSET

if TYPE_CHECKING:
    from farm.client import Balance, GroupStats


def run(args: argparse.Namespace) -> int:
    """Print the balance of a farm.

    Raises:
        UnavailableError: there is no such farm.
        SegmentError: its shared memory cannot be read by this build.
        CorruptDataError: its shared memory is damaged.
    """
    audit = audit_address(args.address) if args.address else audit_instance(args.instance)
    show(audit, as_json=args.json)
    return EXIT_OK if audit.exact else EXIT_INTERNAL


def audit_instance(instance: str) -> Audit:
    """Read the shared memory of a farm on this machine; raises what `run` does."""
    running = running_pid(instance) is not None
    try:
        balance = read_instance(instance, experiences_at=N_STEPS_OFFSET, running=running)
    except SegmentAbsentError:
        raise UnavailableError(
            f"there is no farm {instance!r} on this machine, and nothing left of one; name another "
            "with --instance"
        ) from None
    return audit_of(balance, instance, running=running)


def audit_address(address: str) -> Audit:
    """Ask a farm on any machine.

    Raises:
        UnavailableError: no farm answers at the address.
    """
    # gRPC takes longer to load than everything else here.
    from farm.client import NO_RETRY, Client  # noqa: PLC0415 - needed for this alone

    with Client(address, retry=NO_RETRY) as client:
        balance, groups = client.balance(), client.stats().groups
    return Audit(
        farm=address,
        running=True,
        exact=balance.exact,
        differences=(),
        rings=tuple(
            RingRow(
                ring=ring.worker,
                attempted=_amount(ring.claimed),
                published=_amount(ring.published),
                dropped_ring_full=_amount(ring.dropped.get(RING_FULL)),
                dropped_sampled=_amount(ring.dropped.get(SAMPLED)),
                aborted=_amount(ring.aborted),
                in_hand=None,
                in_ring=None,
                damaged=None,
            )
            for ring in balance.rings
        ),
        groups=tuple(_group_row(group, balance) for group in groups),
    )


def _group_row(group: "GroupStats", balance: "Balance") -> GroupRow:
    parts = [part for ring in balance.rings for part in ring.groups if part.group == group.name]

    def amount(field: str) -> Amount:
        return total(_amount(getattr(part, field)) for part in parts)

    return GroupRow(
        group=group.name,
        policy=group.policy,
        members=group.members,
        before=amount("before"),
        acknowledged=amount("acknowledged"),
        filtered=amount("filtered"),
        passed=amount("passed"),
        corrupt=amount("corrupt"),
        waiting=amount("waiting"),
        leased_records=sum(part.leased_records for part in parts),
    )


def _amount(told: object) -> Amount:
    """An amount as the client has it, none at all for None."""
    if told is None:
        return Amount()
    return msgspec.convert(told, Amount, from_attributes=True)
