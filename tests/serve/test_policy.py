"""Policies: what the config and a subscriber may ask for."""

import math

import pytest

from farm.errors import InvalidRequestError
from farm.rpc.v1 import experience_pb2
from farm.serve.drain import ALL_OF_THEM
from farm.serve.policy import Policy, compile_policy, declared_policies, parse_policy
from farm.shm.groups import GroupKind

LATEST = Policy(GroupKind.LATEST)
TENTH = Policy(GroupKind.SAMPLE, 0.1)


def asked(kind="", sample=0.0):
    return compile_policy(experience_pb2.GroupPolicy(kind=kind, sample=sample))


def test_only_lossless_groups_hold_rings():
    assert [Policy().holds, LATEST.holds, TENTH.holds] == [True, False, False]


def test_only_samples_leave_records_out():
    assert [Policy().sample, LATEST.sample] == [ALL_OF_THEM] * 2
    assert TENTH.sample == round(2**32 / 10)
    assert Policy(GroupKind.SAMPLE, 1.0).sample == ALL_OF_THEM
    assert Policy(GroupKind.SAMPLE, 1e-300).sample == 1


@pytest.mark.parametrize("policy", [Policy(), LATEST, TENTH, Policy(GroupKind.SAMPLE, 1.0)])
def test_what_a_policy_is_called_makes_the_same_policy(policy):
    assert parse_policy(str(policy)) == policy
    assert compile_policy(policy.message()) == policy


def test_declared_groups_have_the_policy_of_the_config():
    groups = {"trainer": "lossless", "viewer": "latest", "probe": "sample:0.1"}
    declared = declared_policies(groups)
    assert declared == {"trainer": Policy(), "viewer": LATEST, "probe": TENTH}


def test_who_asks_for_nothing_takes_what_is_there():
    assert asked() is None


@pytest.mark.parametrize(
    ("kind", "sample"),
    [
        ("lossles", 0),
        ("LATEST", 0),
        ("latest", 0.5),
        ("lossless", 1),
        ("", 0.5),
        ("sample", 0),
        ("sample", 1.5),
        ("sample", -0.1),
        ("sample", math.nan),
        ("sample", math.inf),
    ],
)
def test_what_no_group_can_have_is_refused(kind, sample):
    with pytest.raises(InvalidRequestError, match=r"policy\."):
        asked(kind, sample)
