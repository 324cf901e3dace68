"""Spans of the real service, over real sockets: whose child, what they say, and that they end."""

import time
import tracemalloc

import grpc
import pytest
from faces import faces, opened
from handmade import Spec
from subscribing import OWN_CONNECTION, Raw, read_to_end, sequences, subscriber

from farm.client import Client, Retry
from farm.errors import RejectedError
from farm.rpc import names
from farm.rpc.names import method_path
from farm.serve import trail as trails
from farm.serve.trail import NO_TRAIL, Trail, is_told
from farm.version import __version__

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

import kept_spans
from kept_spans import events
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

pytestmark = pytest.mark.timeout(90)
SERVICE = names.EXPERIENCE_SERVICE


@pytest.fixture
def exporter(tmp_path, monkeypatch):
    yield from kept_spans.asked_for(tmp_path, monkeypatch)


@pytest.fixture
def traced(serve, exporter):
    """Starts a service that traces."""

    def start(**options):
        exporter(kept_spans.NAME)
        return serve(**options)

    return start


@pytest.fixture
def caller():
    """A span of the program that calls."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("trainer").start_span("train")
    with trace.use_span(span):
        yield span.get_span_context()


def is_child(span, parent):
    return (
        span.parent is not None
        and span.parent.is_remote
        and span.parent.span_id == parent.span_id
        and span.context.trace_id == parent.trace_id
    )


def test_a_call_is_a_span_with_the_conventions_attributes(traced):
    with Client(traced().address) as client:
        client.info()
    (span,) = kept_spans.wait("GetFarmInfo")
    assert span.name == f"{SERVICE}/GetFarmInfo"
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert dict(span.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "GetFarmInfo",
        "rpc.grpc.status_code": 0,
        "farm.caller": "host 127.0.0.1",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()


def test_the_resource_names_the_farm_and_its_child(traced, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=lab,farm.role=mine")
    serving = traced()
    with Client(serving.address) as client:
        client.info()
    (span,) = kept_spans.wait("GetFarmInfo")
    about = span.resource.attributes
    assert about["service.name"] == "farm"
    assert about["service.version"] == __version__
    assert about["service.instance.id"] == f"{serving.instance}/experiences"
    assert (about["farm.instance"], about["farm.generation"]) == (serving.instance, 1)
    assert (about["deployment.environment"], about["farm.role"]) == ("lab", "mine")


def test_the_service_name_is_the_environments_if_it_has_one(traced, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "arena")
    with Client(traced().address) as client:
        client.info()
    assert kept_spans.wait("GetFarmInfo")[0].resource.attributes["service.name"] == "arena"


@faces
def test_calls_and_streams_are_children_of_the_callers_span(traced, caller, face):
    serving = traced()
    serving.ring.write(*[Spec()] * 4)
    with opened(face, serving) as client:
        client.ask()
        client.watch(2)
        serving.wait(lambda: serving.counter("streams") == 0, "the stream's end")
        serving.ring.write(*[Spec()] * 2)
        client.take(2)
    for name in ("GetExperienceStats", "GetFarmInfo", "Subscribe", "StreamExperiences"):
        (span,) = kept_spans.wait(name)
        assert is_child(span, caller), name


@faces
def test_without_a_span_of_the_caller_a_call_is_a_root(traced, face):
    with opened(face, traced()) as client:
        client.ask()
    assert all(span.parent is None for span in kept_spans.wait("", 2))


def test_the_state_of_a_trace_goes_along(traced):
    state = TraceState([("vendor", "opaque")])
    sampled = SpanContext(1 << 70, 7, is_remote=False, trace_flags=TraceFlags(1), trace_state=state)
    with Client(traced().address) as client, trace.use_span(trace.NonRecordingSpan(sampled)):
        client.info()
    (span,) = kept_spans.wait("GetFarmInfo")
    assert is_child(span, sampled)
    assert span.context.trace_state == state


def test_a_trace_that_its_caller_does_not_sample_is_not_recorded(traced):
    unsampled = SpanContext(1 << 70, 7, is_remote=False, trace_flags=TraceFlags(0))
    with Client(traced().address) as client:
        with trace.use_span(trace.NonRecordingSpan(unsampled)):
            client.info()
        client.stats()
    kept_spans.wait("GetExperienceStats")
    assert [span.name for span in kept_spans.all_spans()] == [f"{SERVICE}/GetExperienceStats"]


@pytest.mark.parametrize(
    "parent", ["", "00-0-0-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "x"]
)
def test_a_parent_that_is_none_is_no_parent(traced, parent):
    serving = traced()
    with grpc.insecure_channel(serving.address) as channel:
        call = channel.unary_unary(method_path(names.GET_FARM_INFO))
        call(b"", metadata=(("traceparent", parent), ("odd-bin", b"\x00\xff")), timeout=20)
    assert kept_spans.wait("GetFarmInfo")[0].parent is None


def test_a_refusal_has_its_status_and_reason_and_is_no_error_of_ours(traced):
    with Client(traced().address) as client, pytest.raises(RejectedError):
        client.stats(game_ids=[4711])
    (span,) = kept_spans.wait("GetExperienceStats")
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert span.status.status_code is StatusCode.UNSET
    ((name, about),) = events(span)
    assert name == "refused"
    assert "4711" in about["detail"]


def test_a_fault_of_ours_is_an_error_with_its_traceback_and_id(traced, monkeypatch, capfd):
    serving = traced()
    serving.address  # noqa: B018 - it is ready
    monkeypatch.setattr("farm.serve.describe.Describer.info", fail)
    with Client(serving.address) as client, pytest.raises(RejectedError) as refused:
        client.info()
    (span,) = kept_spans.wait("GetFarmInfo")
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.INTERNAL.value[0]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description in str(refused.value)
    assert span.status.description.split()[2].rstrip(";") in "".join(capfd.readouterr())
    ((name, about),) = events(span)
    assert name == "exception"
    assert (about["exception.type"], about["exception.message"]) == ("ValueError", "broken")
    assert "in fail" in about["exception.stacktrace"]


def fail(_describer):
    raise ValueError("broken")


def test_a_stream_is_one_span_that_tells_its_life(traced):
    serving = traced()
    with grpc.insecure_channel(serving.address, OWN_CONNECTION) as channel:
        raw = Raw(channel, 1 << 18, group="eval")
        serving.ring.write(*[Spec()] * 3)
        batch = raw.read()
        raw.ack(batch.batch_id)
        serving.wait(lambda: serving.counter("acknowledged_records") == 3)
        raw._send(None)
        read_to_end(raw.call)
    (span,) = kept_spans.wait("Subscribe")
    told = events(span)
    assert [name for name, _ in told] == ["opened", "batch", "acknowledged", "ended"]
    assert told[0][1] == {
        "farm.group": "eval",
        "farm.policy": "lossless",
        "farm.credit_bytes": 1 << 18,
    }
    assert told[1][1]["farm.records"] == told[1][1]["farm.batches"] * 3 == 3
    assert told[2][1]["farm.acknowledged_records"] == 3
    assert told[3][1]["reason"] == "ok"
    assert span.attributes["farm.acknowledged_records"] == 3
    assert span.attributes["farm.bytes"] == serving.counter("served_bytes")
    assert span.attributes["rpc.grpc.status_code"] == 0
    assert [one.name for one in kept_spans.all_spans()] == [span.name]


def test_what_is_delivered_again_is_told_on_the_second_stream(traced):
    serving = traced()
    with subscriber(serving) as first:
        serving.ring.write(*[Spec()] * 2)
        assert sequences(first.read()) == [0, 1]
    kept_spans.wait("Subscribe", 1)
    with subscriber(serving) as second:
        assert second.read().redelivered
    first_span, second_span = kept_spans.wait("Subscribe", 2)
    for span in (first_span, second_span):
        name, told = events(span)[-1]
        assert name == "ended"
        # A client that goes is an end of its stream first, and cancelled when gRPC counts it so.
        assert told["reason"] in {"cancelled", "ok"}
        assert span.status.status_code is StatusCode.UNSET
    assert "redelivered" not in [name for name, _ in events(first_span)]
    told = dict(events(second_span))
    assert told["redelivered"]["farm.redelivered_records"] == 2
    assert second_span.attributes["farm.redelivered_batches"] == 1


def test_a_stream_that_the_farm_ends_says_why(traced):
    serving = traced()
    with subscriber(serving) as member:
        assert serving.stop_service() == 0
        with pytest.raises(grpc.RpcError):
            member.read()
    (span,) = kept_spans.wait("Subscribe")
    assert events(span)[-2:] == [
        ("refused", {"detail": "the farm is stopping"}),
        ("ended", {"reason": "the farm is stopping"}),
    ]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.UNAVAILABLE.value[0]


def test_a_stream_of_many_batches_has_few_events(traced):
    serving = traced(min_batch_bytes=1)
    n_batches = 150
    with Client(serving.address) as client, client.subscribe() as subscription:
        for _ in range(n_batches):
            serving.ring.write(Spec())
            next(subscription)
            subscription.acknowledge()
        serving.wait(lambda: serving.counter("acknowledged_records") == n_batches)
    (span,) = kept_spans.wait("Subscribe")
    assert span.attributes["farm.records"] == n_batches
    n_served = serving.counter("served_batches")
    assert span.attributes["farm.acknowledged_records"] == n_batches
    told = [about["farm.batches"] for name, about in events(span) if name == "batch"]
    assert told == [1 << power for power in range(n_served.bit_length())]
    assert len(span.events) < 2 + 2 * 9
    assert span.dropped_events == 0


def test_a_submission_says_what_became_of_it(traced):
    serving = traced(takes_in=True)
    with Client(serving.address) as client:
        client.submit([])
    (span,) = kept_spans.wait("SubmitExperiences")
    counts = {"farm.accepted_records": 0, "farm.rejected_records": 0}
    assert events(span) == [("opened", {}), ("taken", counts), ("ended", {"reason": "ok"})]


def test_health_checks_have_no_spans(traced):
    with grpc.insecure_channel(traced().address) as channel:
        channel.unary_unary(method_path("Check", "grpc.health.v1.Health"))(b"", timeout=20)
        channel.unary_unary(method_path(names.GET_FARM_INFO))(b"", timeout=20)
    kept_spans.wait("GetFarmInfo")
    assert [span.name for span in kept_spans.all_spans()] == [f"{SERVICE}/GetFarmInfo"]


def test_a_sampler_that_takes_nothing_leaves_streams_without_notes(traced, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    made = []
    monkeypatch.setattr("farm.serve.trace.SpanTrail", made.append)
    serving = traced()
    serving.ring.write(Spec())
    with Client(serving.address) as client:
        client.info()
        next(client.subscribe())
    assert serving.stop_service() == 0
    assert kept_spans.all_spans() == []
    assert made == []


def test_the_last_spans_are_sent_at_a_stop(traced, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    serving = traced()
    with Client(serving.address) as client:
        client.info()
    assert kept_spans.all_spans() == []
    assert serving.stop_service() == 0
    assert [span.name for span in kept_spans.all_spans()] == [f"{SERVICE}/GetFarmInfo"]


def test_a_collector_that_hangs_holds_up_neither_calls_nor_the_stop(
    serve, exporter, monkeypatch, capfd
):
    exporter(f"{kept_spans.NAME}_blocked")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    serving = serve()
    with Client(serving.address, timeout_s=20) as client:
        for _ in range(100):
            client.info()
    began_s = time.monotonic()
    assert serving.stop_service() == 0
    assert time.monotonic() - began_s < 10.0
    assert "traces_not_sent" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "reason"),
    [(f"{kept_spans.NAME}_broken", "no such collector"), ("nobody", "traces exporter 'nobody'")],
)
def test_an_exporter_that_cannot_be_had_is_logged_and_the_service_serves(
    serve, exporter, capfd, name, reason
):
    exporter(name)
    with Client(serve().address) as client:
        client.info()
    said = "".join(capfd.readouterr())
    assert "traces_off" in said
    assert reason in said
    assert kept_spans.all_spans() == []


def test_a_reconnected_stream_has_a_span_for_each_connection_and_one_parent(traced, caller):
    serving = traced()
    serving.ring.write(Spec())
    retry = Retry(first_s=0.02, ceiling_s=0.1, deadline_s=30.0)
    with Client(serving.address, retry=retry) as client:
        stream = client.subscribe()
        next(stream)
        stream._drop_call()
        stream._inbox.disconnected()
        serving.ring.write(Spec())
        next(stream)
        stream.close()
    assert all(is_child(span, caller) for span in kept_spans.wait("Subscribe", 2))


def test_a_batch_that_nobody_traces_costs_one_empty_call(serve, monkeypatch):
    calls = []

    def batch(self, *counts):
        assert self is NO_TRAIL
        calls.append(counts)

    monkeypatch.setattr(Trail, "batch", batch)
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(*[Spec()] * 3)
        member.read()
    assert len(calls) == serving.counter("served_batches") == 1


def test_an_empty_note_allocates_nothing():
    NO_TRAIL.batch(1, 2, 3, 4)
    tracemalloc.start()
    try:
        for _ in range(1_000):
            NO_TRAIL.batch(1, 2, 3, 4)
            NO_TRAIL.acknowledged(1, 2)
        only = [tracemalloc.Filter(inclusive=True, filename_pattern=trails.__file__)]
        assert tracemalloc.take_snapshot().filter_traces(only).traces._traces == []
    finally:
        tracemalloc.stop()


def test_powers_of_two_are_told():
    assert [n for n in range(1, 40) if is_told(n)] == [1, 2, 4, 8, 16, 32]
