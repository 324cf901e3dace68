"""How many bytes a config comes to: the largest trajectory, a chunk, all shared memory."""

from farm.config.board import largest_cells
from farm.config.schema import FarmConfig
from farm.spec.trajectory import RECORD_HEADER, compressed_bound, payload_bytes

RECORD_SLACK_BYTES = 512
"""Bounds what a record has beside its header and payload: length word, message fields, padding."""

RINGS_PER_CHUNK = 2
"""A ring holds at least this many chunks: one is written while the one before is being taken."""

CONTROL_SEGMENT_BYTES = 1 << 18
"""Bounds the control block, whatever the number of children."""

GROUPS_SEGMENT_BYTES = 1 << 19
"""Bounds the groups segment, whatever the number of groups."""

RING_OVERHEAD_BYTES = 1 << 13
"""Bounds what a ring's segment has beside its data."""


def record_bound_bytes(config: FarmConfig) -> int:
    """The most that one trajectory can take in a ring: one that does not compress at all."""
    match = config.match
    worker, n_cells = config.worker, largest_cells(match)
    payload = payload_bytes(n_cells, match.n_seats, worker.steps, memory=worker.memory)
    return RECORD_HEADER.itemsize + compressed_bound(payload) + RECORD_SLACK_BYTES


def chunk_bound_bytes(config: FarmConfig) -> int:
    """The most that a worker writes at once: a trajectory of every seat of a game."""
    return config.match.n_seats * record_bound_bytes(config)


def host_record_bound_bytes(config: FarmConfig) -> int:
    """The most that one trajectory of a games host can take in its ring."""
    games = config.games
    payload = payload_bytes(games.max_side**2, games.max_seats, config.worker.steps)
    return RECORD_HEADER.itemsize + compressed_bound(payload) + RECORD_SLACK_BYTES


def host_ring_bound_bytes(config: FarmConfig) -> int:
    """The least that `games.ring_bytes` may be, likewise: a record is at most half of its ring."""
    return RINGS_PER_CHUNK * host_record_bound_bytes(config)


def ring_bound_bytes(config: FarmConfig) -> int:
    """The least that `ring.bytes` may be, before it is rounded up to a power of two."""
    return RINGS_PER_CHUNK * chunk_bound_bytes(config)


def shared_memory_bytes(config: FarmConfig) -> int:
    """What a farm takes of /dev/shm, at most: control block, groups, and all rings."""
    capacities = [config.ring.bytes] * config.worker.count
    if config.ring.submitted_bytes:
        capacities.append(config.ring.submitted_bytes)
    capacities += [config.games.ring_bytes] * config.games.hosts
    rings = sum(capacity + RING_OVERHEAD_BYTES for capacity in capacities)
    return CONTROL_SEGMENT_BYTES + GROUPS_SEGMENT_BYTES + rings


def next_power_of_two(n: int) -> int:
    """The smallest power of two that is not below a positive `n`."""
    return 1 << (n - 1).bit_length()
