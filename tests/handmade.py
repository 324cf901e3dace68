"""Trajectories made by hand: the plain, slow way, written from the spec and not from the worker."""

import struct
import zlib
from dataclasses import dataclass, replace

import lz4.block
import numpy as np

from farm.rpc.v1 import experience_pb2
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import attach_ring, create_ring
from farm.shm.successor import create_successor, succeed
from farm.spec.observation import frame_bytes, memory_bytes
from farm.spec.tiles import FOG
from farm.spec.trajectory import RECORD_HEADER, policy_hash


@dataclass(frozen=True)
class Spec:
    """What a hand-made trajectory is to be; its contents follow from `seed`."""

    sequence: int = 0
    worker: int = 0
    generation: int = 1
    game_id: int = 0
    seat: int = 0
    n_seats: int = 2
    n_allies: int = 0
    height: int = 6
    width: int = 5
    first_tick: int = 0
    n_steps: int = 4
    terminated: bool = False
    truncated: bool = False
    policy: str = "expander"
    wall_time_ns: int = 1_700_000_000_000_000_000
    has_memory: bool = False
    seed: int = 0

    def but(self, **changes):
        return replace(self, **changes)


@dataclass(frozen=True)
class Contents:
    """The arrays of a trajectory, as they go in."""

    frames: np.ndarray
    memory: np.ndarray
    reward: np.ndarray
    log_prob: np.ndarray
    action: np.ndarray


def contents(spec):
    """Arrays of the right shapes: few cells change from frame to frame."""
    rng = np.random.default_rng([spec.seed, spec.worker, spec.sequence])
    n_cells = spec.height * spec.width
    size = frame_bytes(n_cells, spec.n_seats)
    frames = np.zeros((spec.n_steps + 1, size), dtype=np.uint8)
    frames[0, : 3 * n_cells] = rng.integers(0, 3, 3 * n_cells)
    frames[0, 2 * n_cells : 3 * n_cells : 2] = FOG
    for step in range(spec.n_steps):
        frames[step + 1] = frames[step]
        changed = rng.integers(0, 3 * n_cells, 4)
        frames[step + 1, changed] = rng.integers(0, 255, 4)
        frames[step + 1, 2 * n_cells + rng.integers(n_cells)] = FOG
    memory = np.zeros(memory_bytes(n_cells) if spec.has_memory else 0, dtype=np.uint8)
    memory[: 3 * n_cells] = rng.integers(0, 255, memory[: 3 * n_cells].size)
    return Contents(
        frames=frames,
        memory=memory,
        reward=rng.normal(size=spec.n_steps).astype(np.float32),
        log_prob=-rng.random(spec.n_steps, dtype=np.float32),
        action=rng.integers(0, 8 * n_cells + 1, spec.n_steps).astype(np.uint16),
    )


def message(spec, *, arrays=None, payload=None, checksum=None):
    """The Trajectory message; `payload` or `checksum` replace the right ones."""
    arrays = arrays or contents(spec)
    columns = (arrays.frames, arrays.memory, arrays.reward, arrays.log_prob, arrays.action)
    raw = b"".join(np.ascontiguousarray(column).tobytes() for column in columns)
    good = lz4.block.compress(raw, store_size=False)
    prefix = struct.pack(
        "<QQIHHHBBBBBB",
        spec.sequence,
        spec.game_id,
        spec.first_tick,
        spec.worker,
        spec.generation & 0xFFFF,
        spec.n_steps,
        spec.seat,
        spec.n_seats,
        spec.height,
        spec.width,
        spec.terminated,
        spec.truncated,
    )
    return experience_pb2.Trajectory(
        game_id=spec.game_id,
        seat=spec.seat,
        n_seats=spec.n_seats,
        n_allies=spec.n_allies,
        height=spec.height,
        width=spec.width,
        first_tick=spec.first_tick,
        n_steps=spec.n_steps,
        terminated=spec.terminated,
        truncated=spec.truncated,
        policy=spec.policy,
        policy_version=1,
        config_epoch=1,
        worker=spec.worker,
        generation=spec.generation,
        sequence=spec.sequence,
        wall_time_ns=spec.wall_time_ns,
        checksum=zlib.crc32(good, zlib.crc32(prefix)) if checksum is None else checksum,
        payload=good if payload is None else payload,
        has_memory=spec.has_memory,
    )


def header(spec, reward):
    """RECORD_HEADER[1] of the trajectory."""
    row = np.zeros(1, dtype=RECORD_HEADER)
    for name in ("sequence", "game_id", "wall_time_ns", "first_tick", "generation", "n_steps"):
        row[name] = getattr(spec, name)
    for name in ("worker", "seat", "n_seats", "terminated", "truncated"):
        row[name] = getattr(spec, name)
    row["last_tick"] = spec.first_tick + spec.n_steps
    row["policy_hash"] = policy_hash(spec.policy)
    row["reward_sum"] = reward.sum(dtype=np.float64)
    row["reward_min"], row["reward_max"] = reward.min(), reward.max()
    return row


def entry(spec):
    """The wire form: one `trajectories` entry of an ExperienceBatch."""
    return experience_pb2.ExperienceBatch(trajectories=[message(spec)]).SerializeToString()


def record(spec):
    """The payload of a record in a ring."""
    return header(spec, contents(spec).reward).tobytes() + entry(spec)


class HandMadeRing:
    """A real ring, and its producer by hand."""

    def __init__(self, instance, worker=0, capacity_bytes=1 << 20):
        self._instance = instance
        self.segment = create_ring(instance, worker, capacity_bytes)
        self.producer = RingProducer(self.segment)
        self.worker = worker
        self.n_written = 0

    def write(self, *specs):
        """Publish these; each gets the next sequence, and this worker. Returns how many fitted."""
        n_fitted = 0
        for spec in specs:
            numbered = spec.but(worker=self.worker, sequence=self.n_written)
            if not self.write_bytes(record(numbered), n_experiences=spec.n_steps):
                break
            n_fitted += 1
        return n_fitted

    def write_bytes(self, payload, n_experiences=0):
        """Publish one record of any bytes; False if the ring is full."""
        place = self.producer.try_claim(len(payload), n_experiences)
        if place is None:
            return False
        place[:] = payload
        self.producer.publish()
        self.n_written += 1
        return True

    def replace(self, capacity_bytes):
        """Have one of another capacity in its place; there is nothing in it, and it goes on."""
        del self.producer
        with create_successor(self._instance, self.worker, capacity_bytes) as successor:
            succeed(self.segment, successor)
        # Whoever reads the old one lets go of it.
        self.segment = attach_ring(self._instance, self.worker)
        self.producer = RingProducer(self.segment)

    def close(self):
        self.segment.close()
        self.segment.unlink()
