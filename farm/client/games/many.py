"""Many seats of many games as arrays: what updates come to, what is sent. Pure.

A row is a seat. Arrays are made once, when the host has said how many rows there are and how large
a frame is, and changed in place by every update:

    frames     frame_dtype[n_rows]   the newest frame of each row
    tick       int32[n_rows]         its tick
    to_move    bool[n_rows]          the game waits for this row
    reward     float32[n_rows]       summed over the ticks since `begin_step`
    terminated, truncated, first     bool[n_rows], since `begin_step`

When only the connection died, the games go on (those that were joined): rows come again, and an
action for a tick that is still open is sent again.
"""

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from farm.client.games.requests import GameOptions, create_message
from farm.client.games.values import JoinedGame
from farm.errors import CorruptDataError, UsageError
from farm.rpc.v1 import games_pb2
from farm.spec.actions import ACTIONS_PER_CELL
from farm.spec.observation import frame_bytes, frame_dtype

_TERMINATED, _TRUNCATED, _WAITS, _FIRST = 1, 2, 4, 8
MAX_GAMES = 4096


def create_many(
    n_games: int, own_seats: Sequence[int], options: GameOptions, *, autoreset: bool
) -> games_pb2.PlayManyOpen:
    """PlayMany over new games.

    Raises:
        UsageError: an option is unknown, or there is no game or seat to play.
    """
    if not 1 <= n_games <= MAX_GAMES or not own_seats:
        raise UsageError(
            f"{n_games} games, seats {list(own_seats)}: 1 to {MAX_GAMES}, and a seat or more"
        )
    bots = options.get("bots", {})
    if "seats" not in options and "\n" not in options.get("map", ""):
        options = {**options, "seats": max(2, len(set(bots) | set(own_seats)))}
    many = games_pb2.ManyGames(
        game=create_message(options), n_games=n_games, seats=own_seats, autoreset=autoreset
    )
    return games_pb2.PlayManyOpen(create=many)


def join_many(seats: Sequence[JoinedGame]) -> games_pb2.PlayManyOpen:
    """PlayMany over seats that were joined.

    Raises:
        UsageError: there is none.
    """
    if not seats:
        raise UsageError("no seats: join some first")
    keys = [games_pb2.SeatKey(game_id=seat.game_id, token=seat.token) for seat in seats]
    return games_pb2.PlayManyOpen(seats=keys)


class ManyRows:
    """The rows of one PlayMany.

    Attributes:
        n_rows: seats; 0 until the host has answered.
        height, width, n_seats: of every game.
        game_id: uint64[n_rows], the game that each row is of now.
        seat: int32[n_rows].
        n_allies: int32[n_rows].
        tokens: of each row's seat; empty for joined ones.
        final_rows: rows whose game ended since `begin_step`, for this seat or for all.
        final_frames: their last frames, beside them.

    Args:
        opening: from `create_many` or `join_many`.
    """

    def __init__(self, opening: games_pb2.PlayManyOpen) -> None:
        self._opening = opening
        self._is_open = False
        self._n_updates = 0
        self._again: list[NDArray[np.int32]] = []
        self.autoreset = opening.create.autoreset
        self.can_reopen = bool(opening.seats)
        self.n_rows = 0
        self.height = self.width = self.n_seats = 0
        self.tokens: tuple[str, ...] = ()
        self._shape(0, np.dtype([("none", np.uint8)]))
        self.begin_step()

    @property
    def is_seen(self) -> bool:
        """Whether every row has a frame."""
        return self.n_rows > 0 and bool((self.tick >= 0).all())

    @property
    def is_stepped(self) -> bool:
        """Whether an update came, and every action shows in one."""
        return self._n_updates > 0 and not self._outstanding.any()

    @property
    def n_updates(self) -> int:
        """Updates since `begin_step`."""
        return self._n_updates

    @property
    def is_over(self) -> bool:
        """Whether no row plays on."""
        return self.n_rows > 0 and not self.autoreset and bool(self.over.all())

    def open(self) -> bytes:
        """A connection is made: the message to send first."""
        self._is_open = False
        request = games_pb2.PlayManyRequest(open=self._opening)
        return request.SerializeToString()

    def act(self, actions: NDArray[np.integer]) -> bytes | None:
        """Act for all rows that wait: the message to send, None if there is none.

        Args:
            actions: int[n_rows]: action indices, 8 * n_cells passes; others are not looked at.

        Raises:
            UsageError: they are not one for each row, or there is no such action.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.n_rows,) or actions.dtype.kind not in "iu":
            raise UsageError(
                f"actions of {actions.dtype}{list(actions.shape)}: integers, one for each of "
                f"{self.n_rows} rows"
            )
        rows = np.flatnonzero(self.to_move).astype("<i4")
        if not len(rows):
            return None
        chosen = actions[rows].astype("<i4")
        highest = ACTIONS_PER_CELL * self.height * self.width
        if chosen.min() < 0 or chosen.max() > highest:
            raise UsageError(f"actions from {chosen.min()} to {chosen.max()}: 0 to {highest}")
        self._sent_action[rows] = chosen
        self._sent_tick[rows] = self.tick[rows]
        self._outstanding[rows] = True
        self.to_move[rows] = False
        return _actions(rows, chosen)

    def take_again(self) -> bytes | None:
        """What a new connection sends again: actions for ticks that are still open."""
        if not self._again:
            return None
        rows = np.concatenate(self._again)
        self._again.clear()
        return _actions(rows, self._sent_action[rows].astype("<i4"))

    def begin_step(self) -> None:
        """Forget the rewards and ends so far."""
        self._n_updates = 0
        self.reward[:] = 0
        self.terminated[:] = False
        self.truncated[:] = False
        self.first[:] = False
        self.final_rows = np.empty(0, np.int32)
        self.final_frames = np.empty(0, self.frames.dtype)

    def receive(self, message: bytes) -> None:
        """Take in a message.

        Raises:
            CorruptDataError: it is none of PlayMany, or does not fit what came before.
        """
        try:
            response = games_pb2.PlayManyResponse.FromString(message)
        except DecodeError as error:
            raise CorruptDataError(f"a message of {len(message)} bytes is no answer") from error
        kind = response.WhichOneof("kind")
        if kind == "opened" and not self._is_open:
            self._opened(response.opened)
        elif kind == "update" and self._is_open:
            self._updated(response.update)
        else:
            raise CorruptDataError(f"{kind or 'nothing'} came out of turn on a stream of many")

    def _opened(self, opened: games_pb2.PlayManyOpened) -> None:
        height, width, n_seats = opened.height, opened.width, opened.n_seats
        if opened.frame_bytes != frame_bytes(height * width, n_seats) or not opened.rows:
            raise CorruptDataError(
                f"{len(opened.rows)} rows, frames of {opened.frame_bytes} bytes for "
                f"{height}x{width} and {n_seats} seats; install the same version of farm on both "
                "sides"
            )
        shape = (len(opened.rows), height, width, n_seats)
        if not self.n_rows:
            self.n_rows, self.height, self.width, self.n_seats = shape
            self._shape(self.n_rows, frame_dtype(height, width, n_seats))
        elif shape != (self.n_rows, self.height, self.width, self.n_seats):
            raise CorruptDataError(f"the games came back as {shape}: rows, height, width, seats")
        self.game_id[:] = [row.game_id for row in opened.rows]
        self.seat[:] = [row.seat for row in opened.rows]
        self.n_allies[:] = [row.n_allies for row in opened.rows]
        self.tokens = tuple(row.token for row in opened.rows)
        self.to_move[:] = False
        self._is_new[:] = True
        self._is_open = True

    def _shape(self, n_rows: int, dtype: np.dtype[np.void]) -> None:
        self._raw = np.zeros((n_rows, dtype.itemsize), np.uint8)
        self.frames: NDArray[np.void] = self._raw.view(dtype)[:, 0]
        self.game_id = np.zeros(n_rows, np.uint64)
        self.seat = np.zeros(n_rows, np.int32)
        self.n_allies = np.zeros(n_rows, np.int32)
        self.tick = np.full(n_rows, -1, np.int32)
        self.to_move = np.zeros(n_rows, np.bool_)
        self.over = np.zeros(n_rows, np.bool_)
        self.reward = np.zeros(n_rows, np.float32)
        self.terminated = np.zeros(n_rows, np.bool_)
        self.truncated = np.zeros(n_rows, np.bool_)
        self.first = np.zeros(n_rows, np.bool_)
        self._outstanding = np.zeros(n_rows, np.bool_)
        self._is_new = np.zeros(n_rows, np.bool_)
        """Nothing has come of the row since the connection was made."""
        self._sent_tick = np.full(n_rows, -1, np.int32)
        self._sent_action = np.zeros(n_rows, np.int32)

    def _updated(self, update: games_pb2.PlayManyUpdate) -> None:
        rows = np.frombuffer(update.rows, "<i4")
        n = len(rows)
        ticks = np.frombuffer(update.ticks, "<i4")
        reward = np.frombuffer(update.reward, "<f4")
        flags = np.frombuffer(update.flags, np.uint8)
        sizes = (len(ticks), len(reward), len(flags), len(update.frames))
        if sizes != (n, n, n, n * self._raw.shape[1]):
            raise CorruptDataError(f"an update of {n} rows with {sizes} ticks, rewards, flags")
        if n and not (rows.min() >= 0 and rows.max() < self.n_rows):
            raise CorruptDataError(f"rows {rows.min()} to {rows.max()} of {self.n_rows}")
        frames = np.frombuffer(update.frames, np.uint8).reshape(n, -1)
        game_ids = np.frombuffer(update.game_ids, "<u8")
        first = (flags & _FIRST) != 0
        if first.any() and len(game_ids) not in {0, n}:
            raise CorruptDataError(f"{len(game_ids)} games of {n} rows")
        self._n_updates += 1
        if first.any():
            # The last frame of a game and the first of the next may come together, in this order.
            self._play_on(
                rows[~first], ticks[~first], frames[~first], reward[~first], flags[~first]
            )
            self._begin(rows[first], ticks[first], frames[first], flags[first])
            if len(game_ids):
                self.game_id[rows[first]] = game_ids[first]
        else:
            self._play_on(rows, ticks, frames, reward, flags)

    def _play_on(
        self,
        rows: NDArray[np.int32],
        ticks: NDArray[np.int32],
        frames: NDArray[np.uint8],
        reward: NDArray[np.float32],
        flags: NDArray[np.uint8],
    ) -> None:
        """Ticks of games that went on, or ended."""
        self._raw[rows] = frames
        self.tick[rows] = ticks
        self.reward[rows] += reward
        ends = (flags & (_TERMINATED | _TRUNCATED)) != 0
        waits = (flags & _WAITS) != 0
        is_open = waits & self._outstanding[rows] & (ticks == self._sent_tick[rows])
        is_lost = is_open & self._is_new[rows]
        if is_lost.any():
            self._again.append(rows[is_lost])
        self._is_new[rows] = False
        self.to_move[rows] = waits & ~is_open
        self._outstanding[rows] &= (ticks <= self._sent_tick[rows]) & ~ends
        if ends.any():
            self.terminated[rows] |= (flags & _TERMINATED) != 0
            self.truncated[rows] |= (flags & _TRUNCATED) != 0
            self.over[rows] |= ends
            self.final_rows = np.concatenate((self.final_rows, rows[ends]))
            ended = np.ascontiguousarray(frames[ends]).view(self.frames.dtype)[:, 0]
            self.final_frames = np.concatenate((self.final_frames, ended))

    def _begin(
        self,
        rows: NDArray[np.int32],
        ticks: NDArray[np.int32],
        frames: NDArray[np.uint8],
        flags: NDArray[np.uint8],
    ) -> None:
        """First frames."""
        self._raw[rows] = frames
        self.tick[rows] = ticks
        self.first[rows] = True
        self.over[rows] = False
        self._is_new[rows] = False
        self.to_move[rows] = (flags & _WAITS) != 0
        self._outstanding[rows] = False
        self._sent_tick[rows] = -1


def _actions(rows: NDArray[np.int32], actions: NDArray[np.int32]) -> bytes:
    message = games_pb2.PlayManyActions(rows=rows.tobytes(), actions=actions.tobytes())
    return games_pb2.PlayManyRequest(actions=message).SerializeToString()
