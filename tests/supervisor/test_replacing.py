"""Rings that are to have another capacity: asked for, waited for, replaced, or left as they are."""

import json

import msgspec
import pytest

from farm.config.convert import to_config
from farm.errors import LeftoversError, SharedMemoryFullError
from farm.shm.control import ChildState
from farm.shm.groups import Amount, GroupKind, Released, Settled, attach_groups
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import (
    FATE_OFFSET,
    HEAD_OFFSET,
    TAIL_OFFSET,
    Fate,
    RingView,
    attach_ring,
    ring_indexes,
)
from farm.shm.segment import list_segments
from farm.spec.trajectory import N_STEPS_OFFSET
from farm.supervisor import replacing as module
from farm.supervisor.segments import take_segments
from farm.supervisor.specs import children_of

SECOND = 1_000_000_000
SMALL, MIDDLE, LARGE = 1 << 18, 1 << 19, 1 << 20
N_EXPERIENCES = 3


@pytest.fixture
def config_of(instance):
    def make(n_bytes=SMALL, count=2):
        free = "127.0.0.1:0"
        tree = {
            "instance": instance,
            "worker": {"count": count},
            "ring": {"bytes": n_bytes, "submitted_bytes": 65_536},
            "serve": {"address": free},
            "telemetry": {"metrics_address": free},
        }
        return to_config(tree)

    return make


class Farm:
    """The segments of a farm whose children are imagined."""

    def __init__(self, config, *, discard=False):
        self.segments = take_segments(config, seed=5, discard=discard)
        self.control = self.segments.control
        self.instance = self.control.instance
        self.replacements = self.segments.replacements
        for spec in children_of(config.worker.count):
            self.control.n_children = max(self.control.n_children, spec.slot + 1)
            self.control.children[spec.slot].assign(spec.name, spec.role, spec.index)
        self.store(config)
        self.run(*range(config.worker.count))

    def store(self, config):
        epoch = self.control.load_config()[0] + 1
        self.control.store_config(epoch, msgspec.json.encode(config))

    def slot(self, worker):
        return next(slot for slot in self.control.children if slot.name == f"rollout-{worker}")

    def run(self, *workers):
        for worker in workers:
            self.slot(worker).pid, self.slot(worker).state = 1000 + worker, ChildState.READY

    def end(self, *workers, state=ChildState.STOPPED):
        for worker in workers:
            self.slot(worker).pid, self.slot(worker).state = 0, state

    def reload(self, config):
        self.segments.prepare(config)
        self.store(config)

    def write(self, worker, n_records):
        with attach_ring(self.instance, worker) as ring:
            producer = RingProducer(ring)
            for _ in range(n_records):
                room = producer.try_claim(1024, N_EXPERIENCES)
                room[:] = bytes(1024)
                room[N_STEPS_OFFSET] = N_EXPERIENCES
            producer.publish()
            del producer

    def take(self, *groups):
        """These groups have settled everything, and so it is released."""
        with attach_groups(self.instance) as block:
            for worker in ring_indexes(self.instance):
                with attach_ring(self.instance, worker) as ring:
                    tail, records = ring.load(TAIL_OFFSET), RingView(ring).records
                    amount = Amount(records, records * N_EXPERIENCES)
                    for name in groups:
                        block.find(name).settle(worker, Settled(tail, acknowledged=amount))
                    released = Released(tail, amount.records, amount.experiences)
                    block.set_released(worker, released)
                    ring.store(HEAD_OFFSET, tail)

    def capacities(self):
        found = {}
        for ring in ring_indexes(self.instance):
            with attach_ring(self.instance, ring, readonly=True) as segment:
                found[ring] = segment.parameter
        del found[64]
        return found

    def fate(self, worker):
        with attach_ring(self.instance, worker, readonly=True) as ring:
            return ring.load(FATE_OFFSET)

    def successors(self):
        return [name for name in list_segments(self.instance) if "-next" in name]

    def die(self):
        """As a killed supervisor does: the lock goes, nothing else happens."""
        self.control.close()


@pytest.fixture
def farm(config_of):
    made = Farm(config_of())
    with attach_groups(made.instance) as groups:
        groups.claim("trainer", GroupKind.LOSSLESS, starts={})
    yield made
    made.control.close()


def test_a_ring_is_replaced_once_its_worker_has_ended_and_everything_is_taken(farm, config_of):
    farm.write(0, 5)
    farm.write(1, 5)
    farm.take("trainer")
    farm.write(1, 2)
    farm.reload(config_of(LARGE))
    assert farm.replacements.workers == {0, 1}
    assert farm.replacements.is_moving
    assert not farm.replacements.poll(SECOND), "both workers are there"
    farm.end(0, 1)
    assert farm.replacements.poll(2 * SECOND)
    assert farm.replacements.workers == {1}
    assert farm.capacities() == {0: LARGE, 1: SMALL}
    assert not farm.replacements.poll(3 * SECOND)
    farm.take("trainer")
    assert farm.replacements.poll(4 * SECOND)
    assert farm.capacities() == {0: LARGE, 1: LARGE}
    assert (farm.replacements.workers, farm.successors()) == (frozenset(), [])
    assert not farm.replacements.is_moving
    farm.write(0, 300)
    assert farm.segments.balance().exact
    assert farm.segments.balance().sums()["published"].records == 312


def test_who_reads_an_ending_ring_is_told_and_after_a_while_groups_that_do_not_hold_it_let_go(
    farm, config_of
):
    farm.write(0, 5)
    farm.reload(config_of(LARGE))
    farm.replacements.poll(SECOND)
    assert farm.fate(0) == Fate.IN_USE, "it is still being written"
    farm.end(0)
    farm.replacements.poll(10 * SECOND)
    assert farm.fate(0) == Fate.ENDING
    farm.replacements.poll(10 * SECOND + module.OVERDUE_NS - 1)
    assert farm.fate(0) == Fate.ENDING
    farm.replacements.poll(10 * SECOND + module.OVERDUE_NS)
    assert farm.fate(0) == Fate.OVERDUE
    assert farm.fate(1) == Fate.IN_USE


def test_what_is_waited_for_is_said_now_and_then_and_whom_it_is_owed(farm, config_of, monkeypatch):
    said = []
    monkeypatch.setattr(module.log, "get_logger", lambda: Said(said))
    farm.write(0, 5)
    farm.reload(config_of(LARGE))
    farm.end(0)
    for second in range(1, 121):
        farm.replacements.poll(second * SECOND)
    assert [fields["for_s"] for event, fields in said if event == "ring_waits"] == [1, 10, 100]
    n_bytes = 5 * (1024 + 8)
    _, fields = said[0]
    assert fields["owed_bytes"] == {"trainer": n_bytes}
    assert (fields["worker"], fields["unread_bytes"]) == (0, n_bytes)
    assert (fields["bytes"], fields["wanted_bytes"]) == (SMALL, LARGE)
    assert json.dumps(fields)
    assert farm.replacements.owed_bytes() == {0: {"trainer": n_bytes}}


class Said:
    """Takes notes of what is logged."""

    def __init__(self, said):
        self._said = said

    def warning(self, event, **fields):
        self._said.append((event, fields))

    info = warning


def test_a_worker_that_crashed_on_its_way_out_is_not_missed_by_the_health_of_the_farm(
    farm, config_of
):
    farm.write(0, 5)
    farm.reload(config_of(LARGE))
    farm.end(0, state=ChildState.FAILED)
    farm.replacements.poll(SECOND)
    assert farm.slot(0).state is ChildState.STOPPED


def test_asked_back_to_the_size_they_have_the_rings_stay(farm, config_of):
    farm.write(0, 5)
    farm.reload(config_of(LARGE))
    farm.end(0)
    farm.replacements.poll(SECOND)
    farm.reload(config_of(SMALL))
    assert (farm.replacements.workers, farm.successors()) == (frozenset(), [])
    assert farm.fate(0) == Fate.IN_USE
    assert farm.capacities() == {0: SMALL, 1: SMALL}


def test_asked_for_a_third_size_they_get_that_one(farm, config_of):
    farm.write(0, 5)
    farm.reload(config_of(LARGE))
    farm.reload(config_of(MIDDLE))
    assert [name.rpartition("_")[2] for name in farm.successors()] == [str(MIDDLE)] * 2
    farm.take("trainer")
    farm.end(0, 1)
    assert farm.replacements.poll(SECOND)
    assert farm.capacities() == {0: MIDDLE, 1: MIDDLE}


def test_the_same_asked_for_again_changes_nothing(farm, config_of):
    farm.reload(config_of(LARGE))
    before = farm.successors()
    farm.reload(config_of(LARGE))
    assert farm.successors() == before


def test_workers_that_are_taken_away_wait_for_nothing_and_come_back_to_another_size(
    farm, config_of
):
    farm.write(1, 5)
    farm.reload(config_of(LARGE))
    farm.reload(config_of(LARGE, count=1))
    assert farm.replacements.workers == {0}
    assert farm.fate(1) == Fate.IN_USE
    farm.end(0, 1)
    assert farm.replacements.poll(SECOND)
    assert farm.capacities() == {0: LARGE, 1: SMALL}, "it is served as it is"
    farm.reload(config_of(LARGE, count=3))
    assert farm.capacities() == {0: LARGE, 1: SMALL, 2: LARGE}
    assert farm.replacements.workers == {1}


def test_without_room_for_both_sizes_nothing_changes(farm, config_of, monkeypatch):
    farm.reload(config_of(MIDDLE))
    before = list_segments(farm.instance)
    monkeypatch.setattr(module, "free_bytes", lambda: 2 * LARGE)
    with pytest.raises(SharedMemoryFullError, match=r"ring.bytes=1048576 needs 2113536 bytes"):
        farm.segments.prepare(config_of(LARGE, count=3))
    assert list_segments(farm.instance) == before, "nor is there a ring of the third worker"
    assert farm.replacements.workers == {0, 1}
    farm.end(0, 1)
    farm.replacements.poll(SECOND)
    assert farm.capacities() == {0: MIDDLE, 1: MIDDLE}


def test_at_a_stop_nothing_is_left_of_what_was_waited_for(farm, config_of):
    farm.write(0, 5)
    farm.reload(config_of(LARGE))
    farm.end(0, 1)
    farm.replacements.poll(SECOND)
    farm.segments.end()
    assert farm.successors() == []
    assert farm.capacities() == {0: SMALL, 1: LARGE}, "it is owed to the group, and kept"


@pytest.fixture
def dead(farm, config_of):
    """A farm that died with one ring replaced and one that waits."""
    farm.write(0, 5)
    farm.write(1, 5)
    farm.take("trainer")
    farm.write(0, 3)
    farm.reload(config_of(LARGE))
    farm.end(0, 1)
    farm.replacements.poll(SECOND)
    assert farm.capacities() == {0: SMALL, 1: LARGE}
    farm.die()
    return farm


def test_the_next_farm_of_the_same_config_goes_on_and_waits_on(dead, config_of):
    assert len(dead.successors()) == 1
    again = Farm(config_of(LARGE))
    assert again.capacities() == {0: SMALL, 1: LARGE}
    assert again.segments.balance().owed == {"trainer": 3}
    assert again.replacements.workers == {0}
    assert len(again.successors()) == 1
    again.end(0)
    again.take("trainer")
    assert again.replacements.poll(SECOND)
    assert again.capacities() == {0: LARGE, 1: LARGE}
    assert again.segments.balance().exact
    again.segments.end()
    assert list_segments(again.instance) == []


@pytest.mark.parametrize(
    ("n_bytes", "ring", "was"), [(SMALL, 1, LARGE), (MIDDLE, 0, SMALL), (MIDDLE, 1, LARGE)]
)
def test_one_that_wants_another_size_is_refused_as_ever(dead, config_of, n_bytes, ring, was):
    with pytest.raises(LeftoversError, match=f"was {was} and is {n_bytes} now .ring {ring}"):
        Farm(config_of(n_bytes))
    assert dead.capacities() == {0: SMALL, 1: LARGE}


def test_one_that_is_to_discard_it_removes_all_of_it(dead, config_of):
    again = Farm(config_of(MIDDLE), discard=True)
    assert again.capacities() == {0: MIDDLE, 1: MIDDLE}
    assert dead.successors() == []
    again.die()


def test_one_without_room_to_wait_on_is_refused_and_leaves_it_as_it_is(
    dead, config_of, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(module, "free_bytes", lambda: 0)
        with pytest.raises(SharedMemoryFullError, match=r"ring\.bytes"):
            Farm(config_of(LARGE))
    assert dead.capacities() == {0: SMALL, 1: LARGE}
    again = Farm(config_of(LARGE))
    assert again.segments.balance().owed == {"trainer": 3}
    again.die()
