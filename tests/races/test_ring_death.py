"""What the other side and a replacement see of a process that was killed at work on a ring.

producer killed                    allowed                       forbidden
after claim, filling, filled       what was published, and the   any byte of the claims
                                   number of attempts
in the middle of its checkpoint    the same                      the same, lost totals
between checkpoint and tail        the same                      records without totals, or totals
                                                                 without records
after the tail                     all of it                     a sequence used twice or left out
consumer killed after peek         the records again             a record lost
"""

import signal
from pathlib import Path

import pytest

from farm.shm import ring
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import RingView, create_ring

HERE = Path(__file__).parent
UNPUBLISHED = ["claimed", "half filled", "filled", "checkpoint half written", "checkpoint written"]


@pytest.fixture
def segment(instance):
    with create_ring(instance, 0, 4096) as made:
        yield made


@pytest.fixture
def kill_producer_at(start_process, instance):
    def kill(stage):
        process = start_process([HERE / "dying_producer.py", instance, stage])
        process.wait_for(stage)
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL

    return kill


def drain(segment):
    consumer = RingConsumer(segment)
    records = []
    while (record := consumer.peek()) is not None:
        records.append(bytes(record))
    consumer.release()
    return records


FIRST = [bytes([number]) * 100 for number in range(5)]


@pytest.mark.parametrize("stage", UNPUBLISHED)
def test_what_was_not_published_never_happened(segment, kill_producer_at, stage):
    kill_producer_at(stage)
    view = RingView(segment)
    assert (view.records, view.experiences, view.games) == (5, 100, 1)

    replacement = RingProducer(segment, generation=2)
    assert ring.next_sequence(replacement.cursor) == 5
    n_claimed = {"claimed": 2, "half filled": 2}.get(stage, 3)
    saved = view.checkpoint()
    assert (saved.aborted_records, saved.aborted_experiences) == (n_claimed, 10 * n_claimed)
    replacement.try_claim(4, 7)[:] = b"next"
    assert drain(segment) == FIRST
    replacement.publish(n_games=1)
    assert drain(segment) == [b"next"]
    assert (view.records, view.experiences, view.games) == (6, 107, 2)
    assert view.checkpoint().aborted_records == n_claimed


def test_what_was_published_happened_once(segment, kill_producer_at):
    kill_producer_at("published")
    view = RingView(segment)
    assert (view.records, view.experiences, view.games) == (8, 130, 1)
    assert ring.next_sequence(RingProducer(segment, generation=2).cursor) == 8
    assert drain(segment) == [*FIRST, b"\xee" * 1000, b"\xee" * 1000, b""]


@pytest.mark.parametrize("stages", [("checkpoint half written", "checkpoint written", "published")])
def test_a_row_of_deaths_adds_up(segment, kill_producer_at, stages):
    for stage in stages:
        kill_producer_at(stage)
        drain(segment)
    view = RingView(segment)
    assert (view.records, view.experiences, view.games) == (5 + 5 + 8, 100 + 100 + 130, 3)
    RingProducer(segment, generation=9)
    saved = view.checkpoint()
    assert (saved.aborted_records, saved.aborted_experiences) == (3 + 3, 30 + 30)


def test_producers_killed_at_random_leave_whole_records_and_exact_totals(
    start_process, instance, segment
):
    process = start_process([HERE / "killed_at_random.py", instance, 150])
    done = process.wait_for("done")
    assert done["errors"] == []
    assert (done["corrupt"], done["lost"]) == (0, 0)
    assert done["received"] == RingView(segment).records
    # Otherwise they were all waiting on a full ring, and the test shows little.
    assert done["deaths_at_work"] >= 16


CONSUMER = """
import signal, sys
from farm.shm.ring import RingConsumer
from farm.shm.ring_layout import attach_ring
consumer = RingConsumer(attach_ring(sys.argv[1], 0))
consumer.peek()
consumer.release()
consumer.peek()
consumer.peek()
print('{"event": "peeked"}', flush=True)
signal.pause()
"""


def test_a_consumer_killed_before_its_release_loses_nothing(start_process, instance, segment):
    producer = RingProducer(segment)
    for number in range(4):
        producer.try_claim(1)[:] = bytes([number])
    producer.publish()
    process = start_process(["-c", CONSUMER, instance])
    process.wait_for("peeked")
    process.stop(signal.SIGKILL)
    assert drain(segment) == [b"\1", b"\2", b"\3"]


@pytest.mark.parametrize(
    "n_rounds", [1000, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_a_producer_killed_between_payload_and_publish_leaves_nothing_half_written(
    start_process, instance, n_rounds
):
    with create_ring(instance, 0, 1 << 15):
        process = start_process([HERE / "failpoints.py", instance, n_rounds, 5])
        done = process.wait_for("done", timeout_s=800.0)
    assert done["errors"] == []
    assert all(n > n_rounds // 8 for n in done["stages"].values()), "every stage had its turn"
    assert done["attempts"] > n_rounds
