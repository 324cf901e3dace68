"""Limits for each client over the real service: floods, pacing, who is not hurt, and reloads."""

import asyncio
import contextlib
import hashlib
import threading
import time

import grpc
import grpc.aio
import pytest
from handmade import Spec, message
from serving import farm_config
from subscribing import OWN_CONNECTION, TIMEOUT_S, Batch, Code, bulky, subscriber

from farm.client import NO_RETRY, AsyncClient, Client, Retry
from farm.config.schema import LimitsConfig
from farm.errors import RejectedError
from farm.rpc import names
from farm.rpc.v1 import experience_pb2
from farm.serve.interceptor import ErrorInterceptor
from farm.serve.limits import Limiter, LimitInterceptor
from farm.spec import spec_fingerprint
from farm.telemetry.log import get_logger

pytestmark = pytest.mark.timeout(60)

RATE = 2_000_000
"""Bytes a second."""
OWN = ("ours", "theirs")
"""Names of two tokens, each token the same as its name."""


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    lines = [f"{name} train {hashlib.sha256(name.encode()).hexdigest()}" for name in OWN]
    file.write_text("\n".join(lines))
    file.chmod(0o600)
    return {"tokens_file": str(file)}


def refusal_of(call):
    """Status, message and milliseconds of the next try of a call that is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    trailing = dict(error.trailing_metadata() or ())
    return error.code(), error.details(), int(trailing.get(names.RETRY_METADATA, 0))


class Flood:
    """One connection with one token, or with none.

    Closing it ends what is open.
    """

    def __init__(self, serving, token=None):
        self.channel = grpc.insecure_channel(serving.address, OWN_CONNECTION)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.streams = []

    def ask(self):
        method = self.channel.unary_unary(names.method_path(names.GET_FARM_INFO))
        return method(b"", timeout=TIMEOUT_S, metadata=self._metadata)

    def open(self):
        method = self.channel.unary_stream(names.method_path(names.STREAM_EXPERIENCES))
        stream = method(b"", timeout=TIMEOUT_S, metadata=self._metadata)
        next(stream)
        self.streams.append(stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in self.streams:
            stream.cancel()
        self.channel.close()


def test_a_flood_of_streams_is_refused_with_limit_and_time_and_leaves_room_for_others(
    serve, tokens
):
    serving = serve(security=tokens, limits={"open_streams": 3}, max_streams=64)
    with Flood(serving, "ours") as ours, Flood(serving, "theirs") as theirs:
        for _ in range(3):
            ours.open()
        for _ in range(20):
            code, detail, retry_ms = refusal_of(ours.open)
            assert code is Code.RESOURCE_EXHAUSTED
            assert detail.startswith("token ours has 3 streams open")
            assert "limits.open_streams" in detail
            assert retry_ms == 1000
        theirs.open()
        assert ours.ask()
        assert serving.counter("refused_streams") == 20
        ours.streams.pop().cancel()
        serving.wait(lambda: serving.counter("streams") == 3, "the stream to end")
        ours.open()


def test_a_flood_of_calls_is_refused_until_the_told_time_and_others_go_on(serve, tokens):
    serving = serve(security=tokens, limits={"calls_per_second": 20})
    with Flood(serving, "ours") as ours, Flood(serving, "theirs") as theirs:
        began_s, n_answered = time.monotonic(), 0
        refused = []
        while len(refused) < 100:
            try:
                ours.ask()
                n_answered += 1
            except grpc.RpcError:
                refused.append(time.monotonic())
        seconds = time.monotonic() - began_s
        assert 20 <= n_answered <= 21 + 20 * seconds
        code, detail, retry_ms = refusal_of(ours.ask)
        assert code is Code.RESOURCE_EXHAUSTED
        assert "more than 20 calls a second (limits.calls_per_second)" in detail
        assert 1 <= retry_ms <= 50
        assert theirs.ask()
        time.sleep(retry_ms / 1000)  # what a client is told to do
        assert ours.ask()
        assert serving.counter("refused_rate") >= 101


def test_a_flood_of_refusals_is_one_line_of_the_log(serve, capfd):
    serving = serve(limits={"calls_per_second": 1})
    with Flood(serving) as flood:
        for _ in range(50):
            with contextlib.suppress(grpc.RpcError):
                flood.ask()
    text = capfd.readouterr().out
    assert text.count("client_limited") == 1
    assert "rpc_refused" not in text


def test_who_shows_no_known_token_is_limited_by_its_host_and_holders_of_one_are_not(serve, tokens):
    serving = serve(security=tokens, limits={"calls_per_second": 5})
    with Flood(serving, "wrong") as stranger, Flood(serving, "ours") as ours:
        codes = [refusal_of(stranger.ask)[0] for _ in range(50)]
        assert codes[0] is Code.UNAUTHENTICATED
        assert codes.count(Code.RESOURCE_EXHAUSTED) >= 30
        assert ours.ask()


def test_calls_in_flight_are_limited_and_room_again_when_one_is_answered():
    asyncio.run(_calls_in_flight())


async def _calls_in_flight():
    """A service of its own: no call of the real one takes long enough."""
    counts = {}
    limiter = Limiter(
        LimitsConfig(calls_in_flight=2),
        lambda counter, n: counts.update({counter: counts.get(counter, 0) + n}),
        get_logger(),
    )
    answer_now = asyncio.Event()

    async def slow(_request, _context):
        await answer_now.wait()
        return b"done"

    guards = (ErrorInterceptor(get_logger(), lambda: None), LimitInterceptor(limiter))
    server = grpc.aio.server(interceptors=guards)
    handlers = {"Slow": grpc.unary_unary_rpc_method_handler(slow)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary("/a.B/Slow")
        calls = [asyncio.ensure_future(_code_of(method(b"", timeout=20))) for _ in range(10)]
        done, waiting = await asyncio.wait(calls, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 8:
            more, waiting = await asyncio.wait(
                waiting, timeout=20, return_when=asyncio.FIRST_COMPLETED
            )
            done |= more
        assert {one.result() for one in done} == {Code.RESOURCE_EXHAUSTED}
        answer_now.set()
        assert [await one for one in waiting] == [Code.OK] * 2
        assert await method(b"", timeout=20) == b"done"
    await server.stop(0)
    assert counts == {"refused_calls": 8}


async def _code_of(call):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Code.OK


class Paced(threading.Thread):
    """Reads one group's batches until there were so many records, and acknowledges each."""

    def __init__(self, serving, group, n_records, token=None):
        super().__init__(daemon=True)
        self._address, self._group, self._n_records = serving.address, group, n_records
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.arrived = []
        self.n_records = 0
        self.start()

    def run(self):
        requests = _Requests(experience_pb2.SubscribeOpen(group=self._group))
        with grpc.insecure_channel(self._address, OWN_CONNECTION) as channel:
            method = channel.stream_stream(names.method_path(names.SUBSCRIBE))
            call = method(requests, timeout=TIMEOUT_S, metadata=self._metadata)
            while self.n_records < self._n_records:
                raw = next(call)
                batch = Batch.FromString(raw)
                if batch.trajectories:
                    requests.ack(batch.batch_id)
                    self.n_records += len(batch.trajectories)
                    self.arrived.append((time.monotonic(), len(raw)))
            requests.end()
            for _ in call:
                pass

    def finished(self):
        self.join(TIMEOUT_S)
        assert not self.is_alive()
        return self


class _Requests:
    """An opening, then acknowledgements as they are made."""

    def __init__(self, opening):
        self._made = [experience_pb2.SubscribeRequest(open=opening)]
        self._arrived = threading.Condition()

    def ack(self, batch_id):
        with self._arrived:
            ack = experience_pb2.Ack(batch_ids=[batch_id])
            self._made.append(experience_pb2.SubscribeRequest(ack=ack))
            self._arrived.notify()

    def end(self):
        with self._arrived:
            self._made.append(None)
            self._arrived.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self._arrived:
            self._arrived.wait_for(lambda: self._made, TIMEOUT_S)
            made = self._made.pop(0)
        if made is None:
            raise StopIteration
        return made.SerializeToString()


def rate_of(*readers):
    """Bytes a second over all that these have read, the first burst left out."""
    arrived = sorted(one for reader in readers for one in reader.arrived)
    began_s = arrived[0][0] + 0.5
    late = [one for one in arrived if one[0] >= began_s]
    return sum(n_bytes for _, n_bytes in late[1:]) / (late[-1][0] - late[0][0])


BATCHES = {"min_batch_bytes": 50_000, "max_batch_bytes": 100_000}
PACED = {**BATCHES, "capacity_bytes": 1 << 25}
RECORD_BYTES = 25_000


def fill(serving, n_records):
    payload = bulky(RECORD_BYTES)
    for _ in range(n_records):
        assert serving.ring.write_bytes(payload)


def test_bytes_to_a_client_are_paced_within_a_tenth_and_none_is_lost(serve):
    serving = serve(limits={"bytes_per_second_out": RATE}, **PACED)
    fill(serving, 280)
    reader = Paced(serving, "default", 280).finished()
    assert rate_of(reader) == pytest.approx(RATE, rel=0.1)
    assert reader.n_records == serving.counter("acknowledged_records") == 280
    assert serving.counter("redelivered_records") == 0
    assert serving.counter("held_out_ns") > 1_000_000_000


def test_streams_of_one_client_share_its_rate_and_another_client_has_its_own(serve, tokens):
    serving = serve(security=tokens, limits={"bytes_per_second_out": RATE}, **PACED)
    fill(serving, 200)
    ours = [Paced(serving, f"ours-{number}", 100, "ours") for number in range(2)]
    theirs = Paced(serving, "theirs", 200, "theirs")
    assert rate_of(*(one.finished() for one in ours)) == pytest.approx(RATE, rel=0.1)
    assert rate_of(theirs.finished()) == pytest.approx(RATE, rel=0.1)


def test_what_is_held_back_lies_in_the_ring_and_is_leased_to_nobody(serve):
    serving = serve(limits={"bytes_per_second_out": 65_536}, **PACED)
    fill(serving, 160)
    with subscriber(serving) as member, Client(serving.address, retry=NO_RETRY) as client:
        n_read = len(member.read().trajectories)
        serving.wait(lambda: client.stats().total.trajectories == 160)
        assert client.stats().leased_records == n_read <= 4
        assert serving.counter("served_records") == n_read


def test_a_new_rate_frees_who_is_held_back_at_once(serve):
    serving = serve(limits={"bytes_per_second_out": 65_536}, **PACED)
    fill(serving, 280)
    reader = Paced(serving, "default", 280)
    serving.wait(lambda: reader.arrived)
    assert reader.n_records < 20
    serving.store_config(farm_config(**BATCHES), 2)
    began_s = time.monotonic()
    reader.finished()
    assert time.monotonic() - began_s < 5.0  # at the old rate 107 s


def test_new_limits_count_from_the_next_call_on(serve):
    serving = serve(limits={"open_streams": 1})
    with Flood(serving) as flood:
        flood.open()
        assert refusal_of(flood.open)[0] is Code.RESOURCE_EXHAUSTED
        serving.store_config(farm_config(limits={"open_streams": 2}), 2)
        serving.wait(lambda: serving.slot.config_epoch == 2, "the new config")
        flood.open()
        assert refusal_of(flood.open)[0] is Code.RESOURCE_EXHAUSTED


def test_a_stop_does_not_wait_for_who_is_held_back(serve):
    serving = serve(limits={"bytes_per_second_out": 65_536}, **PACED)
    fill(serving, 160)
    with subscriber(serving) as member:
        member.ack(member.read().batch_id)
        stopper = threading.Thread(target=serving.stop_service)
        stopper.start()
        began_s = time.monotonic()
        with pytest.raises(grpc.RpcError) as ended:
            take_all(member)
        assert ended.value.code() is Code.UNAVAILABLE
        assert "stopping" in ended.value.details()
        assert time.monotonic() - began_s < 10.0  # all of it would take 61 s
        stopper.join(TIMEOUT_S)


def take_all(member):
    while True:
        member.ack(member.read().batch_id)


def submitted(n_bytes):
    """Messages of a submission of so many bytes; what is in them the farm rejects, one by one."""
    opening = experience_pb2.SubmitOpen(spec_fingerprint=spec_fingerprint())
    yield experience_pb2.SubmitRequest(open=opening).SerializeToString()
    batch = experience_pb2.SubmitBatch(trajectories=[message(Spec(), payload=bytes(100_000))])
    raw = experience_pb2.SubmitRequest(batch=batch).SerializeToString()
    for _ in range(n_bytes // len(raw)):
        yield raw


def submit(serving, messages):
    with grpc.insecure_channel(serving.address, OWN_CONNECTION) as channel:
        call = channel.stream_unary(names.method_path(names.SUBMIT_EXPERIENCES))
        return experience_pb2.SubmitResponse.FromString(call(messages, timeout=TIMEOUT_S))


def test_bytes_from_a_client_are_paced_within_a_tenth_and_all_are_taken(serve):
    serving = serve(limits={"bytes_per_second_in": RATE}, takes_in=True)
    assert serving.address
    began_s = time.monotonic()
    reply = submit(serving, submitted(6_000_000))
    seconds = time.monotonic() - began_s
    assert reply.rejected_records == 6_000_000 // 100_000 - 1
    assert seconds == pytest.approx(6_000_000 / RATE - 0.25, rel=0.1)
    assert serving.counter("held_in_ns") > 2_000_000_000


def test_a_message_that_is_too_long_ends_its_call_and_nothing_else(serve):
    serving = serve(takes_in=True)
    too_long = bytes(names.MAX_REQUEST_BYTES + 1)
    with Flood(serving) as flood:
        flood.open()
        code, detail, _ = refusal_of(lambda: submit(serving, iter([too_long])))
        assert code is Code.RESOURCE_EXHAUSTED
        assert str(names.MAX_REQUEST_BYTES) in detail
        method = flood.channel.unary_unary(names.method_path(names.GET_FARM_INFO))
        assert refusal_of(lambda: method(too_long, timeout=20))[0] is Code.RESOURCE_EXHAUSTED
        assert flood.ask()
        assert serving.counter("streams") == 1


def test_the_client_says_which_limit_it_met_and_when_to_try_again(serve):
    serving = serve(limits={"open_streams": 1, "calls_per_second": 10_000})
    with Client(serving.address, retry=NO_RETRY) as client, Flood(serving) as flood:
        flood.open()
        with pytest.raises(RejectedError, match=r"limits\.open_streams.*try again in 1 s") as met:
            next(client.subscribe())
        assert met.value.retry_after_s == 1.0
        serving.store_config(farm_config(limits={"calls_per_second": 1}), 2)
        serving.wait(lambda: serving.slot.config_epoch == 2, "the new config")
        with pytest.raises(RejectedError, match=r"limits\.calls_per_second") as met:
            [client.info() for _ in range(3)]
        assert 0 < met.value.retry_after_s <= 1.0


def make_room(serving, flood):
    """Close the one stream there may be; what is written then is for the next."""
    flood.streams[0].cancel()
    serving.wait(lambda: serving.counter("streams") == 0)
    serving.ring.write(Spec())


def test_a_stream_comes_again_when_it_was_told_to(serve):
    serving = serve(limits={"open_streams": 1})
    patient = Retry(first_s=0.01, ceiling_s=0.01, deadline_s=20.0)
    with Flood(serving) as flood, Client(serving.address, retry=patient) as client:
        flood.open()
        threading.Timer(0.5, make_room, (serving, flood)).start()
        assert next(client.subscribe()).sequence == 0
        # At 10 ms it would have asked fifty times.
        assert 1 <= serving.counter("refused_streams") <= 2


def test_the_asyncio_face_comes_again_too(serve):
    serving = serve(limits={"open_streams": 1})

    async def take():
        patient = Retry(first_s=0.01, ceiling_s=0.01, deadline_s=20.0)
        async with AsyncClient(serving.address, retry=patient) as client:
            # No subscription: a write that meets the refusal hides it (AsyncSubscription._write).
            return (await anext(client.stream())).sequence

    with Flood(serving) as flood:
        flood.open()
        threading.Timer(0.5, make_room, (serving, flood)).start()
        assert asyncio.run(take()) == 0
        assert 1 <= serving.counter("refused_streams") <= 2
