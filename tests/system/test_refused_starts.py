"""What `farm up` refuses, as a user meets it: exit code, one message, nothing left behind."""

import os
import socket
from pathlib import Path

import pytest

from farm.shm.control import ControlBlock
from farm.shm.segment import list_segments


@pytest.fixture
def refused(start_process, instance):
    """Runs `farm up` to its refusal; returns the exit code and the message."""

    def run(*overrides):
        own = [f"instance={instance}", "telemetry.metrics_address=127.0.0.1:0"]
        farm = start_process(["-m", "farm.cli.main", "up", *own, *overrides])
        exit_code = farm.wait()
        assert not farm.events("child_spawned")
        messages = [line for line in farm.text if line.startswith("farm: ")]
        assert len(messages) == 1, farm.output
        assert "Traceback" not in farm.output
        return exit_code, messages[0]

    return run


def test_a_taken_port_is_refused_with_its_address(refused, instance):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        exit_code, message = refused(f"serve.address={address}")
    assert exit_code == 69
    assert address in message
    assert list_segments(instance) == []


def test_a_taken_port_of_metrics_is_refused_with_its_key(refused, instance):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        exit_code, message = refused(
            "serve.address=127.0.0.1:0", f"telemetry.metrics_address={address}"
        )
    assert exit_code == 69
    assert address in message
    assert "telemetry.metrics_address" in message
    assert list_segments(instance) == []


def test_too_little_shared_memory_is_refused_with_the_bytes_wanted_and_free(refused, instance):
    exit_code, message = refused(
        "serve.address=127.0.0.1:0", "worker.count=64", f"ring.bytes={1 << 34}"
    )
    assert exit_code == 69
    numbers = [int(word) for word in message.replace(",", "").split() if word.isdigit()]
    wanted, free = numbers
    assert wanted > 64 << 34 > free > 0
    assert list_segments(instance) == []


def test_a_second_farm_of_a_name_is_refused_with_the_pid_of_the_first(refused, instance):
    control = ControlBlock.create(instance, 0)
    exit_code, message = refused("serve.address=127.0.0.1:0")
    assert exit_code == 69
    assert str(os.getpid()) in message
    assert len(list_segments(instance)) == 1
    control.unlink()
    control.close()


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("worker.cuont=4", "worker.cuont"),
        ("worker.count=many", "worker.count"),
        ("match.seats=[random]", "match.seats"),
        ("ring.bytes=65536", "ring.bytes"),
    ],
)
def test_a_bad_config_is_refused_with_its_key(refused, instance, override, key):
    exit_code, message = refused(override)
    assert exit_code == 78
    assert key in message
    assert list_segments(instance) == []


def test_no_trace_of_a_refused_start_is_left_in_the_working_directory(
    start_process, instance, tmp_path
):
    farm = start_process(
        ["-m", "farm.cli.main", "up", f"instance={instance}", "worker.cuont=4"], cwd=tmp_path
    )
    assert farm.wait() == 78
    assert list(Path(tmp_path).iterdir()) == []


def test_an_address_that_others_reach_unguarded_is_refused_with_its_key(refused, instance):
    exit_code, message = refused("serve.address=0.0.0.0:0")
    assert exit_code == 78
    assert "serve.address: 0.0.0.0:0" in message
    assert "security.insecure=true" in message
    assert list_segments(instance) == []
