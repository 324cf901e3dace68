"""Rates from two samples of a farm, and how they are shown. Pure."""

from collections.abc import Iterable

from msgspec import Struct
from rich.console import Group
from rich.table import Table
from rich.text import Text

from farm.cli.top_sample import NS_PER_S, ChildSample, FarmSample

BYTES_PER_MIB = 1 << 20
EXPERIENCE_COUNTERS = {"experiences": "served_experiences"}
"""By role: the counter that its rate of experiences is of; of all others it is `experiences`."""

_STYLES = {
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    "failed": "bold red",
    "stopped": "dim",
}
_NONE = "-"


class ChildRow(Struct, frozen=True):
    """What is shown of a child. A rate is None where there is no earlier sample to compare with."""

    name: str
    role: str
    state: str
    pid: int
    generation: int
    steps_per_s: float | None
    experiences_per_s: float | None
    ring_fill: float | None
    blocked: float | None
    """Share of the time that it waited for room in its ring."""
    restarts: int
    heartbeat_age_s: float
    cpu: float | None
    """Processors in use: 1 is one core."""
    rss_bytes: int | None
    exit_reason: str


class FarmRows(Struct, frozen=True):
    """What is shown of a farm; one JSON object of `farm top --json`."""

    instance: str
    running: bool
    state: str
    pid: int
    address: str
    uptime_s: float
    config_epoch: int
    seed: int
    steps_per_s: float | None
    experiences_per_s: float | None
    """Served."""
    children: tuple[ChildRow, ...]


def rows(now: FarmSample, before: FarmSample | None) -> FarmRows:
    """Put a sample in rows, with rates since an earlier one."""
    earlier = {child.name: child for child in before.children} if before else {}
    elapsed_s = (now.at_ns - before.at_ns) / NS_PER_S if before else 0.0
    children = tuple(_row(child, earlier.get(child.name), elapsed_s) for child in now.children)
    return FarmRows(
        instance=now.instance,
        running=now.running,
        state=now.state,
        pid=now.pid,
        address=now.address,
        uptime_s=now.uptime_s,
        config_epoch=now.config_epoch,
        seed=now.seed,
        steps_per_s=_total(row.steps_per_s for row in children),
        experiences_per_s=_total(
            row.experiences_per_s for row in children if row.role in EXPERIENCE_COUNTERS
        ),
        children=children,
    )


def render(farm: FarmRows) -> Group:
    """One line about the farm and a table of its children."""
    return Group(*(Text(line) for line in _head(farm)), _table(farm.children))


def _head(farm: FarmRows) -> list[str]:
    about = f"uptime {_duration(farm.uptime_s)}  epoch {farm.config_epoch}  seed {farm.seed}"
    if not farm.running:
        gone = f"farm {farm.instance} is not running: its supervisor, process {farm.pid}, is gone;"
        return [gone, f"this is what it left ({about}), and the next `farm up` removes it"]
    rates = f"{_count(farm.steps_per_s)} steps/s  {_count(farm.experiences_per_s)} served/s"
    return [f"farm {farm.instance} {farm.state}  {farm.address or _NONE}  {about}  {rates}"]


def _table(children: tuple[ChildRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for title in ("child", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("pid", "gen", "steps/s", "exp/s", "ring %", "blocked %", "restarts", "beat s"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("cpu %", "rss MiB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("last exit")
    for child in children:
        table.add_row(
            child.name,
            Text(child.state, style=_STYLES.get(child.state, "")),
            str(child.pid or _NONE),
            str(child.generation),
            _count(child.steps_per_s),
            _count(child.experiences_per_s),
            _percent(child.ring_fill),
            _percent(child.blocked),
            str(child.restarts),
            f"{child.heartbeat_age_s:.1f}",
            _percent(child.cpu),
            _NONE if child.rss_bytes is None else f"{child.rss_bytes / BYTES_PER_MIB:.0f}",
            child.exit_reason,
        )
    return table


def _row(child: ChildSample, before: ChildSample | None, elapsed_s: float) -> ChildRow:
    def rate(counter: str) -> float | None:
        if before is None or elapsed_s <= 0:
            return None
        return max(0, child.counters[counter] - before.counters[counter]) / elapsed_s

    blocked_ns_per_s = rate("blocked_ns")
    return ChildRow(
        name=child.name,
        role=child.role,
        state=child.state,
        pid=child.pid,
        generation=child.generation,
        steps_per_s=rate("env_steps"),
        experiences_per_s=rate(EXPERIENCE_COUNTERS.get(child.role, "experiences")),
        ring_fill=child.ring_fill,
        # A wait is counted when it is over, so one that began before the sample may exceed it.
        blocked=None if blocked_ns_per_s is None else min(1.0, blocked_ns_per_s / NS_PER_S),
        restarts=child.restarts,
        heartbeat_age_s=child.heartbeat_age_s,
        cpu=_cpu(child, before, elapsed_s),
        rss_bytes=child.rss_bytes,
        exit_reason=child.exit_reason,
    )


def _cpu(child: ChildSample, before: ChildSample | None, elapsed_s: float) -> float | None:
    if before is None or before.pid != child.pid or elapsed_s <= 0:
        return None
    if child.cpu_s is None or before.cpu_s is None:
        return None
    return max(0.0, child.cpu_s - before.cpu_s) / elapsed_s


def _total(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def _count(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.0f}"


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
