"""What a page says of a farm whose every number is known."""

import os
import time

import pytest

from farm.bench.scrape import pretended_farm
from farm.metrics.families import FAMILIES
from farm.shm.control import ChildState, FarmState
from farm.shm.groups import Amount, GroupKind, Settled, attach_groups
from farm.shm.ring_layout import HEAD_OFFSET, TAIL_OFFSET, attach_ring, create_ring
from farm.shm.segment import Segment, segment_name, unlink_segment
from farm.shm.successor import create_successor, succeed

RING_BYTES = 1 << 16


def test_every_family_has_samples_on_a_farm_with_everything(farm):
    farm.segments.unreadable["ring0"] += 1
    farm.endpoint.outcomes = {"ok": 1}
    names = {line.split()[2] for line in farm.text().splitlines() if line.startswith("# TYPE")}
    assert names == {family.sample for family in FAMILIES}


def test_counters_of_workers_are_theirs_alone(farm):
    farm.child("rollout-0").set("env_steps", 11)
    farm.child("rollout-1").set("env_steps", 22)
    farm.child("games-0").set("env_steps", 44)
    farm.child("experiences").set("env_steps", 33)
    samples = farm.samples()
    found = {name: n for name, n in samples.items() if name.startswith("farm_environment_steps")}
    assert found == {
        'farm_environment_steps_total{worker="0"}': 11,
        'farm_environment_steps_total{worker="1"}': 22,
        'farm_environment_steps_total{worker="games-0"}': 44,
    }


def test_a_games_host_says_who_plays_there_and_how_long_they_wait(farm):
    slot = farm.child("games-0")
    counters = {"games_open": 3, "seats_connected": 5, "streams": 4, "rpc_errors": 2}
    counters |= {"refused_streams": 6, "actions_accepted": 900, "actions_rejected": 7}
    for counter, n in counters.items():
        slot.set(counter, n)
    before = farm.samples()
    for took_us in (100, 101, 2_500_000, 11_000_000):
        slot.observe("action_latency_us", took_us)
    samples = farm.samples()
    host = 'child="games-0"'
    assert samples[f"farm_games_open{{{host}}}"] == 3
    assert samples[f"farm_seats_connected{{{host}}}"] == 5
    assert samples[f"farm_game_streams{{{host}}}"] == 4
    assert samples[f"farm_game_rpc_errors_total{{{host}}}"] == 2
    assert samples[f'farm_rpc_refused_total{{{host},role="games",limit="open_streams"}}'] == 6
    assert samples[f'farm_actions_total{{{host},outcome="accepted"}}'] == 900
    assert samples[f'farm_actions_total{{{host},outcome="rejected"}}'] == 7
    assert samples[f'farm_games_host_info{{{host},address="127.0.0.1:50061"}}'] == 1

    def more(name):
        return samples[name] - before[name]

    for bound, n in (("0.0001", 1), ("0.0002", 2), ("1.0", 2), ("10.0", 3), ("+Inf", 4)):
        assert more(f'farm_action_latency_seconds_bucket{{{host},le="{bound}"}}') == n
    assert more(f"farm_action_latency_seconds_count{{{host}}}") == 4
    assert more(f"farm_action_latency_seconds_sum{{{host}}}") == pytest.approx(13.500201)


def test_the_ring_of_a_games_host_is_called_as_it_is(farm):
    samples = farm.samples()
    assert samples['farm_ring_capacity_bytes{worker="games-0"}'] == RING_BYTES
    assert samples['farm_produced_records_total{worker="games-0"}'] == 1_000_065 - 30 - 20


def test_a_games_host_without_an_address_is_not_told_as_one(farm):
    farm.control.set_game_address(0, "")
    assert not any(name.startswith("farm_games_host_info") for name in farm.samples())


def test_waiting_is_told_in_seconds(farm):
    farm.child("rollout-1").set("blocked_ns", 2_500_000_000)
    assert farm.samples()['farm_ring_blocked_seconds_total{worker="1"}'] == 2.5


def test_a_ring_says_what_was_published_and_what_was_not_and_why(farm):
    samples = farm.samples()
    assert samples['farm_produced_records_total{worker="1"}'] == 1_000_001 - 30 - 20
    assert samples['farm_produced_experiences_total{worker="1"}'] == 31_000_001
    expected = {"ring_full": (30, 930), "sampled": (20, 620), "worker_died": (10, 310)}
    for reason, (records, experiences) in expected.items():
        labels = f'{{worker="1",reason="{reason}"}}'
        assert samples[f"farm_dropped_records_total{labels}"] == records
        assert samples[f"farm_dropped_experiences_total{labels}"] == experiences


def test_a_ring_says_how_full_it_is(farm):
    with attach_ring(farm.instance, 0) as ring:
        ring.store(HEAD_OFFSET, ring.load(TAIL_OFFSET) - 4096)
    samples = farm.samples()
    assert samples['farm_ring_used_bytes{worker="0"}'] == 4096
    assert samples['farm_ring_used_bytes{worker="1"}'] == RING_BYTES // 2
    assert samples['farm_ring_capacity_bytes{worker="0"}'] == RING_BYTES
    assert samples['farm_segment_bytes{segment="ring0"}'] == RING_BYTES + 8192


def test_the_service_counts_what_it_serves(farm):
    slot = farm.child("experiences")
    slot.set("served_records", 7)
    slot.set("redelivered_records", 3)
    slot.set("streams", 2)
    samples = farm.samples()
    assert samples["farm_served_records_total"] == 7
    assert samples["farm_redelivered_records_total"] == 3
    assert samples["farm_streams"] == 2


def test_sizes_of_batches_are_a_histogram_whose_buckets_count_those_below(farm):
    before = farm.samples()
    for n_bytes in (1000, 1024, 1025, 1 << 30):
        farm.child("experiences").observe("served_batch_bytes", n_bytes)
    samples = farm.samples()

    def more(name):
        return samples[name] - before[name]

    assert more('farm_served_batch_bytes_bucket{le="1024.0"}') == 2
    assert more('farm_served_batch_bytes_bucket{le="4096.0"}') == 3
    assert more('farm_served_batch_bytes_bucket{le="16777216.0"}') == 3
    assert more('farm_served_batch_bytes_bucket{le="+Inf"}') == 4
    assert more("farm_served_batch_bytes_count") == 4
    assert more("farm_served_batch_bytes_sum") == 1000 + 1024 + 1025 + (1 << 30)


def test_a_child_is_in_one_state(farm):
    farm.child("rollout-0").state = ChildState.DRAINING
    samples = farm.samples()
    states = {
        state: samples[f'farm_child_state{{child="rollout-0",role="rollout",state="{state}"}}']
        for state in ("starting", "ready", "draining", "stopped", "failed")
    }
    assert states == {"starting": 0, "ready": 0, "draining": 1, "stopped": 0, "failed": 0}


def test_a_child_is_told_with_its_restarts_epoch_heartbeat_and_use(farm):
    slot = farm.child("rollout-0")
    slot.count_restart("silent")
    slot.config_epoch = 4
    slot.beat(time.monotonic_ns() - 3_000_000_000)
    samples = farm.samples()
    labels = 'child="rollout-0",role="rollout"'
    assert samples[f'farm_child_restarts_total{{{labels},reason="silent"}}'] == 2
    assert samples[f'farm_child_restarts_total{{{labels},reason="signal"}}'] == 1
    assert samples[f'farm_child_restarts_total{{{labels},reason="exit_code"}}'] == 0
    assert samples[f"farm_child_config_epoch{{{labels}}}"] == 4
    assert 3 <= samples[f"farm_child_heartbeat_age_seconds{{{labels}}}"] < 60
    assert 0 < samples[f"farm_child_cpu_seconds_total{{{labels}}}"] <= time.process_time() + 60
    assert samples[f"farm_child_resident_memory_bytes{{{labels}}}"] > 1 << 20


def test_memory_is_told_by_game_of_who_has_games(farm):
    farm.child("games-0").set("games_open", 4)
    samples = farm.samples()
    for child, role, n_games in (("rollout-0", "rollout", 128), ("games-0", "games", 4)):
        labels = f'{{child="{child}",role="{role}"}}'
        resident = samples[f"farm_child_resident_memory_bytes{labels}"]
        assert samples[f"farm_game_memory_bytes{labels}"] == pytest.approx(resident / n_games)
    farm.child("games-0").set("games_open", 0)
    told = [name for name in farm.samples() if name.startswith("farm_game_memory_bytes")]
    assert len(told) == 2
    assert all('role="rollout"' in name for name in told)


def test_a_child_without_a_process_has_no_heartbeat_and_uses_nothing(farm):
    slot = farm.child("rollout-0")
    slot.pid, slot.state = 0, ChildState.FAILED
    names = {name.partition("{")[0] for name in farm.samples() if 'child="rollout-0"' in name}
    assert names == {"farm_child_state", "farm_child_config_epoch", "farm_child_restarts_total"}


def test_the_supervisor_is_told_with_its_use(farm):
    labels = 'child="supervisor",role="supervisor"'
    samples = farm.samples()
    assert farm.control.pid == os.getpid()
    assert samples[f"farm_child_resident_memory_bytes{{{labels}}}"] > 1 << 20


def test_a_process_that_is_gone_is_left_out(farm, start_process):
    process = start_process(["-c", ""])
    process.wait()
    farm.child("rollout-0").pid = process.pid
    assert 'farm_child_cpu_seconds_total{child="rollout-0",role="rollout"}' not in farm.samples()


def test_reloads_are_counted_by_outcome_with_the_last_one_s_success_and_duration(farm):
    assert farm.samples()["farm_config_last_reload_successful"] == 1
    control = farm.control
    control.reloads, control.reloads_refused = 3, 2
    control.last_reload_ok, control.reload_took_us = 0, 250_000
    samples = farm.samples()
    assert samples['farm_config_reloads_total{outcome="done"}'] == 3
    assert samples['farm_config_reloads_total{outcome="refused"}'] == 2
    assert samples["farm_config_last_reload_successful"] == 0
    assert samples["farm_config_reload_duration_seconds"] == 0.25


def test_the_durations_of_reloads_are_a_histogram(farm):
    for took_us in (900, 1_500, 40_000):
        farm.control.observe_reload(took_us)
    samples = farm.samples()
    name = "farm_config_reload_seconds"
    found = [samples[f'{name}_bucket{{le="{bound}"}}'] for bound in ("0.001", "0.002", "+Inf")]
    assert found == [1, 2, 3]
    assert (samples[f"{name}_count"], samples[f"{name}_sum"]) == (3, 0.0424)
    assert samples["farm_config_reload_duration_seconds"] == 0.04


def test_the_farm_says_its_state_config_and_age(farm):
    farm.control.state = FarmState.DRAINING
    farm.control.started_ns = time.time_ns() - 90_000_000_000
    farm.control.store_config(5, b"{}")
    samples = farm.samples()
    assert samples['farm_state{state="draining"}'] == 1
    assert samples['farm_state{state="running"}'] == 0
    assert samples["farm_config_epoch"] == 5
    assert samples["farm_ready"] == 0
    assert 90 <= samples["farm_uptime_seconds"] < 150
    assert samples[f'farm_instance_info{{farm="{farm.instance}",address="127.0.0.1:50051"}}'] == 1


def test_a_group_lags_by_what_it_has_not_settled_in_all_rings(farm):
    with attach_groups(farm.instance) as block:
        slot = block.find("group-0")
        slot.n_members = 3
        for worker, behind in ((0, 100), (1, 28), (65, 1000)):
            with attach_ring(farm.instance, worker) as ring:
                position = ring.load(TAIL_OFFSET) - behind
            acknowledged, filtered = Amount(10, 310), Amount(1, 31)
            slot.settle(worker, Settled(position, acknowledged=acknowledged, filtered=filtered))
    samples = farm.samples()
    assert samples['farm_group_lag_bytes{group="group-0"}'] == 1128
    assert samples['farm_group_members{group="group-0"}'] == 3
    name = 'farm_group_settled_{}_total{{group="group-0",outcome="{}"}}'
    assert samples[name.format("records", "acknowledged")] == 30
    assert samples[name.format("experiences", "acknowledged")] == 930
    assert samples[name.format("records", "filtered")] == 3
    assert samples[name.format("records", "corrupt")] == 0
    assert samples['farm_group_info{group="group-0",kind="lossless",declared="yes"}'] == 1


def test_a_group_that_has_never_acknowledged_has_no_age_of_it(farm):
    with attach_groups(farm.instance) as block:
        block.claim("fresh", GroupKind.LATEST, starts={})
    samples = farm.samples()
    assert 'farm_group_last_ack_age_seconds{group="group-0"}' in samples
    assert 'farm_group_last_ack_age_seconds{group="fresh"}' not in samples


def test_what_has_no_source_is_left_out(farm):
    for name in ("groups", "ring1"):
        unlink_segment(segment_name(farm.instance, name))
    names = {name.partition("{")[0] for name in farm.samples()}
    assert not any(name.startswith("farm_group_") for name in names)
    assert 'farm_ring_used_bytes{worker="1"}' not in farm.samples()
    assert 'farm_ring_used_bytes{worker="0"}' in farm.samples()


def test_a_ring_that_was_made_anew_is_read_anew(farm):
    assert farm.samples()['farm_ring_used_bytes{worker="0"}'] > 0
    unlink_segment(segment_name(farm.instance, "ring0"))
    create_ring(farm.instance, 0, 2 * RING_BYTES).close()
    samples = farm.samples()
    assert samples['farm_ring_used_bytes{worker="0"}'] == 0
    assert samples['farm_ring_capacity_bytes{worker="0"}'] == 2 * RING_BYTES


def test_a_ring_that_was_replaced_is_let_go_of_though_nobody_asks(farm):
    assert farm.samples()['farm_ring_capacity_bytes{worker="0"}'] < 1 << 22
    (_, before), (_, other) = list(farm.segments.rings)[:2]
    with (
        attach_ring(farm.instance, 0) as ring,
        create_successor(farm.instance, 0, 1 << 22) as successor,
    ):
        succeed(ring, successor)
    farm.segments.let_go()
    assert before.segment.mem.size == 0, "its memory is free"
    assert other.segment.mem.size > 0
    assert farm.samples()['farm_ring_capacity_bytes{worker="0"}'] == 1 << 22


def test_a_segment_that_cannot_be_read_is_counted_and_the_rest_is_there(farm):
    with attach_ring(farm.instance, 0) as ring:
        for checkpoint in (4480, 4608):
            ring.store(checkpoint, 0)
    for n_scrapes in (1, 2):
        samples = farm.samples()
        assert samples['farm_metrics_unreadable_total{part="ring0"}'] == n_scrapes
    assert 'farm_produced_records_total{worker="0"}' not in samples
    assert 'farm_produced_records_total{worker="1"}' in samples


def test_segments_of_a_farm_whose_name_begins_alike_are_not_ours(farm):
    with pretended_farm(f"{farm.instance}-b", 3, 1):
        segments = [name for name in farm.samples() if name.startswith("farm_segment_bytes")]
    assert len(segments) == 5


def test_only_the_first_scrape_maps_anything(farm, monkeypatch):
    farm.samples()
    monkeypatch.setattr(Segment, "attach", None)
    farm.samples()
    assert not farm.segments.unreadable


def test_a_scrape_reads_no_more_a_child_the_more_children_there_are(pretend, monkeypatch):
    loads = 0
    load = Segment.load

    def counted(segment, offset):
        nonlocal loads
        loads += 1
        return load(segment, offset)

    farm = pretend(32, 1)
    farm.samples()
    monkeypatch.setattr(Segment, "load", counted)
    farm.samples()
    many, loads = loads, 0
    for slot in farm.control.children:
        if slot.role == "rollout" and slot.index >= 8:
            slot.state = ChildState.EMPTY
    for worker in range(8, 32):
        unlink_segment(segment_name(farm.instance, f"ring{worker}"))
    loads = 0
    farm.samples()
    few = loads
    assert few > 0
    assert many / few <= 4.0


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_says_what_it_is_with_unit_and_source(family):
    assert family.name.startswith("farm_")
    assert not family.name.endswith(("_total", "_info"))
    assert family.about
    assert not family.about.endswith(".")
    assert f"Unit: {family.measure}." in family.help
    assert family.help.endswith(f"Source: {family.source}.")
    if family.unit:
        assert family.measure == family.unit
