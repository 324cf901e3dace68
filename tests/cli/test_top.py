"""`farm top` on a control block that this process owns."""

import json
import os
import time

import pytest

from farm.cli import top
from farm.cli.main import main
from farm.shm import ring as ring_kernels
from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.groups import Amount, GroupKind, Released, Settled, create_groups
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import FATE_OFFSET, Fate, attach_ring, create_ring


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


def test_games_hosts_are_read_from_shared_memory_with_ring_and_address(control, capsys):
    slot = control.children[3]
    slot.assign("games-1", "games", 1)
    slot.state = ChildState.READY
    slot.set("games_open", 3)
    slot.set("seats_connected", 5)
    control.set_game_address(1, "127.0.0.1:50062")
    with create_ring(control.instance, 66, 1 << 16) as segment:
        producer = RingProducer(segment)
        producer.try_claim((1 << 14) - 8)
        producer.publish()
        del producer
    assert main(["top", "--instance", control.instance, "--once", "--json"]) == 0
    farm = json.loads(capsys.readouterr().out)
    games = {"addresses": ["127.0.0.1:50062"], "games_open": 3, "seats_connected": 5}
    assert farm["games"] == games
    assert [child["ring_fill"] for child in farm["children"]] == [0.0, 0.25]


@pytest.fixture
def groups(control):
    """Two groups; records of 512 bytes are in the ring of the first worker, which is full."""
    with create_groups(control.instance, run_id=1, capacity=1 << 16, n_rings=1) as block:
        starts = {0: Released()}
        block.claim("slow", GroupKind.LOSSLESS, starts=starts)
        quick = block.claim("quick", GroupKind.SAMPLE, sample=0.25, starts=starts)
        with attach_ring(control.instance, 0) as segment:
            producer = RingProducer(segment)
            while producer.try_claim(504) is not None:
                pass
            producer.publish()
            ring_kernels.park(producer.mem, producer.cursor, 504)
            quick.settle(0, Settled(1024, acknowledged=Amount(2, 0)))
            quick.n_members, quick.last_ack_ns = 3, time.time_ns()
            yield producer


def test_groups_and_the_ring_that_one_of_them_holds_are_read_from_shared_memory(
    control, groups, capsys
):
    assert main(["top", "--instance", control.instance, "--once", "--json"]) == 0
    farm = json.loads(capsys.readouterr().out)
    slow, quick = farm["groups"]
    published = int(groups.cursor[1])
    assert (slow["name"], slow["policy"], slow["members"]) == ("slow", "lossless", 0)
    assert (slow["lag_bytes"], slow["last_ack_age_s"]) == (published, None)
    assert (quick["name"], quick["policy"], quick["members"]) == ("quick", "sample:0.25", 3)
    assert quick["lag_bytes"] == published - 1024
    assert 0 <= quick["last_ack_age_s"] < 60
    (stall,) = farm["stalls"]
    assert (stall["worker"], stall["group"], stall["members"]) == (0, "slow", 0)
    assert stall["fill"] > 0.9
    assert stall["full_s"] > 0


def test_a_ring_for_which_its_worker_waits_is_told_though_nobody_is_parked(control, groups, capsys):
    ring_kernels.unpark(groups.mem)
    with attach_ring(control.instance, 0) as ring:
        ring.store(FATE_OFFSET, Fate.ENDING)
    assert main(["top", "--instance", control.instance, "--once", "--json"]) == 0
    (stall,) = json.loads(capsys.readouterr().out)["stalls"]
    assert (stall["worker"], stall["group"], stall["is_ending"]) == (0, "slow", True)


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
