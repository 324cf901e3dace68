"""Rings that are replaced by others of another capacity, while clients read them."""

import grpc
import pytest
from grouping import LATEST, accounts, group_stats, stats, take
from handmade import Spec
from subscribing import (
    Batch,
    bulky,
    head,
    open_stream,
    sequences,
    subscriber,
    tail,
)

from farm.client import Client
from farm.shm.ring_layout import FATE_OFFSET, Fate

pytestmark = pytest.mark.timeout(60)

SMALL, LARGE = 1 << 16, 1 << 20


def end(serving, fate=Fate.ENDING):
    """The worker of the ring has ended, and waits for the ring to be settled."""
    serving.ring.segment.store(FATE_OFFSET, fate)
    serving.data_bell.ring()


def settled(serving):
    return head(serving) == tail(serving)


def test_a_stream_goes_on_in_the_ring_that_took_the_place_of_its_ring(serve):
    serving = serve(capacity_bytes=SMALL)
    with subscriber(serving) as member:
        serving.ring.write(*[Spec()] * 5)
        assert take(member, 5) == list(range(5))
        serving.wait(lambda: settled(serving))
        serving.ring.replace(LARGE)
        assert serving.ring.write(*[Spec()] * 400) == 400, "more than the ring before could hold"
        assert take(member, 400) == list(range(5, 405))
        serving.wait(lambda: settled(serving))
        assert accounts(serving) == {"default": {"acknowledged": 405}}
        assert stats(serving).rings[0].capacity_bytes == LARGE
        serving.ring.replace(SMALL)
        serving.ring.write(*[Spec()] * 7)
        assert take(member, 7) == list(range(405, 412))
    assert serving.counter("corrupt_records") == 0


def test_observers_beside_the_groups_go_on_in_it_as_well(serve):
    serving = serve(capacity_bytes=SMALL)
    with grpc.insecure_channel(serving.address) as channel:
        stream = open_stream(channel)
        serving.ring.write(*[Spec()] * 3)
        assert sequences(Batch.FromString(next(stream))) == [0, 1, 2]
        serving.wait(lambda: settled(serving), "what was read to be released")
        serving.ring.replace(LARGE)
        serving.ring.write(*[Spec()] * 2)
        batch = Batch.FromString(next(stream))
        assert (sequences(batch), batch.skipped) == ([3, 4], 0)
        stream.cancel()


def test_a_service_that_starts_late_finds_the_new_ring_where_the_old_one_stood(serve):
    serving = serve(capacity_bytes=SMALL)
    with subscriber(serving, group="a") as member:
        serving.ring.write(*[Spec()] * 3)
        assert take(member, 3) == [0, 1, 2]
        serving.wait(lambda: settled(serving))
    serving.stop_service()
    serving.ring.replace(LARGE)
    serving.ring.write(*[Spec()] * 2)
    serving.start()
    with subscriber(serving, group="a") as member:
        assert take(member, 2) == [3, 4]


def test_who_collects_is_told_that_an_ending_ring_waits_for_its_acknowledgements(serve):
    serving = serve()
    serving.ring.write(*[Spec()] * 3)
    with Client(serving.address) as client, client.subscribe() as stream:
        lists = stream.batches(100)
        end(serving)
        first = next(lists)
        assert [one.sequence for one in first] == [0, 1, 2], "shorter than it was to be"
        serving.ring.segment.store(FATE_OFFSET, Fate.IN_USE)
        serving.ring.write(*[Spec()] * 100)
        # Asking for the next list acknowledges the first; and nobody hurries any more.
        assert [one.sequence for one in next(lists)] == list(range(3, 103))


def test_what_a_silent_member_holds_of_an_ending_ring_goes_to_another(serve):
    serving = serve(lease_s=0.05)
    serving.ring.write(*[Spec()] * 3)
    with subscriber(serving, group="a") as silent:
        lost = sequences(silent.read())
        with subscriber(serving, group="a") as heir:
            serving.wait(lambda: serving.groups.find("a").n_members == 2)
            end(serving)
            batch = heir.read()
            assert (batch.redelivered, sequences(batch)) == (True, lost)
            heir.ack(batch.batch_id)
            serving.wait(lambda: settled(serving))


@pytest.mark.parametrize("with_member", [False, True])
def test_a_group_that_holds_no_ring_lets_go_of_one_that_is_overdue(serve, with_member):
    serving = serve()
    with subscriber(serving, group="viewer", policy=LATEST) as viewer:
        serving.ring.write(*[Spec()] * 3)
        if with_member:
            assert sequences(viewer.read()) == [0, 1, 2]  # and never says a word
            check_that_it_lets_go(serving)
    if not with_member:
        serving.wait(lambda: group_stats(serving, "viewer").members == 0)
        check_that_it_lets_go(serving)


def check_that_it_lets_go(serving):
    end(serving)
    beat = serving.slot.heartbeat_ns
    serving.wait(lambda: serving.slot.heartbeat_ns > beat, "a round")
    assert not settled(serving), "it has a while to take it"
    end(serving, Fate.OVERDUE)
    serving.wait(lambda: settled(serving), "the release")
    assert accounts(serving) == {"viewer": {"passed": 3}}


def test_a_lossless_group_holds_it_however_long_that_is_overdue(serve):
    serving = serve()
    with subscriber(serving, group="a"):
        serving.ring.write(*[Spec()] * 3)
    end(serving, Fate.OVERDUE)
    for _ in range(3):
        beat = serving.slot.heartbeat_ns
        serving.wait(lambda beat=beat: serving.slot.heartbeat_ns > beat, "a round")
    assert accounts(serving) == {"a": {"waiting": 3}}
    assert head(serving) == 0
    with subscriber(serving, group="a") as member:
        assert take(member, 3) == [0, 1, 2]
        serving.wait(lambda: settled(serving))


def test_smaller_rings_cut_a_credit_and_who_has_used_it_up_is_told_to_acknowledge(serve):
    serving = serve(capacity_bytes=LARGE, credit_bytes=LARGE, max_batch_bytes=SMALL // 16)
    with subscriber(serving) as member:
        assert member.started.credit_bytes == LARGE // 2
        serving.ring.replace(SMALL)
        payload = bulky(2000)
        while serving.ring.write_bytes(payload):
            pass
        batches = [member.read()]
        while not batches[-1].drained:
            batches.append(member.read())
        *batches, told = batches
        assert (told.batch_id, sequences(told)) == (0, [])
        handed = sum(batch.ByteSize() for batch in batches)
        assert SMALL // 4 < handed <= SMALL // 2 + SMALL // 16
        for batch in batches:
            member.ack(batch.batch_id)
        assert not member.read().drained
