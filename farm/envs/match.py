"""What an environment plays: board, rules, seats, and who sits on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine import rewards
from farm.engine.rules import checked, variant
from farm.engine.settings import Settings, named_settings
from farm.policies.lineup import lineup
from farm.spec.boards import Board, max_board
from farm.spec.limits import TICKS_PER_TURN

AGENT: Final = "agent"
"""In `Match.seats`, a seat that the environment's user plays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Settings of the games; the names are those of the farm's `match` config."""

    seats: tuple[str, ...] = (AGENT, "expander")
    """For each of 2 to 16 seats `agent`, or the policy that plays it, or a mix of policies that is
    drawn anew for every game, such as `hunter:2|expander:1`; one agent or more."""
    map: str = "uniform"
    """`uniform`, `official`, `toy`, or `fixed` for the board `given`. An official map lies in the
    upper left of the largest board there is for the seats and teams, mountains around it, as the
    spaces have one shape."""
    board: tuple[int, int] = (20, 20)
    """Height and width of uniform and toy maps in cells, 4 to 64 each."""
    given: Board | None = None
    """The board of a fixed map; `farm.spec.boards.parse_board` makes one of a text."""
    max_turns: int = 500
    """Turns (two ticks each) after which a game is truncated; 0 for never."""
    mountains: float = 0.2
    """Share of the cells of uniform maps that are mountains."""
    cities: int = 10
    """Neutral cities on uniform maps."""
    teams: tuple[int, ...] | None = None
    """For each seat a number, equal for teammates; everybody alone by default."""
    rules: str | Sequence[int] | NDArray[np.int32] = "official"
    """`official`, `alternating` or `simple`, or a vector of `farm.engine.rules`."""
    reward: str | Mapping[str, float] | Sequence[float] | NDArray[np.float32] = "sparse"
    """`sparse` (-1 on the tick an agent is eliminated, +1 on the tick its side wins) or `shaped`,
    as the farm's config group `reward` has them; or weights by the names of that section, those
    that are left out 0; or a vector of `farm.engine.rewards`."""
    memory: bool = False
    """Whether observations hold what the agent saw of cells that are out of sight by now."""

    def __post_init__(self) -> None:
        """Keep vectors as tuples, so that matches can be compared and hashed."""
        if not isinstance(self.rules, str):
            object.__setattr__(self, "rules", tuple(map(int, self.rules)))
        if isinstance(self.reward, Mapping):
            object.__setattr__(self, "reward", tuple(rewards.of_names(self.reward).tolist()))
        elif not isinstance(self.reward, str):
            object.__setattr__(self, "reward", tuple(map(float, self.reward)))

    @property
    def agents(self) -> tuple[int, ...]:
        """Seats that the user plays, ascending."""
        return tuple(seat for seat, name in enumerate(self.seats) if name == AGENT)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what an agent sees, in cells."""
        if self.map == "official":
            n_seats = len(self.seats)
            return max_board(n_seats, n_seats if self.teams is None else len(set(self.teams)))
        if self.map == "fixed" and self.given is not None:
            return self.given.height, self.given.width
        return self.board

    @property
    def n_cells(self) -> int:
        """Cells of what an agent sees."""
        height, width = self.size
        return height * width

    def weights(self) -> NDArray[np.int32]:
        """The mix of policies on each seat (policies.lineup): int32[n_seats, n_policies].

        Raises:
            ValueError: no seat is the user's, or one is neither that nor a policy or mix.
        """
        if not self.agents:
            raise ValueError(f"seats {self.seats}: none is {AGENT!r}; name the seats that you play")
        try:
            return lineup([None if name == AGENT else name for name in self.seats])
        except ValueError as error:
            raise ValueError(f"seats: {error}; or {AGENT!r}, which you play") from error

    def weights_of_reward(self) -> NDArray[np.float32]:
        """What a step is worth (engine.rewards): float32[N_WEIGHTS].

        Raises:
            ValueError: there is no set of weights of that name, or the vector is none.
        """
        reward = self.reward
        if isinstance(reward, Mapping):
            return rewards.of_names(reward)
        if not isinstance(reward, str):
            return rewards.checked(reward)
        if reward not in rewards.SETS:
            raise ValueError(f"no rewards {reward!r}; there are {', '.join(rewards.SETS)}")
        return rewards.of_names(rewards.SETS[reward])

    def settings(self) -> Settings:
        """The engine's settings of such a game.

        Raises:
            ValueError: a number is out of its bounds, or the map is none.
        """
        return named_settings(
            self.map,
            len(self.seats),
            size=self.board,
            mountains=self.mountains,
            cities=self.cities,
            pad=True,
            board=self.given,
            max_ticks=TICKS_PER_TURN * self.max_turns,
            teams=self.teams,
            rules=variant(self.rules) if isinstance(self.rules, str) else checked(self.rules),
        )
