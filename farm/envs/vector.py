"""A Gymnasium vector environment: the agents of many games, one kernel call a step.

A sub-environment is an agent: sub-environment `g * A + a` is agent `a` of game `g`. With
`seats=("agent", "expander")` there is one in each game; with `("agent", "agent")` it is self-play.

Autoreset is `SAME_STEP`: the step that ends a game returns the first observation of the next one,
and the last one of the old in `infos["final_obs"]`. It needs no call in which some actions count
for nothing, and all games stay in the one kernel call.

A game ends for all its agents at once, as soon as the rules end it, it is truncated, or no agent is
left alive. An agent that is eliminated while another agent plays on gets its -1 at that tick, and
until the end of the game rewards of 0 and a mask that allows only to pass; `infos["alive"]` tells
such steps apart. It is then `terminated`, never `truncated`.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from farm.envs.match import Match
from farm.envs.seats import Memory, SeatBatch
from farm.envs.spaces import Observation, action_space, observation_space, observe
from farm.envs.text import TICKS_PER_SECOND, draw

Infos = dict[str, Any]
"""As Gymnasium has them: an array for each name, and under `_name` which rows of it count."""


class AgentsVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[np.generic]]):
    """Agents of many games.

    Observations are dictionaries (`spaces.observation_space`); rewards are those of
    `match.reward`, by default -1 on the tick an agent is eliminated, +1 on the tick its side wins.
    Infos: `tick` int32, `alive` bool, and after the end of a game `final_obs` and `final_info`,
    with the same names; all are copies.

    Args:
        num_envs: agents in all, a multiple of the agents in a game.
        match: what is played.
        copy: whether each call returns observations of its own. If not, they are read-only views
            of the engine's frames (`tile`, `army`, the scoreboard), memories and one mask, which
            the next call overwrites: use or copy them before. Frames and memories are gathered,
            and so copied, all the same where some seats of a game are agents and some are not, but
            for one agent.
        render_mode: None or `ansi`.

    Raises:
        ValueError: the match is impossible, or `num_envs` no multiple of its agents.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # never assigned on an instance
        "render_modes": ["ansi"],
        "render_fps": TICKS_PER_SECOND,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 64,
        match: Match | None = None,
        *,
        copy: bool = True,
        render_mode: str | None = None,
    ) -> None:
        match = match or Match()
        n_agents = len(match.agents)
        if n_agents and num_envs % n_agents:
            raise ValueError(f"num_envs {num_envs}: each game of {match.seats} has {n_agents}")
        self.match = match
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space = observation_space(match)
        self.single_action_space = action_space(match)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._batch = SeatBatch(num_envs // max(n_agents, 1), match, autoreset=True)
        self._shape = self._batch.results.reward.shape
        self._copy = copy
        self._opened = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Infos]:
        """Begin a new game in every row.

        Args:
            seed: row g plays games g, g + G, g + 2G, ... of that seed, on the maps that a farm of
                that seed and match plays on. Without one, at first a seed is made up, and later
                every row goes on to its next game.
            options: none are known; `reset_mask` is refused, as games reset by themselves.

        Raises:
            ValueError: `options` asks to reset some rows only.
        """
        if options is not None and "reset_mask" in options:
            raise ValueError("reset_mask: games here reset by themselves (AutoresetMode.SAME_STEP)")
        super().reset(seed=seed)
        if seed is None and not self._opened:
            seed = self.np_random_seed
        self._batch.reset(seed)
        self._opened = True
        return self._observation(), self._infos()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[np.generic], NDArray[np.generic], NDArray[np.generic], Infos]:
        """Play one tick of every game.

        Args:
            actions: integer[num_envs], action indices; one that is not legal passes.

        Raises:
            ResetNeeded: `reset` was never called.
        """
        if not self._opened:
            raise ResetNeeded("call reset() before step()")
        chosen = np.asarray(actions).astype(np.int64, order="C", casting="same_kind")
        n_ended = self._batch.step(chosen.reshape(self._shape))
        infos = self._infos()
        if n_ended:
            self._add_final(infos)
        results = self._batch.results
        return (
            self._observation(),
            results.reward.flatten(),
            results.terminated.flatten(),
            results.truncated.flatten(),
            infos,
        )

    def render(self) -> tuple[str, ...] | None:
        """What each agent sees, as text, with `render_mode="ansi"`."""
        if self.render_mode is None:
            return None
        ticks = np.repeat(self._batch.tick, self._shape[1])
        return tuple(
            draw(frame, int(tick)) for frame, tick in zip(self._batch.frames, ticks, strict=True)
        )

    @property
    def frames(self) -> NDArray[np.void]:
        """Packed frames of the agents, for `farm.spec.planes`: frame_dtype[num_envs], read-only.

        A view that the next step overwrites, where `copy` says that one is possible.
        """
        return self._batch.frames

    def _observation(self) -> Observation:
        mask = self._batch.results.mask.reshape(self.num_envs, -1)
        if self._copy:
            return observe(self._batch.copy_frames(), mask.copy(), self._batch.copy_memory())
        mask.flags.writeable = False
        return observe(self._batch.frames, mask, self._batch.memory)

    def _infos(self) -> Infos:
        everyone = np.ones(self.num_envs, np.bool_)
        return {
            "tick": np.repeat(self._batch.tick, self._shape[1]),
            "_tick": everyone,
            "alive": self._batch.results.alive.flatten(),
            "_alive": everyone.copy(),
        }

    def _add_final(self, infos: Infos) -> None:
        """Move on from games that ended: what was last seen of them, and who lives anew."""
        results = self._batch.results
        ended = np.repeat(results.ended, self._shape[1])
        rows = np.flatnonzero(ended)
        shape = (self.num_envs, -1)
        raw = results.final_frames.reshape(shape)[rows]
        frames = raw.view(self._batch.frame)[:, 0]
        masks = results.final_mask.reshape(shape)[rows]
        memory = self._batch.final_memory
        kept = memory and Memory(memory.tile[rows], memory.army[rows])
        final_obs = np.full(self.num_envs, None, dtype=object)
        for index, row in enumerate(rows):
            final_obs[row] = observe(frames[index], masks[index], kept and kept.of(index))
        infos["final_obs"] = final_obs
        infos["_final_obs"] = ended
        infos["final_info"] = {
            "tick": np.where(ended, np.repeat(results.final_tick, self._shape[1]), 0),
            "_tick": ended.copy(),
            "alive": infos["alive"] & ended,
            "_alive": ended.copy(),
        }
        infos["_final_info"] = ended.copy()
        infos["alive"] |= ended
