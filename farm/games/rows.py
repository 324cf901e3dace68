"""The rows of one PlayMany stream as arrays: which seats they are, what is new of them, packed.

What a tick makes of a row is taken from the slots at once, over what was there before; rewards are
added up. So a learner that reads late costs nothing more, and a row that has been given to another
game meanwhile was seen. A row is told of its end once; after it comes nothing but the first frame
of the next game, if the stream goes on to one.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.engine.state import OUTCOME, PLAYING, TERMINATED, TICK
from farm.games.game import HostedGame
from farm.games.slots import NO_BOT, Slots
from farm.rpc.v1 import games_pb2

IS_TERMINATED: Final = 1
IS_TRUNCATED: Final = 2
WAITS: Final = 4
IS_FIRST: Final = 8
MAX_FRAMES_BYTES: Final = 1 << 23
"""Of the frames in one message, a quarter of what a message to a client may be; a stream with more
gets several."""
_NO_ROW: Final = -1
_OVER: Final = IS_TERMINATED | IS_TRUNCATED


class Packed(NamedTuple):
    """Rows as they go out."""

    rows: NDArray[np.int32]
    """int32[k]."""
    ticks: NDArray[np.int32]
    """int32[k]."""
    frames: NDArray[np.uint8]
    """uint8[k, frame_bytes]."""
    reward: NDArray[np.float32]
    """float32[k]."""
    flags: NDArray[np.uint8]
    """uint8[k]."""
    game_ids: NDArray[np.uint64]
    """uint64[k]."""


class Rows:
    """Seats by row: game by game, seats in the order asked for.

    Args:
        slots: where the games are.
        n_rows: of the stream.
        frame_bytes: of a frame.
    """

    def __init__(self, slots: Slots, n_rows: int, frame_bytes: int) -> None:
        self._slots = slots
        self._frame_bytes = frame_bytes
        self._slot = np.full(n_rows, _NO_ROW, np.int64)
        self._seat = np.zeros(n_rows, np.int64)
        self._game_id = np.zeros(n_rows, np.uint64)
        self._frames = np.zeros((n_rows, frame_bytes), np.uint8)
        self._tick = np.zeros(n_rows, np.int32)
        self._reward = np.zeros(n_rows, np.float32)
        self._flags = np.zeros(n_rows, np.uint8)
        self._is_new = np.zeros(n_rows, np.bool_)
        self._has_begun = np.zeros(n_rows, np.bool_)
        self._is_over = np.zeros(n_rows, np.bool_)
        self._row_of = np.full(slots.clocks.acted.shape, _NO_ROW, np.int32)

    @property
    def table_bytes(self) -> int:
        """Kept beside the frames."""
        return self._row_of.nbytes

    @property
    def all_over(self) -> bool:
        """Whether every row has ended."""
        return bool(self._is_over.all())

    def place(self, row: int, game: HostedGame, seat: int) -> None:
        """Have a row be a seat of a game that is open."""
        self._slot[row], self._seat[row] = game.row, seat
        self._game_id[row] = game.game_id
        self._row_of[game.row, seat] = row
        self._has_begun[row] = self._is_over[row] = False

    def rows_of(self, game: HostedGame) -> NDArray[np.int32]:
        """The rows of an open game."""
        row_of = self._row_of[game.row]
        rows: NDArray[np.int32] = row_of[row_of != _NO_ROW]
        return rows

    def begin(self, rows: NDArray[np.integer]) -> None:
        """The games of these rows run: their first frames are news."""
        self._reward[rows] = 0
        self._has_begun[rows] = True
        self._take(rows, IS_FIRST)

    def played(self, slots: NDArray[np.int64]) -> bool:
        """Ticks were played in these slots; whether any of them is of a row."""
        rows = self._row_of[slots].ravel()
        rows = rows[rows != _NO_ROW]
        rows = rows[~self._is_over[rows]]
        if rows.size:
            self._reward[rows] += self._slots.clocks.reward[self._slot[rows], self._seat[rows]]
            self._take(rows, 0)
        return bool(rows.size)

    def stop(self, game: HostedGame) -> None:
        """A game is over, and still has its slot: rows that do not know yet are told so."""
        rows = self.rows_of(game)
        self._row_of[game.row] = _NO_ROW
        untold = rows[~self._is_over[rows]]
        if untold.size and game.has_board:
            is_decided = self._slots.games.status[game.row, OUTCOME] != PLAYING
            self._take(untold, 0 if is_decided else IS_TRUNCATED)
        self._is_over[rows] = True

    def act(
        self, rows: NDArray[np.int32], actions: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Slots, seats and actions of those of these rows that are played."""
        is_played = self._has_begun[rows] & ~self._is_over[rows]
        playing = rows[is_played]
        # A copy also where all are played: the kernel is compiled for arrays that can be written,
        # and those of a message cannot.
        return self._slot[playing], self._seat[playing], actions[is_played]

    def take_news(self) -> "Packed | None":
        """What is new, which it is no more; None if nothing is."""
        rows = self._is_new.nonzero()[0]
        if not rows.size:
            return None
        packed = Packed(
            rows.astype("<i4"),
            self._tick[rows],
            self._frames[rows],
            self._reward[rows],
            self._flags[rows],
            self._game_id[rows],
        )
        self._is_new[rows] = False
        self._flags[rows] = 0
        self._reward[rows] = 0
        return packed

    def _take(self, rows: NDArray[np.integer], flags: int) -> None:
        """Look at rows as they are now."""
        slots, seats = self._slot[rows], self._seat[rows]
        games, clocks = self._slots.games, self._slots.clocks
        is_clear = clocks.shows_all[slots] > 0
        for source, some in ((games.frames, ~is_clear), (clocks.clear, is_clear)):
            if some.all():
                self._frames[rows] = source[slots, seats, : self._frame_bytes]
            elif some.any():
                seen = source[slots[some], seats[some], : self._frame_bytes]
                self._frames[rows[some]] = seen
        outcome = games.status[slots, OUTCOME]
        is_alive = games.alive[slots, seats] > 0
        found = np.full(rows.size, flags, np.uint8)
        found[(outcome == TERMINATED) | ~is_alive] |= IS_TERMINATED
        if not flags & IS_FIRST:
            found[(outcome != PLAYING) & (found & _OVER == 0)] |= IS_TRUNCATED
        waits = clocks.runs[slots].astype(np.bool_) & (found & _OVER == 0)
        waits &= (clocks.acted[slots, seats] == 0) & (clocks.bot[slots, seats] == NO_BOT)
        waits &= self._slots.queues.n_orders[slots, seats] == 0
        found[waits] |= WAITS
        self._flags[rows] = found | (self._flags[rows] & IS_FIRST)
        self._tick[rows] = games.status[slots, TICK]
        self._is_new[rows] = True
        self._is_over[rows] = found & _OVER > 0


def messages(parts: list[Packed], frame_bytes: int) -> Iterator[games_pb2.PlayManyUpdate]:
    """The parts one behind the other, in messages of a bounded size."""
    packed = parts[0] if len(parts) == 1 else Packed(*map(np.concatenate, zip(*parts, strict=True)))
    has_first = bool((packed.flags & IS_FIRST).any())
    n_most = max(1, MAX_FRAMES_BYTES // frame_bytes)
    for first in range(0, packed.rows.size, n_most):
        some = slice(first, first + n_most)
        yield games_pb2.PlayManyUpdate(
            rows=packed.rows[some].tobytes(),
            ticks=packed.ticks[some].tobytes(),
            frames=packed.frames[some].tobytes(),
            reward=packed.reward[some].tobytes(),
            flags=packed.flags[some].tobytes(),
            game_ids=packed.game_ids[some].tobytes() if has_first else b"",
        )
