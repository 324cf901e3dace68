"""A client process of a bench: takes everything, checks everything, says what it saw.

    python -m farm.bench.receiver ADDRESS SECONDS [GROUP]

Prints `{"receiving": true}` when the count begins, and one JSON line of figures SECONDS later.
Every trajectory's checksum and sequence is checked and its payload decompressed.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Final

from farm.client import Client, Trajectory
from farm.errors import CorruptDataError

WARM_UP_S: Final = 1.0
"""Left out of the count: the first messages come from rings that filled before."""

_CREDIT_BYTES: Final = 1 << 24
_TAKEN: Final = 256
"""Trajectories taken at a time, far less than one message."""


def main(arguments: list[str]) -> int:
    """Receive, and print what came; exit code 0 also when something is lost: the figures say so."""
    address, seconds, *group = arguments
    print(json.dumps(receive(address, float(seconds), *group)), flush=True)
    return 0


def receive(address: str, seconds: float, group: str = "") -> dict[str, float]:
    """Be a member of a group for a while, and count what comes after `WARM_UP_S`."""
    with (
        Client(address) as client,
        client.subscribe(group=group, credit_bytes=_CREDIT_BYTES) as subscription,
    ):
        batches = subscription.batches(_TAKEN)
        _check_until(time.perf_counter() + WARM_UP_S, batches)
        print(json.dumps({"receiving": True}), flush=True)
        before = subscription.received
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        steps, corrupt = _check_until(began_s + seconds, batches)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_began_s
        after = subscription.received
    return {
        "seconds": took_s,
        "cpu_s": cpu_s,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "experiences": steps,
        "trajectories": after.trajectories - before.trajectories,
        "bytes": after.bytes - before.bytes,
        "messages": after.batches - before.batches,
        "lost": after.missing,
        "duplicates": after.duplicates,
        "corrupt": corrupt,
    }


def _check_until(deadline_s: float, batches: Iterator[list[Trajectory]]) -> tuple[int, int]:
    """Decode all that comes until then: `(steps, corrupt trajectories)`."""
    steps = corrupt = 0
    for batch in batches:
        for trajectory in batch:
            try:
                trajectory.decode(keep=False)
            except CorruptDataError:
                corrupt += 1
            steps += trajectory.n_steps
        if time.perf_counter() >= deadline_s:
            break
    return steps, corrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
