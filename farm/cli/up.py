"""`farm up`: a farm in the foreground, with `--tail` a client of it beside it.

With `--tail` standard output belongs to the tail, which is a process of its own; the farm and its
children log to standard error, and from the moment the farm serves only warnings, so that a line
that rewrites itself stays whole. When the tail ends, or Ctrl-C comes, the farm drains.
"""

import argparse
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from farm.supervisor.companion import TAIL_GROUP
from farm.supervisor.signals import WATCHED, SignalQueue

STDOUT, STDERR = 1, 2


def run(args: argparse.Namespace) -> int:
    """Run a farm until a signal, until its time is over, or until its tail ends."""
    # Before the first import of NumPy, whose linear algebra would start a thread for every core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if args.tail:
        return _run_with_tail(args)
    return _run(args)


def _run(
    args: argparse.Namespace,
    *,
    ready: Callable[[str], subprocess.Popen[bytes]] | None = None,
    quiet: bool = False,
) -> int:
    # A service manager whose watchdog was not fed sends SIGABRT: the log then says where we were.
    faulthandler.enable()
    # Before the imports, which take most of a start: a signal from here on is a clean stop.
    with SignalQueue() as signals:
        from farm import app  # noqa: PLC0415 - it loads NumPy, see `run`
        from farm.cli.config import config_folders  # noqa: PLC0415 - likewise

        exit_code = app.run(
            args.overrides,
            ready=ready,
            seconds=args.seconds,
            quiet=quiet,
            discard=args.discard,
            signals=signals,
            folders=config_folders(args.config_dir),
        )
    # The farm is down and cleaned up: a late press must not change how it ended.
    for number in WATCHED:
        signal.signal(number, signal.SIG_IGN)
    return exit_code


def _run_with_tail(args: argparse.Namespace) -> int:
    tail_stdout = os.dup(STDOUT)
    sys.stdout.flush()
    os.dup2(STDERR, STDOUT)

    def start_tail(address: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own command line
            _tail_command(address, as_json=not os.isatty(tail_stdout)),
            stdin=subprocess.DEVNULL,
            stdout=tail_stdout,
            # Ctrl-C is for the supervisor: it lets the tail take what is left, then ends it.
            process_group=0,
        )

    try:
        return _run(args, ready=start_tail, quiet=True)
    finally:
        os.dup2(tail_stdout, STDOUT)
        os.close(tail_stdout)


def _tail_command(address: str, *, as_json: bool) -> list[str]:
    """A group of its own, tied to this process: it must not wait for a farm that is gone."""
    leash = [sys.executable, "-m", "farm.supervisor.leash", str(os.getpid())]
    tail = [sys.executable, "-m", "farm.cli.main", "tail", address, "--group", TAIL_GROUP]
    return [*leash, *tail, *(["--json"] if as_json else [])]
