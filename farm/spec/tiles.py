"""Tile codes: what one byte of an observation says of a cell (compiled into kernels, farm.jit).

    tile = terrain << 5 | owner

The owner is relative to the seat that observes: itself, its teammates by seat order, its enemies by
seat order. A cell out of sight has owner `FOG` and army 0; its terrain is then what the rules still
tell: `PLAIN`, `SWAMP` (known from the start) or `OBSTACLE` (a mountain or any city).

A memory (observation.py) holds the same codes as they were last seen, so that `OBSTACLE` is not
among them; a cell that was never in sight is `NEVER_SEEN`.
"""

OWNER_BITS = 5
OWNER_MASK = (1 << OWNER_BITS) - 1

# Owners, the low five bits.
NEUTRAL = 0
SELF = 1
"""The observing seat; `SELF + k` is the k-th other seat, teammates first, each by seat order."""
FOG = 31
"""Out of sight."""

# Terrain, the high three bits.
PLAIN = 0
CITY = 1
GENERAL = 2
MOUNTAIN = 3
SWAMP = 4
DESERT = 5
OBSTACLE = 6
"""A mountain or a city, out of sight: seen only with owner `FOG`."""

NEVER_SEEN = (PLAIN << OWNER_BITS) | FOG
"""In a memory: a cell that was never in sight."""

TERRAIN_NAMES = ("plain", "city", "general", "mountain", "swamp", "desert", "obstacle")
