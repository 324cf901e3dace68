#!/usr/bin/env python3
"""Load a games host as its users would: many games, two agents each, every agent a gRPC client.

    tools/load_test.py --games 100 --seconds 60 --max-p99-ms 50 --max-lost 0
    tools/load_test.py --clock timed --games 100
    tools/load_test.py --capacity --max-p99-ms 100     # more and more games, until p99 is above

It starts a farm of one games host and no rollout workers, unless --address names one. Agents run in
processes of their own and act --rate times a second, at random. In lockstep (the default) the time
from submit to the update that shows it has nothing but the other agent, the network and the farm in
it; in timed games most of it is the wait for the tick, so that the figure beside it counts: how
much later than a tick after the last one an update came. The games' experiences are received as a
trainer does, and counted at the end, when every game is over.

Memory is RssAnon (proc(5)) of the host, its slope by least squares without the first third.

Exit code 0; 1 if a limit of the command line is broken.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from farm.client import AsyncClient, Client, FarmInfo  # noqa: E402 - it lies beside this folder

GROUP = "load-test"
START_S = 400.0
"""Of a farm: the kernels may have to be compiled."""
SETTLE_S = 60.0
"""For the last experiences to arrive."""
STEPS = (1.5, 1.2, 1.1)
"""Of a search for the capacity: factors from coarse to fine."""


@dataclass(frozen=True)
class Result:
    """What came of one run."""

    games: int
    actions_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    late_ms: float
    """p99 of how much later than a tick an update of a timed game came."""
    refused: int
    late: int
    errors: tuple[str, ...]
    host_cpu: float
    """Cores."""
    host_mb: float
    mb_per_min: float
    kb_per_game: float
    produced: int
    received: int
    dropped: int
    games_ended: int


class Trainer:
    """Receives the experiences of all games, in a thread; to be used with `with`."""

    def __init__(self, address: str) -> None:
        self.n_received = 0
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._receive())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10.0)
        with Client(self._address) as client:
            client.remove_group(GROUP)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    async def _receive(self) -> None:
        async with AsyncClient(self._address) as client:
            async for trajectory in client.subscribe(group=GROUP):
                self.n_received += trajectory.n_steps


class Watch:
    """Processor and memory of the host, once a second, in a thread."""

    def __init__(self, pid: int, begin_s: float, end_s: float) -> None:
        self.at_s: list[float] = []
        self.mb: list[float] = []
        self.cpu = 0.0
        self._process = psutil.Process(pid)
        self._span = (begin_s, end_s)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the measurement."""
        self._thread.join()

    def _run(self) -> None:
        begin_s, end_s = self._span
        time.sleep(max(0.0, begin_s - time.monotonic()))
        began, began_s = self._process.cpu_times(), time.monotonic()
        while time.monotonic() < end_s:
            self.at_s.append(time.monotonic() - began_s)
            self.mb.append(anonymous_mb(self._process.pid))
            time.sleep(1.0)
        ended, took_s = self._process.cpu_times(), time.monotonic() - began_s
        self.cpu = (ended.user + ended.system - began.user - began.system) / took_s

    def mb_per_min(self) -> float:
        """Slope without the first third."""
        first = len(self.at_s) // 3
        if len(self.at_s) - first < 3:  # noqa: PLR2004 - no line through fewer
            return 0.0
        return float(60 * np.polyfit(self.at_s[first:], self.mb[first:], 1)[0])


def main() -> int:
    """Run the test, or a search for the capacity."""
    options = parse()
    with farm(options) as address, Trainer(address) as trainer:
        if options.capacity:
            return find_capacity(address, trainer, options)
        result = run(address, trainer, options, options.games)
    tell(result, options)
    return judge(result, options)


def run(address: str, trainer: Trainer, options: argparse.Namespace, n_games: int) -> Result:
    """One run with so many games."""
    before, received = info(address), trainer.n_received
    host = next(child for child in before.children if child.role == "games")
    idle_mb = anonymous_mb(host.pid)
    begin_s = time.monotonic() + 3.0 + 0.02 * n_games
    end_s = begin_s + options.seconds
    watch = Watch(host.pid, begin_s, end_s)
    tallies = play(address, options, n_games, (begin_s, end_s))
    watch.join()
    after = settled(address, trainer, before, received)
    latency = np.array([ms for tally in tallies for ms in tally["latency_ms"]] or [0.0])
    beyond = np.array([ms for tally in tallies for ms in tally["beyond_tick_ms"]] or [0.0])
    p50, p95, p99 = np.percentile(latency, (50, 95, 99))
    mb = watch.mb[-1] if watch.mb else 0.0
    return Result(
        games=n_games,
        actions_per_s=sum(tally["n_actions"] for tally in tallies) / options.seconds,
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        late_ms=float(np.percentile(beyond, 99)),
        refused=counted(after, "actions_rejected") - counted(before, "actions_rejected"),
        late=sum(tally["n_late"] for tally in tallies),
        errors=tuple(error for tally in tallies for error in tally["errors"]),
        host_cpu=watch.cpu,
        host_mb=mb,
        mb_per_min=watch.mb_per_min(),
        kb_per_game=1000 * (mb - idle_mb) / n_games,
        produced=produced(after) - produced(before),
        received=trainer.n_received - received,
        dropped=counted(after, "dropped_experiences") - counted(before, "dropped_experiences"),
        games_ended=sum(tally["n_games_ended"] for tally in tallies),
    )


def play(
    address: str, options: argparse.Namespace, n_games: int, span: tuple[float, float]
) -> list[dict]:
    """Let the agents play in their processes, and collect what they measured."""
    n_processes = min(options.processes, n_games)
    running = []
    for number in range(n_processes):
        first, behind = (n_games * at // n_processes for at in (number, number + 1))
        plan = {
            "address": address,
            "first": first,
            "n_games": behind - first,
            "n_all": n_games,
            "rate": options.rate,
            "timed": options.clock == "timed",
            "board": options.board,
            "begin_s": span[0],
            "end_s": span[1],
            "seed": options.seed + first,
        }
        command = [sys.executable, str(ROOT / "tools" / "load_agents.py"), json.dumps(plan)]
        running.append(
            subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
        )
    progress(span, n_games)
    tallies = []
    for process in running:
        out, _ = process.communicate(timeout=120)
        if process.returncode:
            raise SystemExit(f"a process of agents ended with exit code {process.returncode}")
        tallies.append(json.loads(out))
    return tallies


def progress(span: tuple[float, float], n_games: int) -> None:
    """Say how far it is, on a terminal."""
    begin_s, end_s = span
    while (left_s := end_s - time.monotonic()) > 0:
        if sys.stderr.isatty():
            what = "joining" if time.monotonic() < begin_s else "playing"
            print(f"\r{n_games} games, {what}, {left_s:.0f} s left  ", end="", file=sys.stderr)
        time.sleep(min(1.0, left_s))
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)


def settled(address: str, trainer: Trainer, before: FarmInfo, received: int) -> FarmInfo:
    """The farm when every game is over and everything was received, or the time for it is."""
    deadline_s = time.monotonic() + SETTLE_S
    while True:
        now = info(address)
        made = produced(now) - produced(before)
        is_over = counted(now, "games_open") == 0
        if (is_over and trainer.n_received - received == made) or time.monotonic() > deadline_s:
            return now
        time.sleep(0.2)


def find_capacity(address: str, trainer: Trainer, options: argparse.Namespace) -> int:
    """More and more games until p99 is above the limit; the last number that was not."""
    limit = options.max_p99_ms or 100.0
    held, n_games = 0, options.games
    for factor in STEPS:
        while True:
            result = run(address, trainer, options, n_games)
            tell(result, options)
            if result.p99_ms > limit or result.errors:
                break
            held, n_games = n_games, int(n_games * factor)
        n_games = int(max(held, options.games // 2) * (1 + (factor - 1) / 2))
        if n_games <= held:
            break
    print(f"carries {held} games of two agents at {options.rate:g} actions/s, p99 <= {limit:g} ms")
    return 0 if held >= options.min_games else 1


def tell(result: Result, options: argparse.Namespace) -> None:
    """Print what was measured."""
    if options.json:
        print(json.dumps({name: getattr(result, name) for name in result.__dataclass_fields__}))
        return
    timed = f", updates late by p99 {result.late_ms:.1f} ms" if options.clock == "timed" else ""
    print(
        f"{result.games} games, {2 * result.games} agents, {options.clock}: "
        f"{result.actions_per_s:.0f} actions/s\n"
        f"  submit to update: p50 {result.p50_ms:.1f}, p95 {result.p95_ms:.1f}, "
        f"p99 {result.p99_ms:.1f} ms{timed}\n"
        f"  host: {result.host_cpu:.2f} cores, {result.host_mb:.1f} MB, "
        f"{result.mb_per_min:+.2f} MB a minute, {result.kb_per_game:.0f} kB a game\n"
        f"  experiences: {result.produced} produced, {result.received} received, "
        f"{result.dropped} dropped\n"
        f"  {result.refused} actions refused, {result.late} agents late, "
        f"{result.games_ended} games ended, {len(result.errors)} errors"
    )
    for error in sorted(set(result.errors))[:5]:
        print(f"  {error}")


def judge(result: Result, options: argparse.Namespace) -> int:
    """1 if a limit is broken, which is said."""
    lost = result.produced - result.received + result.dropped
    checks = (
        ("p99", result.p99_ms, options.max_p99_ms, "ms"),
        ("lateness of updates, p99", result.late_ms, options.max_late_ms, "ms"),
        ("experiences lost", lost, options.max_lost, ""),
        ("errors", len(result.errors), options.max_errors, ""),
        ("growth", result.mb_per_min, options.max_mb_per_min, "MB a minute"),
    )
    broken = [check for check in checks if check[2] is not None and check[1] > check[2]]
    for name, value, limit, unit in broken:
        print(f"{name}: {value:.6g} {unit} is above the limit of {limit:g}", file=sys.stderr)
    least = options.min_actions_per_s
    if least is not None and result.actions_per_s < least:
        print(f"{result.actions_per_s:.0f} actions/s, and {least:g} at least", file=sys.stderr)
        return 1
    return 1 if broken else 0


@contextlib.contextmanager
def farm(options: argparse.Namespace) -> Iterator[str]:
    """The farm that is asked for, or one of our own."""
    if options.address:
        yield options.address
        return
    most = 16 * options.games if options.capacity else options.games
    with tempfile.TemporaryDirectory(prefix="load-test-") as folder:
        command = [
            *(sys.executable, "-m", "farm.cli.main", "up", "games=on", "worker.count=0"),
            *("serve.address=127.0.0.1:0", "games.address=127.0.0.1:0"),
            *("telemetry.metrics_address=127.0.0.1:0", "telemetry.format=json"),
            *(f"games.max_games={min(4096, most + 8)}", f"games.journal_dir={folder}"),
            *(f"games.max_games_per_client={min(4096, most + 8)}", "games.max_streams=8192"),
            *("instance=load-test", *options.overrides),
        ]
        with subprocess.Popen(  # noqa: S603 - our own module
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            try:
                yield ready(process)
            finally:
                process.terminate()
                process.communicate(timeout=60)


def ready(process: subprocess.Popen[str]) -> str:
    """The address of a farm that serves."""
    assert process.stdout is not None
    timer = threading.Timer(START_S, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            found = json.loads(line)
            if found["event"] == "farm_ready":
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return str(found["address"])
            if found["level"] == "error":
                print(line, end="", file=sys.stderr)
    finally:
        timer.cancel()
    raise SystemExit("the farm did not start; see above")


def info(address: str) -> FarmInfo:
    """What the farm says of itself."""
    with Client(address) as client:
        return client.info()


def counted(found: FarmInfo, counter: str) -> int:
    """A counter of all games hosts."""
    return sum(child.counters[counter] for child in found.children if child.role == "games")


def produced(found: FarmInfo) -> int:
    """Experiences that the hosts made, delivered or dropped."""
    return counted(found, "experiences")


def anonymous_mb(pid: int) -> float:
    """What a process has for itself, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) / 1000


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--games", type=int, default=100, help="games, of two agents each (100)")
    add("--seconds", type=float, default=60.0, help="of measurement (60)")
    add("--rate", type=float, default=4.0, help="actions a second of each agent (4)")
    add("--clock", choices=("lockstep", "timed"), default="lockstep", help="of the games")
    add("--board", default="20x20", help="as farm play takes it (20x20)")
    add("--processes", type=int, default=4, help="processes that the agents share (4)")
    add("--seed", type=int, default=1, help="of the agents' choices (1)")
    add("--address", help="of a running farm with games=on; by default one is started")
    add("--capacity", action="store_true", help="search for the most games within --max-p99-ms")
    add("--json", action="store_true", help="a line of JSON a run")
    add("--max-p99-ms", type=float, help="from submit to update")
    add("--max-late-ms", type=float, help="of the updates of timed games, p99")
    add("--max-lost", type=int, help="experiences that did not arrive")
    add("--max-errors", type=int, default=0, help="agents that gave up (0)")
    add("--max-mb-per-min", type=float, help="growth of the host")
    add("--min-actions-per-s", type=float, help="of all agents")
    add("--min-games", type=int, default=0, help="of --capacity")
    add("overrides", nargs="*", help="of the farm's config, such as games.max_side=32")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
