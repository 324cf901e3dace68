"""What an environment plays: board, seats, and who sits on them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.reset import Settings, settings
from farm.policies.lineup import lineup
from farm.spec.limits import TICKS_PER_TURN

AGENT: Final = "agent"
"""In `Match.seats`, a seat that the environment's user plays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Settings of the games; the names are those of the farm's `match` config."""

    seats: tuple[str, ...] = (AGENT, "expander")
    """For each of 2 to 16 seats `agent`, or the policy that plays it, or a mix of policies that is
    drawn anew for every game, such as `hunter:2|expander:1`; one agent or more."""
    board: tuple[int, int] = (20, 20)
    """Height and width in cells, 4 to 64 each."""
    max_turns: int = 500
    """Turns (two ticks each) after which a game is truncated; 0 for never."""
    mountains: float = 0.2
    """Share of the cells that are mountains."""
    cities: int = 10
    """Neutral cities on the board."""
    teams: tuple[int, ...] | None = None
    """For each seat a number, equal for teammates; everybody alone by default."""

    @property
    def agents(self) -> tuple[int, ...]:
        """Seats that the user plays, ascending."""
        return tuple(seat for seat, name in enumerate(self.seats) if name == AGENT)

    @property
    def n_cells(self) -> int:
        """Cells of the board."""
        return self.board[0] * self.board[1]

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

    def settings(self) -> Settings:
        """The engine's settings of such a game.

        Raises:
            ValueError: a number is out of its bounds.
        """
        height, width = self.board
        return settings(
            height,
            width,
            len(self.seats),
            mountains=self.mountains,
            cities=self.cities,
            max_ticks=TICKS_PER_TURN * self.max_turns,
            teams=self.teams,
        )
