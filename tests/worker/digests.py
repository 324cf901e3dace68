"""What the trajectories of a few games come to, their origin aside, as a program and a function.

PYTHONPATH=.:tests python tests/worker/digests.py N_WORKERS
"""

import hashlib
import json
import sys
import uuid

import numpy as np
from worker.test_rollout import Worker, is_last

from farm.config.schema import MatchConfig
from farm.shm.control import NEXT_GAME_OFFSET

N_GAMES = 5
MATCH = MatchConfig(
    board="8x9", seats=("expander|hunter", "random", "hunter"), max_turns=50, cities=3
)
ORIGIN = ("worker", "generation", "sequence", "wall_time_ns", "checksum")
"""Fields that say who made a trajectory, and the checksum over them."""


def digests(n_workers):
    """For each of the first games its trajectories by seat and first tick, each as a digest."""
    control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8)
    instance = f"digests-{uuid.uuid4().hex[:8]}"
    workers = [
        Worker(instance, match=MATCH, games=2, memory=True, index=index, control=control)
        for index in range(n_workers)
    ]
    try:
        return play(workers)
    finally:
        for worker in workers:
            worker.segment.unlink()


def play(workers):
    games = {number: {} for number in range(N_GAMES)}
    unfinished = {(number, seat) for number in games for seat in range(MATCH.n_seats)}
    while unfinished:
        for worker in workers:
            worker.poll()
            for _, trajectory in worker.take():
                if trajectory.game_id in games:
                    place = f"seat {trajectory.seat} tick {trajectory.first_tick}"
                    games[trajectory.game_id][place] = digest(trajectory)
                if is_last(trajectory):
                    unfinished.discard((trajectory.game_id, trajectory.seat))
    return {str(number): dict(sorted(found.items())) for number, found in games.items()}


def digest(trajectory):
    trajectory.verify()
    message = type(trajectory._message)()
    message.CopyFrom(trajectory._message)
    for field in ORIGIN:
        message.ClearField(field)
    return hashlib.blake2b(message.SerializeToString(), digest_size=16).hexdigest()


if __name__ == "__main__":
    json.dump(digests(int(sys.argv[1])), sys.stdout)
