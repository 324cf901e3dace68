"""A client process that writes down what it was given before it says that it has it.

    python tests/witness.py ADDRESS GROUP FILE [--policy P] [--pause-s S] [--credit-bytes N]
                                               [--block]

Whatever it has acknowledged stands in its file, whenever and however it ends: an entry is in the
kernel's hands before the acknowledgement is made. What it wrote and did not acknowledge comes
again, to it or to another, and is then marked. With `--block` it takes one message, acknowledges
nothing, and never reads again. SIGINT ends it in good order.
"""

import argparse
import contextlib
import os
import signal
import sys
import time

import numpy as np

from farm.client import Client, Retry
from farm.errors import CorruptDataError

WITNESSED = np.dtype(
    [
        ("sequence", "<u8"),
        ("game_id", "<u8"),
        ("generation", "<u4"),
        ("first_tick", "<u4"),
        ("worker", "<u2"),
        ("n_steps", "<u2"),
        ("seat", "u1"),
        ("ended", "u1"),
        ("redelivered", "u1"),
        ("corrupt", "u1"),
        ("unmarked", "<u4"),
        ("connections", "<u4"),
    ]
)
"""One trajectory: what names it, and in what batch it came. `unmarked` and `connections` are the
client's own counts at that time."""

EVERYTHING = 1 << 30
RETRY = Retry(first_s=0.05, ceiling_s=0.3, deadline_s=120.0)


def main(argv):
    """Watch until SIGINT, or until the farm is gone for good."""
    args = parse(argv)
    out = os.open(args.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    options = {"policy": args.policy} if args.policy else {}
    with Client(args.address, retry=RETRY) as client:
        subscription = client.subscribe(
            group=args.group, credit_bytes=args.credit_bytes, auto_ack=False, **options
        )
        with contextlib.suppress(KeyboardInterrupt):
            watch(subscription, out, args)
    return 0


def watch(subscription, out, args):
    """Take message after message."""
    n_redelivered = 0
    for trajectories in subscription.batches(EVERYTHING, partial=True):
        received = subscription.received
        is_marked = received.redelivered_batches > n_redelivered
        n_redelivered = received.redelivered_batches
        write_all(out, entries(trajectories, received, is_marked=is_marked))
        if args.block:
            signal.pause()
        subscription.acknowledge()
        time.sleep(args.pause_s)


def entries(trajectories, received, *, is_marked):
    """WITNESSED[n], as bytes."""
    rows = [
        (
            t.sequence,
            t.game_id,
            t.generation,
            t.first_tick,
            t.worker,
            t.n_steps,
            t.seat,
            t.terminated or t.truncated,
            is_marked,
            is_corrupt(t),
            received.unmarked_duplicates,
            received.connections,
        )
        for t in trajectories
    ]
    return np.array(rows, dtype=WITNESSED).tobytes()


def is_corrupt(trajectory):
    """Whether its checksum or its shape is off."""
    try:
        trajectory.decode(keep=False)
    except CorruptDataError:
        return True
    return False


def write_all(out, data):
    """To the kernel, all of it."""
    while data:
        data = data[os.write(out, data) :]


def parse(argv):
    """The options."""
    parser = argparse.ArgumentParser(prog="witness")
    parser.add_argument("address")
    parser.add_argument("group")
    parser.add_argument("file")
    parser.add_argument("--policy", default="")
    parser.add_argument("--pause-s", type=float, default=0.0)
    parser.add_argument("--credit-bytes", type=int, default=0)
    parser.add_argument("--block", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
