"""What `farm tail` shows: a live line on a terminal, else plain lines, JSON lines on request."""

from typing import Protocol, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

_BAR_WIDTH = 8
_COLUMNS = 5


class Sample(msgspec.Struct, frozen=True):
    """The flow over the last interval, and the counts so far."""

    seconds: float
    """Since the beginning."""
    experiences_per_s: float
    trajectories_per_s: float
    mb_per_s: float
    """Millions of bytes on the wire."""
    experiences: int
    trajectories: int
    games_finished: int
    """Games of which a seat's last trajectory has arrived."""
    ring_fill: float
    """Of all rings of the farm, 0 to 1."""
    held: bool
    """Whether a group without members holds the full rings, so that nothing can come."""
    lost: int | None
    """Gaps in the sequences, for a member of a group that filters nothing; others cannot say."""
    skipped: int
    """Records that passed an observer by because it was too slow."""
    duplicates: int
    connections: int


class View(Protocol):
    """Shows samples as they come."""

    interval_s: float
    """Time between two samples."""

    def opened(self, address: str, instance: str, version: str) -> None:
        """The farm answers."""

    def sample(self, sample: Sample) -> None:
        """Another interval."""

    def notice(self, text: str) -> None:
        """Something to know about the flow, said once."""

    def summary(self, sample: Sample) -> None:
        """The end; rates are over the whole time."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_error: object) -> None: ...


class PlainView:
    """A line a second."""

    interval_s = 1.0

    def opened(self, address: str, instance: str, version: str) -> None:
        """Say which farm it is."""
        print(f"farm {version} {instance!r} at {address}", flush=True)

    def sample(self, sample: Sample) -> None:
        """Print the line."""
        print("  ".join(_parts(sample)), flush=True)

    def notice(self, text: str) -> None:
        """Print the line."""
        print(text, flush=True)

    def summary(self, sample: Sample) -> None:
        """Print the whole."""
        print(_summary(sample), flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return


class JsonView(PlainView):
    """A line of JSON a second, and one at the end with `"summary": true`."""

    def opened(self, address: str, instance: str, version: str) -> None:
        """Nothing: a reader wants samples."""

    def sample(self, sample: Sample) -> None:
        """Print the line."""
        self._print(sample, summary=False)

    def notice(self, text: str) -> None:
        """Nothing: `held` of a sample says it."""

    def summary(self, sample: Sample) -> None:
        """Print the whole."""
        self._print(sample, summary=True)

    def _print(self, sample: Sample, *, summary: bool) -> None:
        line = {"summary": summary, **msgspec.structs.asdict(sample)}
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
        print(msgspec.json.encode(rounded).decode(), flush=True)


class LiveView(PlainView):
    """A line on a terminal, and a dim one below it, rewritten in place."""

    interval_s = 0.5

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def sample(self, sample: Sample) -> None:
        """Rewrite the line."""
        rate, bandwidth, total, games, fill, loss = _parts(sample)
        line = Table.grid(*(Column(no_wrap=True) for _ in range(_COLUMNS)), padding=(0, 2))
        line.add_row(
            f"[bold green]{rate.strip()}[/]",
            games.strip(),
            ProgressBar(total=1.0, completed=sample.ring_fill, width=_BAR_WIDTH),
            fill,
            f"[bold red]{loss}[/]" if sample.lost or sample.skipped else f"[green]{loss}[/]",
        )
        # Below it what can be missed: one line of all would be cropped on 80 columns.
        rest = Text(f"{bandwidth.strip()}  {total.strip()}", style="dim")
        self._live.update(Group(line, rest), refresh=True)

    def notice(self, text: str) -> None:
        """Print the line above the live one."""
        self._console.print(text, style="yellow", highlight=False)

    def opened(self, address: str, instance: str, version: str) -> None:
        """Say which farm it is."""
        self._console.print(f"farm {version} [bold]{instance}[/] at {address}", highlight=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()


def _parts(sample: Sample) -> tuple[str, str, str, str, str, str]:
    """Rate, bandwidth, total, games, ring fill and loss as words."""
    loss = f"skipped: {sample.skipped:,}" if sample.lost is None else f"loss: {sample.lost:,}"
    return (
        f"{sample.experiences_per_s:>11,.0f} experiences/s",
        f"{sample.mb_per_s:6.1f} MB/s",
        f"{sample.experiences:>13,} in all",
        f"{sample.games_finished:>8,} games finished",
        f"rings {sample.ring_fill:4.0%}",
        loss,
    )


def _summary(sample: Sample) -> str:
    rate, bandwidth, total, games, _, loss = (part.strip() for part in _parts(sample))
    return f"{sample.seconds:.1f} s: {total}, {rate}, {bandwidth}, {games}, {loss}"
