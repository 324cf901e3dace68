"""A trajectory as NumPy arrays: checked, decompressed and laid out on first use.

A message is parsed by protobuf, and that is all that receiving costs. Metadata is read from the
message when asked for. The payload is decompressed when the first array is asked for, never before
its checksum was found right, and kept: `np.frombuffer` then lays arrays over it, read-only, without
a copy.
"""

import struct
from functools import lru_cache
from typing import NamedTuple, TypeVar

import lz4.block
import numpy as np
from numpy.typing import NDArray

from farm.errors import CorruptDataError
from farm.rpc.checksum import checksum_of
from farm.rpc.v1 import experience_pb2
from farm.spec.limits import MAX_SEATS, MAX_SIDE, MAX_STEPS, MIN_SEATS, MIN_SIDE
from farm.spec.observation import frame_dtype
from farm.spec.trajectory import STEP_BYTES

_decompress = lz4.block.decompress

Scalar = TypeVar("Scalar", bound=np.generic)


class Shape(NamedTuple):
    """What the frames of trajectories must have in common to be stacked."""

    height: int
    width: int
    n_seats: int


class Trajectory:
    """At most T consecutive steps of one seat in one game.

    With T = `n_steps`: `frames[k]` is the observation before step k, `frames[k + 1]` the one that
    step k led to. Arrays are read-only; copy what you want to change.

    Raises:
        CorruptDataError: from any of the arrays and from `verify`, if the checksum or the shape is
            off. Nothing of a corrupt payload is ever decoded.
    """

    __slots__ = ("_message", "_raw")

    def __init__(self, message: experience_pb2.Trajectory) -> None:
        self._message = message
        self._raw: bytes | None = None

    @property
    def frames(self) -> NDArray[np.void]:
        """frame_dtype[T + 1]: every observation, the true final one included (spec.observation)."""
        raw = self._raw or self.decode()
        message = self._message
        dtype = _frame_type(message.height, message.width, message.n_seats)
        return np.frombuffer(raw, dtype, message.n_steps + 1)

    @property
    def obs(self) -> NDArray[np.void]:
        """frame_dtype[T]: the observation before each step."""
        return self.frames[:-1]

    @property
    def next_obs(self) -> NDArray[np.void]:
        """frame_dtype[T]: the observation after each step."""
        return self.frames[1:]

    @property
    def reward(self) -> NDArray[np.float32]:
        """float32[T]."""
        return self._column(0, np.float32)

    @property
    def log_prob(self) -> NDArray[np.float32]:
        """float32[T]: of the action, under the policy that took it."""
        return self._column(4, np.float32)

    @property
    def action(self) -> NDArray[np.uint16]:
        """uint16[T]: action indices (spec.actions)."""
        return self._column(8, np.uint16)

    @property
    def game_id(self) -> int:
        """Game number; the same number under the same seed and settings is the same game."""
        return self._message.game_id

    @property
    def seat(self) -> int:
        """0-based seat that observed and acted."""
        return self._message.seat

    @property
    def n_seats(self) -> int:
        """Seats of the game."""
        return self._message.n_seats

    @property
    def n_allies(self) -> int:
        """Teammates of the seat, itself not counted."""
        return self._message.n_allies

    @property
    def height(self) -> int:
        """Rows of the board."""
        return self._message.height

    @property
    def width(self) -> int:
        """Columns of the board."""
        return self._message.width

    @property
    def shape(self) -> Shape:
        """Height, width and seats: what decides the layout of a frame."""
        message = self._message
        return Shape(message.height, message.width, message.n_seats)

    @property
    def first_tick(self) -> int:
        """Tick (half-move) of the first observation."""
        return self._message.first_tick

    @property
    def n_steps(self) -> int:
        """T: steps of this trajectory."""
        return self._message.n_steps

    @property
    def terminated(self) -> bool:
        """Whether the last step ended the game for this seat."""
        return self._message.terminated

    @property
    def truncated(self) -> bool:
        """Whether the farm cut the game at the last step."""
        return self._message.truncated

    @property
    def policy(self) -> str:
        """Name of the policy that acted."""
        return self._message.policy

    @property
    def policy_version(self) -> int:
        """Version of that policy."""
        return self._message.policy_version

    @property
    def config_epoch(self) -> int:
        """Epoch of the farm's config that the game was played under."""
        return self._message.config_epoch

    @property
    def worker(self) -> int:
        """Index of the worker that made it."""
        return self._message.worker

    @property
    def generation(self) -> int:
        """Incarnation of that worker."""
        return self._message.generation

    @property
    def sequence(self) -> int:
        """Number of the trajectory among its worker's; (worker, sequence) is its name."""
        return self._message.sequence

    @property
    def wall_time_ns(self) -> int:
        """When it was made, in nanoseconds since the Unix epoch."""
        return self._message.wall_time_ns

    def wire(self) -> bytes:
        """The trajectory as it travels: a serialised `farm.rpc.v1.Trajectory`."""
        return self._message.SerializeToString()

    def verify(self) -> None:
        """Check the checksum over the metadata and the compressed payload.

        Raises:
            CorruptDataError: it does not match.
        """
        self._verified_payload()

    def decode(self, *, keep: bool = True) -> bytes:
        """The decompressed payload, checked first: frames, reward, log_prob, action.

        Args:
            keep: whether to hold on to it. Whoever copies it elsewhere should not: memory that is
                freed at once is warm when the next trajectory needs it.

        Raises:
            CorruptDataError: the checksum or the shape is off.
        """
        if self._raw is not None:
            return self._raw
        message = self._message
        payload = self._verified_payload()
        dtype = _frame_type(message.height, message.width, message.n_seats)
        n_steps = message.n_steps
        if not 0 < n_steps <= MAX_STEPS:
            raise CorruptDataError(f"{self!r} has {n_steps} steps; 1 to {MAX_STEPS} are possible")
        n_bytes = (n_steps + 1) * dtype.itemsize + STEP_BYTES * n_steps
        try:
            raw: bytes = _decompress(payload, uncompressed_size=n_bytes)
        except lz4.block.LZ4BlockError as error:
            raise CorruptDataError(f"{self!r}: its payload is no LZ4 block: {error}") from error
        if len(raw) != n_bytes:
            raise CorruptDataError(f"{self!r}: {len(raw)} bytes of payload where {n_bytes} are due")
        if keep:
            self._raw = raw
        return raw

    def _verified_payload(self) -> bytes:
        message = self._message
        try:
            found = checksum_of(message)
        except struct.error as error:
            raise CorruptDataError(f"{self!r} has a field out of bounds: {error}") from error
        if found != message.checksum:
            raise CorruptDataError(
                f"{self!r} has checksum {found:#010x}, its sender computed {message.checksum:#010x}"
            )
        return message.payload

    def _column(self, bytes_before: int, scalar: type[Scalar]) -> NDArray[Scalar]:
        """One value a step, `bytes_before` bytes a step into the columns behind the frames."""
        raw = self._raw or self.decode()
        n_steps = self._message.n_steps
        offset = len(raw) - (STEP_BYTES - bytes_before) * n_steps
        return np.frombuffer(raw, scalar, n_steps, offset)

    def __repr__(self) -> str:
        message = self._message
        return (
            f"<Trajectory {message.worker}/{message.sequence}: game {message.game_id} "
            f"seat {message.seat} ticks {message.first_tick}+{message.n_steps}>"
        )


@lru_cache(maxsize=1024)
def _frame_type(height: int, width: int, n_seats: int) -> np.dtype[np.void]:
    """The layout of a frame, for a board that can exist."""
    if not (
        MIN_SIDE <= height <= MAX_SIDE
        and MIN_SIDE <= width <= MAX_SIDE
        and MIN_SEATS <= n_seats <= MAX_SEATS
    ):
        raise CorruptDataError(f"there is no board {height}x{width} with {n_seats} seats")
    return frame_dtype(height, width, n_seats)
