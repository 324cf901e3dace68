"""`farm drain`; what it does to whole farms is in tests/system."""

from contextlib import ExitStack

import pytest

from farm.cli.drain import _newest
from farm.shm.ring_layout import RingView, attach_ring, create_ring
from farm.shm.successor import create_successor, succeed


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_ring_that_another_replaced_before_the_drain_began_is_read_where_it_went_on(
    instance, is_gone
):
    with ExitStack() as stack:
        ring = stack.enter_context(create_ring(instance, 0, 4096))
        mapped = stack.enter_context(attach_ring(instance, 0, readonly=True))
        assert _newest(mapped, stack) is mapped
        succeed(ring, stack.enter_context(create_successor(instance, 0, 8192)))
        if is_gone:  # the farm has ended since: what was mapped is all there is
            ring.unlink()
        found = _newest(mapped, stack)
        assert RingView(found).capacity == (4096 if is_gone else 8192)
