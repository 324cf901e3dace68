"""Many seats of many games as a learner sees them: arrays by row, the same for both faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.client.games.many import ManyRows
from farm.errors import UsageError
from farm.spec.actions import legal_mask, pass_action


@dataclass(frozen=True, slots=True, eq=False)
class ManyStep:
    """What became of the actions of one step. Arrays over rows; a row is a seat of a game."""

    frames: NDArray[np.void]
    """frame_dtype[n_rows]: the newest frame of each row, overwritten by the next step."""
    reward: NDArray[np.float32]
    """float32[n_rows]: since the step before, by the farm's reward."""
    terminated: NDArray[np.bool]
    """bool[n_rows]: the game ended for this seat since the step before."""
    truncated: NDArray[np.bool]
    """bool[n_rows]: the game was cut at its last turn."""
    first: NDArray[np.bool]
    """bool[n_rows]: the frame is the first of a game."""
    to_move: NDArray[np.bool]
    """bool[n_rows]: the game waits for this row."""
    final_rows: NDArray[np.int32]
    """int32[k]: rows that ended, for which `frames` may be of the next game already."""
    final_frames: NDArray[np.void]
    """frame_dtype[k]: their last frames."""


class SeatArrays:
    """What the rows of many seats are, for both faces."""

    def __init__(self, rows: ManyRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows.n_rows

    @property
    def height(self) -> int:
        """Rows of every board; 0 before `reset`."""
        return self._rows.height

    @property
    def width(self) -> int:
        """Columns of every board; 0 before `reset`."""
        return self._rows.width

    @property
    def n_seats(self) -> int:
        """Of every game; 0 before `reset`."""
        return self._rows.n_seats

    @property
    def frames(self) -> NDArray[np.void]:
        """frame_dtype[n_rows]: the newest frame of each row, overwritten by the next step."""
        return self._rows.frames

    @property
    def tick(self) -> NDArray[np.int32]:
        """int32[n_rows]: tick of the frame, likewise."""
        return self._rows.tick

    @property
    def to_move(self) -> NDArray[np.bool]:
        """bool[n_rows]: the game waits for this row, likewise."""
        return self._rows.to_move

    @property
    def game_id(self) -> NDArray[np.uint64]:
        """uint64[n_rows]: the game that each row is of, likewise."""
        return self._rows.game_id

    @property
    def seat(self) -> NDArray[np.int32]:
        """int32[n_rows]: its seat in it."""
        return self._rows.seat

    @property
    def n_allies(self) -> NDArray[np.int32]:
        """int32[n_rows]: its teammates."""
        return self._rows.n_allies

    @property
    def tokens(self) -> tuple[str, ...]:
        """Of each row of games made for this stream: to go on by other means."""
        return self._rows.tokens

    @property
    def is_over(self) -> bool:
        """Whether all games have ended, and none follows."""
        return self._rows.is_over

    @property
    def passing(self) -> int:
        """Index of the action that does nothing."""
        return pass_action(self.height * self.width)

    def legal_mask(self) -> NDArray[np.bool]:
        """bool[n_rows, 8 * n_cells + 1]: which actions the rules would carry out."""
        rows = self._rows
        tile, army = rows.frames["tile"], rows.frames["army"]
        kinds = np.unique(rows.n_allies)
        if len(kinds) == 1:
            return legal_mask(tile, army, int(kinds[0]))
        mask = np.zeros((rows.n_rows, self.passing + 1), np.bool_)
        for n_allies in kinds:
            those = rows.n_allies == n_allies
            mask[those] = legal_mask(tile[those], army[those], int(n_allies))
        return mask

    def _step(self) -> ManyStep:
        rows = self._rows
        return ManyStep(
            frames=rows.frames,
            reward=rows.reward.copy(),
            terminated=rows.terminated.copy(),
            truncated=rows.truncated.copy(),
            first=rows.first.copy(),
            to_move=rows.to_move.copy(),
            final_rows=rows.final_rows,
            final_frames=rows.final_frames,
        )

    def _check_open(self) -> None:
        if not len(self):
            raise UsageError("reset() comes before the first step()")
        if self.is_over:
            raise UsageError("all games are over; autoreset=True would go on with new ones")
