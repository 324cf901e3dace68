"""`farm warm`: compiles what is not compiled, and says how it goes."""

from pathlib import Path

import pytest
from notified import Listener

from farm.supervisor import warm_stamp

pytestmark = pytest.mark.timeout(600)

COMMAND = ["-m", "farm.cli.main", "warm", "telemetry.format=json"]


def warm(start_process, *overrides, **options):
    return start_process([*COMMAND, *overrides], **options)


def parts():
    """Processes that compile, of whichever `farm warm`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "farm.cli.warm_part" in words:
            found.append(int(file.parent.name))
    return found


def test_what_was_compiled_is_told_by_the_stamp_and_not_compiled_again(start_process):
    first = warm(start_process)
    assert first.wait(540) == 0
    assert warm_stamp.is_warm()
    second = warm(start_process)
    assert second.wait() == 0
    assert not second.events("kernels_compiling")
    assert second.events("kernels_ready", took_s=0.0)


def test_it_is_given_up_after_its_time_and_leaves_no_process(start_process, tmp_path):
    environment = {"FARM_CACHE_DIR": str(tmp_path)}
    before = set(parts())
    process = warm(start_process, "supervisor.warm_up_s=2", env=environment)
    assert process.wait() == 70
    assert "longer supervisor.warm_up_s" in process.output
    assert not set(parts()) - before


def test_a_config_that_is_wrong_is_told_before_anything_is_compiled(start_process, tmp_path):
    environment = {"FARM_CACHE_DIR": str(tmp_path)}
    process = warm(start_process, "worker.cout=3", env=environment)
    assert process.wait() == 78
    assert "worker.cout" in process.output
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_waits_for_the_first(start_process, tmp_path, wait_until):
    environment = {"FARM_CACHE_DIR": str(tmp_path)}
    first = warm(start_process, env=environment)
    first.wait_for("kernels_compiling")
    second = warm(start_process, "supervisor.warm_up_s=1", env=environment)
    assert second.wait() == 70
    assert "Waiting for another `farm warm` takes longer than 1 s" in second.output
    assert not second.events("kernels_compiling", hint="a first start takes a minute or so")
    before = set(parts())
    first.send(15)
    first.wait()
    wait_until(lambda: not set(parts()) & before, what="the end of what it started")


def test_a_service_manager_hears_what_it_does_and_that_it_needs_the_time(start_process, tmp_path):
    listener = Listener(str(tmp_path / "socket"))
    environment = {
        "FARM_CACHE_DIR": str(tmp_path / "cache"),
        "NOTIFY_SOCKET": str(tmp_path / "socket"),
        "WATCHDOG_USEC": "1000000",
    }
    process = warm(start_process, "supervisor.warm_up_s=2", env=environment)
    assert process.wait() == 70
    listener.close()
    lines = [line for _, lines in listener.heard for line in lines]
    assert any(line.startswith("STATUS=Compiling kernels, for ") for line in lines)
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in lines)
    assert not {"READY=1", "WATCHDOG=1"} & set(lines)
