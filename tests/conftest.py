"""What tests with real processes share."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import settings

# A first call compiles kernels, which takes seconds: a deadline for one example means nothing here.
settings.register_profile("farm", deadline=None, print_blob=True)
settings.load_profile("farm")

# A shell starts what it puts into the background with SIGINT ignored, and every process that a test
# starts and interrupts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 60.0
"""Far beyond what anything here takes: only a failure waits this long."""


class Running:
    """A started process whose output is read along: JSON log lines as dicts, the rest as text."""

    def __init__(self, command, *, env=None, cwd=ROOT):
        merged = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self._process = subprocess.Popen(
            command,
            env=merged,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.text = []
        self.lines = []
        self._arrived = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self._process.stdout:
            text = raw.decode(errors="replace").rstrip("\n")
            with self._arrived:
                try:
                    # A dump of stacks, written piece by piece, may stand before it in its line.
                    line = json.loads(text[max(text.find('{"ts":'), 0) :])
                except ValueError:
                    line = None
                if isinstance(line, dict):
                    self.lines.append(line)
                self.text.append(text)
                self._arrived.notify_all()

    def events(self, event, **fields):
        """The log lines of this event that have these fields."""
        wanted = {"event": event, **fields}
        return [
            line for line in list(self.lines) if all(line.get(k) == v for k, v in wanted.items())
        ]

    def wait_for(self, event, *, nth=1, timeout_s=DEADLINE_S, **fields):
        """The n-th log line of this event, as soon as it is there."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while len(found := self.events(event, **fields)) < nth:
                left_s = deadline - time.monotonic()
                may_come = left_s > 0 and self._reader.is_alive()
                assert may_come, f"no {event} {fields} in:\n{self.output}"
                self._arrived.wait(min(left_s, 0.2))
        return found[nth - 1]

    def send(self, number):
        self._process.send_signal(number)

    def wait(self, timeout_s=DEADLINE_S):
        """The return code, once the process and everything that shares its output has ended."""
        returncode = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        assert not self._reader.is_alive(), "something still holds the output open"
        return returncode

    def stop(self, number=signal.SIGTERM, timeout_s=DEADLINE_S):
        self.send(number)
        return self.wait(timeout_s)

    @property
    def output(self):
        return "\n".join(self.text)

    def clean_up(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(DEADLINE_S)
        self._process.stdout.close()


def _starter():
    """Starts processes and sees to it that none outlives the scope."""
    started = []

    def start(command, *, within=(), **options):
        process = Running([*within, sys.executable, *map(str, command)], **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.clean_up()


def _instance():
    """An instance name of its own; what a killed farm left under it is removed."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    yield name
    for path in Path("/dev/shm").glob(f"farm-{name}-*"):
        path.unlink(missing_ok=True)


start_process = pytest.fixture(_starter)
start_shared = pytest.fixture(_starter, scope="module", name="start_shared")
instance = pytest.fixture(_instance)
shared_instance = pytest.fixture(_instance, scope="module", name="shared_instance")


def wait_until(condition, *, timeout_s=DEADLINE_S, what="the condition"):
    """Look until `condition()` is true; returns its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        time.sleep(0.005)
    return value


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture():
    return wait_until


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.fixture(name="is_alive", scope="session")
def is_alive_fixture():
    return is_alive
