"""The rings as the service sees them: what is published, what is released, and copies out of them.

`scan` is the only place that looks at a ring's tail. Everybody else reads up to what was scanned,
so that each record is counted once before anyone takes it, and a place in a ring can be named by a
position and a record number that all readers agree on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.serve import drain as kernels
from farm.serve.filters import RecordFilter
from farm.serve.leases import Mark
from farm.shm.ring import is_parked, load_head, release
from farm.shm.ring_layout import RingView, attach_ring
from farm.shm.segment import Segment
from farm.shm.wake import Doorbell


class Drained(NamedTuple):
    """What one copy out of a ring brought."""

    mark: Mark
    """Where to go on."""
    n_bytes: int
    """Bytes of the buffer that are filled now."""
    records: int
    """Records copied."""
    experiences: int
    """Steps in them."""
    wanted_bytes: int
    """Bytes of the record that found no room; 0 if everything did."""


class Ring:
    """One worker's ring, from its consumer's side.

    Attributes:
        worker: index of the worker.
        head: what is released.
        tail: what is scanned; readers stop here.
        n_corrupt: stretches found that are no record.

    Args:
        worker: index of the worker.
        segment: the ring.
        space_bell: rung after a release if the worker is parked.
    """

    def __init__(self, worker: int, segment: Segment, space_bell: Doorbell) -> None:
        self.worker = worker
        self.view = RingView(segment)
        self._mem = segment.mem
        self._space_bell = space_bell
        self.head = self.tail = Mark(int(load_head(segment.mem)), 0)
        self.n_corrupt = 0
        self._result = np.zeros(kernels.RESULT_WORDS, dtype=np.int64)
        self._garbage_ends: list[int] = []

    @property
    def is_half_full(self) -> bool:
        """Whether half of the ring is not released."""
        return 2 * (self.tail.position - self.head.position) >= self.view.capacity

    def scan(self, headers: NDArray[np.uint8]) -> tuple[int, bool]:
        """Take in what was published since the last scan.

        Args:
            headers: uint8[64 * n], written.

        Returns:
            How many headers were written, and whether there may be more to take in.
        """
        result = self._result
        kernels.scan(self._mem, self.tail.position, headers, result)
        n_passed = int(result[kernels.PASSED])
        if n_passed == 0:
            return 0, False
        position = int(result[kernels.POSITION])
        if result[kernels.CORRUPTED]:
            self.n_corrupt += int(result[kernels.CORRUPTED])
            self._garbage_ends.append(position)
        self.tail = Mark(position, self.tail.records + n_passed)
        n_headers = int(result[kernels.END])
        return n_headers, n_headers == len(headers) // kernels.HEADER_BYTES

    def drain(
        self,
        start: Mark,
        end_position: int,
        out: NDArray[np.uint8],
        room: tuple[int, int],
        wanted: RecordFilter,
    ) -> Drained:
        """Copy entries from `start` on, up to `end_position` at most.

        Args:
            start: first record to look at.
            end_position: at most `tail.position`.
            out: uint8[...], the buffer; written.
            room: bytes of it that are filled, and that may be filled.
            wanted: which records to copy.
        """
        result = self._result
        kernels.drain(
            self._mem,
            start.position,
            self._stop(start.position, end_position),
            out,
            room[0],
            room[1],
            wanted.game_ids,
            wanted.seats,
            wanted.min_last_tick,
            wanted.policies,
            result,
        )
        position, n_bytes, records, experiences, passed, _, wanted_bytes = result.tolist()
        return Drained(
            Mark(position, start.records + passed), n_bytes, records, experiences, wanted_bytes
        )

    def release(self, mark: Mark) -> None:
        """Give everything before a mark back to the worker, and wake it if it waits."""
        if mark.position <= self.head.position:
            return
        self.head = mark
        self._garbage_ends = [end for end in self._garbage_ends if end > mark.position]
        release(self._mem, mark.position)
        if is_parked(self._mem):
            self._space_bell.ring()

    def _stop(self, position: int, end_position: int) -> int:
        """Where a copy has to stop: behind garbage, readers go on where `scan` went on."""
        return min(
            (end for end in self._garbage_ends if position < end < end_position),
            default=end_position,
        )


def attach_rings(instance: str, space_bells: Sequence[Doorbell], n_rings: int) -> list[Ring]:
    """Attach to the rings of workers 0 to n_rings - 1; raises what `Segment.attach` raises."""
    return [
        Ring(worker, attach_ring(instance, worker), space_bells[worker])
        for worker in range(n_rings)
    ]
