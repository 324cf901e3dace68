"""Rates from two samples of a farm, and how they are shown. Pure."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Group
from rich.table import Table
from rich.text import Text

from farm.cli.top_sample import NS_PER_S, ChildSample, FarmSample, GroupSample, HeldRing
from farm.shm.groups import ring_label

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
GAMES = "games"
"""Role of a games host."""


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


class GamesRow(Struct, frozen=True):
    """What the games hosts have to do, together."""

    addresses: tuple[str, ...]
    games_open: int
    """In a lobby, running or paused."""
    seats_connected: int


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
    games: "GamesRow | None"
    """Of the games hosts; None if the farm has none."""
    groups: tuple[GroupSample, ...]
    stalls: tuple[HeldRing, ...]
    """Rings that have no room for their worker and of which nothing was released for a while."""


def carry(now: FarmSample, before: FarmSample) -> FarmSample:
    """The sample, with the time that its full rings have stood still as far as this tool has seen.

    Shared memory says that a worker is parked, not since when: a ring stands still if it is full in
    two samples and nothing was released in between.
    """
    elapsed_s = (now.at_ns - before.at_ns) / NS_PER_S
    earlier = {ring.worker: ring for ring in before.held}

    def carried(ring: HeldRing) -> HeldRing:
        was = earlier.get(ring.worker)
        if ring.full_s is not None or was is None or was.head != ring.head:
            return ring
        return replace(ring, full_s=elapsed_s + (was.full_s or 0.0))

    return replace(now, held=tuple(map(carried, now.held)))


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
        games=_games(now),
        uptime_s=now.uptime_s,
        config_epoch=now.config_epoch,
        seed=now.seed,
        steps_per_s=_total(row.steps_per_s for row in children),
        experiences_per_s=_total(
            row.experiences_per_s for row in children if row.role in EXPERIENCE_COUNTERS
        ),
        children=children,
        groups=now.groups,
        stalls=tuple(ring for ring in now.held if ring.full_s is not None),
    )


def render(farm: FarmRows) -> Group:
    """A line about the farm, a table of its children, one of its groups, and what stands still."""
    parts: list[Text | Table] = [Text(line) for line in _head(farm)]
    parts.append(_table(farm.children))
    if farm.groups:
        parts.append(_group_table(farm.groups))
    parts += [Text(_stalled(ring), style="bold red") for ring in farm.stalls]
    return Group(*parts)


def _head(farm: FarmRows) -> list[str]:
    about = f"uptime {_duration(farm.uptime_s)}  epoch {farm.config_epoch}  seed {farm.seed}"
    if not farm.running:
        gone = f"farm {farm.instance} is not running: its supervisor, process {farm.pid}, is gone;"
        return [gone, f"this is what it left ({about}); `farm audit` says what it owes to whom"]
    rates = f"{_count(farm.steps_per_s)} steps/s  {_count(farm.experiences_per_s)} served/s"
    lines = [f"farm {farm.instance} {farm.state}  {farm.address or _NONE}  {about}  {rates}"]
    if farm.games is not None:
        where = " ".join(farm.games.addresses) or _NONE
        hosted = f"{farm.games.games_open:,} open, {farm.games.seats_connected:,} seats connected"
        lines.append(f"games {where}  {hosted}")
    return lines


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


def _group_table(groups: tuple[GroupSample, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for title in ("group", "policy"):
        table.add_column(title, no_wrap=True)
    for title in ("members", "lag MiB", "leased", "last ack s"):
        table.add_column(title, justify="right", no_wrap=True)
    for group in groups:
        table.add_row(
            group.name,
            group.policy,
            str(group.members),
            f"{group.lag_bytes / BYTES_PER_MIB:.1f}",
            f"{group.leased_records:,}",
            _seconds(group.last_ack_age_s),
        )
    return table


def _stalled(ring: HeldRing) -> str:
    holder = "no group holds it, and nobody reads it"
    if ring.group:
        ack = "never" if ring.last_ack_age_s is None else f"{ring.last_ack_age_s:.0f} s ago"
        holder = f"group {ring.group} holds it, members: {ring.members}, last acknowledged: {ack}"
    advice = f"; {ring.advice}" if ring.advice else ""
    # In memory nobody writes since when: it is what this tool has seen.
    bound = "" if ring.head is None else "at least "
    since = f"has been full for {bound}{ring.full_s:.0f} s ({ring.fill:.0%})"
    if ring.is_ending:
        waited = f"{bound}{ring.full_s:.0f} s ({ring.fill:.0%} filled)"
        since = f"is to have another size, has waited {waited}"
    return f"ring {ring_label(ring.worker)} {since} and stands still: {holder}{advice}"


def _games(farm: FarmSample) -> GamesRow | None:
    hosts = [child.counters for child in farm.children if child.role == GAMES]
    if not hosts:
        return None
    return GamesRow(
        addresses=farm.game_addresses,
        games_open=sum(counters["games_open"] for counters in hosts),
        seats_connected=sum(counters["seats_connected"] for counters in hosts),
    )


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


def _seconds(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.0f}"


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
