"""The memory that a trajectory carries, rolled forward by the client, is the engine's own."""

import numpy as np
import pytest
from engine.playthrough import choose_all
from worker.test_rollout import SEED, Worker

from farm.client import stack
from farm.config.schema import FarmConfig, MatchConfig
from farm.engine.batch import reset_games, step_games
from farm.engine.state import OUTCOME, PLAYING, allocate
from farm.policies.registry import policy_info
from farm.spec.tiles import FOG, NEVER_SEEN, OWNER_MASK
from farm.worker.plan import make_plan

OFFICIAL = MatchConfig(map="official", pad=False, seats=("expander", "random"), max_turns=120)
"""Boards of different sizes, in arrays made for the largest."""
DUEL = MatchConfig(board="9x11", seats=("expander", "random"), max_turns=60, cities=3)
FOUR = MatchConfig(board="8x9", seats=("expander",) * 3 + ("random",), max_turns=60, cities=4)


@pytest.fixture
def make_worker(instance):
    workers = []

    def make(**options):
        workers.append(Worker(instance, index=len(workers), **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.segment.unlink()


def memories_of(match, number):
    """Armies and tiles that each seat remembers, tick by tick, from the engine without a worker."""
    plan = make_plan(FarmConfig(match=match), SEED)
    games = allocate(1, plan.height * plan.width, match.n_seats, memory=True)
    reset_games(games, plan.seed, np.array([number], np.uint64), plan.settings)
    codes = np.array([policy_info(name).code for name in match.seats], np.int32)
    actions = np.zeros((1, len(codes)), np.int32)
    height, width = int(games.height[0]), int(games.width[0])
    seen = {"army": [], "tile": []}
    while True:
        for name, rows in seen.items():
            cells = getattr(games, f"memory_{name}")[0, :, : height * width]
            rows.append(cells.reshape(-1, height, width).copy())
        if games.status[0, OUTCOME] != PLAYING:
            return {name: np.stack(rows) for name, rows in seen.items()}
        choose_all(games, codes, actions)
        step_games(games, actions)


@pytest.mark.parametrize("match", [DUEL, FOUR, OFFICIAL])
def test_the_memory_rolled_forward_is_the_engines_at_every_tick_of_every_seat(make_worker, match):
    n_carried = 0
    games = make_worker(match=match, memory=True).play_games(6)
    for number, trajectories in games.items():
        expected = memories_of(match, number)
        batch = stack(trajectories)
        for name, of_engine in expected.items():
            np.testing.assert_array_equal(batch.memory[name], of_engine[batch.tick, batch.seat])
            after = of_engine[batch.tick + 1, batch.seat]
            np.testing.assert_array_equal(batch.next_memory[name], after)
        n_carried += np.count_nonzero(batch.first_memory["tile"] != NEVER_SEEN)
    assert n_carried > 50, "games in which nothing is ever lost from sight prove nothing"


def test_what_the_first_frame_shows_is_not_carried_a_second_time(make_worker):
    worker = make_worker(memory=True)
    worker.poll()
    for _, trajectory in worker.take():
        in_sight = trajectory.frames["tile"][:1] & OWNER_MASK != FOG
        assert (trajectory.first_memory["tile"][in_sight] == NEVER_SEEN).all()
        assert not trajectory.first_memory["army"][in_sight].any()


def test_memory_changes_nothing_else_of_a_game(make_worker):
    without, with_memory = make_worker(), make_worker(memory=True)
    games, same = without.play_games(3), with_memory.play_games(3)
    for number, trajectories in games.items():
        for one, other in zip(trajectories, same[number], strict=True):
            assert not one.has_memory
            assert other.has_memory
            assert one.frames.tobytes() == other.frames.tobytes()
            for name in ("reward", "log_prob", "action"):
                assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
