"""What an environment plays: board, seats, and who sits on them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.settings import Settings, named_settings
from farm.policies.registry import POLICY_NAMES, policy_info
from farm.spec.boards import Board, max_board
from farm.spec.limits import TICKS_PER_TURN

AGENT: Final = "agent"
"""In `Match.seats`, a seat that the environment's user plays."""
AGENT_CODE: Final = -1
"""Its code, beside the codes of the policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Settings of the games; the names are those of the farm's `match` config."""

    seats: tuple[str, ...] = (AGENT, "expander")
    """For each of 2 to 16 seats `agent`, or the policy that plays it; one agent or more."""
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

    def codes(self) -> NDArray[np.int32]:
        """Policy code of each seat, AGENT_CODE for the user's: int32[n_seats].

        Raises:
            ValueError: no seat is the user's, or a name is neither `agent` nor a policy's.
        """
        for name in self.seats:
            if name != AGENT and name not in POLICY_NAMES:
                known = ", ".join((AGENT, *POLICY_NAMES))
                raise ValueError(f"seats: no policy {name!r}; there are {known}")
        if not self.agents:
            raise ValueError(f"seats {self.seats}: none is {AGENT!r}; name the seats that you play")
        codes = [AGENT_CODE if name == AGENT else policy_info(name).code for name in self.seats]
        return np.array(codes, np.int32)

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
        )
