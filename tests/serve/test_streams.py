"""Streams beside the group, over real sockets: backlog, filters, skipping."""

import threading
import time

import grpc
import pytest
from handmade import Spec, record
from subscribing import (
    OWN_CONNECTION,
    TIMEOUT_S,
    Batch,
    bulky,
    head,
    open_stream,
    opened,
    read_to_end,
    sequences,
    subscriber,
    tail,
    write_until_full,
)

from farm.client import NO_RETRY, Client

pytestmark = pytest.mark.timeout(60)


def test_without_subscribers_streams_move_the_rings_and_get_the_backlog(serve):
    serving = serve()
    serving.ring.write(*[Spec()] * 3)
    with Client(serving.address, retry=NO_RETRY) as client:
        stream = client.stream()
        assert [next(stream).sequence for _ in range(3)] == [0, 1, 2]
        serving.wait(lambda: head(serving) == tail(serving), "the ring to follow the stream")


def test_without_any_reader_the_rings_stay(serve):
    serving = serve()
    serving.ring.write(*[Spec()] * 3)
    with Client(serving.address) as client:
        serving.wait(lambda: client.stats().total.trajectories == 3)
    assert head(serving) == 0


def test_a_stream_beside_a_group_watches_and_takes_nothing(serve):
    serving = serve()
    with subscriber(serving) as member, Client(serving.address, retry=NO_RETRY) as client:
        serving.ring.write(*[Spec()] * 2)
        member.read()
        stream = client.stream()
        threading.Thread(target=write_until, args=(serving, stream, 3), daemon=True).start()
        watched = next(stream)
        assert watched.sequence >= 2  # it begins at the newest
        assert head(serving) == 0  # and holds or moves nothing
        assert sequences(member.read())[0] == 2


def write_until(serving, stream, n):
    """Write, once the stream is open."""
    serving.wait(lambda: stream.received.connections or serving.counter("streams") == 2)
    serving.ring.write(*[Spec()] * n)


def test_a_group_holds_the_rings_while_all_its_members_are_gone(serve):
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(Spec())
        member.ack(member.read().batch_id)
        serving.wait(lambda: head(serving) == tail(serving))
    held = head(serving)
    serving.ring.write(*[Spec()] * 5)
    with Client(serving.address, retry=NO_RETRY) as client:
        serving.wait(lambda: client.stats().total.trajectories == 6)
        stream = client.stream()
        serving.wait(lambda: opened(serving, stream))
        serving.ring.write(Spec())
        assert next(stream).sequence >= 1
        assert head(serving) == held
        assert next(client.subscribe()).sequence == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"seats": [1]}, [1, 3, 5, 7]),
        ({"game_ids": [2]}, [4, 5]),
        ({"min_turn": 10}, [4, 5, 6, 7]),
        ({"policies": ["learner"]}, [0, 2, 4, 6]),
        ({"policies": ["learner"], "game_ids": [0, 3]}, [0, 6]),
        ({"game_ids": [99]}, []),
    ],
)
def test_a_stream_gets_what_its_filter_names(serve, wanted, expected):
    serving = serve()
    specs = [
        Spec(game_id=k // 2, seat=k % 2, first_tick=4 * k, policy=("learner", "random")[k % 2])
        for k in range(8)
    ]
    with Client(serving.address, retry=NO_RETRY) as client:
        stream = client.stream(**wanted)
        serving.wait(lambda: opened(serving, stream))
        serving.ring.write(*specs)
        serving.wait(lambda: head(serving) == tail(serving), "the stream to pass everything")
        got = []
        while len(got) < len(expected):
            got.append(next(stream).sequence)
        assert got == expected
        assert serving.counter("served_records") == len(expected)


def test_a_slow_stream_skips_what_the_fast_one_took_and_is_told_how_much(serve):
    serving = serve(capacity_bytes=1 << 20)
    payload = bulky(100_000)
    with (
        grpc.insecure_channel(serving.address) as channel,
        grpc.insecure_channel(serving.address, OWN_CONNECTION) as other,
    ):
        slow = open_stream(channel)
        write_until_full(serving, payload)
        fast = open_stream(other)
        reader = threading.Thread(target=read_to_end, args=(fast,), daemon=True)
        reader.start()
        while not serving.counter("skipped_records"):
            if not serving.ring.write_bytes(payload):
                time.sleep(0.001)
        fast.cancel()
        reader.join(TIMEOUT_S)
        serving.wait(lambda: serving.counter("streams") == 1)
        serving.wait(lambda: serving.ring.write_bytes(record(Spec(game_id=99))), "room")
        skipped, seen, is_last = 0, 0, False
        while not is_last:
            batch = Batch.FromString(next(slow))
            skipped += batch.skipped
            seen += len(batch.trajectories)
            is_last = any(trajectory.game_id == 99 for trajectory in batch.trajectories)
        assert skipped > 0
        assert seen + skipped == serving.ring.n_written
