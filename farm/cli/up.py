"""`farm up`: a farm in the foreground, with `--tail` a client of it beside it.

With `--tail` standard output belongs to the tail, which is a process of its own; the farm and its
children log to standard error, and from the moment the farm serves only warnings, so that a line
that rewrites itself stays whole. When the tail ends, or Ctrl-C comes, the farm drains.

The tail is a client like any other: of a farm that asks for TLS or a token it needs what every
client needs, from the same variables, and a farm has neither a token (only digests) nor a client's
key to lend. So what is missing is said before anything starts.
"""

import argparse
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from farm.errors import UsageError
from farm.supervisor.companion import TAIL_GROUP
from farm.supervisor.signals import WATCHED, SignalQueue

if TYPE_CHECKING:
    from farm.config.schema import SecurityConfig

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
    faulthandler.enable(STDOUT)
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


def require_credentials(security: "SecurityConfig", environment: Mapping[str, str]) -> None:
    """Refuse a tail that the farm would turn away.

    Raises:
        UsageError: names every variable that is missing, and what belongs into it.
    """
    wanted = []
    if security.tls_cert is not None and not environment.get("FARM_TLS_CA"):
        wanted.append("FARM_TLS_CA=FILE, of who vouches for security.tls_cert (itself, if nobody)")
    if security.client_ca is not None:
        missing = [name for name in ("CERT", "KEY") if not environment.get(f"FARM_TLS_{name}")]
        wanted += [f"FARM_TLS_{name}=FILE, that security.client_ca vouches for" for name in missing]
    has_token = environment.get("FARM_TOKEN") or environment.get("FARM_TOKEN_FILE")
    if security.tokens_file is not None and not has_token:
        wanted.append("FARM_TOKEN_FILE=FILE, with a token of role train of security.tokens_file")
    if wanted:
        raise UsageError(f"the tail of `farm up --tail` is a client and needs {'; '.join(wanted)}")


def _run_with_tail(args: argparse.Namespace) -> int:
    from farm.cli.config import config_folders  # noqa: PLC0415 - it loads NumPy, see `run`
    from farm.config.load import compose_config  # noqa: PLC0415 - likewise

    config = compose_config(args.overrides, folders=config_folders(args.config_dir))
    require_credentials(config.security, os.environ)
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
