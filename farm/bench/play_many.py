"""`play_many`: environment steps a second of one learner over PlayMany, beside the same in process.

An environment step is a tick of a game. Duels in lockstep, both seats driven by this one client,
which draws legal actions; an ended game is followed by another. Host, client and network share two
processors. Overrides set the farm's config, and `match.board` and `worker.games` the games.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from farm.bench.running import pin, running_farm, say
from farm.client import GameClient, ManySeats
from farm.config.load import compose_config
from farm.envs.match import AGENT, Match
from farm.envs.vector import AgentsVectorEnv

DEFAULTS = ("match.board=10x10", "worker.games=256")
SEED = 1


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure a learner against a host, then the environment alone with the same policy.

    Returns:
        games, board: what was played.
        env_steps_per_s: ticks of games a second over PlayMany.
        round_trip_ms: from a message of actions to the update that shows all of them, mean.
        games_ended: meanwhile.
        in_process_steps_per_s: of the vector environment, in this process alone.
        ratio_to_in_process: of the two.
    """
    pin()
    options = [*DEFAULTS, *overrides]
    config = compose_config(options)
    n_games, board = config.worker.games, config.match.board
    limits = [f"games.max_games={n_games + 8}", f"games.max_games_per_client={n_games + 8}"]
    # The farm has no rollout workers: their settings are those of the games here.
    farm = [*options, *limits, "games=on", "worker.count=0", "games.address=127.0.0.1:0"]
    with (
        running_farm(farm) as (_, address),
        GameClient(address) as client,
        client.play_many(
            n_games, own_seats=(0, 1), seats=2, map=board, seed=SEED, autoreset=True
        ) as seats,
    ):
        steps_per_s, n_rounds, n_ended = _drive(seats, seconds * 2 / 3)
    say(f"{n_rounds} round trips")
    alone = _alone(n_games, config.match.size, seconds / 3)
    return {
        "games": n_games,
        "board": board,
        "env_steps_per_s": round(steps_per_s),
        "round_trip_ms": round(1e3 * n_games / steps_per_s, 2),
        "games_ended": n_ended,
        "in_process_steps_per_s": round(alone),
        "ratio_to_in_process": round(steps_per_s / alone, 3),
    }


def _drive(seats: ManySeats, seconds: float) -> tuple[float, int, int]:
    """Ticks a second, round trips and ended games."""
    rng = np.random.default_rng(SEED)
    seats.reset()
    n_games = len(seats) // 2
    n_rounds = n_ended = 0
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        step = seats.step(draw(seats.legal_mask(), rng))
        n_rounds += 1
        n_ended += int(np.count_nonzero(step.terminated | step.truncated)) // 2
    return n_rounds * n_games / (time.perf_counter() - began), n_rounds, n_ended


def _alone(n_games: int, board: tuple[int, int], seconds: float) -> float:
    """Ticks a second of the vector environment, its actions drawn likewise."""
    rng = np.random.default_rng(SEED)
    env = AgentsVectorEnv(2 * n_games, Match(seats=(AGENT, AGENT), board=board), copy=False)
    obs, _ = env.reset(seed=SEED)
    obs, *_ = env.step(draw(obs["action_mask"] > 0, rng))  # which compiles
    n_rounds = 0
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        obs, *_ = env.step(draw(obs["action_mask"] > 0, rng))
        n_rounds += 1
    return n_rounds * n_games / (time.perf_counter() - began)


def draw(mask: NDArray[np.bool], rng: np.random.Generator) -> NDArray[np.int64]:
    """A legal action for each row, uniformly.

    Args:
        mask: bool[n_rows, n_actions], with a legal action in every row.
        rng: draws.
    """
    ranks = mask.cumsum(axis=1, dtype=np.int32)
    wanted = rng.integers(1, ranks[:, -1] + 1)
    chosen: NDArray[np.int64] = (ranks >= wanted[:, None]).argmax(axis=1)
    return chosen
