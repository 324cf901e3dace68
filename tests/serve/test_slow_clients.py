"""What a client that takes nothing costs the service, as the process that it is."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from subscribing import bulky, subscriber

from farm.shm.control import ChildState

ROOT = Path(__file__).resolve().parents[2]
N_CLIENTS = 3
LIMIT_MIB = 24

pytestmark = pytest.mark.timeout(60)


def private_mib(pid):
    """Memory that is the process's own: without the rings it has mapped (proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no RssAnon")


@pytest.fixture
def child(serve):
    """The service as a child process: `child.serving` has its rings."""
    serving = serve(capacity_bytes=1 << 27, credit_bytes=1 << 26, client_timeout_s=30.0)
    serving.stop_service()
    serving.slot.state = ChildState.STARTING
    bells = [bell.fileno() for bell in (serving.data_bell, *serving.space_bells)]
    command = [
        *(sys.executable, "-m", "farm.supervisor.child"),
        f"--supervisor-pid={os.getpid()}",
        f"--instance={serving.instance}",
        *("--name=experiences", "--slot=0", "--generation=2"),
        f"--wake-fds={','.join(map(str, bells))}",
        "farm.serve.main:main",
    ]
    process = subprocess.Popen(command, pass_fds=bells, cwd=ROOT)
    process.serving = serving
    deadline_s = time.monotonic() + 30
    while serving.slot.state != ChildState.READY:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()
    serving._thread.join()


def settled_mib(serving, pid):
    """Its memory, once it has handed out all that it is going to."""
    served = -1
    while served != (served := serving.counter("served_bytes")):
        time.sleep(0.5)
    return private_mib(pid)


def test_blocked_clients_cost_less_than_24_mib_each(child):
    serving = child.serving
    payload = bulky(1_000_000)
    serving.ring.write_bytes(payload)
    with subscriber_of(child, "warm") as member:
        member.ack(member.read().batch_id)
    before = settled_mib(serving, child.pid)
    with contextlib.ExitStack() as stack:
        for number in range(N_CLIENTS):
            stack.enter_context(subscriber_of(child, f"blocked-{number}"))
        for _ in range(60):
            serving.ring.write_bytes(payload)
        cost = (settled_mib(serving, child.pid) - before) / N_CLIENTS
        assert serving.counter("served_bytes") > N_CLIENTS * 2_000_000
        assert cost < LIMIT_MIB


def subscriber_of(child, group):
    class Reached:
        address = child.serving.control.address

    return subscriber(Reached, group=group)
