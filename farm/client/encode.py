"""A trajectory from arrays, for whoever played a game elsewhere and hands it in."""

import time

import lz4.block
import numpy as np
from numpy.typing import NDArray

from farm.client.decode import Trajectory
from farm.errors import UsageError
from farm.rpc.checksum import checksum_of
from farm.rpc.v1 import experience_pb2
from farm.spec.limits import MAX_STEPS
from farm.spec.observation import frame_dtype

_BOARD_AXES = 2


def make_trajectory(
    frames: NDArray[np.void],
    action: NDArray[np.integer],
    reward: NDArray[np.floating],
    log_prob: NDArray[np.floating],
    *,
    game_id: int,
    seat: int,
    policy: str,
    first_tick: int = 0,
    n_allies: int = 0,
    terminated: bool = False,
    truncated: bool = False,
    policy_version: int = 0,
) -> Trajectory:
    """Put a trajectory together for `Client.submit`.

    Args:
        frames: frame_dtype[T + 1] (spec.observation), the true final observation included.
        action: integer[T], action indices (spec.actions).
        reward: float[T].
        log_prob: float[T], natural, of the action under the policy that took it.
        game_id: number of the game.
        seat: 0-based seat that observed and acted.
        policy: name of who acted.
        first_tick: tick (half-move) of the first observation.
        n_allies: teammates of the seat.
        terminated: whether the rules ended the game for the seat at the last step.
        truncated: whether it was cut there.
        policy_version: of the policy.

    Raises:
        UsageError: the arrays do not belong together.
    """
    height, width, n_seats = _shape(frames)
    columns = ((reward, "<f4"), (log_prob, "<f4"), (action, "<u2"))
    n_steps = len(action)
    lengths = {len(column) for column, _ in columns}
    if lengths != {len(frames) - 1} or not 0 < n_steps <= MAX_STEPS:
        raise UsageError(
            f"{len(frames)} frames with {sorted(lengths)} steps: T steps have T + 1 frames, and T "
            f"is 1 to {MAX_STEPS}"
        )
    parts = [np.ascontiguousarray(frames).tobytes()]
    parts += [np.asarray(column).astype(kind).tobytes() for column, kind in columns]
    message = experience_pb2.Trajectory(
        game_id=game_id,
        seat=seat,
        n_seats=n_seats,
        n_allies=n_allies,
        height=height,
        width=width,
        first_tick=first_tick,
        n_steps=n_steps,
        terminated=terminated,
        truncated=truncated,
        policy=policy,
        policy_version=policy_version,
        wall_time_ns=time.time_ns(),
        payload=lz4.block.compress(b"".join(parts), store_size=False),
    )
    message.checksum = checksum_of(message)
    return Trajectory(message)


def _shape(frames: NDArray[np.void]) -> tuple[int, int, int]:
    """Height, width and seats."""
    names = frames.dtype.names or ()
    if "tile" in names and "alive" in names:
        board, seats = frames.dtype["tile"].shape, frames.dtype["alive"].shape
        if len(board) == _BOARD_AXES and seats:
            height, width = board
            if frames.dtype == frame_dtype(height, width, seats[0]):
                return height, width, seats[0]
    raise UsageError(f"{frames.dtype} is no layout of frames: take farm.spec.frame_dtype")
