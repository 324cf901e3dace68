"""Rewards by the config: each is what the frames say the step changed, times its weight."""

import numpy as np
import pytest
from msgspec import structs

from farm.client import Trajectory
from farm.config.load import compose
from farm.config.schema import FarmConfig, MatchConfig, RewardConfig, RingConfig, WorkerConfig
from farm.engine import rewards
from farm.rpc.v1 import experience_pb2
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import create_ring
from farm.spec import tiles
from farm.spec.trajectory import RECORD_HEADER
from farm.worker.plan import make_plan, make_scratch
from farm.worker.rollout import Rollout

DUEL = MatchConfig(board="9x9", seats=("expander", "hunter"), max_turns=250, cities=4)
NOTHING = RewardConfig(win=0.0, lose=0.0)


@pytest.fixture
def play(instance):
    """Trajectories of the first games under some weights."""
    segments = []

    def play_games(weights, n_games=12, match=DUEL):
        config = FarmConfig(
            match=match,
            reward=weights,
            worker=WorkerConfig(games=4, steps=16),
            ring=RingConfig(bytes=1 << 20),
        )
        segment = create_ring(instance, len(segments), config.ring.bytes)
        segments.append(segment)
        plan = make_plan(config, 7)
        scratch = make_scratch(plan, worker=0, generation=1, config_epoch=1)
        control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8)
        player = Rollout(plan, scratch, 4, control, RingProducer(segment))
        consumer, taken, ended = RingConsumer(segment), [], set()
        while len(ended) < 2 * n_games:
            assert player.poll(0, 1) > 0
            while (record := consumer.peek()) is not None:
                data = bytes(record)[RECORD_HEADER.itemsize :]
                message = experience_pb2.ExperienceBatch.FromString(data).trajectories[0]
                trajectory = Trajectory(message)
                taken.append(trajectory)
                if trajectory.game_id < n_games and (trajectory.terminated or trajectory.truncated):
                    ended.add((trajectory.game_id, trajectory.seat))
            consumer.release()
        return [trajectory for trajectory in taken if trajectory.game_id < n_games]

    yield play_games
    for segment in segments:
        segment.unlink()


def changes(trajectory, field):
    """What each step changed in the seat's own column of the scoreboard."""
    return np.diff(trajectory.frames[field][:, 0].astype(np.int64))


def cities(trajectory):
    tile = trajectory.frames["tile"].reshape(trajectory.n_steps + 1, -1)
    own = (tile & tiles.OWNER_MASK) == tiles.SELF
    return (own & (tile >> tiles.OWNER_BITS == tiles.CITY)).sum(axis=1)


def test_land_and_army_and_steps_count_by_what_the_scoreboard_says(play):
    weights = structs.replace(NOTHING, land_gained=2.0, land_lost=-3.0, army=0.25, step=-1.0)
    lost = 0
    for trajectory in play(weights):
        land, army = changes(trajectory, "total_land"), changes(trajectory, "total_army")
        expected = 2.0 * np.maximum(land, 0) + 3.0 * np.minimum(land, 0) + 0.25 * army - 1.0
        np.testing.assert_array_equal(trajectory.reward, expected.astype(np.float32))
        lost += (land < 0).sum()
    assert lost > 0


def test_cities_count_when_they_are_won_and_lost(play):
    n_won = 0
    for trajectory in play(structs.replace(NOTHING, city=1.0)):
        expected = np.diff(cities(trajectory))
        np.testing.assert_array_equal(trajectory.reward, expected.astype(np.float32))
        n_won += (expected > 0).sum()
    assert n_won > 0


def test_a_taken_general_counts_once_for_whoever_took_it(play):
    trajectories = play(structs.replace(NOTHING, general=5.0))
    taken = 0
    for number in range(12):
        mine = [t for t in trajectories if t.game_id == number]
        gains = {seat: sum(t.reward.sum() for t in mine if t.seat == seat) for seat in (0, 1)}
        ended = all(t.terminated for t in mine if t.terminated or t.truncated)
        assert sorted(gains.values()) == ([0.0, 5.0] if ended else [0.0, 0.0])
        taken += ended
    assert taken > 0


def test_win_lose_and_draw_are_what_the_config_says_on_the_last_step_alone(play):
    weights = RewardConfig(win=3.0, lose=-2.0, draw=0.5)
    short = structs.replace(DUEL, max_turns=60)
    seen = set()
    for trajectory in [*play(weights), *play(weights, match=short)]:
        assert not trajectory.reward[:-1].any()
        if trajectory.truncated:
            assert trajectory.reward[-1] == 0.5
        elif trajectory.terminated:
            alive = trajectory.next_obs["alive"][-1, 0]
            assert trajectory.reward[-1] == (3.0 if alive else -2.0)
        else:
            assert trajectory.reward[-1] == 0.0
        seen.add(float(trajectory.reward[-1]))
    assert seen == {0.0, 0.5, 3.0, -2.0}


@pytest.mark.parametrize("name", sorted(rewards.SETS))
def test_the_sets_of_environments_are_the_options_of_the_config(name):
    config = structs.asdict(compose([f"reward={name}"]).config.reward)
    assert rewards.of_names(config).tolist() == rewards.of_names(rewards.SETS[name]).tolist()
    assert rewards.is_shaped(rewards.of_names(config)) == (name == "shaped")


def test_the_names_are_the_keys_of_the_config():
    assert set(rewards.NAMES) == set(structs.asdict(RewardConfig()))
