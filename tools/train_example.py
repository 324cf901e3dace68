"""A learner on the vector environment, with nothing but NumPy: REINFORCE on a linear policy.

    python tools/train_example.py --updates 60

Shows the whole contract: seeded reset, masked actions, autoreset with the final observation, and
`terminated` apart from `truncated`. Sparse rewards are shaped by the land an agent gains.
"""

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from farm.envs.match import Match
from farm.envs.spaces import Observation
from farm.envs.vector import AgentsVectorEnv
from farm.spec import tiles

MATCH = Match(seats=("agent", "random"), board=(8, 8), cities=2, max_turns=50)
STEPS, DISCOUNT, RATE, LAND_REWARD = 32, 0.97, 0.5, 0.1
FEATURES = ("army", "half", "free land", "enemy", "city", "own land", "pass")


def features(obs: Observation, match: Match = MATCH) -> NDArray[np.float32]:
    """What each action would do: float32[n, actions, len(FEATURES)]; only the legal ones matter."""
    n, n_cells = len(obs["tile"]), match.n_cells
    tile, army = obs["tile"].reshape(n, -1), obs["army"].reshape(n, -1)
    action = np.arange(8 * n_cells)
    start = action // 8
    step = np.array([-match.size[1], match.size[1], -1, 1])[action % 8 // 2]
    target = tile[:, (start + step).clip(0, n_cells - 1)]
    owner, terrain = target & tiles.OWNER_MASK, target >> tiles.OWNER_BITS
    city = terrain == tiles.CITY
    out = np.zeros((n, len(action) + 1, len(FEATURES)), np.float32)
    columns = (
        np.log1p(army[:, start]) / 4,
        np.broadcast_to(action % 2, target.shape),
        (owner == tiles.NEUTRAL) & ~city,
        owner > tiles.SELF,
        city & (owner == tiles.NEUTRAL),
        owner == tiles.SELF,
    )
    for index, column in enumerate(columns):
        out[:, :-1, index] = column
    out[:, -1, -1] = 1
    return out


def land_gained(before: Observation, after: Observation, infos: dict) -> NDArray[np.float64]:
    """Cells gained in a step, looking at the last observation of games that ended."""
    land = after["total_land"][:, 0].astype(np.float64)
    for row in np.flatnonzero(infos.get("_final_obs", ())):
        land[row] = infos["final_obs"][row]["total_land"][0]
    return land - before["total_land"][:, 0]


def train(
    n_updates: int, *, num_envs: int = 64, seed: int = 1
) -> tuple[dict[str, float], list[float]]:
    """Learn for some updates; the weights, and the mean shaped reward a step of each update."""
    envs, rng = AgentsVectorEnv(num_envs, MATCH), np.random.default_rng(seed)
    weights, history = np.zeros(len(FEATURES)), []
    obs, _ = envs.reset(seed=seed)
    for _ in range(n_updates):
        scores = np.zeros((STEPS, num_envs, len(FEATURES)))
        rewards, over = np.zeros((STEPS, num_envs)), np.zeros((STEPS, num_envs), bool)
        for t in range(STEPS):
            moves = features(obs)
            logits = np.where(obs["action_mask"] == 1, moves @ weights, -np.inf)
            action = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
            chances = np.exp(logits - logits.max(axis=1, keepdims=True))
            chances /= chances.sum(axis=1, keepdims=True)
            expected = np.einsum("na,naf->nf", chances, moves)
            scores[t] = moves[np.arange(num_envs), action] - expected

            before = obs
            obs, reward, terminated, truncated, infos = envs.step(action)
            rewards[t] = reward + LAND_REWARD * land_gained(before, obs, infos)
            over[t] = terminated | truncated

        returns, following = np.zeros_like(rewards), np.zeros(num_envs)
        for t in reversed(range(STEPS)):
            following = rewards[t] + DISCOUNT * following * ~over[t]
            returns[t] = following
        advantage = returns - returns.mean(axis=1, keepdims=True)
        advantage /= advantage.std() + 1e-8
        weights += RATE * (scores * advantage[..., None]).mean(axis=(0, 1))
        history.append(float(rewards.mean()))
    return dict(zip(FEATURES, weights.tolist(), strict=True)), history


def main() -> None:
    """Train, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--num-envs", type=int, default=64)
    args = parser.parse_args()
    began = time.monotonic()
    weights, history = train(args.updates, num_envs=args.num_envs)
    took_s = time.monotonic() - began
    for update in range(0, len(history), 10):
        print(f"update {update:>4}  reward a step {np.mean(history[update : update + 10]):.4f}")
    print("weights:", {name: round(weight, 2) for name, weight in weights.items()})
    print(f"{args.updates * args.num_envs * STEPS / took_s:,.0f} steps/s, learning included")


if __name__ == "__main__":
    main()
