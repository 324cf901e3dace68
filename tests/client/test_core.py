"""The protocol core: bytes in, trajectories and acknowledgements out, nothing else in the world."""

import pytest
from handmade import Spec, message

from farm.client.core import Inbox, State
from farm.errors import CorruptDataError, LifecycleError, SpecMismatchError
from farm.rpc.v1 import experience_pb2

Batch = experience_pb2.ExperienceBatch
FINGERPRINT = 0xABCD


def started(fingerprint=FINGERPRINT, run_id=1, credit_bytes=1 << 20):
    return Batch(
        started=experience_pb2.StreamStarted(
            spec_fingerprint=fingerprint, run_id=run_id, credit_bytes=credit_bytes
        )
    ).SerializeToString()


def batch(*sequences, batch_id=0, worker=0, **fields):
    trajectories = [message(Spec(sequence=number, worker=worker)) for number in sequences]
    made = Batch(trajectories=trajectories, batch_id=batch_id, **fields)
    return made.SerializeToString()


def streaming(**options):
    inbox = Inbox(FINGERPRINT)
    inbox.open()
    inbox.receive(started(**options))
    return inbox


def reopened(inbox, **options):
    inbox.disconnected()
    inbox.open()
    inbox.receive(started(**options))


def taken(inbox, n=100):
    return [trajectory.sequence for trajectory in inbox.try_take(n)]


def acks(inbox):
    wire = inbox.take_acks()
    if wire is None:
        return []
    return list(experience_pb2.SubscribeRequest.FromString(wire).ack.batch_ids)


def test_a_stream_goes_from_idle_to_opening_to_streaming_and_back():
    inbox = Inbox(FINGERPRINT)
    assert inbox.state is State.IDLE
    inbox.open()
    assert inbox.state is State.OPENING
    inbox.receive(started())
    assert inbox.state is State.STREAMING
    inbox.disconnected()
    assert inbox.state is State.IDLE


def test_it_cannot_be_opened_twice():
    inbox = streaming()
    with pytest.raises(LifecycleError, match="STREAMING cannot become OPENING"):
        inbox.open()


def test_a_message_without_a_connection_is_a_bug():
    with pytest.raises(LifecycleError, match="IDLE"):
        Inbox(FINGERPRINT).receive(started())


def test_a_farm_of_another_spec_is_refused_with_both_numbers():
    inbox = Inbox(FINGERPRINT)
    inbox.open()
    with pytest.raises(SpecMismatchError, match=r"000000000000dead.*000000000000abcd"):
        inbox.receive(started(fingerprint=0xDEAD))


@pytest.mark.parametrize("first", [b"\xff\xff", b"", batch(1)])
def test_a_stream_that_does_not_start_is_corrupt(first):
    inbox = Inbox(FINGERPRINT)
    inbox.open()
    with pytest.raises(CorruptDataError):
        inbox.receive(first)


def test_trajectories_come_out_in_order_and_as_many_as_asked():
    inbox = streaming()
    inbox.receive(batch(0, 1, 2, batch_id=1))
    inbox.receive(batch(3, 4, batch_id=2))
    assert taken(inbox, 2) == [0, 1]
    assert inbox.try_next().sequence == 2
    assert taken(inbox, 5) == [3, 4]
    assert taken(inbox) == []
    assert inbox.try_next() is None


def test_a_batch_is_acknowledged_when_all_of_it_is_done():
    inbox = streaming()
    inbox.receive(batch(0, 1, batch_id=1))
    inbox.receive(batch(2, 3, batch_id=2))
    taken(inbox, 3)
    assert acks(inbox) == []
    inbox.finish_taken()
    assert acks(inbox) == [1]
    taken(inbox, 1)
    inbox.finish_taken()
    assert acks(inbox) == [2]
    assert acks(inbox) == []


def test_what_a_reader_still_has_is_not_acknowledged():
    inbox = streaming()
    inbox.receive(batch(0, batch_id=1))
    assert taken(inbox) == [0]
    assert taken(inbox) == []
    assert acks(inbox) == []


def test_a_stream_without_batch_ids_has_nothing_to_acknowledge():
    inbox = streaming()
    inbox.receive(batch(0, 1))
    taken(inbox)
    inbox.finish_taken()
    assert inbox.take_acks() is None


def test_acknowledgements_of_a_lost_connection_are_forgotten():
    inbox = streaming()
    inbox.receive(batch(0, batch_id=1))
    taken(inbox)
    inbox.finish_taken()
    reopened(inbox)
    assert acks(inbox) == []


def test_a_batch_finished_after_its_connection_was_lost_is_not_acknowledged_on_the_next():
    inbox = streaming()
    inbox.receive(batch(0, batch_id=1))
    taken(inbox)
    inbox.disconnected()
    inbox.finish_taken()
    inbox.open()
    inbox.receive(started())
    inbox.receive(batch(1, batch_id=1))
    taken(inbox)
    assert acks(inbox) == []
    inbox.finish_taken()
    assert acks(inbox) == [1]


def test_what_arrived_before_the_connection_was_lost_still_comes_out_once():
    inbox = streaming()
    inbox.receive(batch(0, 1, 2, batch_id=1))
    assert taken(inbox, 1) == [0]
    reopened(inbox)
    inbox.receive(batch(0, 1, 2, 3, batch_id=7, redelivered=True))
    assert taken(inbox) == [1, 2, 3]
    assert inbox.received.duplicates == 3
    assert inbox.received.redelivered_batches == 1


def test_a_redelivered_batch_waits_for_what_the_reader_has_from_before():
    inbox = streaming()
    inbox.receive(batch(0, 1, batch_id=1))
    taken(inbox)
    reopened(inbox)
    inbox.receive(batch(0, 1, batch_id=2, redelivered=True))
    assert taken(inbox) == []
    assert acks(inbox) == []  # the reader may still be busy with 0 and 1
    inbox.finish_taken()
    assert acks(inbox) == [2]


def test_batches_of_nothing_but_duplicates_are_acknowledged_without_a_reader():
    inbox = streaming()
    inbox.receive(batch(0, batch_id=1))
    taken(inbox)
    inbox.finish_taken()
    reopened(inbox)
    inbox.receive(batch(0, batch_id=2, redelivered=True))
    assert taken(inbox) == []
    assert acks(inbox) == [2]


def test_another_run_of_the_farm_starts_its_numbers_over():
    inbox = streaming(run_id=1)
    inbox.receive(batch(0, 1, batch_id=1))
    taken(inbox)
    reopened(inbox, run_id=2)
    inbox.receive(batch(0, 1, batch_id=1))
    assert taken(inbox) == [0, 1]
    assert inbox.received.duplicates == 0


def test_counts_go_on_over_connections():
    inbox = streaming()
    inbox.receive(batch(0, 1, batch_id=1))
    reopened(inbox)
    inbox.receive(batch(5, batch_id=1, skipped=2))
    received = inbox.received
    assert (received.trajectories, received.experiences, received.batches) == (3, 12, 2)
    assert (received.missing, received.skipped, received.connections) == (3, 2, 2)
    assert received.bytes > 0


def test_gaps_are_counted_for_each_worker():
    inbox = streaming()
    inbox.receive(batch(0, 2, worker=0))
    inbox.receive(batch(10, 13, worker=1))
    assert inbox.received.missing == 3


def test_credit_is_tight_when_half_of_it_is_held():
    wire = batch(0, batch_id=1)
    inbox = streaming(credit_bytes=2 * len(wire) + 1)
    inbox.receive(wire)
    assert not inbox.is_awaited
    inbox.receive(batch(1, batch_id=2))
    assert inbox.is_awaited
    taken(inbox)
    assert inbox.is_awaited
    inbox.finish_taken()
    assert not inbox.is_awaited


def test_whoever_has_all_that_a_draining_farm_has_is_waited_for_until_more_comes():
    inbox = streaming(credit_bytes=1 << 20)
    inbox.receive(batch(0, batch_id=1))
    assert not inbox.is_awaited
    inbox.receive(batch(drained=True))
    assert inbox.is_awaited
    assert inbox.received.batches == 1
    inbox.receive(batch(1, batch_id=2, redelivered=True))
    assert not inbox.is_awaited


def test_a_farm_that_comes_back_drains_no_longer():
    inbox = streaming()
    inbox.receive(batch(drained=True))
    reopened(inbox)
    assert not inbox.is_awaited


def test_a_stream_without_credit_is_never_tight():
    inbox = streaming(credit_bytes=0)
    inbox.receive(batch(0, 1, 2))
    assert not inbox.is_awaited


def test_a_repeat_is_known_by_worker_generation_and_sequence():
    """A whole farm that is started again goes on with its numbers, under the same run."""
    inbox = streaming(run_id=9)
    inbox.receive(batch(0, 1, batch_id=1))
    assert taken(inbox) == [0, 1]
    reopened(inbox, run_id=9)
    again = message(Spec(sequence=1))
    later = message(Spec(sequence=2, generation=2))
    made = Batch(trajectories=[again, later], batch_id=1, redelivered=True)
    inbox.receive(made.SerializeToString())
    assert taken(inbox) == [2]
    assert (inbox.received.duplicates, inbox.received.unmarked_duplicates) == (1, 0)
    assert inbox.received.missing == 0


def test_a_repeat_that_the_farm_did_not_mark_is_counted_apart():
    inbox = streaming()
    inbox.receive(batch(0, 1, batch_id=1))
    inbox.receive(batch(1, 2, batch_id=2))
    assert taken(inbox) == [0, 1, 2]
    assert (inbox.received.duplicates, inbox.received.unmarked_duplicates) == (1, 1)


def test_what_has_arrived_is_known_by_worker():
    inbox = streaming()
    inbox.receive(batch(3, 5, batch_id=1))
    inbox.receive(batch(0, worker=2, batch_id=2))
    assert {worker: (s.first, s.last, s.missing) for worker, s in inbox.seen.items()} == {
        0: (3, 5, 1),
        2: (0, 0, 0),
    }
