"""What one reader has been shown of a game, and what is new to it since.

Kept are the last frame that was sent and the sequence of the last event: a reader that looks away
for a while finds one delta over all that changed, and every event that it may see.
"""

import numpy as np
from numpy.typing import NDArray

from farm.games import views
from farm.games.game import HostedGame
from farm.rpc.v1 import games_pb2
from farm.spec.observation import score_offset


class Lens:
    """The view of one stream.

    Args:
        game: what it looks at.
        viewer: the seat whose eyes it has; None sees everything.
        after_event: events up to this sequence were seen before.
    """

    def __init__(self, game: HostedGame, viewer: int | None, after_event: int) -> None:
        self._game = game
        self._viewer = viewer
        self._event = after_event
        self._shown: tuple[int, int] | None = None
        self._frame: NDArray[np.uint8] | None = None

    def try_update(self) -> games_pb2.GameUpdate | None:
        """What is new since the last one; None if nothing is."""
        game = self._game
        stage = (game.tick, int(game.phase))
        if stage == self._shown and game.last_event <= self._event:
            return None
        events = views.events_of(game, self._viewer, self._event)
        self._event = max(self._event, game.last_event)
        if stage == self._shown and not events:
            return None
        update = views.header(game, self._viewer)
        update.events.extend(events)
        self._look(update)
        self._shown = stage
        return update

    def _look(self, update: games_pb2.GameUpdate) -> None:
        """Add what is seen, if the game has begun."""
        game, viewer = self._game, self._viewer
        if not game.has_board:
            return
        if viewer is None:
            update.full.CopyFrom(views.full_state(game))
            return
        frame = game.frame(viewer)
        if self._frame is None:
            update.observation.CopyFrom(views.observation(game, viewer))
        else:
            fill_delta(update.delta, self._frame, frame, game.n_cells)
        self._frame = frame


def fill_delta(
    delta: games_pb2.Delta, before: NDArray[np.uint8], frame: NDArray[np.uint8], n_cells: int
) -> None:
    """Say what changed between two frames.

    Args:
        delta: empty.
        before: uint8[frame_bytes], as the reader has it.
        frame: uint8[frame_bytes], as it is.
        n_cells: of the board.

    Writes:
        delta.
    """
    delta.SetInParent()
    army, tile = frame[: 2 * n_cells].view("<u2"), frame[2 * n_cells : 3 * n_cells]
    changed = army != before[: 2 * n_cells].view("<u2")
    changed |= tile != before[2 * n_cells : 3 * n_cells]
    cells = np.flatnonzero(changed)
    if cells.size:
        delta.cells = cells.astype("<u2").tobytes()
        delta.army = army[cells].tobytes()
        delta.tile = tile[cells].tobytes()
    scores = frame[score_offset(n_cells) :].tobytes()
    if scores != before[score_offset(n_cells) :].tobytes():
        delta.scores = scores
