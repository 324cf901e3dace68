"""Games are played to their end by the config that set them up, however often it changes."""

import numpy as np
import pytest
from msgspec import structs

from farm.client import Trajectory
from farm.config.schema import FarmConfig, MatchConfig, RewardConfig, RingConfig, WorkerConfig
from farm.rpc.v1 import experience_pb2
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import create_ring
from farm.spec.trajectory import RECORD_HEADER
from farm.worker.cohorts import MAX_COHORTS
from farm.worker.plan import make_plan, make_scratch
from farm.worker.rollout import Rollout

SMALL = FarmConfig(
    match=MatchConfig(board="9x9", seats=("expander", "random"), max_turns=80, cities=2),
    worker=WorkerConfig(games=6, steps=16),
    ring=RingConfig(bytes=1 << 20),
)
LARGE = structs.replace(
    SMALL,
    match=MatchConfig(board="14x12", seats=("random", "hunter", "random"), max_turns=60, cities=3),
)
REWARDED = structs.replace(SMALL, reward=RewardConfig(step=-1.0))


class Worker:
    def __init__(self, instance, config):
        self.control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8)
        self.segment = create_ring(instance, 0, config.ring.bytes)
        self.ring = RingProducer(self.segment)
        self.consumer = RingConsumer(self.segment)
        plan, scratch = self.made(config, 1)
        self.rollout = Rollout(plan, scratch, config.worker.games, self.control, self.ring)
        self.taken = []

    def made(self, config, epoch):
        plan = make_plan(config, 7)
        return plan, make_scratch(plan, worker=0, generation=1, config_epoch=epoch)

    def follow(self, config, epoch):
        self.rollout.follow(*self.made(config, epoch))

    def play(self):
        assert self.rollout.poll(0, 1) > 0
        while (record := self.consumer.peek()) is not None:
            data = bytes(record)[RECORD_HEADER.itemsize :]
            message = experience_pb2.ExperienceBatch.FromString(data).trajectories[0]
            self.taken.append(Trajectory(message))
        self.consumer.release()

    def play_until(self, condition):
        for _ in range(5_000):
            if condition():
                return
            self.play()
        raise AssertionError("it does not come to that")

    def of_epoch(self, epoch):
        return [one for one in self.taken if one.config_epoch == epoch]

    def games(self):
        by_game = {}
        for one in self.taken:
            by_game.setdefault(one.game_id, []).append(one)
        return by_game


@pytest.fixture
def start(instance):
    workers = []

    def start_worker(config=SMALL):
        workers.append(Worker(instance, config))
        return workers[0]

    yield start_worker
    for worker in workers:
        worker.segment.unlink()


def test_new_games_are_the_new_configs_and_those_in_progress_end_by_the_old(start):
    worker = start()
    worker.play_until(lambda: len(worker.taken) > 20)
    worker.follow(LARGE, 2)
    worker.play_until(lambda: len(worker.rollout.cohorts) == 1 and len(worker.of_epoch(2)) > 60)
    assert {one.shape for one in worker.of_epoch(1)} == {(9, 9, 2)}
    assert {one.shape for one in worker.of_epoch(2)} == {(14, 12, 3)}
    for trajectories in worker.games().values():
        assert len({one.config_epoch for one in trajectories}) == 1
    old = {one.game_id for one in worker.of_epoch(1)}
    for number in old:
        ends = [one for one in worker.games()[number] if one.terminated or one.truncated]
        assert {one.seat for one in ends} == {0, 1}, "a game in progress was given up"


def test_no_record_is_lost_and_none_is_torn_by_a_change(start):
    worker = start()
    for epoch in range(2, 9):
        worker.play()
        worker.follow((SMALL, LARGE, REWARDED)[epoch % 3], epoch)
    worker.play_until(lambda: not worker.rollout.cohorts.is_waiting and worker.of_epoch(8))
    assert [one.sequence for one in worker.taken] == list(range(len(worker.taken)))
    for one in worker.taken:
        one.verify()


def test_rewards_and_steps_change_in_the_middle_of_games_and_the_epoch_says_which(start):
    worker = start()
    worker.play_until(lambda: len(worker.taken) > 20)
    longer = structs.replace(REWARDED, worker=WorkerConfig(games=6, steps=40))
    worker.follow(longer, 2)
    worker.play_until(lambda: len(worker.of_epoch(2)) > 60)
    assert len(worker.rollout.cohorts) == 1
    for one in worker.of_epoch(1):
        assert one.n_steps <= 16
        assert not one.reward[:-1].any()
    for one in worker.of_epoch(2):
        assert (one.reward[:-1] == -1.0).all()
    assert max(one.n_steps for one in worker.of_epoch(2)) == 40
    both = [
        number
        for number, trajectories in worker.games().items()
        if {one.config_epoch for one in trajectories} == {1, 2}
    ]
    assert both, "no game went on under the new rewards"


def test_a_storm_of_configs_is_bounded_and_the_last_one_comes_into_force(start):
    worker = start()
    for epoch in range(2, 102):
        worker.follow((SMALL, LARGE)[epoch % 2], epoch)
        assert len(worker.rollout.cohorts) <= MAX_COHORTS
        if epoch % 10 == 0:
            worker.play()
    worker.play_until(lambda: worker.of_epoch(101) and len(worker.rollout.cohorts) == 1)
    assert worker.taken[-1].config_epoch == 101
    assert {one.shape for one in worker.of_epoch(101)} == {(14, 12, 3)}


def test_what_a_full_ring_does_changes_for_games_in_progress_too(start):
    worker = start()
    while worker.rollout.poll(0, 1):
        pass
    dropping = structs.replace(LARGE, ring=RingConfig(bytes=1 << 20, when_full="drop_newest"))
    worker.follow(dropping, 2)
    for _ in range(8):
        assert worker.rollout.poll(0, 1) > 0
