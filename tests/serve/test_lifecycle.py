"""How the service starts, beats and stops; as a thread, and as the child process that it is."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from handmade import Spec
from serving import farm_config

from farm.client import NO_RETRY, Client
from farm.errors import AddressInUseError, ResourceError, SegmentAbsentError, UnavailableError
from farm.shm.control import ChildState

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0

pytestmark = pytest.mark.timeout(60)
a_thread_that_fails = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


def taken_port():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken, taken.getsockname()[1]


def ending(serving):
    """What a service that fails to start ends with."""
    serving._thread.join(DEADLINE_S)
    assert not serving._thread.is_alive()
    return serving.result


@a_thread_that_fails
def test_a_taken_port_is_an_error_that_names_it(serve):
    taken, port = taken_port()
    with taken:
        error = ending(serve(address=f"127.0.0.1:{port}"))
    assert isinstance(error, AddressInUseError)
    assert f"127.0.0.1:{port}" in str(error)
    assert error.exit_code == 69


@a_thread_that_fails
def test_a_second_service_does_not_share_the_port(serve, instance):
    serving = serve()
    second = type(serving)(f"{instance}2", address=serving.address)
    try:
        assert isinstance(ending(second), AddressInUseError)
    finally:
        second.close()


@a_thread_that_fails
def test_an_address_of_another_machine_is_an_error_that_names_it(serve):
    error = ending(serve(address="203.0.113.7:50051"))
    assert isinstance(error, ResourceError)
    assert not isinstance(error, AddressInUseError)
    assert "203.0.113.7:50051" in str(error)


def test_the_port_of_a_service_that_stopped_is_free_at_once(serve):
    serving = serve()
    address = serving.address
    with Client(address, retry=NO_RETRY) as client:
        client.info()
        serving.stop_service()
        serving.config = farm_config(address=address)
        serving.start()
        assert serving.address == address


def test_a_ready_service_answers(serve):
    with Client(serve().address, retry=NO_RETRY) as client:
        assert client.info().children[0].state == "ready"


def test_it_beats_while_it_has_nothing_to_do(serve):
    serving = serve()
    assert serving.address
    before = serving.slot.heartbeat_ns
    serving.wait(lambda: serving.slot.heartbeat_ns > before, "another beat")


@a_thread_that_fails
def test_a_ring_that_never_comes_is_an_error(serve, monkeypatch):
    monkeypatch.setattr("serving.HandMadeRing", lambda *_args: NoRing())
    error = ending(serve(start_s=0.2))
    assert isinstance(error, SegmentAbsentError)


class NoRing:
    def close(self):
        pass


def test_a_stop_delivers_what_is_left_to_who_is_there(serve):
    serving = serve(drain_s=DEADLINE_S, max_batch_bytes=1_000, min_batch_bytes=1_000)
    serving.ring.write(*[Spec()] * 100)
    taken = []

    def take():
        with Client(serving.address, retry=NO_RETRY) as client:
            for trajectory in client.subscribe():
                taken.append(trajectory.sequence)
                if len(taken) == 1:
                    serving.context.stopping = True

    taker = threading.Thread(target=raises_unavailable, args=(take,), daemon=True)
    taker.start()
    assert serving.stop_service() == 0
    taker.join(DEADLINE_S)
    assert taken == list(range(100))
    assert serving.counter("acknowledged_records") == 100


def raises_unavailable(function):
    with pytest.raises(UnavailableError, match="stopping"):
        function()


def test_a_stop_waits_no_longer_than_drain_s_for_a_client_that_takes_nothing(serve):
    serving = serve(drain_s=0.3)
    serving.ring.write(*[Spec()] * 10)
    with Client(serving.address, retry=NO_RETRY) as client:
        subscription = client.subscribe(auto_ack=False)
        next(subscription)
        start_s = time.monotonic()
        assert serving.stop_service() == 0
        assert 0.3 <= time.monotonic() - start_s < 10


def test_a_stop_without_clients_is_at_once(serve):
    serving = serve(drain_s=DEADLINE_S)
    assert serving.address
    serving.ring.write(*[Spec()] * 10)
    start_s = time.monotonic()
    assert serving.stop_service() == 0
    assert time.monotonic() - start_s < 10


def test_streams_of_a_stopping_farm_end_with_unavailable(serve):
    serving = serve()
    with Client(serving.address, retry=NO_RETRY) as client:
        stream = client.stream()
        serving.ring.write(Spec())
        next(stream)
        stopper = threading.Thread(target=serving.stop_service)
        stopper.start()
        with pytest.raises(UnavailableError, match="stopping"):
            next(stream)
        stopper.join(DEADLINE_S)


CLIENT = """
import sys
from farm.client import Client
with Client(sys.argv[1]) as client:
    for trajectory in client.subscribe(auto_ack=False):
        print(trajectory.sequence, flush=True)
"""


def start_client(address):
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, address],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_client_that_dies_or_freezes_loses_its_leases_to_the_next(serve, blow):
    serving = serve(client_timeout_s=2.0)
    client = start_client(serving.address)
    try:
        serving.ring.write(*[Spec()] * 3)
        assert client.stdout.readline() == "0\n"
        client.send_signal(blow)
        serving.wait(lambda: serving.counter("streams") == 0, "the service to notice")
        with Client(serving.address, retry=NO_RETRY) as heir:
            taken = heir.subscribe()
            assert [next(taken).sequence for _ in range(3)] == [0, 1, 2]
            assert taken.received.redelivered_batches == 1
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


def test_as_a_child_process_it_serves_drains_on_sigterm_and_exits_0(serve):
    serving = serve()
    serving.stop_service()
    serving.slot.state = ChildState.STARTING
    child = start_child(serving)
    try:
        serving.ring.write(*[Spec()] * 3)
        wait_for(lambda: serving.slot.state == ChildState.READY)
        with Client(serving.control.address, retry=NO_RETRY) as client:
            taken = client.subscribe()
            assert [next(taken).sequence for _ in range(3)] == [0, 1, 2]
            child.terminate()
            with pytest.raises(UnavailableError):
                next(taken)
        assert child.wait(DEADLINE_S) == 0
        assert serving.slot.state == ChildState.STOPPED
        assert serving.counter("acknowledged_records") == 3
    finally:
        child.kill()
        child.wait()


@a_thread_that_fails
def test_as_a_child_process_it_exits_69_when_the_port_is_taken(serve):
    taken, port = taken_port()
    with taken:
        serving = serve(address=f"127.0.0.1:{port}")
        assert isinstance(ending(serving), AddressInUseError)
        child = start_child(serving)
        assert child.wait(DEADLINE_S) == 69


def start_child(serving):
    bells = [bell.fileno() for bell in (serving.data_bell, *serving.space_bells)]
    command = [
        *(sys.executable, "-m", "farm.supervisor.child"),
        f"--supervisor-pid={os.getpid()}",
        f"--instance={serving.instance}",
        *("--name=experiences", "--slot=0", "--generation=2"),
        f"--wake-fds={','.join(map(str, bells))}",
        "farm.serve.main:main",
    ]
    return subprocess.Popen(command, pass_fds=bells, cwd=ROOT)


def wait_for(condition):
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
