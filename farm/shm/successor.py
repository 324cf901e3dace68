"""A ring of another capacity in the place of one in which nothing is left.

Positions in a ring are monotonic and say nothing of its capacity. So a segment of any capacity can
go on where a ring stands, once its producer is gone and everything in it is released: at the same
head and tail, with the same checkpoints and attempts. The places of the groups stay as they are.

    made      under a name of its own: it has its room, and nobody looks at it
    filled    with everything the ring's segment has in front of its data
    renamed   over the ring, in one step of the file system: who attaches from now on gets it
    told      in the fate of the old segment, to whoever still has that mapped

A death before the third step leaves the ring as it was and a successor to be swept, one behind it
the new ring. The last step is for processes of the living farm, which end with their supervisor.
Old mappings stay valid, at a head and a tail that move no more.
"""

from farm.shm.ring_layout import (
    DATA_OFFSET,
    FATE_OFFSET,
    HEAD_OFFSET,
    PARKED_OFFSET,
    TAIL_OFFSET,
    Fate,
    create_ring_segment,
)
from farm.shm.segment import (
    HEADER_BYTES,
    Segment,
    list_segments,
    segment_name,
    shm_path,
    unlink_segment,
)

_ROLE = "next"


def create_successor(instance: str, ring: int, capacity_bytes: int) -> Segment:
    """Make a successor for a ring, and take its room; arguments and errors as of `create_ring`."""
    # With its capacity in the name: one of another size can be made before this one is given up.
    return create_ring_segment(
        segment_name(instance, f"{_ROLE}{ring}_{capacity_bytes}"), capacity_bytes
    )


def sweep_successors(instance: str) -> list[str]:
    """Remove every successor that an instance has, as its owner; the names removed."""
    prefix = segment_name(instance, _ROLE)
    names = [name for name in list_segments(instance) if name.startswith(prefix)]
    return [name for name in names if unlink_segment(name)]


def is_settled(ring: Segment) -> bool:
    """Whether everything that was published is released."""
    return ring.load(HEAD_OFFSET) == ring.load(TAIL_OFFSET)


def succeed(ring: Segment, successor: Segment) -> None:
    """Put a successor in the place of a ring.

    Args:
        ring: settled, and no producer of it is alive.
        successor: made for it, in which nothing is written yet.
    """
    fill(ring, successor)
    shm_path(successor.name).replace(shm_path(ring.name))
    ring.store(FATE_OFFSET, Fate.REPLACED)


def fill(ring: Segment, successor: Segment) -> None:
    """Let a successor stand where the ring stands."""
    successor.write(HEADER_BYTES, ring.read(HEADER_BYTES, DATA_OFFSET - HEADER_BYTES))
    successor.store(FATE_OFFSET, Fate.IN_USE)
    successor.store(PARKED_OFFSET, 0)
    successor.adopt(ring.generation)
