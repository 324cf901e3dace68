"""`farm tail`: a client that shows the flow, and nothing else.

By default it looks on beside the trainers and takes nothing from them; with `--group` it is one of
them, or alone in a group of another name, acknowledges what it gets, and can say what was lost.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from farm.cli.arguments import DEFAULT_GROUP
from farm.cli.tail_view import JsonView, LiveView, PlainView, Sample, View
from farm.client import AsyncClient, Received, Retry, Stats, Trajectory, Wanted
from farm.errors import EXIT_OK, UnavailableError, UsageError

RETRY = Retry(deadline_s=5.0)
"""A service that is replaced is back sooner; a farm that is gone is not waited for."""
TAKE = 256
"""Trajectories taken at a time: counting them shall not hold up the rest."""
REMEMBERED_GAMES = 1 << 16
LOSSLESS = "lossless"
FULL = 0.5
"""Share of the rings from which their workers may be parked: a ring holds two chunks at least."""


class Tally:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.games_finished = 0
        self._finished: dict[int, None] = {}

    def count(self, trajectories: Sequence[Trajectory]) -> None:
        """Count the games that end in these, each once though its seats end apart."""
        for trajectory in trajectories:
            if not (trajectory.terminated or trajectory.truncated):
                continue
            game_id = trajectory.game_id
            if game_id in self._finished:
                continue
            self.games_finished += 1
            self._finished[game_id] = None
            if len(self._finished) > REMEMBERED_GAMES:
                del self._finished[next(iter(self._finished))]


class HoldWatch:
    """Notices a group without members: the rings are full, nothing comes, and nobody takes.

    Attributes:
        is_held: whether that is so, as of the last look.
    """

    def __init__(self) -> None:
        self.is_held = False
        self._n_seen: int | None = None

    def begins(self, stats: Stats) -> bool:
        """Look, once an interval; whether it is so now and was not before."""
        before, self._n_seen = self._n_seen, stats.total.trajectories
        was_held = self.is_held
        stands = before == self._n_seen
        self.is_held = stands and bool(_holders(stats)) and _fill(stats) >= FULL
        return self.is_held and not was_held


@dataclass(frozen=True, slots=True)
class _Point:
    """The counts at one time."""

    at_s: float
    received: Received


def run(args: argparse.Namespace) -> int:
    """Show what a farm sends, until Ctrl-C, the end of the farm, or `--seconds`.

    Raises:
        UnavailableError: no farm answers at the address, or it is gone.
        UsageError: a filter beside the group of the trainers.
    """
    if args.group == DEFAULT_GROUP and _filters(args):
        raise UsageError(
            "what a member filters out is gone for its whole group: leave the filters out, or join "
            "a group of your own with --group NAME"
        )
    view = _view(args)
    follower = _Follower(args, view)
    try:
        with view:
            asyncio.run(follower.follow())
    except KeyboardInterrupt:
        pass
    finally:
        follower.finish()
    return EXIT_OK


def _filters(args: argparse.Namespace) -> bool:
    """Whether anything is to be left out."""
    return bool(args.game or args.seat or args.min_turn or args.policy)


def _view(args: argparse.Namespace) -> View:
    if args.json:
        return JsonView()
    return LiveView() if sys.stdout.isatty() else PlainView()


class _Follower:
    """Receives, and shows a sample now and then."""

    def __init__(self, args: argparse.Namespace, view: View) -> None:
        self._args = args
        self._view = view
        self._tally = Tally()
        self._received = Received()
        self._ring_fill = 0.0
        self._watch = HoldWatch()
        self._began_s: float | None = None
        self._last: _Point | None = None

    async def follow(self) -> None:
        """Until the time is over."""
        async with AsyncClient(self._args.address, retry=RETRY) as client:
            # Asked once, and first: where no farm is, that shows at once.
            info = await client.info()
            self._view.opened(self._args.address, info.instance, info.version)
            self._begin()
            reading = asyncio.ensure_future(self._read(client))
            try:
                async for _ in self._ticks(reading):
                    await self._sample(client)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def finish(self) -> None:
        """Show the whole, if there was anything."""
        if self._began_s is not None:
            elapsed_s = time.monotonic() - self._began_s
            self._view.summary(self._make_sample(Received(), elapsed_s, elapsed_s))

    def _begin(self) -> None:
        self._began_s = time.monotonic()
        self._last = _Point(self._began_s, self._received)

    async def _read(self, client: AsyncClient) -> None:
        args = self._args
        wanted = Wanted(
            game_ids=args.game, seats=args.seat, min_turn=args.min_turn, policies=args.policy
        )
        source = (
            client.subscribe(group=args.group, **wanted) if args.group else client.stream(**wanted)
        )
        async with source:
            # What is there, and at least one: a slow stream is shown as it comes.
            async for trajectories in source.batches(TAKE, partial=True):
                self._tally.count(trajectories)
                self._received = source.received

    async def _ticks(self, reading: "asyncio.Future[None]") -> AsyncIterator[None]:
        """One after each interval of the view, as long as there is time and a stream."""
        assert self._began_s is not None
        end_s = self._began_s + (self._args.seconds or float("inf"))
        tick_s = self._began_s
        while tick_s < end_s:
            tick_s = min(tick_s + self._view.interval_s, end_s)
            await asyncio.wait({reading}, timeout=max(0.0, tick_s - time.monotonic()))
            if reading.done():
                reading.result()
                return
            yield

    async def _sample(self, client: AsyncClient) -> None:
        # None while it is being replaced; the stream says if it does not come back.
        stats = None
        with contextlib.suppress(UnavailableError):
            stats = await client.stats()
        if stats is not None and stats.rings:
            self._ring_fill = _fill(stats)
            if self._watch.begins(stats) and not self._args.group:
                self._view.notice(_held(stats))
        assert self._last is not None
        assert self._began_s is not None
        now_s = time.monotonic()
        last, self._last = self._last, _Point(now_s, self._received)
        self._view.sample(
            self._make_sample(last.received, now_s - last.at_s, now_s - self._began_s)
        )

    def _make_sample(self, since: Received, span_s: float, elapsed_s: float) -> Sample:
        received = self._received
        span_s = max(span_s, 1e-9)
        return Sample(
            seconds=elapsed_s,
            experiences_per_s=(received.experiences - since.experiences) / span_s,
            trajectories_per_s=(received.trajectories - since.trajectories) / span_s,
            mb_per_s=(received.bytes - since.bytes) / span_s / 1e6,
            experiences=received.experiences,
            trajectories=received.trajectories,
            games_finished=self._tally.games_finished,
            ring_fill=self._ring_fill,
            held=self._watch.is_held,
            lost=received.missing if self._args.group and not _filters(self._args) else None,
            skipped=received.skipped,
            duplicates=received.duplicates,
            connections=received.connections,
        )


def _holders(stats: Stats) -> list[str]:
    """Groups that hold the rings and have no member."""
    return [row.name for row in stats.groups if row.policy == LOSSLESS and row.members == 0]


def _held(stats: Stats) -> str:
    name = _holders(stats)[0]
    return (
        f"group {name} holds the rings and nobody takes from it; farm tail --group {name} or a "
        "trainer of it moves them on"
    )


def _fill(stats: Stats) -> float:
    """Share of all rings that is filled, 0 to 1."""
    filled_bytes = sum(ring.filled_bytes for ring in stats.rings)
    return filled_bytes / max(1, sum(ring.capacity_bytes for ring in stats.rings))
