"""Rates and the table, from samples made by hand."""

import pytest
from msgspec.structs import replace
from rich.console import Console

from farm.cli.top_sample import ChildSample, FarmSample, GroupSample, HeldRing
from farm.cli.top_table import carry, render, rows
from farm.shm.control_labels import COUNTERS

S = 1_000_000_000


def child(name="rollout-0", role="rollout", **more):
    counters = dict.fromkeys(COUNTERS, 0) | more.pop("counters", {})
    facts = {
        "state": "ready",
        "pid": 10,
        "generation": 1,
        "restarts": 0,
        "heartbeat_age_s": 0.1,
        "cpu_s": 0.0,
        "rss_bytes": 64 << 20,
        **more,
    }
    return ChildSample(name=name, role=role, counters=counters, **facts)


def farm(*children, at_s=0.0, running=True, groups=(), held=()):
    return FarmSample(
        at_ns=int(at_s * S),
        instance="blue",
        running=running,
        state="running",
        pid=9,
        address="127.0.0.1:50051",
        uptime_s=3725.0,
        config_epoch=2,
        seed=7,
        children=children,
        groups=groups,
        held=held,
    )


def shown(farm_rows):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render(farm_rows))
    return capture.get()


def test_rates_are_differences_over_the_time_between_two_samples():
    before = farm(child(counters={"env_steps": 100, "experiences": 200, "blocked_ns": 0}))
    after = farm(
        child(
            counters={"env_steps": 1100, "experiences": 2200, "blocked_ns": S // 2},
            cpu_s=1.5,
            ring_fill=0.25,
        ),
        at_s=2.0,
    )
    (row,) = rows(after, before).children
    assert (row.steps_per_s, row.experiences_per_s) == (500.0, 1000.0)
    assert (row.blocked, row.cpu, row.ring_fill) == (0.25, 0.75, 0.25)


def test_games_hosts_are_told_together_with_their_addresses():
    host = {"role": "games", "ring_fill": 0.5}
    counters = {"games_open": 1_200, "seats_connected": 7}
    hosts = [child(f"games-{index}", counters=counters, **host) for index in range(2)]
    picture = replace(farm(*hosts), game_addresses=("127.0.0.1:50061", "127.0.0.1:50062"))
    text = shown(rows(picture, None))
    assert "games 127.0.0.1:50061 127.0.0.1:50062  2,400 open, 14 seats connected" in text
    assert "games-1" in text
    assert "seats connected" not in shown(rows(farm(child()), None))


def test_without_an_earlier_sample_there_are_no_rates():
    (row,) = rows(farm(child()), None).children
    assert (row.steps_per_s, row.experiences_per_s, row.blocked, row.cpu) == (None,) * 4


def test_a_child_that_was_not_there_before_has_no_rates():
    (row,) = rows(farm(child("new"), at_s=1.0), farm(child("old"))).children
    assert row.steps_per_s is None


def test_the_experiences_of_the_service_are_those_it_served():
    service = {"name": "experiences", "role": "experiences"}
    before = farm(child(**service), child(counters={"experiences": 0}))
    after = farm(
        child(**service, counters={"served_experiences": 800, "experiences": 1}),
        child(counters={"experiences": 1000, "env_steps": 500}),
        at_s=1.0,
    )
    table = rows(after, before)
    assert [row.experiences_per_s for row in table.children] == [800.0, 1000.0]
    assert (table.experiences_per_s, table.steps_per_s) == (800.0, 500.0)


def test_processor_time_of_another_process_is_no_difference():
    before, after = farm(child(pid=10, cpu_s=50.0)), farm(child(pid=11, cpu_s=0.2), at_s=1.0)
    assert rows(after, before).children[0].cpu is None


def test_a_long_wait_that_ends_counts_as_the_whole_time_at_most():
    after = farm(child(counters={"blocked_ns": 5 * S}), at_s=1.0)
    assert rows(after, farm(child())).children[0].blocked == 1.0


@pytest.mark.parametrize(
    "word", ["blue", "127.0.0.1:50051", "1:02:05", "epoch 2", "seed 7", "rollout-0", "ready", "64"]
)
def test_the_picture_shows(word):
    assert word in shown(rows(farm(child(), at_s=1.0), farm(child())))


def test_the_picture_of_a_dead_farm_says_so():
    text = shown(rows(farm(child(exit_reason="SIGKILL"), running=False), None))
    assert "blue is not running: its supervisor, process 9, is gone" in text
    assert "SIGKILL" in text


def group(**more):
    facts = {"policy": "lossless", "declared": False, "members": 2, "leased_records": 1_234}
    facts |= {"lag_bytes": 3 << 20, "last_ack_age_s": 0.4}
    return GroupSample(name="trainers", **{**facts, **more})


def held(head, worker=1, **more):
    facts = {"fill": 0.97, "group": "trainers", "members": 0, "last_ack_age_s": 12.0}
    return HeldRing(worker=worker, head=head, **{**facts, **more})


@pytest.mark.parametrize("word", ["trainers", "lossless", "3.0", "1,234", "0.4"])
def test_the_picture_shows_every_group(word):
    assert word in shown(rows(farm(child(), groups=(group(),)), None))


def test_a_group_that_has_never_acknowledged_has_no_age():
    line = shown(rows(farm(groups=(group(last_ack_age_s=None),)), None)).splitlines()[-1]
    assert line.split()[-1] == "-"


def test_a_ring_found_full_twice_at_the_same_place_stands_still_and_its_holder_is_named():
    before = farm(held=(held(64), held(64, worker=2)))
    now = carry(farm(held=(held(64), held(72, worker=2)), at_s=2.0), before)
    later = carry(farm(held=(held(64), held(80, worker=2)), at_s=5.0), now)
    assert rows(before, None).stalls == ()
    assert [(ring.worker, ring.full_s) for ring in rows(later, now).stalls] == [(1, 5.0)]
    line = shown(rows(later, now)).splitlines()[-1]
    assert "ring 1 has been full for at least 5 s (97%) and stands still" in line
    assert "group trainers holds it, members: 0, last acknowledged: 12 s ago" in line


def test_a_ring_that_is_to_have_another_size_says_for_whom_it_waits():
    before = farm(held=(replace(held(64), fill=0.25, is_ending=True),))
    line = shown(rows(carry(replace(before, at_ns=before.at_ns + 3 * S), before), before))
    assert (
        "ring 1 is to have another size, has waited at least 3 s (25% filled) and stands still"
        in line
    )
    assert "group trainers holds it, members: 0" in line


def test_a_full_ring_that_moves_is_the_way_of_things():
    before = farm(held=(held(64),))
    assert rows(carry(farm(held=(held(72),), at_s=1.0), before), before).stalls == ()


def test_what_the_farm_says_of_a_stall_is_shown_as_it_says():
    told = held(None, full_s=31.0, advice="connect one")
    line = shown(rows(farm(held=(told,)), None)).splitlines()[-1]
    assert "full for 31 s" in line
    assert line.endswith("connect one")


def test_a_ring_that_nobody_holds_is_said_to_be_nobody_s():
    told = held(None, group="", full_s=31.0)
    assert "nobody reads it" in shown(rows(farm(held=(told,)), None))
