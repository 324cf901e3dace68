"""`farm top` on a control block that this process owns."""

import json
import os
import time

import pytest

from farm.cli import top
from farm.cli.main import main
from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.ring_layout import create_ring


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(top, "ONCE_S", 0.01)
    monkeypatch.setattr(top, "REFRESH_S", 0.01)


@pytest.fixture
def control(instance):
    block = ControlBlock.create(instance, 4, seed=7)
    block.state = FarmState.RUNNING
    block.address = "127.0.0.1:50051"
    block.store_config(5, b"{}")
    slot = block.children[2]
    slot.assign("rollout-0", "rollout", 0)
    slot.pid, slot.generation, slot.restarts = os.getpid(), 3, 2
    slot.state = ChildState.READY
    slot.exit_reason = "SIGKILL"
    slot.beat(time.monotonic_ns())
    create_ring(instance, 0, 1 << 16).close()
    yield block
    block.close()


def test_no_farm_is_one_line_and_exit_code_69(instance, capsys):
    assert main(["top", "--instance", instance]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"no farm '{instance}' on this machine" in err


def test_no_farm_at_an_address_is_one_line_and_exit_code_69(capsys):
    assert main(["top", "127.0.0.1:1", "--once"]) == 69
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_a_farm_is_read_from_its_shared_memory(control, capsys):
    assert main(["top", "--instance", control.instance, "--once", "--json"]) == 0
    farm = json.loads(capsys.readouterr().out)
    facts = [farm[key] for key in ("running", "state", "pid", "address", "config_epoch", "seed")]
    assert facts == [True, "running", os.getpid(), "127.0.0.1:50051", 5, 7]
    (child,) = farm["children"]
    facts = [child[key] for key in ("name", "state", "pid", "generation", "restarts", "ring_fill")]
    assert facts == ["rollout-0", "ready", os.getpid(), 3, 2, 0.0]
    assert child["exit_reason"] == "SIGKILL"
    assert child["steps_per_s"] == 0.0
    assert child["rss_bytes"] > 1 << 20
    assert 0 <= child["heartbeat_age_s"] < 60


def test_without_a_terminal_one_table_is_printed(control, capsys):
    assert main(["top", "--instance", control.instance]) == 0
    out = capsys.readouterr().out
    assert "rollout-0" in out
    assert out.count("\n") == 3


def test_a_dead_farm_is_shown_and_said_to_be_dead(control, capsys):
    control.close()  # the lease is gone, the segments are still there
    assert main(["top", "--instance", control.instance, "--once"]) == 0
    out = capsys.readouterr().out
    assert "is not running" in out
    assert "rollout-0" in out


def test_json_lines_follow_until_the_farm_is_gone(control, capsys, monkeypatch):
    pictures = []

    def unlink_later(farm):
        pictures.append(farm)
        if len(pictures) == 3:
            control.unlink()

    monkeypatch.setattr(top, "_print_json", unlink_later)
    assert main(["top", "--instance", control.instance, "--json"]) == 0
    assert len(pictures) == 3
    assert capsys.readouterr().err == ""
