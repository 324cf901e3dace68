"""Games with some seats played from outside: what every environment here is a face of.

Written and read by one thread: `step` calls one kernel, which fills the arrays of `results`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine import rewards
from farm.engine.batch import reset_games
from farm.engine.state import TICK, allocate
from farm.envs.kernels import Results, Seating, seat_agents, step_agents
from farm.envs.match import Match
from farm.spec.actions import n_actions
from farm.spec.observation import frame_bytes, frame_dtype

_WORD_MASK = (1 << 64) - 1


class Memory(NamedTuple):
    """What agents have seen (spec.observation): of one, or with an axis in front of a batch."""

    tile: NDArray[np.uint8]
    """uint8[..., height, width]."""
    army: NDArray[np.uint16]
    """uint16[..., height, width]."""

    def of(self, row: int) -> "Memory":
        """Of one agent of a batch."""
        return Memory(self.tile[row], self.army[row])


class SeatBatch:
    """Games of one match, stepped together; G of them with A agents each.

    Attributes:
        results: what the last step led to; each call writes it anew.
        frame: the type of an agent's frame.

    Args:
        n_games: games side by side.
        match: what is played.
        autoreset: whether a game that ended is followed by another at once.

    Raises:
        ValueError: the match is impossible, or there are no games.
    """

    def __init__(self, n_games: int, match: Match, *, autoreset: bool) -> None:
        if n_games < 1:
            raise ValueError(f"{n_games} games: there must be one or more")
        self._settings = match.settings()
        self._autoreset = int(autoreset)
        n_seats, n_agents = len(match.seats), len(match.agents)
        self._seating = Seating(
            weights=match.weights(),
            codes=np.zeros((n_games, n_seats), np.int32),
            agents=np.array(match.agents, np.int32),
            actions=np.zeros(n_seats, np.int32),
            reward=match.weights_of_reward(),
            shaped=rewards.is_shaped(match.weights_of_reward()),
            stock=np.zeros((n_agents, rewards.N_STOCK), np.int32),
        )
        self._games = allocate(n_games, match.n_cells, n_seats, memory=match.memory)
        self._first_numbers = np.arange(n_games, dtype=np.uint64)
        self._numbers = self._first_numbers.copy()
        self._seed = np.uint64(0)
        self.frame = frame_dtype(*match.size, n_seats)
        per_agent = (n_games, n_agents)
        masks = (*per_agent, n_actions(match.n_cells))
        memories = (*per_agent, match.n_cells if match.memory else 0)
        self.results = Results(
            reward=np.zeros(per_agent, np.float32),
            terminated=np.zeros(per_agent, np.bool_),
            truncated=np.zeros(per_agent, np.bool_),
            ended=np.zeros(n_games, np.bool_),
            alive=np.ones(per_agent, np.bool_),
            mask=np.zeros(masks, np.int8),
            final_tick=np.zeros(n_games, np.int32),
            final_frames=np.zeros((*per_agent, frame_bytes(match.n_cells, n_seats)), np.uint8),
            final_mask=np.zeros(masks, np.int8),
            final_memory_tile=np.zeros(memories, np.uint8),
            final_memory_army=np.zeros(memories, np.uint16),
        )
        self._size = match.size
        self._has_memory = match.memory
        # One agent or all seats can be looked at in place; other choices have to be gathered.
        self._seats: slice | list[int] = list(match.agents)
        if n_agents in (1, n_seats):
            self._seats = slice(match.agents[0], match.agents[0] + n_agents)

    def reset(self, seed: int | None) -> None:
        """Set every game up.

        Args:
            seed: row g plays games g, g + G, g + 2G, ... of that seed (modulo 2**64), as a farm
                numbers them, beginning with the first. Without one, every row goes on to its next.
        """
        if seed is None:
            self._numbers += np.uint64(self._numbers.size)
        else:
            self._seed = np.uint64(seed & _WORD_MASK)
            self._numbers[:] = self._first_numbers
        self.results.alive[:] = True
        self.results.ended[:] = False
        reset_games(self._games, self._seed, self._numbers, self._settings)
        seat_agents(self._games, self._seating, self._seed, self.results)

    def step(self, actions: NDArray[np.int64]) -> int:
        """Play a tick of every game.

        Args:
            actions: int64[G, A], action indices; one that is not legal passes.

        Returns:
            Games that ended.
        """
        return step_agents(
            self._games,
            self._seating,
            self._settings,
            self._seed,
            self._numbers,
            actions,
            self._autoreset,
            self.results,
        )

    @property
    def in_place(self) -> bool:
        """Whether `frames` is a view of the engine's memory: one agent, or all seats agents."""
        return isinstance(self._seats, slice)

    @property
    def frames(self) -> NDArray[np.void]:
        """What the agents see: frame_dtype[G * A], read-only, game after game.

        The engine's own memory if `in_place`, else a copy.
        """
        frames = self._typed(self._games.frames[:, self._seats])
        frames.flags.writeable = False
        return frames

    def copy_frames(self) -> NDArray[np.void]:
        """What the agents see, as a copy: frame_dtype[G * A]."""
        rows = self._games.frames[:, self._seats]
        # Bytes are copied at once; a structured type would go field by field.
        return self._typed(rows.copy() if self.in_place else rows)

    @property
    def memory(self) -> Memory | None:
        """What the agents have seen, read-only, as `frames` in place or copied; None without."""
        if not self._has_memory:
            return None
        tile, army = self._gathered()
        tile.flags.writeable = army.flags.writeable = False
        return Memory(tile, army)

    def copy_memory(self) -> Memory | None:
        """What the agents have seen, as copies; None without memory."""
        if not self._has_memory:
            return None
        tile, army = self._gathered()
        return Memory(tile.copy(), army.copy()) if self.in_place else Memory(tile, army)

    @property
    def final_memory(self) -> Memory | None:
        """What the agents had seen at the end of the games that ended in the last step."""
        if not self._has_memory:
            return None
        results = self.results
        shape = (-1, *self._size)
        tile, army = results.final_memory_tile, results.final_memory_army
        return Memory(tile.reshape(shape), army.reshape(shape))

    @property
    def tick(self) -> NDArray[np.int32]:
        """int32[G], tick counter of each game, a view."""
        return self._games.status[:, TICK]

    @property
    def game_number(self) -> NDArray[np.uint64]:
        """uint64[G], the number of the game in each row under the seed, a view."""
        return self._games.game_number

    def _gathered(self) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        games, seats, shape = self._games, self._seats, (-1, *self._size)
        return games.memory_tile[:, seats].reshape(shape), games.memory_army[:, seats].reshape(
            shape
        )

    def _typed(self, rows: NDArray[np.uint8]) -> NDArray[np.void]:
        frames: NDArray[np.void] = rows.reshape(-1, rows.shape[2]).view(self.frame)[:, 0]
        return frames
