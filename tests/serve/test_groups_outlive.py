"""Groups over restarts of their service, and what is told of them meanwhile."""

import json

import grpc
import pytest
from grouping import (
    accounts,
    balance,
    group_stats,
    stats,
    take,
)
from handmade import Spec
from msgspec.structs import replace
from subscribing import (
    Raw,
    entry_bytes,
    head,
    sequences,
    subscriber,
    tail,
)

from farm.shm.ring_layout import DATA_OFFSET

pytestmark = pytest.mark.timeout(60)


def restart(serving):
    """As after a kill: the members' leases are gone, and so is everything the service knew."""
    serving.stop_service()
    serving.start()
    assert serving.address


def test_a_replaced_service_goes_on_with_every_group_and_its_counts(serve):
    serving = serve(max_batch_bytes=entry_bytes(), min_batch_bytes=1)
    with subscriber(serving, group="a") as a, subscriber(serving, group="b") as b:
        serving.ring.write(*[Spec()] * 6)
        assert take(a, 4) == [0, 1, 2, 3]
        assert take(b, 2) == [0, 1]
        a.read()
        serving.wait(lambda: accounts(serving)["a"] == {"acknowledged": 4, "waiting": 2})
        serving.wait(lambda: accounts(serving)["b"] == {"acknowledged": 2, "waiting": 4})
    restart(serving)
    expected = {
        "a": {"acknowledged": 4, "waiting": 2},
        "b": {"acknowledged": 2, "waiting": 4},
    }
    assert accounts(serving) == expected
    with subscriber(serving, group="a") as a, subscriber(serving, group="b") as b:
        assert take(a, 2) == [4, 5]
        assert take(b, 4) == [2, 3, 4, 5]
        serving.wait(lambda: head(serving) == tail(serving))
    assert accounts(serving) == {"a": {"acknowledged": 6}, "b": {"acknowledged": 6}}


def test_after_a_restart_a_batch_says_so_as_far_as_it_was_handed_out(serve):
    size = entry_bytes()
    serving = serve(max_batch_bytes=2 * size + size // 2, min_batch_bytes=1)
    with subscriber(serving, credit_bytes=4 * size + size // 2) as member:
        serving.ring.write(*[Spec()] * 8)
        handed = [sequences(member.read()) for _ in range(2)]
        assert handed == [[0, 1], [2, 3]]
    restart(serving)
    with subscriber(serving) as member:
        batches = [member.read() for _ in range(4)]
        assert [batch.redelivered for batch in batches] == [True, True, False, False]
        assert [s for batch in batches for s in sequences(batch)] == list(range(8))
    assert serving.counter("redelivered_records") == 4


def test_a_group_that_is_no_longer_declared_stays_and_one_declared_anew_changes_its_policy(serve):
    serving = serve(groups={"eval": "lossless", "viewer": "lossless"})
    assert group_stats(serving, "eval").declared
    serving.stop_service()
    serve_config = serving.config.serve
    declared = type(serve_config)(address=serve_config.address, groups={"viewer": "sample:0.5"})
    serving.config = replace(serving.config, serve=declared)
    serving.start()
    assert not group_stats(serving, "eval").declared
    viewer = group_stats(serving, "viewer")
    assert (viewer.declared, viewer.policy.kind, viewer.policy.sample) == (True, "sample", 0.5)
    assert (serving.groups.find("viewer").kind, serving.groups.find("viewer").sample) == (
        "sample",
        0.5,
    )


def test_garbage_is_counted_record_by_record_and_the_balance_stays_exact(serve):
    serving = serve()
    with subscriber(serving) as member:
        serving.ring.write(Spec())
        assert take(member, 1) == [0]
        start = tail(serving)
        for _ in range(3):
            serving.ring.producer.try_claim(100, 7)
        serving.ring.segment.mem[DATA_OFFSET + start : DATA_OFFSET + start + 8] = 0x55
        serving.ring.producer.publish()
        serving.wait(lambda: serving.counter("corrupt_records") == 3, "the garbage to be met")
        serving.ring.write_bytes(b"no entry")
        serving.ring.write(Spec())
        batch = member.read()
        assert len(batch.trajectories) == 1
        member.ack(batch.batch_id)
        serving.wait(lambda: head(serving) == tail(serving))
        assert accounts(serving) == {"default": {"acknowledged": 2, "corrupt": 4}}
        row = balance(serving).rings[0]
        assert row.groups[0].corrupt.experiences == 21


def test_a_ring_that_stands_is_told_with_who_holds_it(serve, capfd):
    serving = serve(capacity_bytes=1 << 16, groups={"eval": "lossless"}, stall_warn_s=0.3)
    while serving.ring.write(Spec()):
        pass
    (stall,) = serving.wait(lambda: list(stats(serving).stalls), "the stall")
    assert (stall.worker, stall.group, stall.members) == (0, "eval", 0)
    assert stall.fill > 0.9
    assert "group eval has no member" in stall.advice
    with subscriber(serving, group="eval") as member:
        take(member, serving.ring.n_written)
        serving.wait(lambda: not stats(serving).stalls, "the end of the stall")
    serving.stop_service()
    logged = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    stalled = [line for line in logged if line["event"] == "ring_stalled"]
    assert (stalled[0]["ring"], stalled[0]["last_ack_age_s"]) == (0, None)
    assert len([line for line in logged if line["event"] == "ring_flowing"]) == 1


def test_the_groups_segment_tells_members_leases_and_acknowledgements(serve):
    serving = serve()
    with subscriber(serving, group="a") as member:
        serving.ring.write(*[Spec()] * 3)
        batch = member.read()
        slot = serving.groups.find("a")
        assert (slot.n_members, slot.leased_records, slot.last_ack_ns) == (1, 3, 0)
        member.ack(batch.batch_id)
        serving.wait(lambda: slot.last_ack_ns and slot.leased_records == 0)
        serving.wait(lambda: slot.settled(0).acknowledged.records == 3)
    serving.wait(lambda: slot.n_members == 0)


def test_members_of_one_group_are_granted_less_together_and_other_groups_do_not_count(serve):
    serving = serve(capacity_bytes=1 << 16)
    with grpc.insecure_channel(serving.address) as channel:
        members = [Raw(channel, group=name) for name in ("a", "b", "a")]
        assert [member.started.credit_bytes for member in members] == [32_768, 32_768, 16_384]
        for member in members:
            member.vanish()
