"""A real farm under measurement: started as anyone starts it, and what its processes take."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psutil

from farm.bench.seats import with_seats
from farm.errors import FarmError
from farm.shm.control import ControlBlock
from farm.shm.lease import reclaim

N_PROCESSORS: Final = 2
FIXED: Final = (
    "serve.address=127.0.0.1:0",
    "telemetry.metrics_address=127.0.0.1:0",
    "telemetry.format=json",
    "telemetry.level=info",
)
"""What the benches rely on, whatever the overrides say."""

_START_S: Final = 400.0
"""Time to be ready: the kernels may have to be compiled."""
_STOP_S: Final = 30.0


def pin() -> None:
    """Leave this process, and all it starts, the first two processors that it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_PROCESSORS])


@contextmanager
def running_farm(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A running farm: its instance name and address."""
    instance = f"bench-{os.getpid()}"
    options = [*with_seats(overrides), *FIXED, f"instance={instance}"]
    command = [sys.executable, "-m", "farm.cli.main", "up", *options]
    # A session of its own, as under a service manager: the kernel shares processors by sessions
    # (autogroups, sched(7)), and the supervisor would share that of the clients.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        drain = threading.Thread(target=_drain, args=(process,), daemon=True)
        try:
            address = _wait_for_address(process)
            drain.start()
            yield instance, address
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if drain.ident is not None:
                drain.join(_STOP_S)
            # What the farm still owed to the groups of a bench nobody will ever come for.
            reclaim(instance)


def _drain(process: subprocess.Popen[bytes]) -> None:
    """Take the log off the farm, which would wait for room in a full pipe."""
    assert process.stdout is not None
    while process.stdout.read(1 << 16):
        pass


def _wait_for_address(process: subprocess.Popen[bytes]) -> str:
    """What the farm says until it is ready; it is killed if that takes too long, which ends it."""
    assert process.stdout is not None
    said = []
    overdue = threading.Timer(_START_S, process.kill)
    overdue.start()
    try:
        for line in process.stdout:
            said.append(line.decode(errors="replace"))
            event = json.loads(line) if line.startswith(b"{") else {}
            if event.get("event") == "farm_ready":
                return str(event["address"])
    finally:
        overdue.cancel()
    raise FarmError("the farm did not get ready:\n" + "".join(said[-20:]))


class Usage:
    """What the processes of a farm take, from now on.

    Args:
        instance: name of the farm.
    """

    def __init__(self, instance: str) -> None:
        self._processes = _processes(instance)
        self._before = {role: _cpu_s(process) for role, process in self._processes.items()}
        self._began_s = time.perf_counter()

    def roles(self) -> dict[str, Any]:
        """CPU share (1 is a processor) since then, and peak memory, of each process.

        Raises:
            FarmError: one of them is gone.
        """
        took_s = time.perf_counter() - self._began_s
        try:
            return {
                role: {
                    "cpu": round((_cpu_s(process) - self._before[role]) / took_s, 3),
                    "peak_mib": round(_peak_bytes(process) / 2**20, 1),
                }
                for role, process in self._processes.items()
            }
        except (psutil.NoSuchProcess, FileNotFoundError) as error:
            raise FarmError(
                f"a process of the farm was replaced during the run: {error}"
            ) from error


class Receiver:
    """A client process (receiver.py), ended on exit.

    Args:
        address: of the farm.
        seconds: how long it counts.
        options: the group it joins, and the policy to make that with.
    """

    def __init__(self, address: str, seconds: float, *options: str) -> None:
        command = [sys.executable, "-m", "farm.bench.receiver", address, str(seconds), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._lines = self._process.stdout

    def wait_counting(self) -> None:
        """Wait until it counts."""
        self._lines.readline()

    def figures(self) -> Mapping[str, float]:
        """Wait for what it saw, and for its end.

        Raises:
            FarmError: it said nothing.
        """
        line = self._lines.readline()
        exit_code = self._process.wait()
        if not line:
            raise FarmError(f"the client ended with exit code {exit_code} and said nothing")
        figures: Mapping[str, float] = json.loads(line)
        return figures

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._lines.close()


def say(text: str) -> None:
    """Tell how it goes, on standard error."""
    print(text, file=sys.stderr, flush=True)


def _processes(instance: str) -> dict[str, psutil.Process]:
    control = ControlBlock.attach(instance, readonly=True)
    try:
        found = {"supervisor": psutil.Process(control.pid)}
        found |= {
            slot.name: psutil.Process(slot.pid)
            for slot in control.children
            if slot.name and slot.pid and psutil.pid_exists(slot.pid)
        }
        return found
    finally:
        control.close()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_bytes(process: psutil.Process) -> int:
    """Peak resident memory, shared memory that was touched included (VmHWM of proc(5))."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
