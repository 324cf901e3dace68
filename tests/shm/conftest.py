import pytest

from farm.shm.ring_layout import (
    CHECKPOINT_OFFSET,
    HEAD_OFFSET,
    LINE_BYTES,
    SAVED_TAIL,
    TAIL_OFFSET,
    create_ring,
)

WORD_MASK = (1 << 64) - 1


@pytest.fixture
def make_ring(instance):
    """Makes an empty ring whose cursors stand at a position set by hand."""
    made = []

    def make(capacity=4096, position=0):
        segment = create_ring(instance, len(made), capacity)
        made.append(segment)
        for offset in (TAIL_OFFSET, HEAD_OFFSET):
            segment.store(offset, position & WORD_MASK)
        for slot in range(2):
            segment.store(CHECKPOINT_OFFSET + slot * LINE_BYTES + SAVED_TAIL, position & WORD_MASK)
        return segment

    yield make
    for segment in made:
        segment.close()
