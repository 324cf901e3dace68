"""The notify protocol, against a real datagram socket; a real systemd is in tests/tools."""

import contextlib
import os
import signal
import socket
import uuid

import pytest
from notified import Manager

from farm.supervisor.lifecycle import FarmPhase
from farm.supervisor.notify import EXTENSION_US, REPORT_NS, Notifier

S = 1_000_000_000
PID = 4711


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    path = str(tmp_path / "notify")
    found = Manager(path if request.param == "path" else f"@farm-test-{uuid.uuid4().hex}")
    yield found
    found.close()


@pytest.fixture
def notifier(manager):
    with_watchdog = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID)}
    made = Notifier.take({"NOTIFY_SOCKET": manager.address, **with_watchdog}, PID, describe)
    yield made
    made.close()


def describe(phase, now_ns):
    return f"{phase} at {now_ns // S} s"


def words(messages):
    """Messages without status and watchdog."""
    dull = ("STATUS=", "WATCHDOG=1")
    kept = [[line for line in lines if not line.startswith(dull)] for lines in messages]
    return [line for lines in kept for line in lines]


def test_a_start_says_what_it_does_and_asks_for_more_time_at_every_report(manager, notifier):
    for turn in range(150):
        notifier.poll(FarmPhase.STARTING, turn * S // 10 + S)
    messages = manager.receive()
    statuses = [line for lines in messages for line in lines if line.startswith("STATUS")]
    assert statuses == [f"STATUS=starting at {at} s" for at in (1, 6, 11)]
    assert words(messages) == [f"EXTEND_TIMEOUT_USEC={EXTENSION_US}"] * 3
    assert EXTENSION_US * 1_000 > 5 * REPORT_NS


def test_ready_is_said_once_and_together_with_the_status(manager, notifier):
    notifier.poll(FarmPhase.STARTING, S)
    manager.receive()
    notifier.poll(FarmPhase.RUNNING, 2 * S)
    notifier.poll(FarmPhase.RUNNING, 3 * S)
    assert manager.receive() == [["READY=1", "STATUS=running at 2 s"]]
    notifier.poll(FarmPhase.RUNNING, 2 * S + REPORT_NS)
    assert manager.receive() == [["STATUS=running at 7 s"]]


def test_a_stop_is_said_and_may_take_as_long_as_the_farm_allows(manager, notifier):
    notifier.poll(FarmPhase.RUNNING, S)
    manager.receive()
    notifier.poll(FarmPhase.STOPPING, 2 * S)
    notifier.poll(FarmPhase.STOPPING, 2 * S + REPORT_NS)
    messages = manager.receive()
    extension = f"EXTEND_TIMEOUT_USEC={EXTENSION_US}"
    assert words(messages) == ["STOPPING=1", extension, extension]


def test_a_reload_is_said_at_once_with_its_time_and_ready_follows_it(manager, notifier):
    notifier.poll(FarmPhase.RUNNING, S)
    manager.receive()
    notifier.reloading(2 * S + 5_000)
    began = ["RELOADING=1", "MONOTONIC_USEC=2000005", "STATUS=Reading the config again"]
    assert manager.receive() == [began]
    notifier.poll(FarmPhase.RUNNING, 2 * S + 6_000)
    assert words(manager.receive()) == []
    notifier.reloaded()
    notifier.poll(FarmPhase.RUNNING, 3 * S)
    notifier.poll(FarmPhase.RUNNING, 4 * S)
    assert manager.receive() == [["READY=1", "STATUS=running at 3 s"]]


def test_a_reload_that_begins_as_another_ends_is_not_ended_by_the_ready_of_that(manager, notifier):
    notifier.poll(FarmPhase.RUNNING, S)
    notifier.reloading(2 * S)
    notifier.reloaded()
    notifier.reloading(3 * S)
    manager.receive()
    notifier.poll(FarmPhase.RUNNING, 3 * S)
    assert words(manager.receive()) == []
    notifier.reloaded()
    notifier.poll(FarmPhase.RUNNING, 4 * S)
    assert words(manager.receive()) == ["READY=1"]


def test_a_reload_that_finds_no_room_is_said_before_its_ready(manager, notifier):
    notifier.poll(FarmPhase.RUNNING, S)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(OSError):
        other.settimeout(0.0)
        while True:
            other.sendto(b"STATUS=full", manager.address.replace("@", "\0"))
    notifier.reloading(2 * S)
    notifier.poll(FarmPhase.RUNNING, 2 * S + REPORT_NS)
    manager.receive()
    notifier.reloaded()
    notifier.poll(FarmPhase.RUNNING, 3 * S)
    assert words(manager.receive()) == ["RELOADING=1", "MONOTONIC_USEC=2000000", "READY=1"]


def test_a_stop_during_a_reload_is_said_and_ready_is_not(manager, notifier):
    notifier.poll(FarmPhase.RUNNING, S)
    notifier.reloading(2 * S)
    notifier.reloaded()
    manager.receive()
    notifier.poll(FarmPhase.STOPPING, 3 * S)
    assert words(manager.receive()) == ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={EXTENSION_US}"]


def test_a_farm_that_stops_before_it_serves_is_never_ready(manager, notifier):
    notifier.poll(FarmPhase.STARTING, S)
    notifier.poll(FarmPhase.STOPPING, 2 * S)
    assert "READY=1" not in words(manager.receive())


def test_the_watchdog_is_fed_at_half_of_its_interval(manager, notifier):
    for turn in range(600):
        notifier.poll(FarmPhase.RUNNING, turn * S // 10 + S)
    assert sum("WATCHDOG=1" in lines for lines in manager.receive()) == 4


def test_the_watchdog_starves_while_something_is_beyond_the_loop(manager, notifier):
    for turn in range(600):
        notifier.poll(FarmPhase.RUNNING, turn * S // 10 + S, sound=False)
    messages = manager.receive()
    assert messages
    assert not any("WATCHDOG=1" in lines for lines in messages)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID + 1)},
        {"WATCHDOG_USEC": "0", "WATCHDOG_PID": str(PID)},
        {"WATCHDOG_USEC": "soon", "WATCHDOG_PID": str(PID)},
        {"WATCHDOG_PID": str(PID)},
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(manager, variables):
    made = Notifier.take({"NOTIFY_SOCKET": manager.address, **variables}, PID, describe)
    made.poll(FarmPhase.RUNNING, S)
    made.close()
    assert manager.receive() == [["READY=1", "STATUS=running at 1 s"]]


def test_a_watchdog_without_a_pid_is_ours(manager):
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
    made = Notifier.take(environment, PID, describe)
    made.poll(FarmPhase.RUNNING, S)
    made.close()
    assert "WATCHDOG=1" in manager.receive()[0]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "notify"])
def test_without_a_socket_that_we_know_there_is_no_notifier_and_children_learn_nothing(address):
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "A": "b"}
    assert Notifier.take(environment, PID, describe) is None
    assert environment == {"A": "b"}
    assert Notifier.take({}, PID, describe) is None


def test_a_socket_that_is_gone_costs_the_messages_only(tmp_path):
    gone = tmp_path / "notify"
    for address in (str(gone), f"@{uuid.uuid4().hex}", f"/{'x' * 300}"):
        made = Notifier(address, S, describe)
        for turn in range(3):
            made.poll(FarmPhase.RUNNING, turn * S + S)
        made.close()
        made.close()


def test_ready_waits_for_room_in_a_full_socket(manager, notifier):
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.settimeout(0.0)
    with contextlib.suppress(BlockingIOError):
        while True:
            filler.sendto(b"FILL=1", manager.address.replace("@", "\0"))
    filler.close()
    notifier.poll(FarmPhase.RUNNING, S)
    assert "READY=1" not in words(manager.receive())
    notifier.poll(FarmPhase.RUNNING, S + 1)
    assert "READY=1" in words(manager.receive())


def test_ready_after_a_reload_waits_for_room_too(manager, notifier):
    notifier.poll(FarmPhase.RUNNING, S)
    with contextlib.suppress(BlockingIOError):
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        filler.settimeout(0.0)
        while True:
            filler.sendto(b"FILL=1", manager.address.replace("@", "\0"))
    filler.close()
    notifier.reloading(2 * S)
    notifier.reloaded()
    notifier.poll(FarmPhase.RUNNING, 3 * S)
    assert words(manager.receive()).count("READY=1") == 1  # that of the start
    notifier.poll(FarmPhase.RUNNING, 3 * S + 1)
    assert "READY=1" in words(manager.receive())


def test_a_status_is_one_line_and_of_bounded_length(manager):
    made = Notifier(manager.address, None, lambda _phase, _now_ns: "a\nREADY=1\n" + "x " * 1_000)
    made.poll(FarmPhase.STARTING, S)
    made.close()
    ((status, extension),) = manager.receive()
    assert status.startswith("STATUS=a READY=1 x x")
    assert len(status) < 400
    assert extension.startswith("EXTEND_TIMEOUT_USEC=")


def test_a_farm_tells_its_manager_from_start_to_end_and_its_children_cannot(
    mini_farm, child, tmp_path, wait_until
):
    manager = Manager(str(tmp_path / "notify"))
    farm = mini_farm(
        child("a", "reports_environment"),
        env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"},
    )
    messages = []
    wait_until(lambda: messages.extend(manager.receive()) or "READY=1" in words(messages))
    assert farm.wait_for("farm_ready")
    n_before = len(messages)
    wait_until(lambda: messages.extend(manager.receive()) or len(messages) > n_before + 2)
    names = farm.wait_for("environment")["names"]
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(names)
    assert farm.stop() == 0
    messages.extend(manager.receive())
    manager.close()
    said = words(messages)
    assert said[0].startswith("EXTEND_TIMEOUT_USEC=")
    assert said.count("READY=1") == said.count("STOPPING=1") == 1
    assert said.index("READY=1") < said.index("STOPPING=1")
    assert messages[0][0] == "STATUS=Starting: a"
    assert any(line == "STATUS=Draining: a" for lines in messages for line in lines)


def test_a_stopped_loop_feeds_no_watchdog(mini_farm, child, tmp_path, wait_until):
    manager = Manager(str(tmp_path / "notify"))
    farm = mini_farm(child("a"), env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"})
    farm.wait_for("farm_ready")
    wait_until(manager.receive)
    os.kill(farm.pid, signal.SIGSTOP)
    manager.receive()
    with pytest.raises(AssertionError, match="did not come"):
        wait_until(manager.receive, timeout_s=0.6)
    os.kill(farm.pid, signal.SIGCONT)
    wait_until(manager.receive)
    manager.close()
    assert farm.stop() == 0
