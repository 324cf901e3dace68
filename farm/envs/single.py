"""A Gymnasium environment: one agent in one game, for libraries that step one at a time.

To train, take `vector.py`: it steps a hundred games in the time in which this steps ten.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium import Env
from gymnasium.error import ResetNeeded

from farm.envs.match import Match
from farm.envs.seats import SeatBatch
from farm.envs.spaces import Observation, action_space, observation_space, observe
from farm.envs.text import TICKS_PER_SECOND, draw


class AgentEnv(Env[Observation, np.int64]):
    """The agent of one game; rewards and observations as in `AgentsVectorEnv`.

    Args:
        match: what is played; exactly one seat is an agent.
        render_mode: None or `ansi`.

    Raises:
        ValueError: the match is impossible, or has several agents.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": TICKS_PER_SECOND}  # type: ignore[misc]  # never assigned on an instance

    def __init__(self, match: Match | None = None, *, render_mode: str | None = None) -> None:
        match = match or Match()
        if len(match.agents) > 1:
            raise ValueError(f"seats {match.seats}: more than one agent; take AgentsVectorEnv")
        self.match = match
        self.render_mode = render_mode
        self.observation_space = observation_space(match)
        self.action_space = action_space(match)
        self._batch = SeatBatch(1, match, autoreset=False)
        self._opened = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a game: the first one of `seed`, or without one the next.

        Args:
            seed: of the games; at first one is made up.
            options: none are known.
        """
        super().reset(seed=seed, options=options)
        if seed is None and not self._opened:
            seed = self.np_random_seed
        self._batch.reset(seed)
        self._opened = True
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Play one tick; an action that is not legal passes.

        Raises:
            ResetNeeded: no game is going on.
        """
        if not self._opened or self._batch.results.ended[0]:
            raise ResetNeeded("the game is over, or none was begun: call reset() before step()")
        self._batch.step(np.full((1, 1), action, np.int64))
        results = self._batch.results
        return (
            self._observation(),
            float(results.reward[0, 0]),
            bool(results.terminated[0, 0]),
            bool(results.truncated[0, 0]),
            self._info(),
        )

    def render(self) -> str | None:
        """What the agent sees, as text, with `render_mode="ansi"`."""
        if self.render_mode is None:
            return None
        return draw(self._batch.frames[0], int(self._batch.tick[0]))

    def _observation(self) -> Observation:
        batch = self._batch
        memory = batch.copy_memory()
        mask = batch.results.mask[0, 0].copy()
        return observe(batch.copy_frames()[0], mask, memory and memory.of(0))

    def _info(self) -> dict[str, Any]:
        return {"tick": int(self._batch.tick[0])}
