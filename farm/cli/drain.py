"""`farm drain`: produce nothing more, deliver what is there, then stop, and say where all of it is.

A running farm is told by a signal to its supervisor, and followed until it ends. What a farm that
has ended left is served by this process, which is its supervisor then, without workers.
"""

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack

from farm.cli.audit_table import audit_of, show
from farm.errors import (
    EXIT_INCOMPLETE,
    EXIT_INTERNAL,
    EXIT_OK,
    FarmError,
    SegmentAbsentError,
    UnavailableError,
)
from farm.shm.balance import Balance, read_balance
from farm.shm.control import ControlBlock
from farm.shm.groups import attach_groups
from farm.shm.lease import running_pid
from farm.shm.ring_layout import attach_ring, attach_ring_segment, is_replaced, ring_indexes
from farm.shm.segment import Segment
from farm.spec.trajectory import N_STEPS_OFFSET
from farm.supervisor.segments import owed_records
from farm.supervisor.signals import WATCHED, SignalQueue

STOP_S = 120.0
"""Longest time for a farm to stop once its drain is over: each stage has `supervisor.stop_s`."""
LOOK_S = 0.1
STDOUT, STDERR = 1, 2
MS_PER_S = 1_000


def run(args: argparse.Namespace) -> int:
    """Drain a farm and print its balance.

    Raises:
        UnavailableError: there is no such farm.
        ResourceError: its port is taken, or what it left cannot be gone on with.
        FarmError: it does not stop.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see `farm up`
    pid = running_pid(args.instance)
    if pid is None:
        balance = _drain_dead(args.instance, args.deadline)
    else:
        balance = _drain_running(args.instance, pid, args.deadline)
    if balance is None:
        return EXIT_INTERNAL
    show(audit_of(balance, args.instance, running=False), as_json=args.json)
    if not balance.exact:
        return EXIT_INTERNAL
    return EXIT_INCOMPLETE if owed_records(balance) else EXIT_OK


def _drain_running(instance: str, pid: int, deadline_s: float) -> Balance:
    """Tell a farm to drain, and read its balance once it has ended.

    Its segments are mapped before, as it removes them if nothing is left.
    """
    with ExitStack() as stack:
        try:
            control = ControlBlock.attach(instance)
            stack.callback(control.close)
            groups = stack.enter_context(attach_groups(instance, readonly=True))
        except SegmentAbsentError:
            raise UnavailableError(f"the farm {instance!r} is just starting or ending") from None
        rings = [
            (ring, stack.enter_context(attach_ring(instance, ring, readonly=True)))
            for ring in ring_indexes(instance)
        ]
        control.drain_ms = max(1, round(deadline_s * MS_PER_S))
        os.kill(pid, signal.SIGUSR1)
        print(f"farm {instance}, process {pid}, is draining", file=sys.stderr)
        until = time.monotonic() + deadline_s + STOP_S
        while running_pid(instance) == pid:
            if time.monotonic() > until:
                raise FarmError(f"the farm {instance!r}, process {pid}, does not stop; see its log")
            rings = [(ring, _newest(segment, stack)) for ring, segment in rings]
            time.sleep(LOOK_S)
        return read_balance(groups, rings, experiences_at=N_STEPS_OFFSET, running=False)


def _newest(ring: Segment, stack: ExitStack) -> Segment:
    """A ring, or the one that took its place before the farm heard that it shall drain."""
    if not is_replaced(ring):
        return ring
    try:
        return stack.enter_context(attach_ring_segment(ring.name, readonly=True))
    except SegmentAbsentError:
        return ring


def _drain_dead(instance: str, deadline_s: float) -> Balance | None:
    """Serve what is left; standard output is for the balance, the log goes to standard error."""
    kept_stdout = os.dup(STDOUT)
    sys.stdout.flush()
    os.dup2(STDERR, STDOUT)
    try:
        with SignalQueue() as signals:
            from farm import app  # noqa: PLC0415 - a signal from here on is a clean stop

            balance = app.drain(instance, deadline_s, signals=signals)
    finally:
        sys.stdout.flush()
        os.dup2(kept_stdout, STDOUT)
        os.close(kept_stdout)
    for number in WATCHED:
        signal.signal(number, signal.SIG_IGN)
    return balance
