"""One number that says which spec a process, a segment or a client was built from.

Anything that changes the meaning of bytes must change it: the layouts enter by themselves; a change
of meaning that leaves every layout alone bumps `SPEC_VERSION`.
"""

import hashlib

from farm.spec import actions, limits, observation, tiles, trajectory

SPEC_VERSION = 1


def spec_fingerprint() -> int:
    """64 bits over the version, the codes and the layouts; the same on every machine."""
    parts = (
        SPEC_VERSION,
        tiles.TERRAIN_NAMES,
        (tiles.OWNER_BITS, tiles.NEUTRAL, tiles.SELF, tiles.FOG, tiles.NEVER_SEEN),
        (actions.ACTIONS_PER_CELL, actions.UP, actions.DOWN, actions.LEFT, actions.RIGHT),
        (limits.MIN_SEATS, limits.MAX_SEATS, limits.MIN_SIDE, limits.MAX_SIDE, limits.MAX_STEPS),
        (limits.MAX_ARMY_SEEN, limits.TICKS_PER_TURN, limits.TICKS_PER_ROUND),
        str(observation.frame_dtype(5, 7, 3)),
        str(observation.memory_dtype(5, 7)),
        str(trajectory.CHECKSUM_PREFIX),
        str(trajectory.RECORD_HEADER),
        trajectory.STEP_BYTES,
    )
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")
