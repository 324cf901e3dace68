"""A balance as rows, as JSON and as a table, wherever it was read."""

import sys
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from farm.shm.balance import RING_FULL, SAMPLED, Balance, RingBalance, total
from farm.shm.groups import Amount, ring_label

WIDE = 200
"""Columns of a table that goes to a file."""


class RingRow(Struct, frozen=True):
    """What became of what one producer attempted."""

    ring: int
    attempted: Amount
    published: Amount
    dropped_ring_full: Amount
    dropped_sampled: Amount
    aborted: Amount
    in_hand: Amount | None
    """Claimed and not yet published; None where that is not told."""
    in_ring: Amount | None
    """Published and not released, likewise."""
    damaged: Amount | None
    """Of these, records that cannot be read, as bytes in the ring are none; likewise."""


class GroupRow(Struct, frozen=True):
    """What became of what was published, for one group, over all rings."""

    group: str
    policy: str
    members: int
    before: Amount
    acknowledged: Amount
    filtered: Amount
    passed: Amount
    corrupt: Amount
    waiting: Amount
    leased_records: int


class Audit(Struct, frozen=True):
    """The balance of a farm; the one JSON object of `farm audit --json`."""

    farm: str
    """Instance or address."""
    running: bool
    exact: bool
    differences: tuple[str, ...]
    rings: tuple[RingRow, ...]
    groups: tuple[GroupRow, ...]


def audit_of(balance: Balance, instance: str, *, running: bool) -> Audit:
    """A balance that was read from shared memory."""
    return Audit(
        farm=instance,
        running=running,
        exact=balance.exact,
        differences=balance.differences,
        rings=tuple(map(_ring_row, balance.rings)),
        groups=tuple(
            GroupRow(
                group=row.group,
                policy=str(row.kind),
                members=row.n_members,
                before=row.before,
                acknowledged=row.acknowledged,
                filtered=row.filtered,
                passed=row.passed,
                corrupt=row.corrupt,
                waiting=row.waiting,
                leased_records=row.leased_records,
            )
            for row in balance.groups
        ),
    )


def show(audit: Audit, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        print(msgspec.json.encode(audit).decode(), flush=True)
    else:
        width = None if sys.stdout.isatty() else WIDE
        Console(width=width, soft_wrap=True).print(render(audit))


def render(audit: Audit) -> Group:
    """Two tables in records, and a line that says whether they add up."""
    state = "is running" if audit.running else "is not running: this is what it left"
    parts: list[Text | Table] = [Text(f"farm {audit.farm} {state}; records (experiences)")]
    parts.append(_ring_table(audit.rings))
    if audit.groups:
        parts.append(_group_table(audit.groups))
    else:
        parts.append(Text("no group: nothing is owed to anybody"))
    if audit.exact:
        parts.append(Text("exact: every record is accounted for", style="green"))
    parts += [Text(text, style="bold red") for text in audit.differences]
    if not audit.exact and not audit.differences:
        parts.append(Text("not exact: the farm moved while it was read; ask again", style="red"))
    return Group(*parts)


def _ring_row(ring: RingBalance) -> RingRow:
    return RingRow(
        ring=ring.ring,
        attempted=ring.attempted,
        published=ring.published,
        dropped_ring_full=ring.dropped[RING_FULL],
        dropped_sampled=ring.dropped[SAMPLED],
        aborted=ring.aborted,
        in_hand=ring.in_hand,
        in_ring=ring.in_ring,
        damaged=ring.damaged,
    )


def _ring_table(rings: tuple[RingRow, ...]) -> Table:
    fields = RingRow.__struct_fields__[1:]
    table = _table("ring", *(name.replace("_", " ") for name in fields))
    for row in rings:
        table.add_row(ring_label(row.ring), *(_cell(getattr(row, name)) for name in fields))
    if len(rings) > 1:
        table.add_row("all", *(_cell(_sum(getattr(row, name) for row in rings)) for name in fields))
    return table


def _group_table(groups: tuple[GroupRow, ...]) -> Table:
    fields = ("acknowledged", "filtered", "passed", "corrupt", "before", "waiting")
    table = _table("group", "policy", "members", *fields, "of these leased")
    for row in groups:
        cells = [_cell(getattr(row, name)) for name in fields]
        table.add_row(row.group, row.policy, str(row.members), *cells, f"{row.leased_records:,}")
    return table


def _table(first: str, *titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _sum(amounts: Iterable[Amount | None]) -> Amount | None:
    known = list(amounts)
    return None if None in known else total(amount for amount in known if amount is not None)


def _cell(amount: Amount | None) -> str:
    if amount is None:
        return "-"
    return f"{amount.records:,} ({amount.experiences:,})" if amount.records else "0"
