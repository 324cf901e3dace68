"""Starts child processes and holds on to them.

A child is a fresh interpreter, never a fork: what a fork hands on (locks, threads of libraries,
signal handlers) has no owner in the child. It inherits the doorbells and nothing else. It leads a
session of its own, so that Ctrl-C and Ctrl-Z in a terminal reach the supervisor only, which then
decides; that it cannot outlive the supervisor is seen to by `leash`, not by the terminal.
"""

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import farm
from farm.supervisor.specs import ChildSpec


class Process(Protocol):
    """What the arbiter needs of a process it has started."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def fileno(self) -> int:
        """Readable once the process has ended."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process has ended."""

    def try_reap(self) -> int | None:
        """The return code as subprocess has it (a signal is negative), or None while it runs."""

    def close(self) -> None:
        """Let go of the descriptor; idempotent."""


class ChildProcess:
    """A process and its pidfd: one descriptor to wait on, which never names another process."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def fileno(self) -> int:
        """Readable once the process has ended."""
        return self._pidfd

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process has ended."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def try_reap(self) -> int | None:
        """The return code as subprocess has it (a signal is negative), or None while it runs."""
        return self._popen.poll()

    def close(self) -> None:
        """Let go of the descriptor; idempotent."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class Spawner:
    """Starts the children of one instance.

    Args:
        instance: name of the farm.
        wake_fds: the doorbells, in the order of the convention; inherited under the same numbers.
    """

    def __init__(self, instance: str, wake_fds: Sequence[int]) -> None:
        self._instance = instance
        self._wake_fds = tuple(wake_fds)

    def spawn(self, spec: ChildSpec, generation: int) -> ChildProcess:
        """Start a child; it has not run a line of its own when this returns."""
        command = [
            sys.executable,
            # Without -P a `numpy.py` in the working directory would be imported by every child.
            "-P",
            "-m",
            "farm.supervisor.child",
            f"--supervisor-pid={os.getpid()}",
            f"--instance={self._instance}",
            f"--name={spec.name}",
            f"--slot={spec.slot}",
            f"--generation={generation}",
            f"--wake-fds={','.join(map(str, self._wake_fds))}",
            spec.target,
        ]
        popen = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            close_fds=True,
            pass_fds=self._wake_fds,
            start_new_session=True,
            env=child_environment(os.environ),
        )
        try:
            return ChildProcess(popen)
        except OSError:  # no descriptor is left to watch it with
            popen.kill()
            popen.wait()
            raise


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: ours, no idle threads, and this very package first on its path.

    NumPy's linear algebra, which no child uses, would start a thread for every core in each child.

    From a source tree `farm` is found through the working directory, which -P takes away. An
    installed package needs nothing, and site-packages must not come before the standard library.
    """
    child = {"OPENBLAS_NUM_THREADS": "1", **environment}
    root = str(Path(farm.__file__).resolve().parents[1])
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        child["PYTHONPATH"] = os.pathsep.join(paths)
    return child


def exit_reason(returncode: int) -> str:
    """How a process ended, in words: `exit code 70`, `SIGKILL`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-returncode}"
