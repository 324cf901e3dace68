"""Who gets what, over real sockets: leases, redelivery, credit, silent members."""

import threading
import time

import grpc
import pytest
from handmade import Spec
from subscribing import (
    TIMEOUT_S,
    Code,
    bulky,
    entry_bytes,
    head,
    opened,
    sequences,
    subscriber,
    tail,
)

from farm.client import NO_RETRY, Client
from farm.shm.ring import park
from farm.shm.ring_layout import DATA_OFFSET

pytestmark = pytest.mark.timeout(60)


def test_a_ring_is_released_by_the_acknowledgement_and_not_before(serve):
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(*[Spec()] * 3)
        batch = member.read()
        serving.wait(lambda: serving.counter("served_records") == 3)
        assert head(serving) == 0
        member.ack(batch.batch_id)
        serving.wait(lambda: head(serving) == tail(serving), "the release")
        assert serving.counter("acknowledged_records") == 3
        assert serving.counter("acknowledged_experiences") == 12


def test_batches_are_numbered_and_can_be_acknowledged_in_any_order(serve):
    serving = serve()
    with subscriber(serving) as member:
        batches = []
        for _ in range(3):
            serving.ring.write(Spec())
            batches.append(member.read())
        assert [batch.batch_id for batch in batches] == [1, 2, 3]
        member.ack(3, 1)
        serving.wait(lambda: 0 < head(serving) < tail(serving), "the first one's release")
        member.ack(2)
        serving.wait(lambda: head(serving) == tail(serving))


def test_an_acknowledgement_given_twice_ends_the_stream(serve):
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(Spec())
        batch = member.read()
        member.ack(batch.batch_id, batch.batch_id)
        with pytest.raises(grpc.RpcError) as caught:
            member.read()
        assert caught.value.code() is Code.INVALID_ARGUMENT
        assert "acknowledged before" in caught.value.details()


def test_a_bad_acknowledgement_settles_nothing_and_the_counters_agree_with_the_rings(serve):
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(*[Spec()] * 3)
        member.ack(member.read().batch_id, 77)
        with pytest.raises(grpc.RpcError, match="batch 77"):
            member.read()
    with subscriber(serving) as heir:
        batch = heir.read()
        assert sequences(batch) == [0, 1, 2]
        heir.ack(batch.batch_id)
        serving.wait(lambda: head(serving) == tail(serving), "everything acknowledged")
    assert serving.counter("acknowledged_records") == 3


def test_what_a_vanished_member_had_comes_back_first_and_says_so(serve):
    serving = serve()
    with subscriber(serving) as gone:
        serving.ring.write(*[Spec()] * 4)
        assert not gone.read().redelivered
    serving.wait(lambda: not serving.counter("streams"))
    serving.ring.write(*[Spec()] * 2)
    with subscriber(serving) as heir:
        batch = heir.read()
        assert sequences(batch) == [0, 1, 2, 3, 4, 5]
        assert batch.redelivered
        heir.ack(batch.batch_id)
        serving.wait(lambda: head(serving) == tail(serving))
    assert serving.counter("redelivered_records") == 4


def test_members_share_the_records_and_none_is_lost(serve):
    serving = serve(n_rings=2, max_batch_bytes=4 * entry_bytes())
    n = 300
    seen = []
    lock = threading.Lock()

    def take():
        with Client(serving.address, retry=NO_RETRY) as client:
            for trajectory in client.subscribe():
                with lock:
                    seen.append((trajectory.worker, trajectory.sequence))
                    if len(seen) >= 2 * n:
                        return

    takers = [threading.Thread(target=take, daemon=True) for _ in range(3)]
    for taker in takers:
        taker.start()
    serving.wait(lambda: serving.counter("subscriptions") == 3)
    for ring in serving.rings:
        ring.write(*[Spec()] * n)
    serving.wait(lambda: len(seen) >= 2 * n, "everything")
    assert sorted(set(seen)) == [(worker, k) for worker in range(2) for k in range(n)]
    serving.stop_service()
    assert serving.counter("served_records") >= 2 * n


def test_unacknowledged_bytes_stay_within_the_credit(serve):
    serving = serve()
    size = entry_bytes()
    with subscriber(serving, credit_bytes=10 * size) as member:
        serving.ring.write(*[Spec()] * 200)
        out, batches = 0, []
        while out + 10 * size // 4 <= 10 * size:
            batch = member.read()
            out += sum(t.ByteSize() for t in batch.trajectories)
            batches.append(batch.batch_id)
            assert out <= 10 * size
        served = serving.counter("served_records")
        assert served <= 10
        member.ack(*batches)
        assert member.read().batch_id == batches[-1] + 1


def test_a_message_is_no_larger_than_asked_unless_one_trajectory_is(serve):
    size = entry_bytes()
    serving = serve(max_batch_bytes=3 * size, min_batch_bytes=size)
    large = Spec(height=20, width=20, n_steps=60)
    assert entry_bytes(large) > 3 * size
    with subscriber(serving, credit_bytes=2 * size) as member:
        serving.ring.write(Spec(), Spec(), large, Spec())
        taken = []
        while len(taken) < 4:
            batch = member.read()
            n_bytes = sum(t.ByteSize() for t in batch.trajectories)
            assert n_bytes <= 3 * size or sequences(batch) == [2]
            taken += sequences(batch)
            member.ack(batch.batch_id)
        assert taken == [0, 1, 2, 3]


def test_a_few_records_go_out_after_the_longest_wait(serve):
    serving = serve(max_batch_wait_ms=50.0)
    with subscriber(serving) as member:
        start_s = time.monotonic()
        serving.ring.write(Spec())
        assert sequences(member.read()) == [0]
        assert 0.04 < time.monotonic() - start_s < 5


def test_a_batch_that_is_large_enough_does_not_wait(serve):
    serving = serve(max_batch_wait_ms=10_000.0, min_batch_bytes=5 * entry_bytes())
    with subscriber(serving) as member:
        serving.ring.write(*[Spec()] * 20)
        start_s = time.monotonic()
        assert sequences(member.read()) == list(range(20))
        assert time.monotonic() - start_s < 5


def test_a_ring_of_nothing_but_junk_is_released_and_nothing_is_sent(serve):
    serving = serve()
    with subscriber(serving) as member:
        for _ in range(3):
            serving.ring.write_bytes(b"junk")
        serving.wait(lambda: head(serving) == tail(serving), "the release")
        assert serving.counter("served_batches") == 0
        assert serving.counter("corrupt_records") == 3
        serving.ring.write(Spec())
        assert sequences(member.read()) == [3]


def test_garbage_in_a_ring_costs_what_it_covers_and_no_more(serve):
    serving = serve()
    with subscriber(serving) as member:
        start = tail(serving)
        serving.ring.producer.try_claim(100)
        serving.ring.segment.mem[DATA_OFFSET + start : DATA_OFFSET + start + 8] = 0x55
        serving.ring.producer.publish()
        serving.wait(lambda: serving.counter("corrupt_records") == 1)
        serving.ring.write(*[Spec()] * 3)
        batch = member.read()
        assert len(batch.trajectories) == 3
        member.ack(batch.batch_id)
        serving.wait(lambda: head(serving) == tail(serving))


def test_a_parked_worker_is_woken_by_the_release(serve):
    serving = serve(capacity_bytes=1 << 16)
    ring = serving.ring
    while ring.write(Spec()):
        pass
    assert park(ring.segment.mem, ring.producer.cursor, 1 << 15)
    assert not serving.space_bells[0].wait(0)
    with Client(serving.address, retry=NO_RETRY) as client:
        taken = client.subscribe()
        for _ in range(ring.n_written):
            next(taken)
        taken.acknowledge()
        assert serving.space_bells[0].wait(TIMEOUT_S)


def test_a_member_with_a_full_credit_that_stays_silent_is_cut_off(serve):
    serving = serve(client_timeout_s=0.3)
    with subscriber(serving, credit_bytes=entry_bytes()) as silent:
        serving.ring.write(*[Spec()] * 4)
        silent.read()
        with pytest.raises(grpc.RpcError) as caught:
            silent.read()
        assert caught.value.code() is Code.DEADLINE_EXCEEDED
        assert "none acknowledged" in caught.value.details()
    with subscriber(serving) as heir:
        assert sequences(heir.read()) == [0, 1, 2, 3]


def test_a_client_that_reads_nothing_is_cut_off_though_it_has_credit(serve):
    serving = serve(capacity_bytes=1 << 26, client_timeout_s=0.5, credit_bytes=1 << 28)
    payload = bulky(1_000_000)
    with subscriber(serving) as stuck:
        while serving.ring.write_bytes(payload):
            pass
        serving.wait(lambda: serving.counter("rpc_errors") == 1, "the cut")
        with pytest.raises(grpc.RpcError) as caught:
            for _ in stuck.call:
                pass
        assert caught.value.code() is Code.DEADLINE_EXCEEDED


def test_a_silent_member_does_not_starve_the_others(serve):
    serving = serve(capacity_bytes=1 << 16, lease_s=0.05)
    n = 1_500  # several rings full: with the silent one's part in the way all would stand still
    with subscriber(serving, credit_bytes=8 * entry_bytes()) as silent:
        serving.ring.write(*[Spec()] * 8)
        assert sequences(silent.read())[0] == 0
        with subscriber(serving) as lively:
            writer = threading.Thread(target=write_all, args=(serving, n), daemon=True)
            writer.start()
            seen = set()
            while len(seen) < n + 8:
                batch = lively.read()
                seen |= set(sequences(batch))
                lively.ack(batch.batch_id)
            writer.join(TIMEOUT_S)
            serving.wait(lambda: head(serving) == tail(serving), "everything acknowledged")


def write_all(serving, n):
    while n:
        n -= serving.ring.write(*[Spec()] * n)
        time.sleep(0.001)


def test_a_late_acknowledgement_of_a_lost_batch_changes_nothing(serve):
    serving = serve(capacity_bytes=1 << 16, lease_s=0.05)
    while serving.ring.write(Spec()):
        pass
    with subscriber(serving) as silent:
        lost = silent.read()
        with subscriber(serving) as other:
            n_taken = 0
            while not (again := other.read()).redelivered:
                n_taken += len(again.trajectories)
                other.ack(again.batch_id)
            assert sequences(again) == sequences(lost)[: len(again.trajectories)]
            silent.ack(lost.batch_id)
            other.ack(again.batch_id)
            serving.wait(lambda: head(serving) > 0)
            n_taken += len(again.trajectories)
            assert serving.counter("acknowledged_records") == n_taken


def test_a_replaced_service_goes_on_where_the_rings_stand(serve):
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(*[Spec()] * 3)
        member.ack(member.read().batch_id)
        serving.ring.write(*[Spec()] * 3)
        assert sequences(member.read()) == [3, 4, 5]
        serving.wait(lambda: serving.counter("acknowledged_records") == 3)
    serving.stop_service()
    serving.start()
    with Client(serving.address, retry=NO_RETRY) as client:
        serving.wait(lambda: client.stats().total.trajectories == 3)
        stream = client.stream()  # the group of before still holds the rings
        serving.wait(lambda: opened(serving, stream))
        assert head(serving) < tail(serving)
    with subscriber(serving) as member:
        assert sequences(member.read()) == [3, 4, 5]
