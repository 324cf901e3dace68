"""Groups, the balance and submissions, with the sync and the asyncio face, at a real service."""

import pytest
from faces import FACES, faces, opened
from handmade import Spec, contents, entry, message

from farm.client import Trajectory, make_trajectory
from farm.client.submit import LARGEST_BYTES
from farm.errors import RejectedError, UsageError
from farm.shm.ring import RING_FULL
from farm.shm.ring import drop as drop_records
from farm.spec.observation import frame_dtype

N = 40

pytestmark = pytest.mark.timeout(60)


def specs(n):
    return [Spec(game_id=k // 2, seat=k % 2, first_tick=4 * k) for k in range(n)]


def sequences(taken):
    return [sequence for _, sequence, *_ in taken]


def collected(n):
    """Trajectories that somebody played elsewhere."""
    spec = Spec(seat=1, n_seats=2)
    made = contents(spec)
    frames = made.frames.view(frame_dtype(spec.height, spec.width, spec.n_seats))[:, 0]
    arrays = (frames, made.action, made.reward, made.log_prob)
    return [make_trajectory(*arrays, game_id=k, seat=1, policy="mine") for k in range(n)]


@faces
def test_each_group_gets_everything(serve, face):
    serving = serve(groups={"blue": "lossless", "red": "lossless"})
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        for group in ("red", "blue"):
            taken, received = client.take(N, group=group)
            assert sequences(taken) == list(range(N))
            assert (received.missing, received.duplicates) == (0, 0)


@faces
def test_members_of_a_group_share(serve, face):
    serving = serve(max_batch_bytes=5 * len(entry(Spec())), min_batch_bytes=1)
    serving.ring.write(*specs(N))
    with opened(face, serving) as member, opened(face, serving) as other:
        member.start(group="blue", credit_bytes=5 * len(entry(Spec())))
        taken, _ = other.take(20, group="blue")
    assert 0 not in sequences(taken)


@faces
def test_a_member_gets_what_its_filter_names_and_the_rest_counts_as_filtered(serve, face):
    serving = serve()
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        taken, _ = client.take(N // 2, seats=[1])
        assert sequences(taken) == list(range(1, N, 2))
        serving.wait(lambda: filtered(client) == N // 2, "the rest to be counted")


@faces
def test_the_last_list_of_a_farm_that_drains_is_as_long_as_what_is_left(serve, face):
    serving = serve()
    serving.control.draining = 1
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        assert client.take_batches(30, 2) == [[*range(30)], [*range(30, N)]]


def filtered(client):
    (ring,) = client.do(lambda c: c.balance()).rings
    return ring.groups[0].filtered.records


@faces
def test_a_group_has_the_policy_it_was_made_with_and_no_other(serve, face):
    serving = serve()
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        client.take(1, group="blue", policy="latest")
        assert {row.name: row.policy for row in client.do(lambda c: c.stats()).groups} == {
            "blue": "latest"
        }
        client.take(1, group="blue")
        with pytest.raises(RejectedError) as caught:
            client.take(1, group="blue", policy="sample:0.5")
        assert caught.value.status == "FAILED_PRECONDITION"


@faces
def test_a_policy_that_is_none_is_refused_at_once(serve, face):
    serving = serve()
    with opened(face, serving) as client, pytest.raises(UsageError, match="no group policy"):
        client.take(1, policy="best")


@faces
def test_batches_take_the_options_of_a_subscription(serve, face):
    serving = serve()
    serving.ring.write(*specs(N))
    with opened(face, serving) as client:
        assert client.take_batches(5, 2, group="blue", seats=[0]) == [
            [0, 2, 4, 6, 8],
            [10, 12, 14, 16, 18],
        ]
        assert [row.name for row in client.do(lambda c: c.stats()).groups] == ["blue"]


@faces
def test_a_group_is_removed_with_what_it_has_not_acknowledged(serve, face):
    serving = serve(max_batch_bytes=5 * len(entry(Spec())), min_batch_bytes=1)
    with opened(face, serving) as client:
        serving.ring.write(*specs(N))
        client.take(10, group="blue")
        left = waiting(client, "blue")
        assert 0 < left < N
        assert client.do(lambda c: c.remove_group("blue")) == left
        assert client.do(lambda c: c.stats()).groups == ()
        with pytest.raises(RejectedError) as caught:
            client.do(lambda c: c.remove_group("blue"))
        assert caught.value.status == "NOT_FOUND"


def waiting(client, group):
    (ring,) = client.do(lambda c: c.balance()).rings
    return next(row for row in ring.groups if row.group == group).waiting.records


@faces
def test_a_group_with_a_member_is_not_removed(serve, face):
    serving = serve()
    serving.ring.write(*specs(N))
    with opened(face, serving) as member, opened(face, serving) as other:
        member.start(group="blue")
        with pytest.raises(RejectedError) as caught:
            other.do(lambda c: c.remove_group("blue"))
        assert caught.value.status == "FAILED_PRECONDITION"


def drop(ring, n):
    """Drop some, as a worker does whose ring is full."""
    producer = ring.producer
    drop_records(producer.mem, producer.cursor, RING_FULL, n, 4 * n)
    producer.publish()
    ring.n_written += n


@faces
def test_gaps_are_those_that_the_farm_counts(serve, face):
    """The worker dropped some: the numbers are used up, and nobody ever gets them."""
    serving = serve()
    with opened(face, serving) as client:
        serving.ring.write(*specs(5))
        drop(serving.ring, 3)
        serving.ring.write(*specs(4))
        taken, received = client.take(9)
        assert sequences(taken) == [0, 1, 2, 3, 4, 8, 9, 10, 11]
        assert received.missing == 3
        serving.wait(lambda: waiting(client, "default") == 0, "the acknowledgements to be kept")
        (gap,) = client.subscription.gaps(client.do(lambda c: c.balance()))
        assert (gap.received, gap.missing, gap.dropped, gap.lost) == (9, 3, 3, 0)
        assert gap.is_explained


@faces
def test_what_is_handed_in_reaches_every_group(serve, face):
    serving = serve(takes_in=True)
    with opened(face, serving) as client:
        made = collected(7)
        outcome = client.do(lambda c: c.submit(made))
        assert (outcome.accepted_records, outcome.accepted_experiences) == (7, 28)
        assert (outcome.rejected_records, outcome.rejections) == (0, ())
        taken, _ = client.take(7)
        assert [(worker, seat, raw) for worker, _, _, seat, raw in taken] == [
            (64, 1, made[0].decode())
        ] * 7
        assert sorted(game for _, _, game, *_ in taken) == list(range(7))


@faces
def test_a_rejected_trajectory_is_named_with_its_reason_and_the_others_are_taken(serve, face):
    serving = serve(takes_in=True)
    good, torn = collected(2), Trajectory(message(Spec(), checksum=1))
    with opened(face, serving) as client:
        outcome = client.do(lambda c: c.submit([good[0], torn, good[1]]))
        assert (outcome.accepted_records, outcome.rejected_records) == (2, 1)
        (rejection,) = outcome.rejections
        assert rejection.index == 1
        assert "checksum" in rejection.reason


@faces
def test_a_farm_of_another_spec_takes_nothing(serve, face, monkeypatch):
    serving = serve(takes_in=True)
    monkeypatch.setattr("farm.client.submit.spec_fingerprint", lambda: 1)
    with opened(face, serving) as client:
        with pytest.raises(RejectedError) as caught:
            client.do(lambda c: c.submit(collected(1)))
        assert caught.value.status == "FAILED_PRECONDITION"


@faces
def test_what_is_too_long_to_be_sent_is_refused_and_what_was_before_it_is_there(serve, face):
    serving = serve(takes_in=True)
    long = Trajectory(message(Spec(), payload=bytes(LARGEST_BYTES)))
    with opened(face, serving) as client:
        with pytest.raises(UsageError, match="hand in shorter ones"):
            client.do(lambda c: c.submit([*collected(3), long]))
        serving.wait(lambda: client.do(lambda c: c.stats()).total.trajectories in (0, 3))


@faces
def test_many_are_handed_in_over_several_messages(serve, face, monkeypatch):
    monkeypatch.setattr("farm.client.submit.BATCH_BYTES", 2_000)
    serving = serve(takes_in=True)
    with opened(face, serving) as client:
        outcome = client.do(lambda c: c.submit(iter(collected(60))))
        assert outcome.accepted_records == 60
        taken, received = client.take(60)
        assert [game for _, _, game, *_ in taken] == list(range(60))
        assert received.missing == 0


def test_both_faces_say_the_same_of_the_balance(serve):
    serving = serve(groups={face.name: "lossless" for face in FACES})
    serving.ring.write(*specs(N))
    found = []
    for face in FACES:
        with opened(face, serving) as client:
            client.take(N, group=face.name)
            serving.wait(lambda client=client, group=face.name: waiting(client, group) == 0)
            found.append(client.do(lambda c: c.balance()))
    for balance, n_done in zip(found, (1, 2), strict=True):
        (ring,) = balance.rings
        assert balance.exact
        assert ring.published.records == N
        assert all(row.accounted == ring.published for row in ring.groups)
        assert sum(row.acknowledged.records == N for row in ring.groups) == n_done
