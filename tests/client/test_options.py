"""What is asked for, as it goes over the wire."""

import pytest

from farm.client.options import group_policy
from farm.client.session import stream_call, subscribe_call
from farm.errors import UsageError
from farm.rpc import names
from farm.rpc.v1 import experience_pb2


def opened(**options):
    call = subscribe_call(options)
    assert call.takes_acks
    return experience_pb2.SubscribeRequest.FromString(call.request).open


def test_by_default_it_is_the_default_group_as_it_is_and_all_of_it():
    opening = opened()
    assert opening.group == "default"
    assert not opening.HasField("policy")
    assert opening.credit_bytes == 0
    assert opening.filter == experience_pb2.Filter()


def test_every_option_reaches_the_farm():
    opening = opened(
        group="blue",
        policy="sample:0.25",
        credit_bytes=7,
        game_ids=[3, 4],
        seats=[1],
        min_turn=50,
        policies=["expander"],
    )
    assert (opening.group, opening.credit_bytes) == ("blue", 7)
    assert (opening.policy.kind, opening.policy.sample) == ("sample", 0.25)
    assert opening.filter == experience_pb2.Filter(
        game_ids=[3, 4], seats=[1], min_turn=50, policies=["expander"]
    )


def test_a_stream_asks_for_the_same_filter_and_joins_no_group():
    call = stream_call({"seats": [0, 2], "min_turn": 9})
    request = experience_pb2.StreamExperiencesRequest.FromString(call.request)
    assert request.filter == experience_pb2.Filter(seats=[0, 2], min_turn=9)
    assert (call.group, call.takes_acks, call.method) == ("", False, names.STREAM_EXPERIENCES)


@pytest.mark.parametrize("text", ["lossless", "latest"])
def test_a_policy_is_named_by_its_kind(text):
    assert group_policy(text) == experience_pb2.GroupPolicy(kind=text)


@pytest.mark.parametrize("kind", ["best", "", "lossless", "latest", "sample"])
@pytest.mark.parametrize("part", [":", ":0", ":1.5", ":nan", ":x", ":-1"])
def test_a_policy_that_is_none_is_refused_before_anything_is_sent(kind, part):
    with pytest.raises(UsageError, match=r"such as sample:0\.1"):
        subscribe_call({"policy": kind + part})


@pytest.mark.parametrize("policy", ["sample", "best", "latest:0.5"])
def test_sample_and_only_sample_has_a_part(policy):
    with pytest.raises(UsageError, match=r"such as sample:0\.1"):
        subscribe_call({"policy": policy})
