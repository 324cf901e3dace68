"""`farm audit` on segments that this process owns, and on a service."""

import json

import pytest

from farm.errors import EXIT_INTERNAL
from farm.shm import ring as kernels
from farm.shm.control import ControlBlock
from farm.shm.groups import Amount, GroupKind, Released, Settled, create_groups
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import DATA_OFFSET, attach_ring, create_ring
from farm.spec.trajectory import N_STEPS_OFFSET, RECORD_HEADER


@pytest.fixture
def farm(instance):
    """A farm with three records of ten steps, of which a group has acknowledged one."""
    control = ControlBlock.create(instance, 0)
    with (
        create_ring(instance, 0, 1 << 16) as ring,
        create_groups(instance, run_id=1, capacity=1 << 16, n_rings=1) as groups,
    ):
        producer = RingProducer(ring)
        for _ in range(3):
            room = producer.try_claim(RECORD_HEADER.itemsize, 10)
            room[:] = bytes(RECORD_HEADER.itemsize)
            room[N_STEPS_OFFSET] = 10
            producer.publish()
        kernels.drop(ring.mem, producer.cursor, kernels.RING_FULL, 2, 20)
        producer.try_claim(8, 5)
        slot = groups.claim("trainer", GroupKind.LOSSLESS, starts={0: Released()})
        slot.settle(0, Settled(72, acknowledged=Amount(1, 10)))
        slot.n_members = slot.leased_records = 1
        yield control, groups, slot
        del room
    control.close()


def audit(run_here, instance):
    done = run_here("audit", "--instance", instance, "--json")
    return done.returncode, json.loads(done.stdout)


def test_a_running_farm_has_claims_in_its_hand_and_members(farm, run_here, instance):
    assert farm
    code, found = audit(run_here, instance)
    assert code == 0
    assert found["running"]
    assert found["exact"]
    (ring,) = found["rings"]
    assert ring["attempted"] == {"records": 6, "experiences": 55}
    assert ring["published"] == {"records": 3, "experiences": 30}
    assert ring["dropped_ring_full"] == {"records": 2, "experiences": 20}
    assert ring["in_hand"] == {"records": 1, "experiences": 5}
    assert ring["aborted"] == {"records": 0, "experiences": 0}
    (group,) = found["groups"]
    assert group["acknowledged"] == {"records": 1, "experiences": 10}
    assert group["waiting"] == {"records": 2, "experiences": 20}
    assert (group["members"], group["leased_records"], group["policy"]) == (1, 1, "lossless")


def test_of_a_dead_one_they_are_aborted_and_gone(farm, run_here, instance):
    farm[0].close()
    code, found = audit(run_here, instance)
    assert code == 0
    assert not found["running"]
    (ring,) = found["rings"]
    assert ring["in_hand"]["records"] == 0
    assert ring["aborted"] == {"records": 1, "experiences": 5}
    assert (found["groups"][0]["members"], found["groups"][0]["leased_records"]) == (0, 0)


def test_the_table_says_all_of_it_and_that_it_is_exact(farm, run_here, instance):
    assert farm
    done = run_here("audit", "--instance", instance)
    assert done.returncode == 0
    for words in ("trainer", "lossless", "3 (30)", "2 (20)", "exact: every record"):
        assert words in done.stdout


def test_the_ring_of_a_games_host_has_its_host_s_name(farm, run_here, instance):
    assert farm
    with create_ring(instance, 66, 1 << 16) as ring:
        producer = RingProducer(ring)
        kernels.drop(ring.mem, producer.cursor, kernels.RING_FULL, 2, 20)
    code, found = audit(run_here, instance)
    assert (code, [row["ring"] for row in found["rings"]]) == (0, [0, 66])
    done = run_here("audit", "--instance", instance)
    assert "games-1  " in done.stdout
    farm[1].n_host_rings = 1
    code, found = audit(run_here, instance)
    assert (code, found["differences"]) == (EXIT_INTERNAL, ["the ring of games-0 is missing"])


def test_what_does_not_add_up_is_exit_code_70_and_said_where(farm, run_here, instance):
    farm[2].settle(0, Settled(144, acknowledged=Amount(1, 10)))
    code, found = audit(run_here, instance)
    assert code == EXIT_INTERNAL
    assert not found["exact"]
    done = run_here("audit", "--instance", instance)
    assert done.returncode == EXIT_INTERNAL
    assert "ring 0, group trainer: 3 records (30 experiences) published" in done.stdout
    assert "off by 1 (10)" in done.stdout


def test_of_no_farm_it_is_one_line_and_exit_code_69(run_here, instance):
    done = run_here("audit", "--instance", instance)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.count("\n") == 1
    assert "nothing left of one" in done.stderr


def test_no_farm_at_an_address_is_one_line_and_exit_code_69(run_here):
    done = run_here("audit", "127.0.0.1:1")
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1


def test_a_ring_that_is_missing_is_no_exact_balance(farm, run_here, instance):
    _, groups, _ = farm
    groups.n_rings = 2
    code, found = audit(run_here, instance)
    assert code == EXIT_INTERNAL
    assert found["differences"] == ["the ring of worker 1 is missing"]


def test_what_cannot_be_read_in_a_ring_is_told_as_damaged(farm, run_here, instance):
    farm[0].close()
    with attach_ring(instance, 0) as ring:
        ring.store(DATA_OFFSET + 72, 0xDEAD_BEEF)
    code, found = audit(run_here, instance)
    assert code == 0
    (ring,) = found["rings"]
    assert ring["damaged"] == {"records": 2, "experiences": 20}
