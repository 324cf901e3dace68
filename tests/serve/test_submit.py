"""Trajectories handed in from elsewhere: what is taken, what is not, and how they travel then."""

import contextlib
import struct
import threading
import time

import grpc
import lz4.block
import numpy as np
import pytest
from handmade import Spec, contents, message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from subscribing import TIMEOUT_S, Code, sequences, subscriber

from farm.client.decode import Trajectory
from farm.errors import CorruptDataError
from farm.rpc import names
from farm.rpc.checksum import checksum_of
from farm.rpc.v1 import experience_pb2
from farm.serve.submit import MAX_REJECTIONS, examine
from farm.shm.groups import SUBMITTED_RING
from farm.shm.ring_layout import RingView
from farm.spec import spec_fingerprint

pytestmark = pytest.mark.timeout(60)

Request = experience_pb2.SubmitRequest
Tamper = st.tuples(
    st.sampled_from([f.name for f in experience_pb2.Trajectory.DESCRIPTOR.fields]),
    st.integers(0, 2**32 - 1) | st.binary(max_size=40),
)


def opened(fingerprint=None):
    fingerprint = spec_fingerprint() if fingerprint is None else fingerprint
    return Request(open=experience_pb2.SubmitOpen(spec_fingerprint=fingerprint))


def batch(*trajectories):
    return Request(batch=experience_pb2.SubmitBatch(trajectories=trajectories))


def submit(serving, *requests):
    raw = [one if isinstance(one, bytes) else one.SerializeToString() for one in requests]
    with grpc.insecure_channel(serving.address) as channel:
        call = channel.stream_unary(names.method_path(names.SUBMIT_EXPERIENCES))
        return experience_pb2.SubmitResponse.FromString(call(iter(raw), timeout=TIMEOUT_S))


def refused(serving, *requests):
    with pytest.raises(grpc.RpcError) as caught:
        submit(serving, *requests)
    return caught.value.code(), caught.value.details()


def with_columns(spec, **changes):
    """A trajectory whose arrays are changed, sealed as its sender would."""
    arrays = contents(spec)
    fields = {name: getattr(arrays, name) for name in arrays.__dataclass_fields__}
    return message(spec, arrays=type(arrays)(**(fields | changes)))


def test_what_is_handed_in_reaches_every_group_under_a_name_of_its_own(serve):
    serving = serve(takes_in=True)
    sent = [message(Spec(sequence=900 + k, worker=3, game_id=k)) for k in range(5)]
    with subscriber(serving, group="a") as a, subscriber(serving, group="b") as b:
        response = submit(serving, opened(), batch(*sent[:3]), batch(*sent[3:]))
        assert (response.accepted_records, response.accepted_experiences) == (5, 20)
        assert (response.rejected_records, list(response.rejections)) == (0, [])
        for member in (a, b):
            received = []
            while len(received) < 5:
                received += member.read().trajectories
            assert [one.sequence for one in received] == list(range(5))
            for one, original in zip(received, sent, strict=True):
                assert (one.worker, one.generation) == (SUBMITTED_RING, 1)
                assert one.game_id == original.game_id
                assert Trajectory(one).decode() == Trajectory(original).decode()


def test_statistics_and_filters_know_them_like_all_others(serve):
    serving = serve(takes_in=True)
    wanted = experience_pb2.Filter(policies=["learner"])
    with subscriber(serving, filter=wanted) as member:
        sent = [message(Spec(policy=name)) for name in ("random", "learner", "random")]
        submit(serving, opened(), batch(*sent))
        assert sequences(member.read()) == [1]
        with grpc.insecure_channel(serving.address) as channel:
            call = channel.unary_unary(names.method_path(names.GET_EXPERIENCE_STATS))
            stats = experience_pb2.GetExperienceStatsResponse.FromString(call(b""))
        assert stats.total.trajectories == 3
        assert stats.rings[-1].worker == SUBMITTED_RING


def test_rejected_ones_are_named_with_reasons_and_the_others_are_taken(serve):
    serving = serve(takes_in=True)
    good = message(Spec())
    bad = [
        message(Spec(), checksum=7),
        message(Spec(height=3)),
        message(Spec(n_steps=4), payload=b"\x00" * 40, checksum=0),
    ]
    response = submit(serving, opened(), batch(good, bad[0], good), batch(*bad[1:], good))
    assert (response.accepted_records, response.rejected_records) == (3, 3)
    assert [one.index for one in response.rejections] == [1, 3, 4]
    reasons = [one.reason for one in response.rejections]
    assert "checksum 0x00000007" in reasons[0]
    assert "3x5" in reasons[1]


def test_only_the_first_rejections_are_spelled_out(serve):
    bad = message(Spec(), checksum=7)
    response = submit(serve(takes_in=True), opened(), batch(*[bad] * 130))
    assert response.rejected_records == 130
    assert len(response.rejections) == MAX_REJECTIONS


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (message(Spec(width=65)), "6x65"),
        (message(Spec(n_seats=17)), "17 seats"),
        (message(Spec(seat=2)), "seat 2"),
        (message(Spec(n_allies=2)), "2 allies"),
        (message(Spec(n_steps=257)), "257 steps"),
        (message(Spec(game_id=1 << 63)), "2\\*\\*63"),
        (message(Spec(first_tick=(1 << 32) - 2)), "no game lasts"),
        (message(Spec(policy="x" * 33)), "at most 32"),
        (message(Spec(), payload=b"not a block"), "checksum"),
        (with_columns(Spec(), reward=np.full(4, np.nan, np.float32)), "finite"),
        (with_columns(Spec(), log_prob=np.full(4, -np.inf, np.float32)), "finite"),
        (with_columns(Spec(), action=np.full(4, 8 * 30 + 1, np.uint16)), "action 241"),
    ],
)
def test_what_no_trajectory_can_be_is_told(bad, reason):
    with pytest.raises(CorruptDataError, match=reason):
        examine(bad)


def test_a_payload_that_would_be_larger_than_it_says_gets_no_room_to_grow():
    bomb = message(Spec())
    bomb.payload = lz4.block.compress(bytes(1 << 26), store_size=False)
    bomb.checksum = checksum_of(bomb)
    with pytest.raises(CorruptDataError, match="no LZ4 block"):
        examine(bomb)


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(Tamper, min_size=1, max_size=3), is_sealed=st.booleans())
def test_whatever_is_tampered_with_is_taken_only_if_a_client_can_decode_it(changes, is_sealed):
    trajectory = message(Spec())
    for name, value in changes:
        try:
            setattr(trajectory, name, value)
        except (TypeError, ValueError):
            continue
    if is_sealed:
        with contextlib.suppress(struct.error):  # what cannot even be sealed
            trajectory.checksum = checksum_of(trajectory)
    try:
        reward = examine(trajectory)
    except CorruptDataError:
        return
    assert (Trajectory(trajectory).reward == reward).all()
    assert len(Trajectory(trajectory).frames) == trajectory.n_steps + 1


def test_another_spec_is_refused_and_nothing_taken(serve):
    serving = serve(takes_in=True)
    code, detail = refused(serving, opened(fingerprint=1), batch(message(Spec())))
    assert code is Code.FAILED_PRECONDITION
    assert "0000000000000001" in detail
    assert RingView(serving.submitted).records == 0


@pytest.mark.parametrize(
    "requests",
    [[], [batch()], [b""], [opened(), opened()], [opened(), b""], [b"\xff\xff"]],
)
def test_what_does_not_follow_the_grammar_is_refused(serve, requests):
    assert refused(serve(takes_in=True), *requests)[0] is Code.INVALID_ARGUMENT


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    raw=st.lists(st.binary(max_size=60), max_size=4),
    method=st.sampled_from([names.REMOVE_GROUP, names.GET_BALANCE, names.SUBMIT_EXPERIENCES]),
)
def test_no_garbage_is_a_fault_of_ours(garbled, raw, method):
    with grpc.insecure_channel(garbled.address) as channel:
        path = names.method_path(method)
        try:
            if method == names.SUBMIT_EXPERIENCES:
                channel.stream_unary(path)(iter(raw), timeout=TIMEOUT_S)
            else:
                channel.unary_unary(path)(b"".join(raw), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            allowed = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION}
            assert error.code() in allowed, error  # noqa: PT017 - either ending is fine


@pytest.fixture
def garbled(serve):
    return serve(takes_in=True)


def test_a_farm_without_a_ring_for_them_says_so(serve):
    code, detail = refused(serve(), opened())
    assert code is Code.FAILED_PRECONDITION
    assert "no ring for submitted" in detail


def test_a_full_ring_holds_the_sender_up_until_somebody_drains_it(serve):
    serving = serve(takes_in=True, capacity_bytes=1 << 16, groups={"slow": "lossless"})
    n = 600  # several rings full
    responses = []
    sender = threading.Thread(
        target=lambda: responses.append(
            submit(serving, opened(), *[batch(*[message(Spec())] * 20)] * (n // 20))
        ),
        daemon=True,
    )
    sender.start()
    view = RingView(serving.submitted)
    serving.wait(lambda: view.used_bytes > 60_000, "the ring to fill")
    assert not responses
    with subscriber(serving, group="slow") as member:
        taken = []
        while len(taken) < n:
            received = member.read()
            taken += sequences(received)
            member.ack(received.batch_id)
        assert taken == list(range(n))
    sender.join(TIMEOUT_S)
    assert responses[0].accepted_records == n


def test_a_sender_that_finds_no_room_for_too_long_is_told_how_far_it_came(serve):
    serving = serve(
        takes_in=True,
        capacity_bytes=1 << 16,
        groups={"gone": "lossless"},
        client_timeout_s=0.3,
    )
    code, detail = refused(serving, opened(), *[batch(*[message(Spec())] * 20)] * 30)
    assert code is Code.RESOURCE_EXHAUSTED
    assert f"{RingView(serving.submitted).records} were taken" in detail


def test_senders_side_by_side_share_the_sequences(serve):
    serving = serve(takes_in=True)
    n_senders, n = 4, 60
    senders = [
        threading.Thread(target=submit, args=(serving, opened(), batch(*[message(Spec())] * n)))
        for _ in range(n_senders)
    ]
    with subscriber(serving) as member:
        for sender in senders:
            sender.start()
        taken = []
        while len(taken) < n_senders * n:
            received = member.read()
            taken += sequences(received)
            assert all(checksum_of(one) == one.checksum for one in received.trajectories)
        assert taken == list(range(n_senders * n))
    for sender in senders:
        sender.join(TIMEOUT_S)


def test_a_replaced_service_goes_on_with_the_sequences_of_the_ring(serve):
    serving = serve(takes_in=True)
    submit(serving, opened(), batch(*[message(Spec())] * 3))
    serving.stop_service()
    serving.start()
    submit(serving, opened(), batch(message(Spec())))
    with subscriber(serving) as member:
        received = []
        while len(received) < 4:
            received += sequences(member.read())
        assert received == [0, 1, 2, 3]


def test_a_farm_that_drains_takes_nothing_new_in(serve):
    serving = serve(takes_in=True)
    submit(serving, opened(), batch(message(Spec())))
    serving.control.draining = 1
    beat = serving.slot.heartbeat_ns
    serving.wait(lambda: serving.slot.heartbeat_ns > beat, "a round")
    code, detail = refused(serving, opened(), batch(message(Spec())))
    assert code is Code.UNAVAILABLE
    assert "stopping" in detail
    assert RingView(serving.submitted).records == 1
    with subscriber(serving) as member:
        assert sequences(member.read()) == [0]


def test_a_sender_that_waits_while_the_farm_stops_is_told_so(serve):
    serving = serve(takes_in=True)
    assert serving.address

    def forever():
        yield opened().SerializeToString()
        time.sleep(TIMEOUT_S)

    with grpc.insecure_channel(serving.address) as channel:
        call = channel.stream_unary(names.method_path(names.SUBMIT_EXPERIENCES))
        waiting = call.future(forever(), timeout=TIMEOUT_S)
        serving.wait(lambda: serving.counter("streams") == 1)
        serving.context.stopping = True
        with pytest.raises(grpc.RpcError) as caught:
            waiting.result()
        assert caught.value.code() is Code.UNAVAILABLE
