"""What a farm does with its games hosts, whoever plays there: they are stand-ins (stand_ins.py).

start       it is ready once every host answers; discovery names them all
reload      a `restart` field of games replaces the hosts and nobody else
death       another host goes on in the same ring
drain       the hosts go with the workers, and their last records are delivered
"""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from stand_ins import N_LAST

from farm.client import NO_RETRY, Client
from farm.errors import UnavailableError
from farm.rpc.names import GAME_SERVICE
from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(900)

GROUP = "trainer"
SMALL = (
    f"games.ring_bytes={1 << 20}",
    "worker.games=4",
    "match=tiny",
    f"ring.bytes={1 << 18}",
    f"serve.groups={{{GROUP}:lossless}}",
)


def farm(*words):
    """Run a command of the farm; the JSON that it printed."""
    command = [sys.executable, "-m", "farm.cli.main", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def story(shared_farm_up, stand_ins, shared_instance):
    """One farm from its start to its drain; each test looks at one thing in it."""
    instance = shared_instance
    up = shared_farm_up(*SMALL, **stand_ins)
    address = up.address
    told = {"up": up, "ready": up.wait_for("farm_ready")}
    up.wait_for("stand_in_serving", nth=2)  # logged behind what it tells
    told["serving"] = up.events("stand_in_serving")
    with Client(address, retry=NO_RETRY) as client:
        told["info"], told["balance"] = client.info(), client.balance()
    told["top"] = farm("top", "--instance", instance, "--once")
    told["set"] = farm("set", "games.max_games=7", "--instance", instance)
    up.wait_for("stand_in_serving", nth=4)
    up.wait_for("child_ready", child="games-1", generation=2)
    told["restarted"] = [line["child"] for line in up.events("child_ready", generation=2)]
    os.kill(up.events("child_spawned", child="games-0")[-1]["child_pid"], signal.SIGKILL)
    up.wait_for("child_ready", child="games-0", generation=3)
    up.wait_for("stand_in_serving", nth=5)
    told["taken"], told["drained"] = drain(instance, address)
    told["exit_code"] = up.wait()
    told["left"] = list_segments(instance)
    return told


def drain(instance, address):
    """`farm drain`, and a client that takes what is served until the farm ends."""
    taken = []
    command = [sys.executable, "-m", "farm.cli.main", "drain", "--instance", instance, "--json"]
    with (
        Client(address, retry=NO_RETRY) as client,
        client.subscribe(group=GROUP) as subscription,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        with contextlib.suppress(UnavailableError):
            for trajectories in subscription.batches(64):
                taken += trajectories
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr.decode()
    return taken, json.loads(stdout)


def test_a_farm_is_ready_once_every_host_answers(story):
    addresses = story["ready"]["game_addresses"]
    assert sorted(line["address"] for line in story["serving"]) == sorted(addresses)
    assert len(set(addresses)) == 2
    ports = [int(address.rpartition(":")[2]) for address in addresses]
    assert all(ports)


def test_hosts_start_after_their_kernels_are_compiled(story):
    events = [line["event"] for line in story["up"].lines]
    if "stand_in_warm_up" in events:  # else it was so before
        assert events.index("stand_in_warm_up") < events.index("stand_in_serving")


def test_discovery_and_top_name_every_host(story):
    first, second = story["ready"]["game_addresses"]
    endpoints = story["info"].endpoints
    assert (endpoints[GAME_SERVICE], endpoints[f"{GAME_SERVICE}/1"]) == (first, second)
    assert story["top"]["games"]["addresses"] == [first, second]
    fills = {child["name"]: child["ring_fill"] for child in story["top"]["children"]}
    assert 0 < fills["games-0"] < 0.1
    assert (story["top"]["games"]["games_open"], story["top"]["games"]["seats_connected"]) == (2, 4)


def test_their_rings_are_part_of_the_balance(story):
    published = {ring.worker: ring.published.records for ring in story["balance"].rings}
    assert {65, 66} <= published.keys()


def test_a_change_that_needs_new_hosts_replaces_them_and_nobody_else(story):
    assert [change["when"] for change in story["set"]["changes"]] == ["restart"]
    assert sorted(story["restarted"]) == ["games-0", "games-1"]


def test_their_last_records_are_delivered_by_a_drain(story):
    sequences = {ring: [] for ring in (65, 66)}
    for one in story["taken"]:
        if one.worker in sequences:
            sequences[one.worker].append(one.sequence)
    # Each generation publishes one, and those that were told to stop the last ones behind it; the
    # second of games-0 was killed.
    n_first, n_second = 3 + 2 * N_LAST, 2 + 2 * N_LAST
    assert sequences == {65: list(range(n_first)), 66: list(range(n_second))}


def test_the_balance_at_the_end_is_exact_and_nothing_is_left(story):
    drained = story["drained"]
    assert drained["exact"]
    (group,) = drained["groups"]
    assert group["waiting"]["records"] == 0
    rings = {row["ring"]: row["published"]["records"] for row in drained["rings"]}
    assert (rings[65], rings[66]) == (9, 8)
    assert (story["exit_code"], story["left"]) == (0, [])


def test_hosts_stop_after_the_workers_and_before_the_service(story):
    ended = [line["child"] for line in story["up"].events("child_exited")]
    assert ended.index("experiences") > max(ended.index("games-0"), ended.index("games-1"))
