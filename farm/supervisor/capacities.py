"""Which rings a farm of a config has, and how large they are."""

from farm.config.schema import FarmConfig
from farm.shm.groups import FIRST_HOST_RING, SUBMITTED_RING


def capacities(config: FarmConfig) -> dict[int, int]:
    """Capacity in bytes of every ring that the config has, by index."""
    rings = dict.fromkeys(range(config.worker.count), config.ring.bytes)
    if config.ring.submitted_bytes:
        rings[SUBMITTED_RING] = config.ring.submitted_bytes
    hosts = range(FIRST_HOST_RING, FIRST_HOST_RING + config.games.hosts)
    return rings | dict.fromkeys(hosts, config.games.ring_bytes)
