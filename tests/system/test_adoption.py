"""A farm that is killed as a whole, its successors, and what a group that waited gets from them.

fault                         allowed                          forbidden
the farm is killed            duplicates that were leased,     a record lost, torn, or with a
                              marked as redelivered            sequence used twice
… with records in its hand    they are aborted, by count       they come half written, or uncounted
its successor has another     it is refused                    anything is mixed or thrown away
ring.submitted_bytes
… another ring.bytes          rings are replaced once they     a record lost, or a sequence
                              are taken                        used twice
its successor has fewer       their rings are served           their records are lost
workers
a stop with something owed    it stays for the next            it is thrown away
"""

import contextlib
import json
import signal
import subprocess
import sys
from itertools import pairwise

import pytest

from farm.cli.audit import audit_instance
from farm.client import NO_RETRY, Client
from farm.errors import UnavailableError
from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(900)

GROUP = "trainer"
SMALL = (
    "worker.games=4",
    "match=tiny",
    f"ring.bytes={1 << 18}",
    f"serve.min_batch_bytes={1 << 13}",
    f"serve.max_batch_bytes={1 << 16}",
    f"serve.credit_bytes={1 << 17}",
    "serve.drain_s=0.2",
    f"serve.groups={{{GROUP}:lossless}}",
)


def farm_cli(*words, timeout_s=120):
    return subprocess.run(
        [sys.executable, "-m", "farm.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def audit(instance):
    done = farm_cli("audit", "--instance", instance, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["exact"] else 70)
    return found


def records(found, field, table="rings"):
    return sum(row[field]["records"] for row in found[table])


def records_in(found):
    return sum(ring.in_ring.records for ring in found.rings)


def kill(farm, instance, wait_until, is_alive):
    """End the supervisor and with it every child."""
    pids = [line["child_pid"] for line in farm.events("child_spawned")]
    farm.send(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), what="the end of every child")
    farm.wait()
    return audit(instance)


def take(client, n_records):
    """So many trajectories of the group, at least, and whatever came along."""
    taken = []
    for trajectories in client.batches(64, group=GROUP):
        taken += trajectories
        if len(taken) >= n_records:
            return taken
    raise AssertionError("the farm ended")


@pytest.fixture(scope="module")
def story(shared_farm_up, shared_instance, wait_until, is_alive):
    """Three lives of one farm; each test looks at one thing in it."""
    instance = shared_instance
    told = {}
    first = shared_farm_up(*SMALL, "worker.count=2", "seed=11")
    wait_until(lambda: records_in(audit_instance(instance)) > 50, what="records in the rings")
    with Client(first.address) as client:
        told["taken"] = take(client, 30)
    told["killed"] = kill(first, instance, wait_until, is_alive)

    told["left"] = list_segments(instance)
    own = ("worker.count=2", *SMALL, f"instance={instance}", f"serve.address={first.address}")
    told["refused"] = farm_cli(
        "up", *own, "telemetry.metrics_address=127.0.0.1:0", f"ring.submitted_bytes={1 << 21}"
    )
    told["left_after_refusal"] = list_segments(instance)

    second = shared_farm_up(*SMALL, "worker.count=1")
    told["adopted"] = second.wait_for("rings_adopted")
    told["starting"] = second.wait_for("farm_starting")
    with Client(second.address) as client:
        told["taken again"] = take(client, 4 * records(told["killed"], "in_ring"))
        told["exit code"] = second.stop()
    told["second"] = second
    told["kept"] = audit(instance)

    told["drained"], told["last"], told["drain log"] = drain_with_a_client(
        instance, second.address, signal.SIGHUP
    )
    told["left at the end"] = list_segments(instance)
    told["after"] = farm_cli("audit", "--instance", instance)
    return told


def drain_with_a_client(instance, address, *numbers):
    """`farm drain`, sent these signals, and a client that takes all until the farm ends."""
    command = [sys.executable, "-m", "farm.cli.main", "drain", "--instance", instance, "--json"]
    taken = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # The dead farm's port opens only once the drain serves.
        wait_for_line(process.stderr, b"draining")
        for number in numbers:
            process.send_signal(number)
        with (
            Client(address, retry=NO_RETRY) as client,
            contextlib.suppress(UnavailableError),
            client.subscribe(group=GROUP) as subscription,
        ):
            # The last list of all is shorter, and known to be the last.
            for trajectories in subscription.batches(64):
                taken += trajectories
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr.decode()
    return json.loads(stdout), taken, stderr.decode()


def wait_for_line(pipe, word):
    for line in pipe:
        if word in line:
            return
    raise AssertionError(f"no line with {word}")


def keys(trajectories):
    return [(t.worker, t.sequence) for t in trajectories]


def test_a_killed_farm_leaves_an_exact_balance_and_owes_what_was_not_acknowledged(story):
    killed = story["killed"]
    assert killed["exact"]
    assert not killed["running"]
    (group,) = killed["groups"]
    assert group["group"] == GROUP
    published = records(killed, "published")
    assert group["acknowledged"]["records"] + group["waiting"]["records"] == published
    attempted = records(killed, "attempted")
    assert attempted == published + records(killed, "aborted")


def test_another_submitted_ring_is_refused_with_the_ways_out_and_nothing_is_touched(story):
    refused = story["refused"]
    assert refused.returncode == 69, refused.stderr
    for words in (
        "records to group trainer",
        "ring.submitted_bytes was",
        "farm drain",
        "--discard",
    ):
        assert words in refused.stderr
    assert story["left_after_refusal"] == story["left"]


def test_the_successor_says_what_it_goes_on_with(story):
    adopted = story["adopted"]
    assert adopted["rings"] == 3
    assert adopted["owed_records"][GROUP] == records(story["killed"], "waiting", "groups")
    assert adopted["next_game"] > 0
    assert story["starting"]["seed"] == 11


def test_everything_is_delivered_once_and_in_order_over_the_death(story):
    before, after = keys(story["taken"]), keys(story["taken again"])
    assert len(set(before)) == len(before)
    for worker in (0, 1):
        mine = sorted({s for w, s in before + after if w == worker})
        assert mine == list(range(mine[-1] + 1)), f"a gap of worker {worker}"
    # What was leased and not acknowledged comes again: at most the credit's worth of it.
    assert len(set(before) & set(after)) < 200


def test_the_ring_of_a_worker_that_no_longer_runs_is_delivered_too(story):
    waiting = next(
        ring["published"]["records"] for ring in story["killed"]["rings"] if ring["ring"] == 1
    )
    sequences = {s for w, s in keys(story["taken"] + story["taken again"]) if w == 1}
    assert sequences == set(range(waiting))


def test_games_and_generations_go_on(story):
    mine = [t for t in story["taken"] + story["taken again"] if t.worker == 0]
    newest = sorted(mine, key=lambda t: t.sequence)
    assert all(a.generation <= b.generation for a, b in pairwise(newest))
    generations = {t.generation for t in mine}
    assert generations == {1, 2}
    old = {t.game_id for t in story["taken"] + story["taken again"] if t.generation == 1}
    new = {t.game_id for t in story["taken again"] if t.generation == 2}
    assert not old & new


def test_a_stop_with_something_owed_keeps_it_and_says_so(story):
    assert story["exit code"] == 0
    second, kept = story["second"], story["kept"]
    (line,) = second.events("rings_kept")
    assert line["owed_records"] == {GROUP: records(kept, "waiting", "groups")}
    assert line["owed_records"][GROUP] > 0
    assert "farm drain" in line["hint"]
    (balance,) = second.events("balance")
    assert balance["exact"]
    assert kept["exact"]
    assert second.lines[-1]["event"] == "farm_stopped"


def test_a_drain_of_the_dead_farm_delivers_the_rest_and_leaves_nothing(story):
    balance = story["drained"]
    assert balance["exact"]
    (group,) = balance["groups"]
    assert group["waiting"]["records"] == 0
    assert balance["rings"][0]["attempted"] == story["kept"]["rings"][0]["attempted"]
    assert story["left at the end"] == []
    every = keys(story["taken"] + story["taken again"] + story["last"])
    for row in balance["rings"][:2]:
        mine = {s for w, s in every if w == row["ring"]}
        assert mine == set(range(row["published"]["records"]))


def test_a_drain_that_is_asked_to_reload_says_why_it_does_not(story):
    (line,) = [line for line in story["drain log"].splitlines() if "reload_ignored" in line]
    assert "by the settings it had" in line


def test_of_what_is_gone_nothing_can_be_audited(story):
    assert story["after"].returncode == 69
    assert "nothing left" in story["after"].stderr


# Draining a farm that runs.


def test_a_running_farm_drains_stops_and_reports_what_everybody_got(farm_up, instance, wait_until):
    farm = farm_up(*SMALL)
    wait_until(lambda: records_in(audit_instance(instance)) > 50, what="records in the rings")
    balance, taken, _ = drain_with_a_client(instance, farm.address)
    assert balance["exact"]
    assert farm.events("farm_draining")
    assert records(balance, "published") == len(set(keys(taken)))
    assert farm.wait() == 0
    assert list_segments(instance) == []
    (stopping,) = farm.events("farm_stopping")
    assert stopping["reason"] == "everything is delivered"


def test_a_drain_that_nobody_takes_ends_at_its_deadline_with_75_and_keeps_the_rest(
    farm_up, instance, wait_until
):
    farm = farm_up(*SMALL)
    wait_until(lambda: records_in(audit_instance(instance)) > 50, what="records in the rings")
    done = farm_cli("drain", "--instance", instance, "--deadline", "0.5")
    assert done.returncode == 75, done.stderr
    assert GROUP in done.stdout
    assert farm.wait() == 0
    assert farm.events("rings_kept")
    again = farm_cli("drain", "--instance", instance, "--deadline", "0.5", "--json")
    assert again.returncode == 75, again.stderr
    assert json.loads(again.stdout)["exact"]
    assert list_segments(instance)


def test_of_no_farm_nothing_can_be_drained(instance):
    done = farm_cli("drain", "--instance", instance)
    assert done.returncode == 69
    assert "nothing left" in done.stderr


def test_discard_starts_afresh(farm_up, instance, wait_until, is_alive):
    farm = farm_up(*SMALL)
    wait_until(lambda: records_in(audit_instance(instance)) > 50, what="records in the rings")
    kill(farm, instance, wait_until, is_alive)
    fresh = farm_up(*SMALL, f"ring.bytes={1 << 19}", options=["--discard"])
    (line,) = fresh.events("segments_discarded")
    assert line["owed_records"][GROUP] > 0
    assert not fresh.events("rings_adopted")
    fresh.stop()
