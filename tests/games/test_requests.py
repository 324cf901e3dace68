"""Whatever is sent, no call ends as a fault of ours."""

import grpc
import pytest
from hosting import REQUESTS, Refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb

pytestmark = pytest.mark.timeout(300)

FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED}
STREAMS = {names.STREAM_GAME, names.PLAY, names.PLAY_MANY}
UNARY = sorted(set(REQUESTS) - STREAMS)
EDGES = {
    "uint32": st.sampled_from([0, 1, 2, 3, 5, 10, 24, 25, 100, 2**31 - 1, 2**31, 2**32 - 1]),
    "uint64": st.sampled_from([0, 1, 2, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]),
    "double": st.sampled_from([0.0, 0.2, 0.35, -1.0, 1.0, float("inf"), float("nan"), 1e300]),
    "bool": st.booleans(),
    "enum": st.sampled_from([0, 1, 2, 6, 7, 2**31 - 1]),
    "bytes": st.one_of(
        st.binary(max_size=24),
        st.lists(st.sampled_from([0, 1, 2, 199, 200, -1, 2**31 - 1]), max_size=4).map(
            lambda numbers: b"".join(n.to_bytes(4, "little", signed=True) for n in numbers)
        ),
    ),
    "string": st.sampled_from(
        [
            "",
            "x",
            "random",
            "hunter",
            "official",
            "simple",
            "G0 . . .\n. . . .\n. . . .\n. . . G1",
            "é" * 16,
            "\x00",
            "x" * 200,
            "\U0001f3f0" * 30,
        ]
    ),
}


def kind_of(field):
    if field.enum_type is not None:
        return "enum"
    names_by_type = {13: "uint32", 4: "uint64", 1: "double", 8: "bool", 12: "bytes", 9: "string"}
    return names_by_type[field.type]


def value_of(draw, field, known):
    if field.message_type is not None:
        return message_of(draw, field.message_type, known)
    if field.name in known and draw(st.integers(0, 3)):
        return draw(st.sampled_from(known[field.name]))
    return draw(EDGES[kind_of(field)])


def message_of(draw, descriptor, known):
    """A message with some of its fields set, to what lies at edges, or to what is there."""
    made = getattr(pb, descriptor.name)()
    for field in descriptor.fields:
        if not draw(st.integers(0, 3)):
            continue
        target = getattr(made, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key = draw(EDGES["uint32"])
            target[key] = draw(EDGES["string"])
        elif field.is_repeated:
            target.extend(value_of(draw, field, known) for _ in range(draw(st.integers(0, 3))))
        elif field.message_type is not None:
            target.CopyFrom(value_of(draw, field, known))
        else:
            setattr(made, field.name, value_of(draw, field, known))
    return made


@pytest.fixture(scope="module")
def known(shared):
    """Games of every kind and tokens to them, so that requests get past the first check."""
    created = [
        shared.create(spectators=True, tick_ms=10, bots={0: "random"}),
        shared.create(spectators=True, n_seats=3),
        shared.create(),
    ]
    tokens = [shared.join(one.game_id).token for one in created]
    tokens += [one.spectator_token for one in created[:2]]
    return {
        "game_id": [one.game_id for one in created],
        "token": tokens,
        "owner_token": [one.owner_token for one in created],
        "n_games": [0, 1, 2, 5000],
        "wait_ms": [0, 20, 30_001],
    }


def check(code):
    assert code not in FAULTS, code


SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("method", UNARY)
@SETTINGS
@given(data=st.data())
def test_no_request_to_a_unary_call_is_a_fault_of_ours(shared, known, method, data):
    request = message_of(data.draw, REQUESTS[method].DESCRIPTOR, known)
    try:
        shared.raw(method, request.SerializeToString())
    except Refused as refused:
        check(refused.code)
        assert refused.detail is not None


@pytest.mark.parametrize("method", sorted(REQUESTS))
@SETTINGS
@given(junk=st.binary(max_size=64))
def test_no_bytes_are_a_fault_of_ours(shared, known, method, junk):
    path = names.method_path(method, names.GAME_SERVICE)
    if method in UNARY:
        call = shared.channel.unary_unary(path).future(junk, timeout=0.5)
    elif method == names.STREAM_GAME:
        call = shared.channel.unary_stream(path)(junk, timeout=0.5)
    else:
        call = shared.channel.stream_stream(path)(iter([junk]), timeout=0.5)
    check(call.code())
    call.cancel()


@pytest.mark.parametrize("method", [names.PLAY, names.PLAY_MANY])
@SETTINGS
@given(data=st.data())
def test_no_messages_of_a_stream_are_a_fault_of_ours(shared, known, method, data):
    path = names.method_path(method, names.GAME_SERVICE)
    kind = REQUESTS[method].DESCRIPTOR
    first = REQUESTS[method](open=message_of(data.draw, kind.fields[0].message_type, known))
    later = [message_of(data.draw, kind, known) for _ in range(data.draw(st.integers(0, 3)))]
    messages = [one.SerializeToString() for one in (first, *later)]
    call = shared.channel.stream_stream(path)(iter(messages), timeout=3)
    check(call.code())


@SETTINGS
@given(data=st.data())
def test_no_request_for_a_stream_is_a_fault_of_ours(shared, known, data):
    request = message_of(data.draw, pb.StreamGameRequest.DESCRIPTOR, known)
    path = names.method_path(names.STREAM_GAME, names.GAME_SERVICE)
    call = shared.channel.unary_stream(path)(request.SerializeToString(), timeout=0.2)
    check(call.code())


def test_the_host_is_well_afterwards(shared, known):
    created = shared.create(bots={0: "random"}, tick_ms=10)
    token = shared.join(created.game_id).token
    assert shared.state(created.game_id, token, after_tick=3, wait_ms=10_000).tick > 3
    assert shared.hosting.slot.counter("rpc_errors") > 0
