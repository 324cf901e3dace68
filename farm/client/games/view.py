"""A game as its updates tell it: frames put together from deltas. Pure.

    BLIND --observation or board--> SEEING
      ^                                |
      +----------- reopened -----------+

The first message of every connection carries the whole view, later ones what changed. Events are
told once each, over all connections: `after_event` of a new one asks for those not yet seen, and
what comes again all the same is left out.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from farm.client.games.observation import GameBoard, GameObservation, GameUpdate, Score
from farm.client.games.values import GameEvent, Phase, game_event
from farm.errors import CorruptDataError
from farm.rpc.v1 import games_pb2
from farm.spec.limits import MAX_SEATS, MAX_SIDE
from farm.spec.observation import frame_bytes, frame_dtype, score_offset

Number = TypeVar("Number", bound=np.generic)

_INT8: np.dtype[np.int8] = np.dtype("i1")
_UINT8: np.dtype[np.uint8] = np.dtype("u1")
_UINT16: np.dtype[np.uint16] = np.dtype("<u2")
_INT32: np.dtype[np.int32] = np.dtype("<i4")


class _Seen(NamedTuple):
    """A seat's frame, and how it is read."""

    seat: int
    n_seats: int
    n_allies: int
    height: int
    width: int
    frame: bytearray


@dataclass(frozen=True, slots=True)
class _Board:
    """Everything, as a spectator sees it."""

    height: int
    width: int
    owner: NDArray[np.int8]
    army: NDArray[np.int32]
    terrain: NDArray[np.uint8]
    scores: tuple[Score, ...]


class GameView:
    """Takes in the updates of one game and hands out what they come to.

    Args:
        game_id: of the game.
        after_event: sequence of the last event that is known already.
    """

    def __init__(self, game_id: int, after_event: int = 0) -> None:
        self.game_id = game_id
        self.after_event = after_event
        self._seen: _Seen | None = None
        self._board: _Board | None = None

    def reopen(self) -> None:
        """A new connection: the next message carries the whole view, or the game has none yet."""
        self._seen = None
        self._board = None

    def receive(self, message: games_pb2.GameUpdate) -> GameUpdate:
        """Take in an update.

        Raises:
            CorruptDataError: it is of another game, or does not fit what came before.
        """
        if message.game_id != self.game_id:
            raise CorruptDataError(f"an update of game {message.game_id} for {self.game_id}")
        view = message.WhichOneof("view")
        if view == "observation":
            self._seen = _observed(message.observation)
        elif view == "delta":
            self._seen = self._changed(message.delta)
        elif view == "full":
            self._board = _full(message.full)
        return self._update(message, self._events(message))

    def _events(self, message: games_pb2.GameUpdate) -> tuple[GameEvent, ...]:
        fresh = sorted(
            (game_event(row) for row in message.events if row.sequence > self.after_event),
            key=lambda event: event.sequence,
        )
        if fresh:
            self.after_event = fresh[-1].sequence
        return tuple(fresh)

    def _changed(self, delta: games_pb2.Delta) -> _Seen:
        """The frame after a change. What was handed out before stays as it is."""
        seen = self._seen
        if seen is None:
            raise CorruptDataError("a delta came before an observation")
        n_cells = seen.height * seen.width
        cells = _array(delta.cells, _UINT16)
        army = _array(delta.army, _UINT16)
        tile = _array(delta.tile, _UINT8)
        if not len(cells) == len(army) == len(tile) or (len(cells) and cells.max() >= n_cells):
            raise CorruptDataError(
                f"a delta of {len(cells)} cells, {len(army)} armies and {len(tile)} tiles "
                f"on {n_cells} cells"
            )
        frame = bytearray(seen.frame)
        offset = score_offset(n_cells)
        if delta.scores:
            if len(delta.scores) != len(frame) - offset:
                raise CorruptDataError(
                    f"a scoreboard of {len(delta.scores)} bytes; it has {len(frame) - offset}"
                )
            frame[offset:] = delta.scores
        np.frombuffer(frame, "<u2", n_cells)[cells] = army
        np.frombuffer(frame, np.uint8, n_cells, 2 * n_cells)[cells] = tile
        return seen._replace(frame=frame)

    def _update(self, message: games_pb2.GameUpdate, events: tuple[GameEvent, ...]) -> GameUpdate:
        plain = GameUpdate(
            game_id=message.game_id,
            tick=message.tick,
            phase=Phase(message.phase),
            events=events,
            to_move=message.to_move,
            queued=message.queued,
            winners=tuple(message.winners),
        )
        if (seen := self._seen) is not None:
            return GameObservation(
                **_fields(plain),
                seat=seen.seat,
                n_seats=seen.n_seats,
                n_allies=seen.n_allies,
                height=seen.height,
                width=seen.width,
                frame=frame_of(seen.frame, seen.height, seen.width, seen.n_seats),
            )
        if (board := self._board) is not None:
            return GameBoard(**_fields(plain), **_fields(board))
        return plain


def parse_update(message: bytes) -> games_pb2.GameUpdate:
    """Read a GameUpdate.

    Raises:
        CorruptDataError: it is none.
    """
    try:
        return games_pb2.GameUpdate.FromString(message)
    except DecodeError as error:
        raise CorruptDataError(f"a message of {len(message)} bytes is no update") from error


def frame_of(raw: bytearray | bytes, height: int, width: int, n_seats: int) -> np.void:
    """One frame of bytes as a read-only record; no copy."""
    frames = np.frombuffer(raw, frame_dtype(height, width, n_seats))
    frames.flags.writeable = False
    frame: np.void = frames[0]
    return frame


def _observed(message: games_pb2.Observation) -> _Seen:
    height, width, n_seats = message.height, message.width, message.n_seats
    is_board = 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE and 0 < n_seats <= MAX_SEATS
    if not is_board or len(message.frame) != frame_bytes(height * width, n_seats):
        raise CorruptDataError(
            f"a frame of {len(message.frame)} bytes for {height}x{width} and {n_seats} seats; "
            "install the same version of farm on both sides"
        )
    return _Seen(
        seat=message.seat,
        n_seats=n_seats,
        n_allies=message.n_allies,
        height=height,
        width=width,
        frame=bytearray(message.frame),
    )


def _full(message: games_pb2.FullState) -> _Board:
    shape = (message.height, message.width)
    owner = _array(message.owner, _INT8)
    army = _array(message.army, _INT32)
    terrain = _array(message.terrain, _UINT8)
    if not len(owner) == len(army) == len(terrain) == shape[0] * shape[1]:
        raise CorruptDataError(
            f"a board of {shape[0]}x{shape[1]} with {len(owner)} owners, {len(army)} armies and "
            f"{len(terrain)} terrains"
        )
    scores = sorted(message.scores, key=lambda score: score.seat)
    return _Board(
        height=message.height,
        width=message.width,
        owner=owner.reshape(shape),
        army=army.reshape(shape),
        terrain=terrain.reshape(shape),
        scores=tuple(Score(score.army, score.land, score.alive) for score in scores),
    )


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; no copies."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _array(raw: bytes, dtype: np.dtype[Number]) -> NDArray[Number]:
    """Packed numbers as an array; no copy.

    Raises:
        CorruptDataError: there is a part of a number too much.
    """
    if len(raw) % dtype.itemsize:
        raise CorruptDataError(f"{len(raw)} bytes are no whole number of {dtype.itemsize}")
    return np.frombuffer(raw, dtype)
