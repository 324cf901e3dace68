"""What a farm takes over from a dead one of its name, what it refuses, and what it keeps."""

import socket

import msgspec
import pytest

from farm.config.convert import to_config
from farm.errors import (
    AddressInUseError,
    InstanceRunningError,
    LeftoversError,
    SharedMemoryFullError,
)
from farm.shm.control import ChildState, ControlBlock
from farm.shm.groups import GROUPS_BYTES, Amount, GroupKind, Released, Settled, attach_groups
from farm.shm.lease import running_pid
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import TAIL_OFFSET, attach_ring, ring_indexes, ring_name
from farm.shm.segment import list_segments, segment_name, shm_path
from farm.spec.trajectory import N_STEPS_OFFSET, RECORD_HEADER
from farm.supervisor import segments as module
from farm.supervisor.companion import TAIL_GROUP
from farm.supervisor.segments import owed_records, take_leftovers, take_segments

RING_BYTES = 1 << 18
HOSTS = {"hosts": 2, "ring_bytes": 1 << 20, "address": "127.0.0.1:0"}


@pytest.fixture
def config_of(instance):
    def make(**values):
        ring = {"bytes": RING_BYTES, "submitted_bytes": 65_536} | values.pop("ring", {})
        free = "127.0.0.1:0"
        tree = {
            "instance": instance,
            "ring": ring,
            "serve": {"address": free},
            "telemetry": {"metrics_address": free},
        }
        return to_config(tree | values)

    return make


@pytest.fixture
def farm(config_of):
    """The segments of a farm with two workers, of which the processes are imagined."""
    taken = take_segments(config_of(worker={"count": 2}), seed=5)
    yield taken
    taken.control.close()


def die(taken):
    """End as a killed supervisor does: the lock goes, nothing else happens."""
    taken.control.close()


def write(instance, worker, n_records, n_experiences=3):
    with attach_ring(instance, worker) as ring:
        producer = RingProducer(ring)
        for _ in range(n_records):
            room = producer.try_claim(RECORD_HEADER.itemsize, n_experiences)
            room[:] = bytes(RECORD_HEADER.itemsize)
            room[N_STEPS_OFFSET] = n_experiences
        producer.publish()
        del producer


def claim_group(instance, name="trainer", kind=GroupKind.LOSSLESS):
    with attach_groups(instance) as groups:
        groups.claim(name, kind, starts={})


def settle_all(instance, name="trainer"):
    with attach_groups(instance) as groups:
        for worker in ring_indexes(instance):
            with attach_ring(instance, worker) as ring:
                producer = RingProducer(ring)
                tail, amount = ring.load(TAIL_OFFSET), Amount(int(producer.cursor[3]), 0)
                experiences = int(producer.cursor[6])
                amount = Amount(amount.records, experiences)
                groups.find(name).settle(worker, Settled(tail, acknowledged=amount))
                groups.set_released(worker, Released(tail, amount.records, amount.experiences))
                del producer


def test_a_fresh_farm_has_a_ring_for_each_worker_and_one_for_what_is_handed_in(farm, instance):
    assert ring_indexes(instance) == [0, 1, 64]
    with attach_groups(instance) as groups:
        assert (groups.capacity, groups.n_rings, groups.adoptions) == (RING_BYTES, 2, 0)
        assert groups.run_id > 0
    assert farm.control.seed == 5


def test_every_games_host_has_a_ring_of_a_size_of_its_own(config_of, instance):
    taken = take_segments(config_of(games=HOSTS), seed=5)
    assert ring_indexes(instance) == [0, 64, 65, 66]
    for ring in (65, 66):
        with attach_ring(instance, ring) as segment:
            assert segment.parameter == HOSTS["ring_bytes"]
    with attach_groups(instance) as groups:
        assert (groups.n_rings, groups.n_host_rings) == (1, 2)
    write(instance, 66, 4)
    assert taken.balance().sums()["published"] == Amount(4, 12)
    taken.end()
    assert list_segments(instance) == []


@pytest.mark.parametrize(("hosts", "rings"), [(0, [65, 66]), (1, [65, 66]), (3, [65, 66, 67])])
def test_what_a_games_host_left_is_gone_on_with_however_many_there_are_now(
    config_of, instance, hosts, rings
):
    taken = take_segments(config_of(games=HOSTS), seed=5)
    taken.control.set_game_address(1, "127.0.0.1:50062")
    claim_group(instance)
    write(instance, 66, 4)
    die(taken)
    again = take_segments(config_of(games=HOSTS | {"hosts": hosts}), seed=1)
    assert ring_indexes(instance) == [0, 64, *rings]
    assert again.balance().owed == {"trainer": 4}
    assert again.control.game_addresses == ("",) * 4, "those of the farm before are no more"
    with attach_groups(instance) as groups:
        assert groups.n_host_rings == max(2, hosts)
    die(again)


def test_another_size_of_their_rings_is_refused_while_somebody_is_owed_something(
    config_of, instance
):
    taken = take_segments(config_of(games=HOSTS), seed=5)
    claim_group(instance)
    write(instance, 65, 4)
    die(taken)
    words = r"games\.ring_bytes was 1048576 and is 2097152 now \(ring 65\)"
    with pytest.raises(LeftoversError, match=words):
        take_segments(config_of(games=HOSTS | {"ring_bytes": 1 << 21}), seed=1)
    die(take_segments(config_of(games=HOSTS), seed=1))


def test_a_host_s_ring_that_somebody_removed_is_missed(config_of, instance):
    taken = take_segments(config_of(games=HOSTS), seed=5)
    claim_group(instance)
    die(taken)
    shm_path(ring_name(instance, 66)).unlink()
    with pytest.raises(LeftoversError, match="the ring of games-1 is missing"):
        take_segments(config_of(games=HOSTS), seed=1)


def test_the_port_of_every_games_host_has_to_be_free(config_of, instance):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        games = HOSTS | {"address": f"127.0.0.1:{port - 1}"}
        with pytest.raises(AddressInUseError, match=rf":{port} is taken.*games\.address"):
            take_segments(config_of(games=games), seed=5)
    assert list_segments(instance) == []


def test_without_a_ring_for_it_nothing_can_be_handed_in(config_of, instance):
    taken = take_segments(config_of(ring={"submitted_bytes": 0}), seed=5)
    assert ring_indexes(instance) == [0]
    taken.end()


def test_the_next_farm_goes_on_with_rings_groups_games_seed_and_generations(
    farm, config_of, instance
):
    with attach_groups(instance) as groups:
        run_id = groups.run_id
    claim_group(instance)
    write(instance, 1, 4)
    farm.control.next_game = 77
    farm.control.n_children = 3
    farm.control.children[2].assign("rollout-0", "rollout", 0)
    farm.control.children[2].generation = 9
    farm.control.children[2].pid = 4_000_000
    farm.control.children[2].state = ChildState.READY
    farm.control.children[2].add("env_steps", 123)
    farm.control.store_config(6, b"{}")
    die(farm)

    again = take_segments(config_of(worker={"count": 2}), seed=8)
    assert again.control.next_game == 77
    assert again.control.seed == 5, "drawn by the farm before"
    assert again.control.load_config()[0] == 6
    slot = again.control.children[2]
    assert (slot.name, slot.generation, slot.pid) == ("rollout-0", 9, 0)
    assert slot.counter("env_steps") == 123
    assert slot.state is ChildState.STOPPED
    with attach_groups(instance) as groups:
        assert (groups.run_id, groups.adoptions) == (run_id, 1)
        assert groups.find("trainer") is not None
    assert again.balance().owed == {"trainer": 4}
    assert again.lags() == {"trainer": 4 * 72}
    die(again)


def test_a_seed_of_the_config_wins(farm, config_of):
    die(farm)
    again = take_segments(config_of(worker={"count": 2}, seed=8), seed=8)
    assert again.control.seed == 8
    die(again)


@pytest.mark.parametrize(("count", "rings"), [(1, [0, 1, 64]), (4, [0, 1, 2, 3, 64])])
def test_rings_too_many_stay_and_rings_too_few_are_made(farm, config_of, instance, count, rings):
    claim_group(instance)
    write(instance, 1, 2)
    die(farm)
    again = take_segments(config_of(worker={"count": count}), seed=1)
    assert ring_indexes(instance) == rings
    assert again.balance().owed == {"trainer": 2}
    with attach_groups(instance) as groups:
        assert groups.n_rings == max(2, count)
    die(again)


def test_another_size_of_workers_rings_is_gone_on_with_and_waited_for(farm, config_of, instance):
    claim_group(instance)
    write(instance, 0, 3)
    die(farm)
    again = take_segments(config_of(worker={"count": 2}, ring={"bytes": 2 * RING_BYTES}), seed=1)
    assert again.balance().owed == {"trainer": 3}
    assert again.replacements.workers == {0, 1}
    die(again)
    settle_all(instance)
    afresh = take_segments(config_of(ring={"bytes": 2 * RING_BYTES}), seed=1)
    assert not afresh.replacements.workers, "nobody is owed anything: the rings are made anew"
    assert afresh.balance().sums()["published"] == Amount()
    die(afresh)


def test_another_size_of_other_rings_is_refused_while_somebody_is_owed_something(
    farm, config_of, instance
):
    words = "ring.submitted_bytes was 65536 and is 131072 now"
    claim_group(instance)
    write(instance, 0, 3)
    write(instance, 64, 1)
    die(farm)
    left = list_segments(instance)
    with pytest.raises(LeftoversError, match=words) as refused:
        take_segments(config_of(worker={"count": 2}, ring={"submitted_bytes": 1 << 17}), seed=1)
    assert "4 records to group trainer" in str(refused.value)
    for way_out in (f"farm drain --instance {instance}", "farm up --discard"):
        assert way_out in str(refused.value)
    assert refused.value.exit_code == 69
    assert list_segments(instance) == left
    assert running_pid(instance) is None
    again = take_segments(config_of(worker={"count": 2}), seed=1)
    assert again.balance().owed == {"trainer": 4}, "and nothing of it was touched"
    die(again)


@pytest.mark.parametrize("kind", [None, GroupKind.LATEST, GroupKind.SAMPLE])
def test_what_nobody_is_owed_is_no_reason_to_refuse(farm, config_of, instance, kind):
    if kind:
        claim_group(instance, kind=kind)
    write(instance, 0, 3)
    die(farm)
    again = take_segments(config_of(ring={"bytes": 2 * RING_BYTES}), seed=1)
    assert ring_indexes(instance) == [0, 64]
    assert again.balance().sums()["published"] == Amount()
    assert again.control.seed == 1
    die(again)


def test_what_a_group_has_acknowledged_is_no_reason_to_refuse(farm, config_of, instance):
    claim_group(instance)
    write(instance, 0, 3)
    settle_all(instance)
    assert farm.lags() == {}
    die(farm)
    die(take_segments(config_of(ring={"bytes": 2 * RING_BYTES}), seed=1))


def test_discard_throws_everything_away(farm, config_of, instance):
    claim_group(instance)
    write(instance, 0, 3)
    die(farm)
    again = take_segments(config_of(), seed=1, discard=True)
    assert again.balance().groups == ()
    assert again.control.next_game == 0
    assert ring_indexes(instance) == [0, 64]
    die(again)


def test_the_group_of_the_tail_goes_with_its_farm(farm, config_of, instance):
    claim_group(instance, TAIL_GROUP)
    write(instance, 0, 3)
    assert owed_records(farm.balance()) == {}
    assert farm.lags() == {}
    die(farm)
    again = take_segments(config_of(worker={"count": 2}), seed=1)
    with attach_groups(instance) as groups:
        assert groups.slots() == []
    die(again)


def test_a_farm_of_another_spec_or_layout_is_refused_as_nobody_knows_what_it_owes(
    farm, config_of, instance
):
    die(farm)
    for role in ("groups", "ring0"):
        path = shm_path(segment_name(instance, role))
        kept = path.read_bytes()[8:16]
        with path.open("r+b") as file:
            file.seek(8)
            file.write((99).to_bytes(8, "little"))
        with pytest.raises(LeftoversError, match="has layout 99"):
            take_segments(config_of(worker={"count": 2}), seed=1)
        with path.open("r+b") as file:
            file.seek(8)
            file.write(kept)
    die(take_segments(config_of(worker={"count": 2}), seed=1))


DAMAGE = {
    "a torn control block": ("control", 0, 4096),
    "torn groups": ("groups", 4096, GROUPS_BYTES - 4096),
    "a torn ring header": ("ring0", 0, 4096),
    "torn checkpoints": ("ring0", 4096, 4096),
    "a ring of garbage": ("ring0", 0, RING_BYTES),
}


@pytest.mark.parametrize("role_and_place", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("is_owed", [False, True])
def test_damage_is_a_clear_refusal_or_cleared_away_and_never_a_crash(
    farm, config_of, instance, role_and_place, is_owed
):
    role, start, n_bytes = role_and_place
    if is_owed:
        claim_group(instance)
        write(instance, 1, 3)
    die(farm)
    with shm_path(segment_name(instance, role)).open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * n_bytes)
    config = config_of(worker={"count": 2})
    hides_what_is_owed = (role, start) in {("groups", 4096), ("ring0", 0)}
    if is_owed or hides_what_is_owed:
        with pytest.raises(LeftoversError, match="--discard"):
            take_segments(config, seed=1)
        taken = take_segments(config, seed=1, discard=True)
    else:
        taken = take_segments(config, seed=1)
    assert taken.balance().exact
    assert ring_indexes(instance) == [0, 1, 64]
    die(taken)


@pytest.mark.parametrize("role", ["groups", "ring0", "ring1", "ring64", "control"])
def test_a_start_that_died_on_the_way_is_cleared_away(farm, config_of, instance, role):
    """Everything is made but one segment, and the groups come last."""
    die(farm)
    shm_path(segment_name(instance, "groups")).unlink()
    shm_path(segment_name(instance, role)).unlink(missing_ok=True)
    taken = take_segments(config_of(worker={"count": 2}), seed=1)
    assert taken.balance().exact
    assert ring_indexes(instance) == [0, 1, 64]
    die(taken)


def test_a_ring_that_was_just_being_made_is_made_again(farm, config_of, instance):
    claim_group(instance)
    write(instance, 0, 2)
    die(farm)
    shm_path(ring_name(instance, 2)).write_bytes(bytes(8192 + RING_BYTES))
    again = take_segments(config_of(worker={"count": 3}), seed=1)
    assert again.balance().owed == {"trainer": 2}
    write(instance, 2, 1)
    assert again.balance().owed == {"trainer": 3}
    die(again)


@pytest.mark.parametrize("removed", [0, 1])
def test_a_ring_that_somebody_removed_is_missed(farm, config_of, instance, removed):
    """Also if nothing is owed of the others: it may have held what is."""
    claim_group(instance)
    write(instance, 0, 2)
    die(farm)
    shm_path(ring_name(instance, removed)).unlink()
    with pytest.raises(LeftoversError, match=f"ring of worker {removed} is missing"):
        take_segments(config_of(worker={"count": 2}), seed=1)


def test_a_farm_that_owes_keeps_its_segments_and_one_that_does_not_removes_them(
    farm, config_of, instance
):
    claim_group(instance)
    write(instance, 0, 2)
    left = list_segments(instance)
    balance = farm.end()
    assert balance.owed == {"trainer": 2}
    assert list_segments(instance) == left
    assert farm.end() is balance, "a second end changes nothing"
    again = take_segments(config_of(worker={"count": 2}), seed=1)
    settle_all(instance)
    assert again.end().owed == {}
    assert list_segments(instance) == []


def test_a_farm_that_never_had_a_group_removes_its_segments(farm, instance):
    write(instance, 0, 2)
    assert farm.end().sums()["in_ring"] == Amount(2, 6)
    assert list_segments(instance) == []


def test_a_refused_start_leaves_nothing_of_its_own(config_of, instance, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda: 1_000)
    with pytest.raises(SharedMemoryFullError, match="1000 are free"):
        take_segments(config_of(), seed=1)
    assert list_segments(instance) == []


def test_going_on_needs_no_room_for_what_is_there(farm, config_of, instance, monkeypatch):
    claim_group(instance)
    write(instance, 0, 2)
    die(farm)
    left = list_segments(instance)
    monkeypatch.setattr(module, "free_bytes", lambda: 0)
    with pytest.raises(SharedMemoryFullError):
        take_segments(config_of(worker={"count": 3}), seed=1)
    assert list_segments(instance) == left
    die(take_segments(config_of(worker={"count": 2}), seed=1))


def test_a_ring_that_finds_no_room_after_all_leaves_what_was_there(
    farm, config_of, instance, monkeypatch
):
    claim_group(instance)
    write(instance, 0, 2)
    die(farm)
    left = list_segments(instance)
    real = module.create_ring

    def full_at_3(name, ring, capacity):
        if ring == 3:
            raise SharedMemoryFullError("others were quicker")
        return real(name, ring, capacity)

    monkeypatch.setattr(module, "create_ring", full_at_3)
    with pytest.raises(SharedMemoryFullError):
        take_segments(config_of(worker={"count": 4}), seed=1)
    assert list_segments(instance) == left
    assert running_pid(instance) is None


def test_only_a_dead_farm_that_fits_can_be_drained_as_such(farm, config_of, instance):
    config = config_of(worker={"count": 2})
    with pytest.raises(InstanceRunningError):
        take_leftovers(config)
    claim_group(instance)
    write(instance, 0, 2)
    die(farm)
    with pytest.raises(LeftoversError, match=r"ring\.submitted_bytes was"):
        take_leftovers(config_of(ring={"submitted_bytes": 1 << 17}))
    taken = take_leftovers(config)
    assert taken.balance().owed == {"trainer": 2}
    die(taken)
    assert msgspec.structs.asdict(config)["instance"] == instance


def test_nothing_cannot_be_drained(config_of, instance):
    with pytest.raises(LeftoversError, match="no farm"):
        take_leftovers(config_of())
    assert list_segments(instance) == []


def test_a_control_block_is_taken_over_in_place_beside_whoever_reads_it(farm, config_of, instance):
    with ControlBlock.attach(instance, readonly=True).segment as seen:
        die(farm)
        again = take_segments(config_of(worker={"count": 2}), seed=1)
        again.control.next_game = 5
        assert ControlBlock(instance, seen).next_game == 5
        die(again)
