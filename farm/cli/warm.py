"""`farm warm`: compile the kernels before a farm starts, so that it serves within seconds.

A service manager runs it before the farm (ExecStartPre of systemd/farm.service). The parts of a
farm that have kernels compile theirs in processes of their own, side by side, as in a first start;
what is compiled lands in the cache that the farm reads. Two that run at once do not compile the
same: the second waits for the first, and finds nothing to do.
"""

import argparse
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from farm.cache import cache_root
from farm.cli.config import config_folders
from farm.config.check import check
from farm.config.load import compose_config
from farm.config.schema import FarmConfig
from farm.errors import EXIT_OK, FarmError
from farm.policies.registry import POLICY_NAMES
from farm.supervisor import warm_stamp
from farm.supervisor.deadlines import NS_PER_S
from farm.supervisor.lifecycle import FarmPhase
from farm.supervisor.notify import Notifier
from farm.supervisor.specs import games_warm_up, warm_up
from farm.telemetry import log

_OF_TASK = {
    warm_up().name: ("farm.worker.warm_up", "farm.serve.warm_up"),
    games_warm_up().name: ("farm.games.warm_up",),
}
"""By the task of a farm that does the same: modules with a `compile_kernels`."""
LOOK_S = 0.05
SAY_NS = 10 * NS_PER_S
"""Between two lines that say how long it has taken."""
_LOCK = "warm.lock"


def run(args: argparse.Namespace) -> int:
    """Compile what is not compiled.

    Raises:
        ConfigError: the config is wrong; nothing was compiled.
        FarmError: compiling failed, or took longer than supervisor.warm_up_s.
    """
    config = compose_config(args.overrides, folders=config_folders(args.config_dir))
    check(config, policies=POLICY_NAMES)
    log.configure(role="warm-up", level=config.telemetry.level, fmt=config.telemetry.format)
    with ExitStack() as stack:
        wait = _Wait(config.supervisor.warm_up_s, stack)
        if _cold_tasks(config):
            stack.enter_context(_turn(wait))
        if cold := _cold_tasks(config):
            _compile([part for task in cold for part in _OF_TASK[task]], wait, stack)
            _keep_stamp(_tasks(config))
        log.get_logger().info("kernels_ready", took_s=round(wait.for_ns() / NS_PER_S, 1))
    return EXIT_OK


class _Wait:
    """A wait with a deadline that tells people and a service manager that it goes on.

    Args:
        limit_s: the deadline, from now.
        stack: closes what it opens.
    """

    def __init__(self, limit_s: float, stack: ExitStack) -> None:
        self._limit_s = limit_s
        self._began_ns = self._said_ns = time.monotonic_ns()
        self._doing = ""
        self._notifier = Notifier.take(os.environ, os.getpid(), self._describe)
        if self._notifier is not None:
            stack.callback(self._notifier.close)

    def for_ns(self) -> int:
        """How long it has taken so far."""
        return time.monotonic_ns() - self._began_ns

    def look(self, doing: str) -> None:
        """Pause a little.

        Raises:
            FarmError: the time is over.
        """
        self._doing = doing
        now_ns = time.monotonic_ns()
        if now_ns - self._began_ns > self._limit_s * NS_PER_S:
            raise FarmError(
                f"{doing} takes longer than {self._limit_s:g} s; run `farm warm` again, with a "
                "longer supervisor.warm_up_s if this machine is slow"
            )
        if now_ns - self._said_ns > SAY_NS:
            self._said_ns = now_ns
            log.get_logger().info("kernels_compiling", for_s=self.for_ns() // NS_PER_S)
        if self._notifier is not None:
            # The watchdog is that of the farm, which does not run yet.
            self._notifier.poll(FarmPhase.STARTING, now_ns, sound=False)
        time.sleep(LOOK_S)

    def _describe(self, _phase: FarmPhase, _now_ns: int) -> str:
        return f"{self._doing}, for {self.for_ns() // NS_PER_S} s; a first start takes a minute"


@contextmanager
def _turn(wait: _Wait) -> Iterator[None]:
    """Be the only one who fills this cache."""
    with Path(cache_root(), _LOCK).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                wait.look("Waiting for another `farm warm`")
        yield


def _tasks(config: FarmConfig) -> list[str]:
    """What a farm of this config has to compile."""
    return [warm_up().name, *([games_warm_up().name] if config.games.hosts else [])]


def _cold_tasks(config: FarmConfig) -> list[str]:
    return [task for task in _tasks(config) if not warm_stamp.is_warm(task)]


def _compile(parts: Sequence[str], wait: _Wait, stack: ExitStack) -> None:
    """Run every part to its end; none outlives this process."""
    log.get_logger().info("kernels_compiling", hint="a first start takes a minute or so")
    running = {part: stack.enter_context(_process(part)) for part in parts}
    while running:
        for part, process in list(running.items()):
            exit_code = process.poll()
            if exit_code:
                raise FarmError(f"{part} ended with exit code {exit_code}; see above")
            if exit_code == EXIT_OK:
                del running[part]
        if running:
            wait.look("Compiling kernels")


@contextmanager
def _process(part: str) -> Iterator[subprocess.Popen[bytes]]:
    leash = [sys.executable, "-m", "farm.supervisor.leash", str(os.getpid())]
    command = [*leash, sys.executable, "-m", "farm.cli.warm_part", part]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own modules
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _keep_stamp(tasks: Sequence[str]) -> None:
    try:
        warm_stamp.store(tasks)
    except OSError as error:
        log.get_logger().warning("warm_stamp_not_kept", error=str(error))
