"""Asking a service about its groups, for tests of them."""

import grpc
import pytest
from subscribing import (
    TIMEOUT_S,
    sequences,
)

from farm.rpc import names
from farm.rpc.v1 import experience_pb2

LATEST = experience_pb2.GroupPolicy(kind="latest")
HALF = experience_pb2.GroupPolicy(kind="sample", sample=0.5)


def unary(serving, method, request=None):
    with grpc.insecure_channel(serving.address) as channel:
        call = channel.unary_unary(names.method_path(method))
        return call(request.SerializeToString() if request else b"", timeout=TIMEOUT_S)


def balance(serving):
    return experience_pb2.GetBalanceResponse.FromString(unary(serving, names.GET_BALANCE))


def stats(serving):
    raw = unary(serving, names.GET_EXPERIENCE_STATS)
    return experience_pb2.GetExperienceStatsResponse.FromString(raw)


def group_stats(serving, name):
    return next(group for group in stats(serving).groups if group.name == name)


def remove(serving, name):
    request = experience_pb2.RemoveGroupRequest(group=name)
    raw = unary(serving, names.REMOVE_GROUP, request)
    return experience_pb2.RemoveGroupResponse.FromString(raw).abandoned_records


def refused(function, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as caught:
        function(*args, **kwargs)
    return caught.value.code(), caught.value.details()


def counts(group):
    """Records of a group in the balance, by what became of them."""
    kinds = ("before", "acknowledged", "filtered", "passed", "corrupt", "waiting")
    return {kind: getattr(group, kind).records for kind in kinds if getattr(group, kind).records}


def accounts(serving, ring=0):
    """What became of the records of a ring, by group; the balance is exact, or this fails."""
    reply = balance(serving)
    assert reply.exact
    for row in reply.rings:
        for group in row.groups:
            for unit in ("records", "experiences"):
                kinds = ("before", "acknowledged", "filtered", "passed", "corrupt", "waiting")
                total = sum(getattr(getattr(group, kind), unit) for kind in kinds)
                assert total == getattr(row.published, unit), (group, unit)
    return {group.group: counts(group) for group in reply.rings[ring].groups}


def take(member, n):
    """Read and acknowledge until there are n records; their sequences."""
    taken = []
    while len(taken) < n:
        batch = member.read()
        taken += sequences(batch)
        member.ack(batch.batch_id)
    return taken
