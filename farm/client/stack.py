"""Many trajectories as one batch of experiences: flat arrays, one row an experience.

Rows are in the order of the trajectories given, each in the order of its steps. Only trajectories
of one shape (height, width, seats) fit in one batch; `group_by_shape` sorts others apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from farm.client.decode import Shape, Trajectory
from farm.client.planes import FloatType, legal_masks, planes
from farm.errors import UsageError
from farm.spec.observation import frame_dtype
from farm.spec.trajectory import STEP_BYTES


@dataclass(frozen=True)
class Batch:
    """N experiences of one board shape. Arrays of a row each, unless a comment says otherwise."""

    obs: NDArray[np.void]
    """frame_dtype[N]: the observation before the step (spec.observation)."""
    final_obs: NDArray[np.void]
    """frame_dtype[B]: the last observation of each of the B trajectories."""
    action: NDArray[np.int64]
    """int64[N]: action index (spec.actions)."""
    reward: NDArray[np.float32]
    """float32[N]."""
    log_prob: NDArray[np.float32]
    """float32[N]: of the action, under the policy that took it."""
    terminated: NDArray[np.bool]
    """bool[N]: the step ended the game for the seat; there is no value beyond it."""
    truncated: NDArray[np.bool]
    """bool[N]: the farm cut the game after the step; `next_obs` still has a value."""
    game_id: NDArray[np.uint64]
    """uint64[N]: game number."""
    seat: NDArray[np.int64]
    """int64[N]: 0-based seat."""
    tick: NDArray[np.int64]
    """int64[N]: tick of `obs`."""
    n_allies: NDArray[np.int64]
    """int64[N]: teammates of the seat, itself not counted."""
    starts: NDArray[np.int64]
    """int64[B + 1]: trajectory b is rows starts[b] to starts[b + 1]."""

    def __len__(self) -> int:
        return len(self.action)

    @cached_property
    def next_obs(self) -> NDArray[np.void]:
        """frame_dtype[N]: the observation after the step; copied on first use."""
        rows = _as_bytes(self.obs)
        shifted = np.empty_like(rows)
        shifted[:-1] = rows[1:]
        shifted[self.starts[1:] - 1] = _as_bytes(self.final_obs)
        return shifted.view(self.obs.dtype)[:, 0]

    @cached_property
    def legal_mask(self) -> NDArray[np.bool]:
        """bool[N, 8 * height * width + 1]: legal actions in `obs`; computed on first use."""
        return legal_masks(self.obs, self.n_allies)

    def planes(self, dtype: FloatType = np.float32) -> NDArray[np.floating]:
        """dtype[N, C, height, width]: `obs` as float planes; channels are `farm.client.PLANES`."""
        return planes(self.obs, self.n_allies, dtype)

    def next_planes(self, dtype: FloatType = np.float32) -> NDArray[np.floating]:
        """dtype[N, C, height, width]: `next_obs` as float planes."""
        return planes(self.next_obs, self.n_allies, dtype)


def stack(trajectories: Iterable[Trajectory]) -> Batch:
    """Put trajectories of one shape into one batch.

    Raises:
        UsageError: there are none, or their shapes differ.
        CorruptDataError: one of them fails its checksum.
    """
    chosen = list(trajectories)
    shape = _common_shape(chosen)
    dtype = frame_dtype(*shape)
    n_steps = np.array([trajectory.n_steps for trajectory in chosen], dtype=np.int64)
    starts = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(n_steps, out=starts[1:])
    n_rows = int(starts[-1])

    obs = np.empty((n_rows, dtype.itemsize), dtype=np.uint8)
    final_obs = np.empty((len(chosen), dtype.itemsize), dtype=np.uint8)
    columns = np.empty(n_rows * STEP_BYTES, dtype=np.uint8)
    _copy_payloads(chosen, starts.tolist(), dtype.itemsize, (obs, final_obs, columns))
    reward, log_prob, action = _split_columns(columns, n_steps, starts)
    ends = starts[1:] - 1
    first_tick = [trajectory.first_tick for trajectory in chosen]
    return Batch(
        obs=obs.view(dtype)[:, 0],
        final_obs=final_obs.view(dtype)[:, 0],
        action=action,
        reward=reward,
        log_prob=log_prob,
        terminated=_last_steps([t.terminated for t in chosen], ends, n_rows),
        truncated=_last_steps([t.truncated for t in chosen], ends, n_rows),
        game_id=np.repeat(np.array([t.game_id for t in chosen], dtype=np.uint64), n_steps),
        seat=np.repeat(np.array([t.seat for t in chosen], dtype=np.int64), n_steps),
        tick=np.arange(n_rows) + np.repeat(np.array(first_tick, np.int64) - starts[:-1], n_steps),
        n_allies=np.repeat(np.array([t.n_allies for t in chosen], dtype=np.int64), n_steps),
        starts=starts,
    )


def group_by_shape(trajectories: Iterable[Trajectory]) -> dict[Shape, list[Trajectory]]:
    """Sort trajectories by the shape of their frames, so that each group can be stacked."""
    groups: dict[Shape, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.shape, []).append(trajectory)
    return groups


def _common_shape(trajectories: Sequence[Trajectory]) -> Shape:
    shapes = {trajectory.shape for trajectory in trajectories}
    if len(shapes) == 1:
        return shapes.pop()
    if not shapes:
        raise UsageError("there are no trajectories to stack")
    names = ", ".join(f"{s.height}x{s.width} with {s.n_seats} seats" for s in sorted(shapes))
    raise UsageError(
        f"frames of different shapes cannot be stacked: {names}; stack each group of "
        "farm.client.group_by_shape(trajectories)"
    )


def _copy_payloads(
    trajectories: Sequence[Trajectory],
    starts: Sequence[int],
    frame_bytes: int,
    out: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    """Copy each payload into obs, final_obs and columns; memoryviews cost least per slice."""
    obs, final_obs, columns = (array.reshape(-1).data for array in out)
    for index, trajectory in enumerate(trajectories):
        raw = memoryview(trajectory.decode(keep=False))
        start, end = starts[index], starts[index + 1]
        middle = (end - start) * frame_bytes
        obs[start * frame_bytes : end * frame_bytes] = raw[:middle]
        final_obs[index * frame_bytes : (index + 1) * frame_bytes] = raw[
            middle : middle + frame_bytes
        ]
        columns[start * STEP_BYTES : end * STEP_BYTES] = raw[middle + frame_bytes :]


def _split_columns(
    columns: NDArray[np.uint8], n_steps: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Gather reward, log_prob and action out of the columns of all trajectories, end to end."""
    words = columns.view(np.uint16)
    base = np.repeat(starts[:-1], n_steps)
    step = np.arange(len(base)) - base
    length = np.repeat(n_steps, n_steps)
    first = base * (STEP_BYTES // 2)
    floats = np.empty((2, len(base), 2), dtype=np.uint16)
    for half in range(2):
        floats[0, :, half] = words[first + 2 * step + half]
        floats[1, :, half] = words[first + 2 * length + 2 * step + half]
    reward, log_prob = floats.view(np.float32)[..., 0]
    action = words[first + 4 * length + step].astype(np.int64)
    return reward, log_prob, action


def _last_steps(flags: Sequence[bool], ends: NDArray[np.int64], n_rows: int) -> NDArray[np.bool]:
    """bool[n_rows]: each trajectory's flag at its last row, False elsewhere."""
    rows = np.zeros(n_rows, dtype=np.bool_)
    rows[ends] = flags
    return rows


def _as_bytes(frames: NDArray[np.void]) -> NDArray[np.uint8]:
    """uint8[n, frame_bytes] over the same memory; NumPy copies structured rows field by field."""
    return frames.view(np.uint8).reshape(len(frames), frames.dtype.itemsize)
