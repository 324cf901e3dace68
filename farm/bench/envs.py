"""`envs`: steps a second of the Gymnasium vector environment, one kernel call for all games.

A step is one agent's: an action in; an observation with its mask, a reward and the flags out.
Agents draw from their masks uniformly; that is timed apart, as a learner has its network there.
Overrides set `match` (its first seat becomes the agent, the others keep their policies) and
`worker.games`, the games side by side.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from msgspec import structs

from farm.bench.engine import with_seats
from farm.config.board import read_map
from farm.config.check import check
from farm.config.load import compose
from farm.engine.rules import of_names
from farm.envs.match import AGENT, Match
from farm.envs.spaces import sample_legal
from farm.envs.vector import AgentsVectorEnv
from farm.policies.registry import POLICY_NAMES

DEFAULT_GAMES = "worker.games=256"
_SLICES = 9


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure with observations copied and in place, and self-play.

    Returns:
        Environment steps a second by name: `copied` against one policy seat each, `in_place` the
        same without copies, `self_play` in place with every seat an agent; `with_sampling` is
        `in_place` with the time for drawing actions.
    """
    config = compose([DEFAULT_GAMES, *with_seats(overrides)]).config
    check(config, policies=POLICY_NAMES)
    against = Match(
        seats=(AGENT, *config.match.seats[1:]),
        map=config.match.map,
        board=config.match.size,
        given=read_map(config.match) if config.match.map == "fixed" else None,
        max_turns=config.match.max_turns,
        mountains=config.match.mountains,
        cities=config.match.cities,
        teams=config.match.teams,
        rules=of_names(structs.asdict(config.rules)),
        memory=config.worker.memory,
    )
    n_games, share_s = config.worker.games, seconds / 3
    copied, _ = measure(AgentsVectorEnv(n_games, against), share_s)
    in_place, sampled = measure(AgentsVectorEnv(n_games, against, copy=False), share_s)
    n_seats = len(against.seats)
    everyone = replace(against, seats=(AGENT,) * n_seats)
    self_play, _ = measure(AgentsVectorEnv(n_games * n_seats, everyone, copy=False), share_s)
    return {
        "map": against.map,
        "board": "x".join(map(str, against.size)),
        "seats": list(against.seats),
        "games": n_games,
        "in_place_steps_per_s": round(in_place),
        "copied_steps_per_s": round(copied),
        "self_play_steps_per_s": round(self_play),
        "with_sampling_steps_per_s": round(sampled),
    }


def measure(env: AgentsVectorEnv, seconds: float, *, seed: int = 1) -> tuple[float, float]:
    """Steps a second without and with the drawing of actions: medians over slices."""
    rng = np.random.default_rng(seed)
    obs, _ = env.reset(seed=seed)
    alone, in_all = [], []
    # One slice more, the first: past the openings, which are cheap.
    for _ in range(_SLICES + 1):
        began = time.perf_counter()
        stepping_s, n_steps = 0.0, 0
        while (now := time.perf_counter()) < began + seconds / (_SLICES + 1) or n_steps == 0:
            actions = sample_legal(obs["action_mask"], rng)
            drawn = time.perf_counter()
            obs, *_ = env.step(actions)
            stepping_s += time.perf_counter() - drawn
            n_steps += env.num_envs
        alone.append(n_steps / stepping_s)
        in_all.append(n_steps / (now - began))
    return statistics.median(alone[1:]), statistics.median(in_all[1:])
