"""The service over real sockets: what it answers, and what it says to what it cannot answer."""

import queue

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from handmade import Spec
from serving import RUN_ID, farm_config

from farm.client import NO_RETRY, Client
from farm.errors import RejectedError, UnavailableError
from farm.rpc import names
from farm.rpc.v1 import experience_pb2
from farm.spec import spec_fingerprint
from farm.version import __version__

Batch = experience_pb2.ExperienceBatch
Request = experience_pb2.SubscribeRequest
Code = grpc.StatusCode
TIMEOUT_S = 20.0

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def channel(serve):
    """A bare channel to a service; `channel.serving` is the service."""
    serving = serve()
    with grpc.insecure_channel(serving.address) as made:
        made.serving = serving
        yield made


def subscribe(channel, *messages):
    call = channel.stream_stream(names.method_path(names.SUBSCRIBE))
    return call(iter(messages), timeout=TIMEOUT_S)


def subscribe_and_stay(channel, first):
    """A subscription that is not half-closed."""
    requests = queue.SimpleQueue()
    requests.put(first)
    call = channel.stream_stream(names.method_path(names.SUBSCRIBE))
    return call(iter(requests.get, None), timeout=TIMEOUT_S)


def opening(credit_bytes=0):
    return Request(open=experience_pb2.SubscribeOpen(credit_bytes=credit_bytes)).SerializeToString()


def ack(*batch_ids):
    return Request(ack=experience_pb2.Ack(batch_ids=batch_ids)).SerializeToString()


def ending(call):
    """How a stream ends, when read to its end."""
    with pytest.raises(grpc.RpcError) as caught:
        for _ in call:
            pass
    return caught.value.code(), caught.value.details()


def unary(channel, method, request=b""):
    return channel.unary_unary(names.method_path(method))(request, timeout=TIMEOUT_S)


def stream(channel, **fields):
    request = experience_pb2.StreamExperiencesRequest(filter=experience_pb2.Filter(**fields))
    call = channel.unary_stream(names.method_path(names.STREAM_EXPERIENCES))
    return call(request.SerializeToString(), timeout=TIMEOUT_S)


def test_the_first_message_says_what_the_farm_is(channel):
    batch = Batch.FromString(next(subscribe(channel, opening(credit_bytes=5_000))))
    assert batch.started.spec_fingerprint == spec_fingerprint()
    assert batch.started.instance == channel.serving.instance
    assert batch.started.credit_bytes == 5_000
    assert batch.started.run_id == RUN_ID
    assert not batch.trajectories


def test_more_credit_than_the_limit_is_lowered_to_it(serve):
    serving = serve(credit_bytes=1 << 18)
    with grpc.insecure_channel(serving.address) as channel:
        batch = Batch.FromString(next(subscribe(channel, opening(credit_bytes=1 << 30))))
    assert batch.started.credit_bytes == 1 << 18


def test_members_are_granted_less_together_than_the_rings_hold(serve):
    serving = serve(n_rings=2, capacity_bytes=1 << 16)
    granted = []
    with grpc.insecure_channel(serving.address) as channel:
        calls = []
        for _ in range(4):
            calls.append(subscribe_and_stay(channel, opening(credit_bytes=1 << 20)))
            granted.append(Batch.FromString(next(calls[-1])).started.credit_bytes)
        for call in calls:
            call.cancel()
    assert granted == [65_536, 32_768, 21_845, 16_384]


@pytest.mark.parametrize("first", [b"\xff\xff\xff", ack(1), b""])
def test_a_subscription_that_does_not_begin_with_open_is_refused(channel, first):
    code, detail = ending(subscribe(channel, first))
    assert code is Code.INVALID_ARGUMENT
    assert "open" in detail or "SubscribeRequest" in detail


def test_a_subscription_without_any_message_is_refused(channel):
    assert ending(subscribe(channel))[0] is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("second", [opening(), b"\xff\xff\xff", b""])
def test_behind_open_only_acknowledgements_are_taken(channel, second):
    assert ending(subscribe(channel, opening(), second))[0] is Code.INVALID_ARGUMENT


def test_an_acknowledgement_of_what_was_never_handed_out_ends_the_stream(channel):
    code, detail = ending(subscribe(channel, opening(), ack(77)))
    assert code is Code.INVALID_ARGUMENT
    assert "batch 77" in detail


def test_an_oversize_request_is_refused_and_the_service_goes_on(channel):
    request = b"x" * (names.MAX_REQUEST_BYTES + 1)
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, names.GET_FARM_INFO, request)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    assert unary(channel, names.GET_FARM_INFO)


@pytest.mark.parametrize("method", [names.GET_FARM_INFO, names.GET_EXPERIENCE_STATS])
def test_a_malformed_request_is_refused_without_a_word_of_the_inside(channel, method):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, method, b"\xff\xff\xff\xff")
    assert caught.value.code() is Code.INVALID_ARGUMENT
    assert caught.value.details().startswith("4 bytes that are no farm.rpc.v1.Get")


def test_an_unknown_method_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "Nonsense")
    assert caught.value.code() is Code.UNIMPLEMENTED


@pytest.mark.parametrize("fields", [{"seats": [16]}, {"game_ids": range(1025)}])
def test_a_filter_out_of_bounds_is_refused(channel, fields):
    assert ending(stream(channel, **fields))[0] is Code.INVALID_ARGUMENT


def test_a_fault_of_ours_is_an_opaque_id_that_is_in_the_log(channel, monkeypatch, capfd):
    def break_down():
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr("farm.serve.describe.Describer.info", lambda _self: break_down())
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, names.GET_FARM_INFO)
    assert caught.value.code() is Code.INTERNAL
    assert "secret" not in caught.value.details()
    error_id = caught.value.details().split()[2].rstrip(";")
    logged = "".join(capfd.readouterr())
    assert error_id in logged
    assert "secret of the house" in logged
    assert channel.serving.counter("rpc_errors") == 1


def test_one_stream_too_many_is_refused_and_a_place_is_free_again_later(serve):
    serving = serve(max_streams=2)
    with (
        Client(serving.address, retry=NO_RETRY) as client,
        grpc.insecure_channel(serving.address) as channel,
    ):
        calls = [stream(channel) for _ in range(2)]
        for call in calls:
            next(call)
        with pytest.raises(RejectedError, match=r"serve\.max_streams") as caught:
            next(client.subscribe())
        assert caught.value.status == "RESOURCE_EXHAUSTED"
        assert client.info().version == __version__  # unary calls are no streams
        calls[0].cancel()
        serving.wait(lambda: serving.counter("streams") == 1, "a free place")
        assert Batch.FromString(next(subscribe(channel, opening()))).HasField("started")


def test_discovery_says_what_the_farm_is_and_where(serve):
    serving = serve(n_rings=2)
    with Client(serving.address) as client:
        info = client.info()
    assert (info.version, info.instance) == (__version__, serving.instance)
    assert info.spec_fingerprint == spec_fingerprint()
    assert info.endpoints == {names.EXPERIENCE_SERVICE: serving.address}
    assert (info.seed, info.policies, info.config_epoch) == (7, ("expander", "random"), 1)
    assert [child.name for child in info.children] == ["experiences"]
    assert info.children[0].state == "ready"
    assert info.children[0].heartbeat_age_s < 5
    assert info.children[0].counters["rpc_errors"] == 0


def test_discovery_names_the_endpoint_of_metrics_if_there_is_one(serve):
    serving = serve()
    address = serving.address
    serving.control.metrics_address = "127.0.0.1:9464"
    with Client(address) as client:
        endpoints = client.info().endpoints
    assert endpoints == {
        names.EXPERIENCE_SERVICE: address,
        names.METRICS_ENDPOINT: "127.0.0.1:9464",
    }


def test_discovery_names_every_games_host_that_has_bound_an_address(serve):
    serving = serve()
    address = serving.address
    serving.control.set_game_address(0, "127.0.0.1:50061")
    serving.control.set_game_address(2, "127.0.0.1:50063")
    with Client(address) as client:
        endpoints = client.info().endpoints
    assert endpoints == {
        names.EXPERIENCE_SERVICE: address,
        names.GAME_SERVICE: "127.0.0.1:50061",
        f"{names.GAME_SERVICE}/2": "127.0.0.1:50063",
    }


def test_every_message_is_counted_by_its_size(serve):
    serving = serve()
    serving.ring.write(*[Spec(seed=seed) for seed in range(20)])
    with Client(serving.address) as client, client.subscribe() as stream:
        for _ in range(20):
            next(stream)
    served = serving.slot.histogram("served_batch_bytes")
    assert sum(served.counts) == serving.counter("served_batches") > 0
    assert served.total == serving.counter("served_bytes") > 0


def test_statistics_count_what_is_in_the_rings_before_anyone_takes_it(serve):
    serving = serve(n_rings=2)
    for worker, ring in enumerate(serving.rings):
        ring.write(*[Spec(game_id=10 + worker, seat=seat, terminated=True) for seat in (0, 1)])
    with Client(serving.address) as client:
        stats = serving.wait(
            lambda: (got := client.stats(per_seat=True)).total.trajectories == 4 and got
        )
        assert (stats.total.experiences, stats.total.games_finished) == (16, 2)
        assert {seat: row.trajectories for seat, row in stats.per_seat.items()} == {0: 2, 1: 2}
        assert [(ring.worker, ring.records) for ring in stats.rings] == [(0, 2), (1, 2)]
        assert all(ring.filled_bytes > 0 for ring in stats.rings)
        game = client.stats(game_ids=[11]).per_game[11]
        assert (game.trajectories, game.games_finished) == (2, 1)
        assert game.oldest_ns == Spec().wall_time_ns


def test_a_game_that_is_not_there_is_named(serve):
    with (
        Client(serve().address) as client,
        pytest.raises(RejectedError, match="NOT_FOUND: game 404"),
    ):
        client.stats(game_ids=[404])


def test_a_question_for_too_many_games_is_refused(serve):
    with (
        Client(serve().address) as client,
        pytest.raises(RejectedError, match="INVALID_ARGUMENT: 1025 games"),
    ):
        client.stats(game_ids=range(1025))


def test_losses_are_told_by_reason(serve):
    serving = serve()
    worker = serving.control.children[1]
    worker.set("dropped_records", 3)
    worker.set("aborted_records", 2)
    worker.set("blocked_ns", 1_500_000_000)
    with Client(serving.address) as client:
        stats = client.stats()
    assert stats.dropped == {"ring_full": 3, "worker_died": 2}
    assert stats.rings[0].blocked_s == 1.5


def test_a_record_that_is_none_is_counted_and_the_rest_is_delivered(serve):
    serving = serve()
    serving.ring.write(Spec())
    serving.ring.write_bytes(b"what is this")
    serving.ring.write(Spec())
    with Client(serving.address) as client:
        taken = client.subscribe()
        assert [next(taken).sequence, next(taken).sequence] == [0, 2]
        taken.acknowledge()
        serving.wait(lambda: client.stats().rings[0].filled_bytes == 0, "the ring to be empty")
        assert client.stats().dropped == {"corrupt": 1}


def test_health_is_served_and_reflection_describes_the_service(channel):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    request = health_pb2.HealthCheckRequest(service=names.EXPERIENCE_SERVICE)
    answer = health_pb2.HealthCheckResponse.FromString(check(request.SerializeToString()))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING

    describe = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    )
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=names.EXPERIENCE_SERVICE)
    reply = next(describe(iter([asked.SerializeToString()]), timeout=TIMEOUT_S))
    files = reflection_pb2.ServerReflectionResponse.FromString(reply)
    assert b"StreamExperiences" in files.file_descriptor_response.file_descriptor_proto[0]


def test_a_live_config_applies_while_the_service_runs(serve):
    serving = serve(max_streams=1)
    with Client(serving.address, retry=NO_RETRY) as client:
        first = client.stream()
        first._receive()
        serving.store_config(farm_config(max_streams=2), 2)
        serving.wait(lambda: serving.slot.config_epoch == 2, "the new config")
        second = client.stream()
        second._receive()
        assert first.received.connections == second.received.connections == 1
        assert client.info().config_epoch == 2


def test_a_service_that_is_gone_is_an_unavailable_farm(serve):
    serving = serve()
    address = serving.address
    serving.stop_service()
    with Client(address, retry=NO_RETRY) as client, pytest.raises(UnavailableError, match=address):
        client.info()
