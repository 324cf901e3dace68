"""A farm whose rings get another size while it runs at full speed."""

import contextlib
import json
import os
import random
import signal
import threading
import time

import pytest
from reloading import Reader, farm

from farm.shm.control import ControlBlock
from farm.shm.groups import attach_groups
from farm.shm.ring_layout import RingView, attach_ring
from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(400)

SMALL, BEFORE, LARGE = 1 << 18, 1 << 20, 1 << 22
START = ("worker.count=2", "worker.games=16", "seed=11", "telemetry.level=info")
SLOW, QUICK = "slow", "quick"
GROUPS = f"serve.groups={{{SLOW}:lossless,{QUICK}:latest}}"
LIST = 100_000
"""Trajectories: more than any ring here holds."""


def capacities(instance, n_workers=2):
    found = []
    for worker in range(n_workers):
        with attach_ring(instance, worker, readonly=True) as segment:
            found.append(RingView(segment).capacity)
    return found


def set_bytes(instance, n_bytes, *more, code=0):
    said = farm("set", f"ring.bytes={n_bytes}", *more, "--instance", instance, "--json", code=code)
    return said if code else json.loads(said)


def heads(instance):
    found = []
    for worker in range(2):
        with attach_ring(instance, worker, readonly=True) as segment:
            found.append((RingView(segment).head, RingView(segment).tail))
    return found


def successors(instance):
    return [name for name in list_segments(instance) if "-next" in name]


@pytest.fixture(scope="module")
def story(shared_farm_up, shared_instance, wait_until, contention):
    """Rings that grow and shrink under full load, with one who collects lists too long for them."""
    told = type("Story", (), {})()
    instance = shared_instance
    up = shared_farm_up(*START, f"ring.bytes={BEFORE}")
    reader = Reader(up.address)
    collector = Reader(up.address, at_once=LIST, group=SLOW)
    told.slowdown, told.answers = contention(), []
    control = ControlBlock.attach(instance, readonly=True)

    def become(n_bytes):
        told.answers.append(set_bytes(instance, n_bytes))
        wait_until(lambda: capacities(instance) == [n_bytes] * 2, what=f"rings of {n_bytes}")
        before = [len(reader.seen[worker]) for worker in range(2)]
        wait_until(
            lambda: all(len(reader.seen[worker]) > before[worker] + 50 for worker in range(2)),
            what="something of every worker",
        )

    wait_until(lambda: {0, 1} <= set(reader.seen) and collector.seen, what="something of all")
    for n_bytes in (LARGE, SMALL, BEFORE):
        become(n_bytes)
    told.generations = [slot.generation for slot in control.children if slot.role == "rollout"]
    told.audit = json.loads(farm("audit", "--instance", instance, "--json"))
    told.drained = json.loads(farm("drain", "--instance", instance, "--json"))
    told.returncode = up.wait()
    reader.close()
    collector.close()
    told.up, told.reader, told.collector = up, reader, collector
    told.left = list_segments(instance)
    control.close()
    return told


def test_a_change_of_the_size_is_answered_within_a_second_whoever_waits(story):
    for answer in story.answers:
        assert (answer["outcome"], answer["late"]) == ("done", [])
        assert [(one["key"], one["when"]) for one in answer["changes"]] == [
            ("ring.bytes", "restart")
        ]
        assert answer["took_ms"] / story.slowdown < 1_000


def test_every_worker_comes_back_with_a_ring_of_the_new_size_each_time(story):
    sizes = [(line["old_bytes"], line["new_bytes"]) for line in story.up.events("ring_replaced")]
    assert sizes == [
        pair for pair in ((BEFORE, LARGE), (LARGE, SMALL), (SMALL, BEFORE)) for _worker in range(2)
    ]
    assert story.generations == [4, 4]
    assert not story.up.events("child_restarting")
    assert not story.up.events("child_crashed")


def test_no_sequence_is_missing_and_no_stream_breaks(story):
    for reader in (story.reader, story.collector):
        assert reader.connections <= 1
        assert set(reader.seen) == {0, 1}
        for sequences in reader.seen.values():
            assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert all(sequences[0] == 0 for sequences in story.reader.seen.values())


def test_the_balance_is_exact_meanwhile_and_at_the_end(story):
    assert story.audit["exact"]
    (line,) = story.up.events("balance")
    assert line["exact"]
    assert story.drained["exact"]
    assert line["records"]["in_ring"] == 0
    for group in story.up.events("balance_group"):
        assert group["passed_records"] == group["corrupt_records"] == 0
        assert group["waiting_records"] == 0


def test_nothing_of_the_rings_is_left_behind(story):
    assert story.returncode == 0
    assert story.left == []


@pytest.fixture
def waiting(farm_up, instance, wait_until):
    """A farm with a group that has gone away, full rings, and another size asked for."""
    up = farm_up(*START, f"ring.bytes={BEFORE}", GROUPS)
    wait_until(lambda: all(tail > BEFORE // 2 for _, tail in heads(instance)), what="full rings")
    up.answer = set_bytes(instance, LARGE)
    up.said = up.wait_for("ring_waits")
    return up


def everything(address, instance, wait_until):
    """A reader of the group, once it has something of either generation of both workers."""
    reader = Reader(address, group=SLOW)
    wait_until(lambda: capacities(instance) == [LARGE] * 2, what="the rings of the new size")
    before = {worker: len(seen) for worker, seen in reader.seen.items()}
    wait_until(
        lambda: all(len(reader.seen.get(worker, ())) > before.get(worker, 0) for worker in (0, 1)),
        what="something of the new rings",
    )
    return reader


def check_sequences(reader):
    for sequences in reader.seen.values():
        assert sequences == list(range(len(sequences)))


def test_a_ring_that_a_group_is_owed_is_waited_for_and_the_log_says_by_whom(
    waiting, instance, wait_until
):
    assert waiting.answer["outcome"] == "done"
    assert waiting.answer["late"] == []
    said = waiting.said
    assert (said["bytes"], said["wanted_bytes"]) == (BEFORE, LARGE)
    wait_until(lambda: len(waiting.events("ring_waits")) == 2, what="a line for each ring")
    with attach_groups(instance, readonly=True) as groups:
        quick = groups.find(QUICK)
        tails = [tail for _, tail in heads(instance)]
        wait_until(
            lambda: [quick.settled(worker).position for worker in range(2)] == tails,
            what="the group that holds no ring to let go of it",
        )
    assert set(said["owed_bytes"]) >= {SLOW}
    assert capacities(instance) == [BEFORE] * 2
    assert len(successors(instance)) == 2
    stalls = json.loads(farm("top", "--once", "--json", "--instance", instance))["stalls"]
    assert [(one["worker"], one["group"], one["is_ending"]) for one in stalls] == [
        (0, SLOW, True),
        (1, SLOW, True),
    ]

    reader = everything(waiting.address, instance, wait_until)
    assert successors(instance) == []
    assert waiting.stop() == 0
    reader.close()
    check_sequences(reader)
    assert waiting.events("balance")[0]["exact"]


def test_who_asks_for_another_size_meanwhile_or_the_old_one_gets_it(waiting, instance, wait_until):
    set_bytes(instance, SMALL)
    assert len(successors(instance)) == 2
    assert all(name.endswith(f"_{SMALL}") for name in successors(instance))
    set_bytes(instance, LARGE, "worker.count=1")
    assert len(successors(instance)) == 1
    set_bytes(instance, BEFORE, "worker.count=2")
    assert successors(instance) == []
    for worker in range(2):
        waiting.wait_for("child_ready", child=f"rollout-{worker}", generation=2)
    assert capacities(instance) == [BEFORE] * 2
    reader = Reader(waiting.address, group=SLOW)
    wait_until(lambda: {0, 1} <= set(reader.seen), what="something of both")
    set_bytes(instance, LARGE)
    wait_until(lambda: capacities(instance) == [LARGE] * 2, what="the rings of the new size")
    assert waiting.stop() == 0
    reader.close()
    check_sequences(reader)
    assert waiting.events("balance")[0]["exact"]
    assert list_segments(instance) == []


def test_a_size_for_which_there_is_no_room_is_refused_and_everything_goes_on(
    waiting, instance, wait_until
):
    before = list_segments(instance)
    message = set_bytes(instance, 1 << 34, code=78)
    assert "ring.bytes=17179869184 needs" in message
    assert list_segments(instance) == before
    reader = everything(waiting.address, instance, wait_until)
    assert waiting.stop() == 0
    reader.close()
    check_sequences(reader)


def test_a_farm_that_drains_while_rings_wait_delivers_what_is_in_them_and_ends(waiting, instance):
    draining = threading.Thread(target=farm, args=("drain", "--instance", instance), daemon=True)
    draining.start()
    waiting.wait_for("farm_draining")
    reader = Reader(waiting.address, at_once=LIST, group=SLOW)
    assert waiting.wait() == 0
    reader.close()
    draining.join(60)
    check_sequences(reader)
    (line,) = waiting.events("balance")
    assert line["exact"]
    assert len(reader.seen[0]) + len(reader.seen[1]) == line["records"]["published"]
    assert not waiting.events("ring_replaced")
    assert list_segments(instance) == []


def test_a_service_that_is_killed_while_rings_wait_goes_on_with_them(waiting, instance, wait_until):
    os.kill(waiting.events("child_spawned", child="experiences")[-1]["child_pid"], signal.SIGKILL)
    waiting.wait_for("child_ready", child="experiences", generation=2)
    reader = everything(waiting.address, instance, wait_until)
    os.kill(waiting.events("child_spawned", child="experiences")[-1]["child_pid"], signal.SIGKILL)
    waiting.wait_for("child_ready", child="experiences", generation=3)
    n_before = len(reader.seen[0])
    wait_until(lambda: len(reader.seen[0]) > n_before + 20, what="more after the second death")
    assert waiting.stop() == 0
    reader.close()
    assert waiting.events("balance")[0]["exact"]
    for sequences in reader.seen.values():
        assert set(sequences) == set(range(max(sequences) + 1))


def test_a_farm_that_is_killed_while_rings_wait_is_gone_on_with_and_waits_on(
    waiting, farm_up, instance, wait_until, is_alive
):
    reader = Reader(waiting.address, group=SLOW)
    wait_until(lambda: LARGE in capacities(instance), what="one ring of the new size")
    pids = [line["child_pid"] for line in waiting.events("child_spawned")]
    waiting.send(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), what="the end of every child")
    waiting.wait()
    reader.close()
    audit = json.loads(farm("audit", "--instance", instance, "--json"))
    assert audit["exact"]
    again = farm_up(*START, f"ring.bytes={LARGE}", GROUPS)
    assert capacities(instance) != [BEFORE] * 2
    second = everything(again.address, instance, wait_until)
    assert again.stop() == 0
    second.close()
    assert again.events("balance")[0]["exact"]
    assert list_segments(instance) == []
    for worker in range(2):
        both = set(reader.seen.get(worker, ())) | set(second.seen[worker])
        assert both == set(range(max(both) + 1))


def test_a_farm_that_is_started_again_with_another_size_delivers_first(
    farm_up, instance, wait_until, is_alive
):
    up = farm_up(*START, f"ring.bytes={BEFORE}", GROUPS)
    wait_until(lambda: all(tail for _, tail in heads(instance)), what="something in every ring")
    pids = [line["child_pid"] for line in up.events("child_spawned")]
    up.send(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), what="the end of every child")
    up.wait()
    again = farm_up(*START, f"ring.bytes={LARGE}", GROUPS)
    assert again.events("rings_adopted")
    reader = everything(again.address, instance, wait_until)
    assert again.stop() == 0
    reader.close()
    assert again.events("balance")[0]["exact"]
    check_sequences(reader)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_sizes_that_change_again_and_again_while_processes_are_killed_lose_nothing(
    farm_up, instance, wait_until, seed
):
    chance = random.Random(seed)
    patient = ("supervisor.intensity=1000", "supervisor.backoff_s=0.05", "supervisor.period_s=2")
    up = farm_up(*START, f"ring.bytes={BEFORE}", *patient)
    reader = Reader(up.address, deadline_s=60.0, group=SLOW)
    control = ControlBlock.attach(instance, readonly=True)
    for _round in range(8):
        n_bytes = chance.choice([SMALL, BEFORE, LARGE])
        assert set_bytes(instance, n_bytes)["outcome"] == "done"
        for _kill in range(chance.randrange(4)):
            time.sleep(chance.random())
            pids = [pid for slot in control.children if (pid := slot.pid)]  # 0 would be ourselves
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
        if chance.random() < 0.7:
            wait_until(
                lambda n_bytes=n_bytes: capacities(instance) == [n_bytes] * 2, what="their size"
            )
            assert reader.end is None
    wait_until(lambda: capacities(instance) == [n_bytes] * 2, what="the last size")
    seen = {worker: len(sequences) for worker, sequences in reader.seen.items()}
    wait_until(
        lambda: all(len(reader.seen[worker]) > seen[worker] + 50 for worker in seen),
        what="more of every worker",
    )
    control.close()
    farm("drain", "--instance", instance)
    assert up.wait() == 0
    reader.close()
    (line,) = up.events("balance")
    assert line["exact"]
    for sequences in reader.seen.values():
        assert sorted(sequences) == list(range(len(sequences)))
    assert sum(map(len, reader.seen.values())) == line["records"]["published"]
    assert list_segments(instance) == []
