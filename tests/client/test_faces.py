"""The sync and the asyncio face against a real service: the same script, the same outcome."""

import asyncio
import threading
import time
from itertools import chain

import pytest
from faces import FACES, QUICK, TIMEOUT_S, faces, opened
from handmade import Spec, contents, entry
from serving import farm_config

from farm.client import AsyncClient, Client, Retry, stack
from farm.errors import RejectedError, SpecMismatchError, UnavailableError, UsageError

N = 40

pytestmark = pytest.mark.timeout(60)


def specs(n):
    return [Spec(game_id=k // 2, seat=k % 2, first_tick=4 * k) for k in range(n)]


def expected(n):
    raws = []
    for k, spec in enumerate(specs(n)):
        a = contents(spec.but(sequence=k))
        raws.append(b"".join(x.tobytes() for x in (a.frames, a.reward, a.log_prob, a.action)))
    return [(0, k, k // 2, k % 2, raws[k]) for k in range(n)]


@faces
def test_a_subscriber_gets_everything_as_it_was_made(serve, face):
    serving = serve()
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        taken, received = client.take(N)
    assert taken == expected(N)
    assert (received.trajectories, received.experiences) == (N, 4 * N)
    assert (received.missing, received.duplicates) == (0, 0)
    assert serving.counter("acknowledged_records") == N  # the close saw to it


@faces
def test_lists_of_n_span_the_batches_of_the_farm(serve, face):
    serving = serve(max_batch_bytes=3 * len(entry(Spec())), min_batch_bytes=1)
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        taken = client.take_batches(7, 5)
    assert taken == [list(range(start, start + 7)) for start in range(0, 35, 7)]


@faces
def test_a_list_that_was_not_followed_by_another_request_is_not_acknowledged(serve, face):
    serving = serve(max_batch_bytes=2 * len(entry(Spec())), min_batch_bytes=1)
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        client.take_batches(10, 2)
        first, received = client.take(N - 10)
    assert first[0][1] <= 10
    assert received.redelivered_batches > 0


@faces
def test_a_list_is_shorter_than_asked_when_the_credit_cannot_hold_it(serve, face):
    serving = serve(credit_bytes=8 * len(entry(Spec())), min_batch_bytes=1)
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        taken = client.take_batches(N, 4)
    assert all(0 < len(sequences) < 20 for sequences in taken)
    assert list(chain(*taken)) == list(range(sum(map(len, taken))))


@faces
def test_a_list_is_shorter_than_asked_when_the_rings_cannot_hold_it(serve, face):
    """Credit for more than the rings hold would never be used up: each side would wait."""
    serving = serve(capacity_bytes=1 << 16, credit_bytes=1 << 24)
    n_written = serving.ring.write(*specs(1_000))
    assert n_written < 1_000
    with opened(face, serving) as client:
        taken = client.take_batches(5_000, 2)
    assert all(0 < len(sequences) < n_written for sequences in taken)
    assert list(chain(*taken)) == list(range(sum(map(len, taken))))


@faces
def test_a_stream_watches_what_its_filter_names(serve, face):
    serving = serve()
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        watched = client.watch(5, seats=[1], min_turn=10)
    assert [(sequence, seat) for _, sequence, _, seat, _ in watched] == [
        (k, 1) for k in (5, 7, 9, 11, 13)
    ]


@faces
def test_questions_are_answered(serve, face):
    serving = serve()
    serving.ring.write(*specs(4))
    with opened(face, serving) as client:
        serving.wait(lambda: client.ask()[0].total.trajectories == 4)
        stats, instance = client.ask()
    assert {seat: row.experiences for seat, row in stats.per_seat.items()} == {0: 8, 1: 8}
    assert instance == serving.instance


@faces
def test_a_refusal_is_typed_and_not_tried_again(serve, face):
    serving = serve()
    with opened(face, serving, retry=QUICK) as client:
        with pytest.raises(RejectedError) as caught:
            client.fail(seats=[99])
        assert caught.value.status == "INVALID_ARGUMENT"
        with pytest.raises(RejectedError) as caught:
            client.ask_for_game(404)
        assert (caught.value.status, caught.value.__cause__) == ("NOT_FOUND", None)


@faces
def test_no_farm_is_an_unavailable_farm_within_the_deadline(face):
    client = face("127.0.0.1:9", retry=Retry(first_s=0.01, deadline_s=0.2))
    start_s = time.monotonic()
    try:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
            client.take(1)
        with pytest.raises(UnavailableError):
            client.ask()
    finally:
        client.close()
    assert time.monotonic() - start_s < 15


@faces
def test_a_farm_of_another_spec_is_refused(serve, face, monkeypatch):
    serving = serve()
    monkeypatch.setattr("farm.client.core.spec_fingerprint", lambda: 1)
    with opened(face, serving) as client, pytest.raises(SpecMismatchError):
        client.take(1)


@faces
def test_a_stream_goes_on_when_its_service_is_replaced(serve, face):
    serving = serve()
    serving.config = farm_config(address=serving.address)
    replaced = threading.Event()

    def replace():
        serving.wait(lambda: serving.counter("served_records") >= 10)
        serving.stop_service()
        serving.start()
        serving.ring.write(*specs(10))
        replaced.set()

    serving.ring.write(*specs(10))
    replacing = threading.Thread(target=replace, daemon=True)
    with opened(face, serving, retry=QUICK) as client:
        replacing.start()
        taken, received = client.take(20)
        replacing.join(TIMEOUT_S)
    assert [sequence for _, sequence, *_ in taken] == list(range(20))
    assert received.connections == 2
    assert received.missing == 0
    assert replaced.is_set()


@faces
def test_a_client_cut_off_for_its_silence_connects_again_and_loses_nothing(serve, face):
    serving = serve(client_timeout_s=0.3, credit_bytes=4 * len(entry(Spec())), min_batch_bytes=1)
    serving.ring.write(*specs(N))
    with opened(face, serving, retry=QUICK) as client:
        taken, received = client.take(N, pause_s=0.8)
    assert [sequence for _, sequence, *_ in taken] == list(range(N))
    assert received.connections == 2


def test_both_faces_see_the_same(serve):
    serving = serve(max_batch_bytes=5 * len(entry(Spec())), min_batch_bytes=1)
    outcomes = []
    for face in FACES:
        serving.ring.write(*specs(N))
        with opened(face, serving) as client:
            taken, received = client.take(N)
            outcomes.append(([t[2:4] for t in taken], received.experiences, received.missing))
    assert outcomes[0] == outcomes[1]


def test_a_cancelled_wait_costs_the_connection_and_no_data(serve):
    serving = serve()

    async def script():
        async with AsyncClient(serving.address, retry=QUICK) as client:
            subscription = client.subscribe()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(subscription), 0.3)
            serving.ring.write(*specs(3))
            return [(await anext(subscription)).sequence for _ in range(3)]

    assert asyncio.run(asyncio.wait_for(script(), TIMEOUT_S)) == [0, 1, 2]


def test_an_asyncio_client_outside_a_loop_says_what_to_do():
    with pytest.raises(UsageError, match="async with"):
        AsyncClient().subscribe()


def test_the_ten_lines_of_a_trainer_work(serve):
    serving = serve()
    serving.ring.write(*specs(N))
    n_rows = 0
    with Client(serving.address) as client:
        for trajectories in client.batches(10):
            batch = stack(trajectories)
            assert batch.planes().shape[0] == batch.legal_mask.shape[0] == len(batch)
            n_rows += len(batch)
            if n_rows == 4 * N:
                break


def test_a_closed_subscription_ends_its_iteration(serve):
    serving = serve()
    serving.ring.write(*specs(3))
    with Client(serving.address) as client:
        subscription = client.subscribe()
        next(subscription)
        subscription.close()
        subscription.close()
        assert len(list(subscription)) == 2  # what had arrived


def test_two_clients_of_a_process_have_connections_of_their_own(serve):
    serving = serve()
    serving.ring.write(*specs(N))
    with Client(serving.address) as first, Client(serving.address) as second:
        stream = first.stream()
        next(stream)
        assert second.info().instance == serving.instance
