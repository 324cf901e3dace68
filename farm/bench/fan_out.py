"""`fan_out`: what more groups, more members, and a group that is blocked cost a farm's readers.

Groups each get everything, so that the farm hands out as many times as much; members of a group
share it. One farm, one case after another: 1, 2 and 4 groups of one member, 1, 2 and 4 members of
one group, and one group beside a client that has subscribed as `latest` or `sample` and reads no
more. All processes share two processors, and every reader checks what it gets, so that the readers
are what the processors are busy with. The reference is one group of one member; for the blocked
ones it is that just before and just after, as the speed of a shared machine changes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from farm.bench.running import Receiver, Usage, pin, running_farm, say
from farm.client import Client
from farm.errors import FarmError, RejectedError

SERVICE: Final = "experiences"
BLOCKED: Final = "blocked"
PATIENT: Final = "serve.client_timeout_s=3600"
"""A blocked client stays."""

_LOOK_S: Final = 0.05
_SETTLE_S: Final = 10.0
"""Time for a member that went to be gone, and for a balance to come out."""


class Case(NamedTuple):
    """Who reads."""

    groups: int
    members: int
    blocked: str = ""
    """Policy of a group beside them whose only member reads no more; empty: there is none."""


ALONE: Final = Case(1, 1)
CASES: Final = (
    ALONE,
    Case(1, 1, "latest"),
    ALONE,
    Case(1, 1, "sample:0.1"),
    ALONE,
    Case(2, 1),
    Case(4, 1),
    Case(1, 2),
    Case(1, 4),
)


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure every case.

    Returns:
        `cases`, a row for each: experiences a second of all readers together, of the slowest and
        the fastest, ratio to the reference, and CPU of the service; and over all of them `lost`
        (by sole members), `corrupt`, and `inexact`: cases after which the balance did not come out.

    Raises:
        FarmError: farm or client failed; the message holds what they said.
    """
    pin()
    with running_farm([*overrides, PATIENT]) as (instance, address):
        rows = [_measure(instance, address, case, seconds / len(CASES)) for case in CASES]
    _compare(rows)
    say("groups members beside                total/s   slowest/s   fastest/s  ratio  service cpu")
    for row in rows:
        say(_line(row))
    return {
        "seconds": round(seconds, 1),
        "lost": _sum(rows, "lost"),
        "corrupt": _sum(rows, "corrupt"),
        "inexact": sum(not row["exact"] for row in rows),
        "blocked_ratio": min(_number(row, "ratio") for row in rows if row["beside"]),
        "cases": rows,
    }


def _measure(instance: str, address: str, case: Case, seconds: float) -> dict[str, object]:
    say(f"{case.groups} x {case.members} {case.blocked and f'beside blocked {case.blocked}'}")
    names = [f"group-{number}" for number in range(case.groups)]
    with Client(address) as client:
        with _blocked(client, case.blocked), ExitStack() as stack:
            readers = [
                stack.enter_context(Receiver(address, seconds, name))
                for name in names
                for _ in range(case.members)
            ]
            for reader in readers:
                reader.wait_counting()
            usage = Usage(instance)
            seen = [reader.figures() for reader in readers]
            service = usage.roles()[SERVICE]
        exact = _comes_out(client)
        for name in [*names, *([BLOCKED] if case.blocked else [])]:
            _remove(client, name)
    rates = [figures["experiences"] / figures["seconds"] for figures in seen]
    return {
        "groups": case.groups,
        "members": case.members,
        "beside": case.blocked,
        "experiences_per_s": round(sum(rates)),
        "slowest_per_s": round(min(rates)),
        "fastest_per_s": round(max(rates)),
        "service_cpu": service["cpu"],
        "service_peak_mib": service["peak_mib"],
        # What one of several members misses the others have.
        "lost": sum(int(figures["lost"]) for figures in seen) if case.members == 1 else 0,
        "corrupt": sum(int(figures["corrupt"]) for figures in seen),
        "exact": exact,
    }


@contextmanager
def _blocked(client: Client, policy: str) -> Iterator[None]:
    """A member that takes one trajectory, acknowledges nothing, and reads no more."""
    if not policy:
        yield
        return
    with client.subscribe(group=BLOCKED, policy=policy, auto_ack=False) as subscription:
        next(subscription)
        yield


def _comes_out(client: Client) -> bool:
    """Whether every record is accounted for; a farm at work is read again until it is."""
    deadline_s = time.perf_counter() + _SETTLE_S
    while not (exact := client.balance().exact) and time.perf_counter() < deadline_s:
        time.sleep(_LOOK_S)
    return exact


def _remove(client: Client, group: str) -> None:
    """Remove a group, as soon as the farm has noticed that its members are gone.

    Raises:
        FarmError: they are not.
    """
    deadline_s = time.perf_counter() + _SETTLE_S
    while True:
        try:
            client.remove_group(group)
        except RejectedError as error:
            if time.perf_counter() > deadline_s:
                raise FarmError(f"group {group} is not removed: {error}") from error
            time.sleep(_LOOK_S)
        else:
            return


def _compare(rows: list[dict[str, object]]) -> None:
    """Add each row's ratio to its reference: the first row, or the rows around a blocked one."""
    for place, row in enumerate(rows):
        around = [rows[0]]
        if row["beside"]:
            around = [rows[place - 1], rows[place + 1]]
        reference = _sum(around, "experiences_per_s") / len(around)
        row["ratio"] = round(_number(row, "experiences_per_s") / reference, 3)


def _line(row: Mapping[str, object]) -> str:
    beside = f"blocked {row['beside']}" if row["beside"] else ""
    rates = " ".join(
        f"{row[name]:>11,}" for name in ("experiences_per_s", "slowest_per_s", "fastest_per_s")
    )
    return (
        f"{row['groups']:>6} {row['members']:>7} {beside:<18}{rates} {row['ratio']:>6} "
        f"{row['service_cpu']:>12}"
    )


def _number(row: Mapping[str, object], name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float)
    return value


def _sum(rows: Sequence[Mapping[str, object]], name: str) -> float:
    return sum(_number(row, name) for row in rows)
