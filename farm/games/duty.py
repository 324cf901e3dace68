"""The duty loop of a games host: look at the host when something came in or became due, and rest.

What comes in wakes the loop, which lets everything in that arrived with it before it looks: the
actions of many agents cost one look. Between two looks lies MAX_REST_S at most, also where nobody
plays, so that the heart beats and a config is followed.
"""

import asyncio
import time

from farm.games.counting import Counting
from farm.games.desk import Desk
from farm.games.journal_files import JournalFiles
from farm.games.recording import Recording
from farm.supervisor.child import ChildContext

MAX_REST_S = 0.1
"""Longest time without a look; also until a SIGTERM counts."""
COUNT_NS = 200_000_000
"""Between two copies of the counters into the control block."""
_NS_PER_S = 1e9


class Duty:
    """The loop.

    Args:
        ctx: of the child.
        desk: what the handlers share.
        wake: set by whoever has changed something.
        files: the journals.
        recording: takes experiences down; None where nobody does.
        counting: the counters.
    """

    def __init__(
        self,
        ctx: ChildContext,
        desk: Desk,
        wake: asyncio.Event,
        files: JournalFiles,
        recording: Recording | None,
        counting: Counting,
    ) -> None:
        self._ctx = ctx
        self._desk = desk
        self._wake = wake
        self._files = files
        self._recording = recording
        self._counting = counting
        self._next_count_ns = 0

    async def run(self) -> None:
        """Until the farm stops."""
        while not self._ctx.stopping:
            # Others come in first: what they submit is played together.
            await asyncio.sleep(0)
            self._wake.clear()
            now_ns = time.monotonic_ns()
            self._ctx.slot.beat(now_ns)
            self._follow()
            await self._poll(now_ns)
            if now_ns >= self._next_count_ns:
                self._counting.write()
                self._next_count_ns = now_ns + COUNT_NS
            await self._rest()
        self._counting.write()

    async def _poll(self, now_ns: int) -> None:
        """Have the host look, and note what that took."""
        # Time of this thread, not of the clock: what other processes take is no client's.
        host, began_ns = self._desk.host, time.thread_time_ns()
        n_ticks = host.poll(now_ns, time.time_ns())
        self._desk.played(now_ns)
        if self._recording is not None:
            self._recording.publish()
        if n_ticks:
            self._counting.n_ticks += n_ticks
            # Whoever waits for these ticks runs here, and is paid for by who created the games.
            await asyncio.sleep(0)
            host.settle(time.thread_time_ns() - began_ns)

    def _follow(self) -> None:
        """Apply a newer config, and say so in the slot."""
        ctx = self._ctx
        if not ctx.try_follow():
            return
        self._desk.follow_config(ctx.config)
        games = ctx.config.games
        self._files.limit(keep=games.journal_keep, max_bytes=games.journal_bytes)
        if self._recording is not None:
            self._recording.follow(ctx.config.worker.steps, ctx.epoch)
        ctx.acknowledge()

    async def _rest(self) -> None:
        """Wait until something comes in or becomes due."""
        now_ns = time.monotonic_ns()
        rest_s = min(MAX_REST_S, (self._desk.host.next_due_ns(now_ns) - now_ns) / _NS_PER_S)
        if rest_s <= 0 or self._wake.is_set():
            return
        deadline = asyncio.get_running_loop().call_later(rest_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            deadline.cancel()
