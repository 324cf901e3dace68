"""A real farm that is meant to suffer, and clients that bear witness; for tests and tools."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from farm.errors import SegmentError
from farm.shm.control import ChildState, ControlBlock, FarmState

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 45.0
"""For what takes a second or two on a machine that has nothing else to do."""
FIRST_START_S = 540.0
"""Compiling every kernel on a slow, busy machine; a warm start takes seconds."""
LOOK_S = 0.02

N_WORKERS = 2
CLIENT_TIMEOUT_S = 2.0
OVERRIDES = (
    f"worker.count={N_WORKERS}",
    "match=tiny",
    "worker.games=4",
    "worker.steps=16",
    f"ring.bytes={1 << 18}",
    f"serve.min_batch_bytes={1 << 13}",
    f"serve.max_batch_bytes={1 << 15}",
    "serve.max_batch_wait_ms=20",
    f"serve.credit_bytes={1 << 17}",
    f"serve.client_timeout_s={CLIENT_TIMEOUT_S}",
    "serve.lease_s=0.5",
    "serve.drain_s=20",
    "supervisor.stop_s=40",
    "supervisor.silence_s=2",
    "supervisor.abort_s=0.3",
    # Deaths are what this is about: the farm shall not give up on them.
    "supervisor.intensity=1000",
    "supervisor.backoff_s=0.05",
    "telemetry.format=json",
)


def wait_until(condition, what, timeout_s=DEADLINE_S):
    """Look until `condition()` is true; returns its value."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"{what() if callable(what) else what}: not in time"
        time.sleep(LOOK_S)
    return value


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Farm:
    """A farm under one name and address, over several lives.

    Args:
        instance: its name.
        folder: for its log.
        overrides: of its config, behind those above.
    """

    def __init__(self, instance, folder, *overrides):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = f"127.0.0.1:{server.getsockname()[1]}"
        self.instance = instance
        self.log = folder / "farm.log"
        self._overrides = (*OVERRIDES, *overrides)
        self._process = None

    def start(self):
        """Start it, and wait until it serves."""
        own = (
            f"instance={self.instance}",
            f"serve.address={self.address}",
            "telemetry.metrics_address=127.0.0.1:0",
        )
        command = [sys.executable, "-m", "farm.cli.main", "up", *self._overrides, *own]
        with self.log.open("ab") as log:
            self._process = start_process(command, stdout=log)
        wait_until(lambda: self.is_ready, lambda: f"a farm\n{self.tail_of_log()}", FIRST_START_S)

    @property
    def pid(self):
        """The supervisor."""
        return self._process.pid

    @property
    def is_ready(self):
        """Whether every child is at work."""
        assert self._process.poll() is None, f"the farm ended\n{self.tail_of_log()}"
        children = self.children()
        ready = {name for name, c in children.items() if c["state"] is ChildState.READY}
        wanted = {"experiences", *(f"rollout-{worker}" for worker in range(N_WORKERS))}
        return wanted <= ready and self.facts()["state"] is FarmState.RUNNING

    def facts(self):
        """State and pid, from the control block; empty before there is one."""
        with self._control() as control:
            if control is None or control.pid != self.pid:
                return {"state": None}
            return {"state": control.state}

    def children(self):
        """Pid, generation and state of every child, by name."""
        with self._control() as control:
            if control is None or control.pid != self.pid:
                return {}
            return {
                slot.name: {"pid": slot.pid, "generation": slot.generation, "state": slot.state}
                for slot in control.children
                if slot.name and slot.role != "warm-up"
            }

    def signal_child(self, name, number):
        """Send a signal; the generation that it went to."""
        child = self.children()[name]
        if not child["pid"]:  # to whom a signal would be one to everybody here
            raise ProcessLookupError(f"{name} is down")
        os.kill(child["pid"], number)
        return child["generation"]

    def wait_replaced(self, name, generation):
        """Wait until a child of a later generation is at work."""

        def is_back():
            assert self._process.poll() is None, f"the farm ended\n{self.tail_of_log()}"
            child = self.children().get(name)
            later = child is not None and child["generation"] > generation
            return later and child["state"] is ChildState.READY

        wait_until(is_back, lambda: f"another {name}\n{self.tail_of_log()}")

    def kill(self):
        """SIGKILL, and wait until nobody of it is left."""
        pids = [child["pid"] for child in self.children().values() if child["pid"]]
        self._process.kill()
        self._process.wait(DEADLINE_S)
        wait_until(lambda: not any(map(is_alive, pids)), "the end of every child")

    def stop(self):
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(DEADLINE_S)

    def tail_of_log(self, n=30):
        """The last lines it logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-n:])

    def clean_up(self):
        """Leave nothing."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for path in Path("/dev/shm").glob(f"farm-{self.instance}-*"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _control(self):
        try:
            control = ControlBlock.attach(self.instance, readonly=True)
        except (SegmentError, FileNotFoundError):
            yield None
            return
        try:
            yield control
        finally:
            control.close()


class Witness:
    """One life of a member, and its file."""

    def __init__(self, address, group, path, *options):
        self.path = path
        script = Path(__file__).with_name("witness.py")
        command = [sys.executable, script, address, group, path, *options]
        self.process = start_process(command)

    @property
    def pid(self):
        """Its process."""
        return self.process.pid

    @property
    def n_bytes(self):
        """Bytes it has written."""
        return self.path.stat().st_size if self.path.exists() else 0

    def send(self, number):
        """A signal."""
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, whatever it is at."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def end(self):
        """SIGINT: it gives back what it has, and goes."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(DEADLINE_S)


def start_process(command, **options):
    """A process that finds the farm, in a session of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT if "stdout" in options else None,
        start_new_session=True,
        **options,
    )
