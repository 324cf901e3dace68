"""Groups over real sockets: who sees what, who holds the rings, what a filter and a policy cost."""

import grpc
import pytest
from grouping import (
    HALF,
    LATEST,
    accounts,
    balance,
    group_stats,
    refused,
    remove,
    stats,
    take,
)
from handmade import Spec
from subscribing import (
    Code,
    bulky,
    entry_bytes,
    head,
    open_stream,
    sequences,
    subscriber,
    tail,
)

from farm.rpc.v1 import experience_pb2

pytestmark = pytest.mark.timeout(60)


def test_groups_each_see_everything_and_members_of_one_share_it(serve):
    serving = serve(max_batch_bytes=4 * entry_bytes())
    with (
        subscriber(serving, group="a") as mine,
        subscriber(serving, group="b") as first,
        subscriber(serving, group="b", credit_bytes=4 * entry_bytes()) as second,
    ):
        serving.ring.write(*[Spec()] * 40)
        assert take(mine, 40) == list(range(40))
        shared = sequences(second.read())
        while len(shared) < 40:
            batch = first.read()
            shared += sequences(batch)
            first.ack(batch.batch_id)
        assert sorted(shared) == list(range(40))


def test_the_slowest_lossless_group_holds_the_ring(serve):
    serving = serve()
    with subscriber(serving, group="quick") as quick, subscriber(serving, group="slow") as slow:
        serving.ring.write(*[Spec()] * 5)
        take(quick, 5)
        held = slow.read()
        serving.wait(lambda: accounts(serving)["quick"] == {"acknowledged": 5})
        assert head(serving) == 0
        slow.ack(held.batch_id)
        serving.wait(lambda: head(serving) == tail(serving), "the release")


def test_a_group_made_later_begins_at_the_head_and_knows_what_it_missed(serve):
    serving = serve()
    with subscriber(serving, group="a") as member:
        serving.ring.write(*[Spec()] * 3)
        take(member, 3)
        serving.wait(lambda: head(serving) == tail(serving))
        serving.ring.write(*[Spec()] * 2)
        member.read()
        with subscriber(serving, group="b") as later:
            assert take(later, 2) == [3, 4]
            serving.wait(lambda: accounts(serving)["b"] == {"before": 3, "acknowledged": 2})


def test_a_declared_group_holds_data_before_anyone_has_come(serve):
    serving = serve(groups={"eval": "lossless", "viewer": "latest"})
    with subscriber(serving, group="train") as member:
        serving.ring.write(*[Spec()] * 3)
        take(member, 3)
        serving.wait(lambda: accounts(serving)["train"] == {"acknowledged": 3})
        assert head(serving) == 0
        row = group_stats(serving, "eval")
        assert (row.declared, row.members, row.policy.kind) == (True, 0, "lossless")
        assert (row.last_ack_age_s, row.lag_bytes) == (-1, tail(serving))
    with subscriber(serving, group="eval") as late:
        assert take(late, 3) == [0, 1, 2]


def test_records_that_a_member_filters_out_are_passed_over_for_its_group_alone(serve):
    serving = serve()
    wanted = experience_pb2.Filter(seats=[1])
    with (
        subscriber(serving, group="odd", filter=wanted) as odd,
        subscriber(serving, group="all") as every,
    ):
        serving.ring.write(*[Spec(seat=k % 2, n_steps=k + 1) for k in range(8)])
        assert take(odd, 4) == [1, 3, 5, 7]
        assert take(every, 8) == list(range(8))
        serving.wait(lambda: head(serving) == tail(serving), "both groups")
        expected = {"odd": {"acknowledged": 4, "filtered": 4}, "all": {"acknowledged": 8}}
        assert accounts(serving) == expected
        row = next(group for group in balance(serving).rings[0].groups if group.group == "odd")
        assert (row.filtered.experiences, row.acknowledged.experiences) == (16, 20)


def test_a_filter_that_lets_nothing_through_holds_nothing(serve):
    serving = serve()
    with subscriber(serving, filter=experience_pb2.Filter(game_ids=[99])):
        serving.ring.write(*[Spec()] * 10)
        serving.wait(lambda: head(serving) == tail(serving), "the release")
        assert serving.counter("served_batches") == 0
        assert accounts(serving) == {"default": {"filtered": 10}}


def test_what_a_vanished_member_had_goes_through_the_filter_of_who_gets_it(serve):
    serving = serve()
    with subscriber(serving) as gone:
        serving.ring.write(*[Spec(seat=k % 2) for k in range(6)])
        assert sequences(gone.read()) == list(range(6))
    serving.wait(lambda: not serving.counter("streams"))
    with subscriber(serving, filter=experience_pb2.Filter(seats=[0])) as heir:
        batch = heir.read()
        assert batch.redelivered
        assert sequences(batch) == [0, 2, 4]
        heir.ack(batch.batch_id)
        serving.wait(lambda: head(serving) == tail(serving))
    assert accounts(serving) == {"default": {"acknowledged": 3, "filtered": 3}}


def test_a_latest_group_that_nobody_drains_does_not_hold_a_lossless_one(serve):
    serving = serve(capacity_bytes=1 << 16)
    n = 2_000  # several rings full
    with (
        subscriber(serving, group="viewer", policy=LATEST) as viewer,
        subscriber(serving, group="train") as train,
    ):
        serving.ring.write(*[Spec()] * 8)
        batch = viewer.read()
        assert take(train, 8) == list(range(8))
        taken = 8
        while taken < n:
            taken += len(take(train, serving.ring.write(*[Spec()] * (n - taken))))
        serving.wait(lambda: accounts(serving)["train"] == {"acknowledged": n})
        seen = accounts(serving)["viewer"]
        assert seen["passed"] > n // 2
        # What it has leased was passed over meanwhile: acknowledging that changes nothing.
        serving.ring.write(Spec())  # all of the others may have been passed over
        while sequences(batch)[0] < n // 2:
            viewer.ack(batch.batch_id)
            batch = viewer.read()
        assert accounts(serving)["viewer"].get("acknowledged", 0) <= n - seen["passed"]
        assert not batch.redelivered


def test_without_lossless_groups_the_rings_flow_and_the_newest_is_there(serve):
    serving = serve(capacity_bytes=1 << 16, groups={"viewer": "latest"})
    written = 0
    while written < 1_000:
        written += serving.wait(lambda: serving.ring.write(*[Spec()] * 50), "room")
    with subscriber(serving, group="viewer") as viewer:
        batch = viewer.read()
        assert sequences(batch)[0] > 500
        assert not batch.redelivered
        viewer.ack(batch.batch_id)
        last = serving.ring.n_written
        serving.wait(lambda: serving.ring.write(Spec()), "room")
        while last not in sequences(batch):  # the first ones may have been passed over meanwhile
            batch = viewer.read()
            viewer.ack(batch.batch_id)
        serving.wait(lambda: group_stats(serving, "viewer").acknowledged_records > 0)


def test_a_sample_group_takes_its_part_and_counts_the_rest_as_passed(serve):
    serving = serve()
    serving.ring.write(*[Spec()] * 200)
    serving.wait(lambda: stats(serving).total.trajectories == 200)
    with (
        subscriber(serving, group="half", policy=HALF) as half,
        subscriber(serving, group="again", policy=HALF) as again,
    ):
        taken = sequences(half.read())
        assert 60 < len(taken) < 140
        batch = again.read()
        assert sequences(batch) == taken  # chosen by (worker, sequence)
        again.ack(batch.batch_id)
        expected = {"acknowledged": len(taken), "passed": 200 - len(taken)}
        serving.wait(lambda: accounts(serving)["again"] == expected)


def test_a_group_has_the_policy_it_was_made_with(serve):
    serving = serve(groups={"viewer": "latest"})
    with subscriber(serving, group="viewer", policy=LATEST), subscriber(serving, group="viewer"):
        code, detail = refused(subscriber(serving, group="viewer", policy=HALF).__enter__)
        assert code is Code.FAILED_PRECONDITION
        assert "is latest, not sample:0.5" in detail


@pytest.mark.parametrize("name", ["Upper", "a b", "x" * 33, "../etc", "é", "a\n"])
def test_a_group_that_cannot_be_named_so_is_refused(serve, name):
    code, detail = refused(subscriber(serve(), group=name).__enter__)
    assert code is Code.INVALID_ARGUMENT
    assert "a-z" in detail


def test_a_seventeenth_group_is_refused_and_a_removed_one_makes_room(serve):
    serving = serve(groups={f"g{k}": "lossless" for k in range(15)})
    with subscriber(serving, group="sixteenth"):
        code, detail = refused(subscriber(serving, group="more").__enter__)
        assert code is Code.FAILED_PRECONDITION
        assert "16 groups" in detail
    serving.wait(lambda: not serving.counter("streams"))
    assert remove(serving, "sixteenth") == 0
    with subscriber(serving, group="more"):
        pass


def test_a_removed_group_lets_go_and_tells_what_it_abandons(serve):
    serving = serve()
    with subscriber(serving, group="a") as member, subscriber(serving, group="b") as other:
        serving.ring.write(*[Spec()] * 4)
        member.read()
        take(other, 4)
        code, detail = refused(remove, serving, "a")
        assert code is Code.FAILED_PRECONDITION
        assert "has 1 members" in detail
        member.vanish()
        serving.wait(lambda: group_stats(serving, "a").members == 0)
        assert remove(serving, "a") == 4
        serving.wait(lambda: head(serving) == tail(serving), "the release")
        assert refused(remove, serving, "a")[0] is Code.NOT_FOUND


def test_a_declared_group_is_removed_by_nobody(serve):
    serving = serve(groups={"eval": "lossless"}, group_idle_s=0.05)
    code, detail = refused(remove, serving, "eval")
    assert code is Code.FAILED_PRECONDITION
    assert "serve.groups" in detail
    with subscriber(serving, group="brief"):
        pass
    serving.wait(lambda: [group.name for group in stats(serving).groups] == ["eval"])


def test_a_group_without_members_is_removed_when_its_time_is_over_and_the_log_says_so(serve, capfd):
    serving = serve(group_idle_s=0.4)
    with subscriber(serving, group="brief") as member:
        serving.ring.write(*[Spec()] * 3)
        member.read()
        serving.wait(lambda: group_stats(serving, "brief").leased_records == 3)
    serving.wait(lambda: not stats(serving).groups, "the removal")
    assert serving.groups.slots() == []
    serving.stop_service()
    logged = "".join(capfd.readouterr())
    assert "group_removed" in logged
    assert "abandoned_records" in logged


def test_a_stream_beside_any_group_starts_at_the_newest(serve):
    serving = serve(groups={"viewer": "latest"})
    serving.ring.write(Spec())
    serving.wait(lambda: stats(serving).total.trajectories == 1)
    with grpc.insecure_channel(serving.address) as channel:
        stream = open_stream(channel)
        serving.ring.write(Spec())
        assert sequences(experience_pb2.ExperienceBatch.FromString(next(stream))) == [1]


def test_silent_members_lose_their_leases_to_their_own_group_only(serve):
    serving = serve(capacity_bytes=1 << 16, lease_s=0.05)
    while serving.ring.write(Spec()):
        pass
    with subscriber(serving, group="a") as silent, subscriber(serving, group="b") as other:
        lost = sequences(silent.read())
        n_other = 0
        while n_other < serving.ring.n_written:
            batch = other.read()
            assert not batch.redelivered
            n_other += len(batch.trajectories)
            other.ack(batch.batch_id)
        with subscriber(serving, group="a") as heir:
            while not (batch := heir.read()).redelivered:
                heir.ack(batch.batch_id)
            assert sequences(batch) == lost[: len(batch.trajectories)]


def test_who_has_everything_that_a_draining_farm_has_is_told_so_once(serve):
    serving = serve(lease_s=60.0)
    serving.control.draining = 1
    serving.ring.write(*[Spec()] * 3)
    with subscriber(serving, group="a") as member:
        batch = member.read()
        assert (sequences(batch), batch.drained) == ([0, 1, 2], False)
        told = member.read()
        assert (sequences(told), told.batch_id, told.drained) == ([], 0, True)
        with subscriber(serving, group="b") as other:
            assert sequences(other.read()) == [0, 1, 2]
            assert other.read().drained
        member.ack(batch.batch_id)
        serving.ring.write(Spec())  # what has come since, member by member, as from one that left
        assert sequences(member.read()) == [3]
        assert member.read().drained


def test_who_has_all_of_a_full_ring_is_told_so_as_its_credit_goes_by_all_rings(serve):
    serving = serve(lease_s=0.2, n_rings=2, capacity_bytes=1 << 16)
    payload = bulky(6_000)
    with subscriber(serving, group="a") as member:
        while serving.ring.write_bytes(payload):
            pass  # to the brim: the worker would wait now, and nothing more would come
        batches = [member.read()]
        while not batches[-1].drained:
            batches.append(member.read())
        assert sum(len(batch.trajectories) for batch in batches) == serving.ring.n_written
        assert tail(serving) < member.started.credit_bytes * 1.1
        member.ack(*(batch.batch_id for batch in batches[:-1]))
        serving.wait(lambda: head(serving) == tail(serving), "the release")
        serving.ring.write(Spec())
        assert not member.read().drained


def test_nobody_is_told_while_a_worker_may_still_publish(serve):
    serving = serve(lease_s=60.0)
    serving.control.children[1].pid = 1
    serving.control.draining = 1
    serving.ring.write(Spec())
    with subscriber(serving) as member:
        assert sequences(member.read()) == [0]
        beat = serving.slot.heartbeat_ns
        serving.wait(lambda: serving.slot.heartbeat_ns > beat, "a round with nothing to take")
        serving.ring.write(Spec())
        assert sequences(member.read()) == [1]
        serving.control.children[1].pid = 0
        assert member.read().drained


def test_a_silent_member_does_not_hold_up_the_end_of_a_drain_while_another_is_there(serve):
    serving = serve(lease_s=0.05, credit_bytes=3 * entry_bytes())
    serving.ring.write(*[Spec()] * 3)
    with subscriber(serving, group="a") as silent:
        lost = sequences(silent.read())
        with subscriber(serving, group="a") as heir:
            serving.wait(lambda: serving.groups.find("a").n_members == 2)
            serving.control.draining = 1
            batch = heir.read()
            assert serving.groups.find("a").n_members == 2, "the silent one is still there"
            assert batch.redelivered
            assert sequences(batch) == lost
            heir.ack(batch.batch_id)
            serving.wait(lambda: head(serving) == tail(serving), "everything acknowledged")


def test_the_credit_goes_by_the_rings_of_workers_as_that_of_submissions_may_hold_nothing(serve):
    serving = serve(takes_in=True, capacity_bytes=1 << 16, credit_bytes=1 << 24)
    with subscriber(serving, group="a") as member:
        assert member.started.credit_bytes == 1 << 15
