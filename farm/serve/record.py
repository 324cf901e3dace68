"""Puts a trajectory's message into the form of a record: for all that come from no rollout worker.

    record = spec.trajectory.RECORD_HEADER (64 bytes) | the entry of an ExperienceBatch

Workers write the same by kernels (farm.worker.wire).
"""

import struct

import numpy as np
from numpy.typing import NDArray

from farm.rpc.checksum import checksum_of
from farm.rpc.v1 import experience_pb2
from farm.spec.trajectory import policy_hash

_pack_header = struct.Struct("<QQQdffIIIIHHBBBB").pack
"""`spec.trajectory.RECORD_HEADER`, field by field."""


def seal(
    trajectory: experience_pb2.Trajectory,
    reward: NDArray[np.float32],
    *,
    ring: int,
    generation: int,
    sequence: int,
) -> bytes:
    """The record of a trajectory, which gets its name and its checksum here.

    Args:
        trajectory: everything but its name is set; written.
        reward: float32[n_steps], those in its payload.
        ring: index of the ring that it is for, its `worker`.
        generation: incarnation of who writes there.
        sequence: of the record.
    """
    trajectory.worker = ring
    trajectory.generation = generation
    trajectory.sequence = sequence
    trajectory.checksum = checksum_of(trajectory)
    header = _pack_header(
        sequence,
        trajectory.game_id,
        trajectory.wall_time_ns,
        float(reward.sum(dtype=np.float64)),
        float(reward.min()),
        float(reward.max()),
        policy_hash(trajectory.policy),
        trajectory.first_tick,
        trajectory.first_tick + trajectory.n_steps,
        generation,
        trajectory.n_steps,
        ring,
        trajectory.seat,
        trajectory.n_seats,
        trajectory.terminated,
        trajectory.truncated,
    )
    batch = experience_pb2.ExperienceBatch(trajectories=[trajectory])
    return header + batch.SerializeToString()
