"""The memory at every frame, from the one a trajectory carries and its frames (spec.observation).

The farm sends a memory once a trajectory; here it is rolled forward, step by step for all
trajectories of a batch at once.
"""

import numpy as np
from numpy.typing import NDArray

from farm.spec import tiles
from farm.spec.observation import memory_dtype


def roll_forward(
    first: NDArray[np.void],
    obs: NDArray[np.void],
    final_obs: NDArray[np.void],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """The memory at every observation of B trajectories with N steps in all.

    Args:
        first: memory_dtype[B], as trajectories carry it, read.
        obs: frame_dtype[N], observations before the steps, trajectory after trajectory, read.
        final_obs: frame_dtype[B], the last observation of each, read.
        starts: int64[B + 1]: trajectory b is rows starts[b] to starts[b + 1], read.

    Returns:
        memory_dtype[N] of `obs`, memory_dtype[B] of `final_obs`, what is in sight included.
    """
    dtype = memory_dtype(*first["tile"].shape[1:])
    memory, final = np.empty(len(obs), dtype), np.empty(len(first), dtype)
    n_steps = np.diff(starts)
    # The longest first: those that have a step k are then a slice, from the first on.
    order = np.argsort(-n_steps, kind="stable")
    begins = starts[:-1][order]
    state = first[order]
    for step in range(int(n_steps.max(initial=0))):
        n_going = int(np.count_nonzero(n_steps > step))
        rows = begins[:n_going] + step
        _see(state[:n_going], obs, rows)
        for name in ("army", "tile"):
            memory[name][rows] = state[name][:n_going]
    _see(state, final_obs, order)
    for name in ("army", "tile"):
        final[name][order] = state[name]
    return memory, final


def _see(memory: NDArray[np.void], frames: NDArray[np.void], rows: NDArray[np.int64]) -> None:
    """Take what these rows of frames have in sight into the memories."""
    tile = frames["tile"][rows]
    in_sight = (tile & tiles.OWNER_MASK) != tiles.FOG
    np.copyto(memory["tile"], tile, where=in_sight)
    np.copyto(memory["army"], frames["army"][rows], where=in_sight)
