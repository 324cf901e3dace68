"""`farm_to_client`: experiences a second from a real farm to a client that checks every one.

The farm is `farm up` as anyone starts it, the client a process of its own (receiver.py). All of it
shares two processors, the first two that this process may use. The reference in the same run is
`engine`: the same match, played on one of them with nothing around it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from farm.bench import engine
from farm.errors import FarmError
from farm.shm.control import ControlBlock

N_PROCESSORS: Final = 2
DEFAULTS: Final = ("match.seats=[random,random]", "worker.count=1")
FIXED: Final = (
    "serve.address=127.0.0.1:0",
    "telemetry.metrics_address=127.0.0.1:0",
    "telemetry.format=json",
    "telemetry.level=info",
)
"""What the bench relies on, whatever the overrides say."""
ENGINE_SHARE: Final = 0.15
"""Share of the time for the reference."""

_START_S: Final = 400.0
"""Time to be ready: the kernels may have to be compiled."""
_STOP_S: Final = 30.0


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure engine and farm.

    Returns:
        `experiences_per_s`, `lost`, `corrupt`, `wire_bytes_per_experience`, `ratio_to_engine` (to
        the experiences a second of the engine alone on one processor), and CPU share (1 is a
        processor) and peak memory of each role.

    Raises:
        FarmError: farm or client failed; the message holds what they said.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_PROCESSORS])
    case = engine.configured([*DEFAULTS, *overrides])
    _say(f"engine alone, for {seconds * ENGINE_SHARE:.0f} s")
    engine_steps_per_s = engine.measure(case, seconds * ENGINE_SHARE)
    reference = engine_steps_per_s * len(case.policies)
    with _farm(overrides) as (instance, address):
        _say(f"farm at {address}, for {seconds:.0f} s")
        received, roles = _receive(instance, address, seconds)
    rate = received["experiences"] / received["seconds"]
    roles["client"] = {
        "cpu": round(received["cpu_s"] / received["seconds"], 3),
        "peak_mib": round(received["peak_bytes"] / 2**20, 1),
    }
    return {
        "board": f"{case.height}x{case.width}",
        "seats": list(case.policies),
        "seconds": round(received["seconds"], 1),
        "experiences_per_s": round(rate),
        "lost": received["lost"],
        "corrupt": received["corrupt"],
        "duplicates": received["duplicates"],
        "wire_bytes_per_experience": round(received["bytes"] / received["experiences"], 1),
        "message_kib": round(received["bytes"] / received["messages"] / 1024, 1),
        "engine_env_steps_per_s": round(engine_steps_per_s),
        "ratio_to_engine": round(rate / reference, 3),
        "processors": len(os.sched_getaffinity(0)),
        "roles": roles,
    }


@contextmanager
def _farm(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A running farm: its instance name and address."""
    instance = f"bench-{os.getpid()}"
    options = [*DEFAULTS, *overrides, *FIXED, f"instance={instance}"]
    command = [sys.executable, "-m", "farm.cli.main", "up", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield instance, _wait_for_address(process)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


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


def _receive(
    instance: str, address: str, seconds: float
) -> tuple[Mapping[str, float], dict[str, Any]]:
    """Run the client; its figures, and those of the farm's processes over the same time."""
    command = [sys.executable, "-m", "farm.bench.receiver", address, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()  # it counts from here on
        processes = _processes(instance)
        before = {role: _cpu_s(process) for role, process in processes.items()}
        began_s = time.perf_counter()
        line = client.stdout.readline()
        took_s = time.perf_counter() - began_s
        if not line:
            raise FarmError(f"the client ended with exit code {client.wait()} and said nothing")
        try:
            roles = {
                role: {
                    "cpu": round((_cpu_s(process) - before[role]) / took_s, 3),
                    "peak_mib": round(_peak_bytes(process) / 2**20, 1),
                }
                for role, process in processes.items()
            }
        except (psutil.NoSuchProcess, FileNotFoundError) as error:
            raise FarmError(
                f"a process of the farm was replaced during the run: {error}"
            ) from error
        return json.loads(line), roles


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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
