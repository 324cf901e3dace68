#!/usr/bin/env python3
"""Let a farm suffer for minutes: faults without end, memory once a minute, the balance last.

    tools/soak.py --minutes 10
    tools/soak.py --minutes 3 --seed 7

A farm of two workers and two groups of clients (tests/faults.py, whose table says what each fault
is, and what may come of it). After each fault everything made so far must have reached both groups,
and the balance must come out. Network and client faults come in every round, deaths of workers in
every second, of the service in every third, of the whole farm in every fourth.

Memory is what a process has for itself (RssAnon of proc(5); the rings are not in it). Processes are
replaced all the time, so its slope is taken within each life, by least squares over all lives of a
role, without the first seconds of each: those are for the heap to find its size.

Exit code 0; 1 if a check failed, or the memory of a role grows by more than 1 MB a minute.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from faults import KINDS, Step, World, differences  # noqa: E402 - it lies in tests/

from farm.client import Balance  # noqa: E402 - likewise, beside this folder

Life: TypeAlias = list[tuple[float, float]]
"""Samples of one process: seconds, MB."""

LIMIT_MB_PER_MIN = 1.0
WARM_UP_S = 15.0
"""Of each life, left out of the slope."""
LEAST_S = 20.0
"""Of each life, for it to count."""
SAMPLE_S = 1.0
MINUTE_S = 60.0
EVERY_NTH_ROUND = {
    "kill_worker": 2,
    "stop_worker": 2,
    "kill_service": 3,
    "stop_service": 3,
    "kill_farm": 4,
}
"""Rounds between two faults of a kind; the others come in each."""


class Memory:
    """Samples of every process, by role and life."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lives: defaultdict[tuple[str, int], Life] = defaultdict(list)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more samples."""
        self._stopping.set()
        self._thread.join()

    def latest(self) -> dict[str, float]:
        """MB of each role now: of the largest of its processes."""
        found: dict[str, float] = {}
        for (role, _), samples in list(self._lives.items()):
            at_s, mb = samples[-1]
            if time.monotonic() - at_s < 3 * SAMPLE_S:
                found[role] = max(found.get(role, 0.0), mb)
        return found

    def slopes(self) -> dict[str, tuple[float, float]]:
        """MB a minute of each role, and the seconds it is over."""
        roles: defaultdict[str, list[Life]] = defaultdict(list)
        for (role, _), samples in self._lives.items():
            began_s = samples[0][0]
            kept = [(at_s, mb) for at_s, mb in samples if at_s - began_s >= WARM_UP_S]
            if kept and kept[-1][0] - kept[0][0] >= LEAST_S:
                roles[role].append(kept)
        return {
            role: (slope(lives), sum(life[-1][0] - life[0][0] for life in lives))
            for role, lives in roles.items()
        }

    def _run(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            now_s = time.monotonic()
            for role, pid in processes(self._world):
                with contextlib.suppress(OSError, StopIteration):
                    self._lives[role, pid].append((now_s, own_mb(pid)))


def processes(world: World) -> Iterator[tuple[str, int]]:
    """Role and pid of everyone who runs now."""
    yield "supervisor", world.farm.pid
    for name, child in world.farm.children().items():
        if child["pid"]:
            yield name.partition("-")[0], child["pid"]
    for witness in list(world.witnesses.values()):
        yield "client", witness.pid


def own_mb(pid: int) -> float:
    """Memory of a process that is its own."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024 / 1e6


def slope(lives: list[Life]) -> float:
    """MB a minute, by least squares with a level for each life.

    Args:
        lives: of each, (seconds, MB).
    """
    products = squares = 0.0
    for samples in lives:
        mean_s = sum(at_s for at_s, _ in samples) / len(samples)
        mean_mb = sum(mb for _, mb in samples) / len(samples)
        products += sum((at_s - mean_s) * (mb - mean_mb) for at_s, mb in samples)
        squares += sum((at_s - mean_s) ** 2 for at_s, _ in samples)
    return MINUTE_S * products / squares


def steps(seed: int) -> Iterator[Step]:
    """Faults without end; the same seed is the same faults."""
    rng = random.Random(seed)  # noqa: S311 - it shall be repeatable, and guards nothing
    number = 0
    while True:
        number += 1
        kinds = [kind for kind in KINDS if number % EVERY_NTH_ROUND.get(kind, 1) == 0]
        for kind in rng.sample(kinds, len(kinds)):
            yield Step(kind, rng.randrange(2), rng.uniform(0.2, 0.8))


def suffer(world: World, memory: Memory, seed: int, minutes: float) -> Balance:
    """Fault after fault until time is up; the balance at the end."""
    began_s = time.monotonic()
    next_minute = 1
    balance = world.check()
    for number, step in enumerate(steps(seed)):
        elapsed_s = time.monotonic() - began_s
        if elapsed_s >= minutes * MINUTE_S:
            break
        if elapsed_s >= next_minute * MINUTE_S:
            say(f"minute {next_minute}: " + megabytes(memory.latest()))
            next_minute = int(elapsed_s // MINUTE_S) + 1
        world.apply(step)
        balance = world.check()
        published = sum(ring.published.records for ring in balance.rings)
        aborted = sum(ring.aborted.records for ring in balance.rings)
        repeats = {name: account.repeats for name, account in world.accounts.items()}
        say(
            f"{elapsed_s:6.1f} s  {number:>3} {step.kind:<13} published {published:,}  "
            f"aborted {aborted}  repeats {repeats}"
        )
    return balance


def report(world: World, memory: Memory, balance: Balance) -> bool:
    """The balance and the slopes, in words; whether all is well."""
    for ring in balance.rings:
        dropped = {reason: amount.records for reason, amount in ring.dropped.items()}
        say(
            f"ring {ring.worker}: claimed {ring.claimed.records:,} = published "
            f"{ring.published.records:,} + dropped {dropped} + aborted {ring.aborted.records:,}"
        )
        for row in ring.groups:
            seen = world.accounts[row.group].records(ring.worker)
            say(
                f"  {row.group}: acknowledged {row.acknowledged.records:,} + waiting "
                f"{row.waiting.records:,}; its clients have {seen:,}"
            )
    off = differences(balance)
    say(f"balance: {off or 'exact'}")
    growing = []
    for role, (mb_per_min, over_s) in sorted(memory.slopes().items()):
        say(f"{role:<12} {mb_per_min:+.3f} MB/min over {over_s:.0f} s")
        growing += [role] if mb_per_min > LIMIT_MB_PER_MIN else []
    if growing:
        say(f"memory grows: {', '.join(growing)}")
    return not off and not growing


def megabytes(by_role: dict[str, float]) -> str:
    """In words."""
    return ", ".join(f"{role} {mb:.1f} MB" for role, mb in sorted(by_role.items()))


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, help="default: a new one, printed")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="farm-soak-") as folder:
        world = World(f"soak-{seed}", Path(folder))
        memory = None
        try:
            world.start()
            memory = Memory(world)
            balance = suffer(world, memory, seed, args.minutes)
            memory.close()
            is_well = report(world, memory, balance)
            world.finish()
        except AssertionError as error:
            say(f"failed: {error}")
            is_well = False
        finally:
            if memory is not None:
                memory.close()
            world.close()
    say("all is well" if is_well else "something is off")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
