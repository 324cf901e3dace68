"""A PettingZoo parallel environment: the agents of one game, named by their seats."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from farm.envs.match import AGENT, Match
from farm.envs.seats import SeatBatch
from farm.envs.spaces import Observation, action_space, observation_space, observe
from farm.envs.text import TICKS_PER_SECOND, draw

Infos = dict[str, dict[str, Any]]


class AgentsParallelEnv(ParallelEnv[str, Observation, np.int64]):
    """The agents of one game: `seat_0`, `seat_1`, and so on.

    Observations and rewards are those of `AgentsVectorEnv`, always copies. An agent that is
    eliminated is terminated and leaves `agents`; all leave when the game ends.

    Args:
        match: what is played; by default a duel of two agents.
        render_mode: None or `ansi`.

    Raises:
        ValueError: the match is impossible.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "generals_v0",
        "render_modes": ["ansi"],
        "render_fps": TICKS_PER_SECOND,
        "is_parallelizable": True,
    }

    def __init__(self, match: Match | None = None, *, render_mode: str | None = None) -> None:
        self.match = match = match or Match(seats=(AGENT, AGENT))
        self.render_mode = render_mode
        self.possible_agents = [f"seat_{seat}" for seat in match.agents]
        self.agents: list[str] = []
        self.observation_spaces = {name: observation_space(match) for name in self.possible_agents}
        self.action_spaces = {name: action_space(match) for name in self.possible_agents}
        self._batch = SeatBatch(1, match, autoreset=False)
        self._opened = False

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The space of what an agent observes."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The space of an agent's actions."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], Infos]:
        """Begin a game: the first one of `seed`, or without one the next.

        Args:
            seed: of the games; at first one is made up.
            options: none are known.
        """
        del options
        if seed is None and not self._opened:
            _, seed = seeding.np_random()
        self._batch.reset(seed)
        self._opened = True
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos()

    def step(
        self, actions: Mapping[str, np.int64 | int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one tick.

        Args:
            actions: an action index for each agent; one that is not legal, or is missing, passes.

        Raises:
            ResetNeeded: no game is going on.
        """
        if not self.agents:
            raise ResetNeeded("the game is over, or none was begun: call reset() before step()")
        passing = self.action_spaces[self.possible_agents[0]].n - 1
        chosen = [actions.get(agent, passing) for agent in self.possible_agents]
        self._batch.step(np.array([chosen], np.int64))
        results = self._batch.results
        told = (
            self._observations(),
            self._by_agent(results.reward),
            self._by_agent(results.terminated),
            self._by_agent(results.truncated),
            self._infos(),
        )
        terminated, truncated = told[2], told[3]
        self.agents = [name for name in self.agents if not (terminated[name] or truncated[name])]
        return told

    def render(self) -> str | None:
        """What every agent sees, one below the other, with `render_mode="ansi"`."""
        if self.render_mode is None:
            return None
        tick = int(self._batch.tick[0])
        boards = zip(self.possible_agents, self._batch.frames, strict=True)
        return "\n\n".join(f"{agent}  {draw(frame, tick)}" for agent, frame in boards)

    def close(self) -> None:
        """Nothing is held that has to be given back."""

    def _observations(self) -> dict[str, Observation]:
        frames, masks = self._batch.copy_frames(), self._batch.results.mask[0].copy()
        memory = self._batch.copy_memory()
        return {
            name: observe(frames[row], masks[row], memory and memory.of(row))
            for row, name in enumerate(self.possible_agents)
            if name in self.agents
        }

    def _infos(self) -> Infos:
        return {name: {"tick": int(self._batch.tick[0])} for name in self.agents}

    def _by_agent(self, values: NDArray[Any]) -> dict[str, Any]:
        """Plain numbers of one game's row, for the agents that played this tick."""
        rows = zip(self.possible_agents, values[0].tolist(), strict=True)
        return {name: value for name, value in rows if name in self.agents}
