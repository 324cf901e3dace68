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
from farm.client.memory import roll_forward
from farm.client.planes import FloatType, legal_masks, planes
from farm.errors import UsageError
from farm.spec.observation import frame_dtype, memory_bytes, memory_dtype
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
    first_memory: NDArray[np.void] | None = None
    """memory_dtype[B]: what the seats had seen of cells that their first observation does not show;
    None where a trajectory came without (`worker.memory`)."""

    def __len__(self) -> int:
        return len(self.action)

    @cached_property
    def next_obs(self) -> NDArray[np.void]:
        """frame_dtype[N]: the observation after the step; copied on first use."""
        return self._shifted(self.obs, self.final_obs)

    @cached_property
    def memory(self) -> NDArray[np.void]:
        """memory_dtype[N]: what the seat has seen by `obs` (spec.observation); made on first use.

        Raises:
            UsageError: a trajectory came without.
        """
        return self._memories[0]

    @cached_property
    def next_memory(self) -> NDArray[np.void]:
        """memory_dtype[N]: what the seat has seen by `next_obs`; copied on first use.

        Raises:
            UsageError: a trajectory came without.
        """
        return self._shifted(*self._memories)

    @cached_property
    def legal_mask(self) -> NDArray[np.bool]:
        """bool[N, 8 * height * width + 1]: legal actions in `obs`; computed on first use."""
        return legal_masks(self.obs, self.n_allies)

    def planes(
        self,
        dtype: FloatType = np.float32,
        *,
        memory: bool = False,
        out: NDArray[np.floating] | None = None,
    ) -> NDArray[np.floating]:
        """dtype[N, C, height, width]: `obs` as float planes; channels are `farm.client.PLANES`.

        Args:
            dtype: type of the planes.
            memory: whether to add the channels `farm.client.MEMORY_PLANES`.
            out: where to write them instead of new memory; then its own type counts.

        Raises:
            UsageError: `memory` is wanted, and a trajectory came without.
        """
        seen = self.memory if memory else None
        return planes(self.obs, self.n_allies, dtype, memory=seen, out=out)

    def next_planes(
        self,
        dtype: FloatType = np.float32,
        *,
        memory: bool = False,
        out: NDArray[np.floating] | None = None,
    ) -> NDArray[np.floating]:
        """dtype[N, C, height, width]: `next_obs` as float planes; arguments as of `planes`."""
        seen = self.next_memory if memory else None
        return planes(self.next_obs, self.n_allies, dtype, memory=seen, out=out)

    @cached_property
    def _memories(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Of `obs` and of `final_obs`."""
        if self.first_memory is None:
            raise UsageError(
                "a trajectory of this batch has no memory; start the farm with worker.memory=true, "
                "and leave out those that still come without (Trajectory.has_memory)"
            )
        return roll_forward(self.first_memory, self.obs, self.final_obs, self.starts)

    def _shifted(self, rows: NDArray[np.void], finals: NDArray[np.void]) -> NDArray[np.void]:
        """For each row the one after it, behind a trajectory's last row its final one."""
        before = _as_bytes(rows)
        shifted = np.empty_like(before)
        shifted[:-1] = before[1:]
        shifted[self.starts[1:] - 1] = _as_bytes(finals)
        return shifted.view(rows.dtype)[:, 0]


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
    has_memory = all(trajectory.has_memory for trajectory in chosen)
    n_remembered = memory_bytes(shape.height * shape.width) if has_memory else 0
    memory = np.empty((len(chosen), n_remembered), dtype=np.uint8)
    _copy_payloads(chosen, starts.tolist(), dtype.itemsize, (obs, final_obs, columns, memory))
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
        first_memory=memory.view(memory_dtype(*shape[:2]))[:, 0] if has_memory else None,
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
    out: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    """Copy each payload into obs, final_obs, columns, memory; memoryviews cost least per slice."""
    n_remembered = out[3].shape[1]
    obs, final_obs, columns, memory = (array.reshape(-1).data for array in out)
    for index, trajectory in enumerate(trajectories):
        raw = memoryview(trajectory.decode(keep=False))
        start, end = starts[index], starts[index + 1]
        middle = (end - start) * frame_bytes
        obs[start * frame_bytes : end * frame_bytes] = raw[:middle]
        final_obs[index * frame_bytes : (index + 1) * frame_bytes] = raw[
            middle : middle + frame_bytes
        ]
        n_columns = (end - start) * STEP_BYTES
        columns[start * STEP_BYTES : end * STEP_BYTES] = raw[-n_columns:]
        if n_remembered:
            first = middle + frame_bytes
            memory[index * n_remembered : (index + 1) * n_remembered] = raw[first:-n_columns]


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
