"""Rings that have been full for too long: which, since when, who holds them, what to change. Pure.

A ring is looked at a few times a second. It is full from the first look that finds it so until none
has for `GAP_NS`: a parked worker wakes now and then to see for itself, and a group that drains too
slowly lets a few records in. A stall is told once it has lasted `serve.stall_warn_s`, again each
time it has lasted ten times as long, and once more when it is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from farm.shm.groups import FIRST_HOST_RING

GAP_NS = 500_000_000
"""Several looks, and several of the naps of a parked worker."""
_AGAIN = 10
_NS_PER_S = 1_000_000_000


class Holder(NamedTuple):
    """The lossless group that is furthest behind in a ring."""

    group: str
    declared: bool
    members: int
    last_ack_age_s: float
    """-1 if no member has ever acknowledged anything."""


class Look(NamedTuple):
    """What one look at a ring finds."""

    worker: int
    is_full: bool
    fill: float
    """0 to 1."""
    holder: Holder | None
    """None if no group holds it."""


@dataclass(frozen=True, slots=True)
class Stall:
    """A ring that has been full for long."""

    worker: int
    fill: float
    full_s: float
    group: str
    """Empty if no group holds it."""
    members: int
    last_ack_age_s: float
    advice: str


class Told(NamedTuple):
    """Something to log."""

    event: str
    """`ring_stalled` or `ring_flowing`."""
    stall: Stall


@dataclass(slots=True)
class _Full:
    """A ring that is full."""

    since_ns: int
    seen_ns: int
    stall: Stall
    next_tell: int = 1
    """Told next when it has lasted so many times `serve.stall_warn_s`."""


class StallWatch:
    """Follows every ring of a farm.

    Attributes:
        stalls: of rings that have been full for longer than `serve.stall_warn_s`.
    """

    def __init__(self) -> None:
        self.stalls: tuple[Stall, ...] = ()
        self._full: dict[int, _Full] = {}

    def look(self, now_ns: int, looks: Iterable[Look], warn_ns: int) -> list[Told]:
        """Take in what a look at every ring has found; what there is to log."""
        told: list[Told] = []
        for look in looks:
            full = self._full.get(look.worker)
            if look.is_full:
                full = self._note(look, now_ns)
                told += _stalled(full, now_ns, warn_ns)
            elif full is not None and now_ns - full.seen_ns > GAP_NS:
                del self._full[look.worker]
                told += _flowing(full)
        self.stalls = tuple(
            full.stall for full in self._full.values() if now_ns - full.since_ns >= warn_ns
        )
        return told

    def _note(self, look: Look, now_ns: int) -> _Full:
        full = self._full.get(look.worker)
        since_ns = full.since_ns if full else now_ns
        stall = _describe(look, (now_ns - since_ns) / _NS_PER_S)
        if full is None:
            full = self._full[look.worker] = _Full(since_ns, now_ns, stall)
        full.seen_ns, full.stall = now_ns, stall
        return full


def _stalled(full: _Full, now_ns: int, warn_ns: int) -> list[Told]:
    if now_ns - full.since_ns < full.next_tell * warn_ns:
        return []
    while now_ns - full.since_ns >= full.next_tell * warn_ns:
        full.next_tell *= _AGAIN
    return [Told("ring_stalled", full.stall)]


def _flowing(full: _Full) -> list[Told]:
    """A stall that was never told needs no end."""
    return [Told("ring_flowing", full.stall)] if full.next_tell > 1 else []


def _describe(look: Look, full_s: float) -> Stall:
    holder = look.holder
    return Stall(
        worker=look.worker,
        fill=look.fill,
        full_s=full_s,
        group=holder.group if holder else "",
        members=holder.members if holder else 0,
        last_ack_age_s=holder.last_ack_age_s if holder else -1.0,
        advice=_advice(look.worker, holder, full_s),
    )


def _advice(ring: int, holder: Holder | None, full_s: float) -> str:
    if holder is None and ring >= FIRST_HOST_RING:
        return "nobody reads it: connect a client; what its games add is dropped by count"
    if holder is None:
        return "nobody reads it: connect a client, or set ring.when_full=drop_newest"
    group = f"group {holder.group}"
    if holder.members == 0:
        way_out = "take it out of serve.groups" if holder.declared else "remove it (RemoveGroup)"
        return f"{group} has no member: connect one, or {way_out}"
    if not 0 <= holder.last_ack_age_s < full_s:
        return (
            f"no member of {group} has acknowledged anything since: look at its clients, or let it "
            "be `latest` or `sample`"
        )
    return (
        f"the members of {group} take less than the workers make: add some, let them do less for "
        "each batch, or let it be `latest` or `sample`"
    )
