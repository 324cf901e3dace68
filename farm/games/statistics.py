"""What there is to count of a game's players, from its slot and its seats."""

from typing import NamedTuple

from farm.games.game import HostedGame
from farm.games.kernels import COUNT, LONGEST, SUM
from farm.games.slots import Slots

_NS_PER_MS = 1e6
ILLEGAL = "bad_request"
"""In place of a reason: packed actions that were not legal."""


class PlayerStatistics(NamedTuple):
    """Of one seat."""

    accepted: int
    rejected: dict[str, int]
    """By reason, lower case."""
    act_mean_ms: float
    act_max_ms: float


class Statistics:
    """What the slots count, and of games that are over, what they counted."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._kept: dict[int, list[PlayerStatistics]] = {}
        self.accepted = self.rejected = 0
        """Of games that are over."""

    def of(self, game: HostedGame) -> list[PlayerStatistics]:
        """By seat."""
        kept = self._kept.get(game.game_id)
        return self._read(game) if kept is None else kept

    def keep(self, game: HostedGame) -> None:
        """Take down what the slot of a game has counted, as it is given back."""
        self._kept[game.game_id] = found = self._read(game)
        self.accepted += sum(player.accepted for player in found)
        self.rejected += sum(sum(player.rejected.values()) for player in found)

    def forget(self, game: HostedGame) -> None:
        """A game is not asked about any more."""
        self._kept.pop(game.game_id, None)

    def _read(self, game: HostedGame) -> list[PlayerStatistics]:
        clocks, row = self._slots.clocks, game.row
        found = []
        for number, seat in enumerate(game.seats):
            times = clocks.act_ns[row, number].tolist()
            rejected, illegal = dict(seat.rejected), int(clocks.rejected[row, number])
            if illegal:
                rejected[ILLEGAL] = rejected.get(ILLEGAL, 0) + illegal
            found.append(
                PlayerStatistics(
                    int(clocks.accepted[row, number]),
                    rejected,
                    times[SUM] / times[COUNT] / _NS_PER_MS if times[COUNT] else 0.0,
                    times[LONGEST] / _NS_PER_MS,
                )
            )
        return found
