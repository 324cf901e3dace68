"""Clients that read slowly, or not at all, or are frozen: whom they hold up, and what they cost."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from faulty_farm import Farm, Witness, wait_until

from farm.client import Client
from farm.errors import RejectedError

pytestmark = pytest.mark.timeout(120)

RING_BYTES = 1 << 20
N_RINGS = 2
MUCH_BYTES = 6 * N_RINGS * RING_BYTES
"""Far more than all rings hold: who gets this much is not held up by anybody."""
LEAST_RECORD_BYTES = 200
MAX_BLOCKED_BYTES = 24 << 20
CLIENT_TIMEOUT_S = 3.0
MARGIN_S = 1.5
"""For a look a second, and for the processes to get their turn."""


class Slow:
    """A farm, and processes that read from it as badly as they are told."""

    def __init__(self, farm, folder):
        self.farm = farm
        self.client = Client(farm.address)
        self._folder = folder
        self._witnesses = []
        self._n_files = 0

    def witness(self, group, *options):
        """A member of a group that has got something."""
        self._n_files += 1
        path = self._folder / f"{group}-{self._n_files}.bin"
        made = Witness(self.farm.address, group, path, *options)
        self._witnesses.append(made)
        wait_until(lambda: made.n_bytes > 0, f"anything for {group}")
        return made

    def group(self, name):
        """What the farm says of a group."""
        (row,) = [row for row in self.client.stats().groups if row.name == name]
        return row

    def forget(self):
        """End every witness and remove every group."""
        for witness in self._witnesses:
            witness.kill()
        self._witnesses.clear()

        def all_are_gone():
            names = [row.name for row in self.client.stats().groups]
            for name in names:
                with contextlib.suppress(RejectedError):  # its member is not gone yet
                    self.client.remove_group(name)
            return not names

        wait_until(all_are_gone, "the end of every group", timeout_s=30)

    def drain(self, n_bytes, **options):
        """Be a member of a group, and take this much."""
        with self.client.subscribe(**options) as subscription:
            for _ in subscription.batches(256, partial=True):
                if subscription.received.bytes >= n_bytes:
                    break
            return subscription.received

    def acknowledged_bytes(self, name):
        """About what a group is done with: the mean record is longer than this."""
        return LEAST_RECORD_BYTES * self.group(name).acknowledged_records

    def service_bytes(self):
        """Memory of the service that is its own; the rings are not."""
        pid = self.farm.children()["experiences"]["pid"]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no RssAnon of process {pid}")


def start(instance, folder, *overrides):
    farm = Farm(instance, folder, f"ring.bytes={RING_BYTES}", *overrides)
    farm.start()
    return farm


@pytest.fixture(scope="module")
def patient_farm(shared_instance, tmp_path_factory):
    """A farm that cuts nobody."""
    folder = tmp_path_factory.mktemp("patient")
    farm = start(shared_instance, folder, "serve.client_timeout_s=600", "serve.stall_warn_s=0.5")
    slow = Slow(farm, folder)
    yield slow
    slow.client.close()
    farm.clean_up()


@pytest.fixture
def patient(patient_farm):
    """The same, without witnesses and groups."""
    yield patient_farm
    patient_farm.forget()


@pytest.mark.parametrize("policy", ["latest", "sample:0.2"])
def test_a_blocked_group_that_is_not_lossless_holds_nobody_up(patient, policy):
    patient.witness("watching", "--policy", policy, "--block")
    received = patient.drain(MUCH_BYTES, group="training")
    assert received.missing == 0
    watching = patient.group("watching")
    assert (watching.members, watching.acknowledged_records) == (1, 0)
    assert watching.lag_bytes <= N_RINGS * RING_BYTES


def test_a_blocked_lossless_group_parks_the_workers_and_is_named(patient):
    patient.witness("holding", "--block")

    def reported():
        """Before a group there was nobody to hold the rings, and nobody to read them either."""
        stalls = patient.client.stats().stalls
        return stalls if {stall.group for stall in stalls} == {"holding"} else None

    stalls = wait_until(reported, "the report of a stall")
    assert all(stall.members == 1 and "holding" in stall.advice for stall in stalls)
    assert '"event":"ring_stalled"' in patient.farm.log.read_text()
    patient.forget()
    received = patient.drain(MUCH_BYTES, group="training")
    assert received.missing == 0

    def forgotten():
        """A ring counts as full until it has not been for a while: it may name who held it last."""
        return "holding" not in {stall.group for stall in patient.client.stats().stalls}

    wait_until(forgotten, "the end of the stall")


def test_a_blocked_member_does_not_hold_up_its_group_while_another_drains(patient):
    patient.witness("shared", "--block")
    patient.drain(MUCH_BYTES, group="shared")
    assert patient.group("shared").members >= 1


@pytest.mark.parametrize(("group", "policy"), [("watching", "latest"), ("training", "lossless")])
def test_a_blocked_client_costs_the_service_less_than_24_mib(patient, group, policy):
    """Beside a member that drains, so that the farm goes on and could pile up what it likes."""
    patient.witness("training")
    wait_until(lambda: patient.acknowledged_bytes("training") > MUCH_BYTES, "a flow")
    before = patient.service_bytes()
    for _ in range(3):
        patient.witness(group, "--policy", policy, "--block")
    target = patient.acknowledged_bytes("training") + MUCH_BYTES
    wait_until(lambda: patient.acknowledged_bytes("training") > target, "the flow to go on")
    grown = patient.service_bytes() - before
    assert grown < MAX_BLOCKED_BYTES, f"{grown} bytes for three of them"


@pytest.fixture
def strict(instance, tmp_path):
    """A farm that cuts whoever is silent for three seconds."""
    farm = start(instance, tmp_path, f"serve.client_timeout_s={CLIENT_TIMEOUT_S}")
    slow = Slow(farm, tmp_path)
    yield slow
    slow.forget()
    slow.client.close()
    farm.clean_up()


def test_a_frozen_client_is_cut_within_the_timeout_and_comes_back(strict, contention):
    slowdown = contention()
    witness = strict.witness("only")
    witness.send(signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        wait_until(lambda: strict.group("only").members == 0, "the cut")
        took_s = time.monotonic() - began_s
    finally:
        os.kill(witness.pid, signal.SIGCONT)
    n_bytes = witness.n_bytes
    wait_until(lambda: witness.n_bytes > n_bytes, "anything more")
    assert took_s < CLIENT_TIMEOUT_S + MARGIN_S * slowdown
