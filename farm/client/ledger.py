"""Which sequences have arrived from each worker: what is missing, what came twice.

A worker numbers its trajectories without gaps, across its generations too. Seen numbers are kept as
runs; in the ordinary case there is one run a worker and noting is one comparison. Whoever is the
only reader sees a number missing exactly if it was lost; members of a group see the others' share
as missing.

Only a number that is known to have been seen counts as come twice. Where a group leaves so many
holes that memory runs out, the lowest numbers are forgotten: whatever comes from there later is
taken for new, as a repeat does less harm than a loss.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

MAX_RUNS = 4096
"""Runs kept a worker; beyond them the lowest is forgotten, and the holes around it stay missing."""


@dataclass(slots=True)
class _Worker:
    """Runs of sequences seen: run i is first[i] to last[i], both included, ascending.

    Nothing is known of sequences below `floor`.
    """

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    floor: int = 0


class SequenceLedger:
    """Notes (worker, sequence) and counts.

    Attributes:
        duplicates: sequences noted more than once, each time but the first.
        missing: sequences between the lowest and the highest noted that were not.
    """

    __slots__ = ("_workers", "duplicates", "missing")

    def __init__(self) -> None:
        self._workers: dict[int, _Worker] = {}
        self.duplicates = 0
        self.missing = 0

    def note(self, worker: int, sequence: int) -> bool:
        """Record a sequence; False if it is known to have been recorded before."""
        runs = self._workers.get(worker)
        if runs is None:
            self._workers[worker] = _Worker([sequence], [sequence])
            return True
        last = runs.last
        if sequence == last[-1] + 1:
            last[-1] = sequence
            return True
        return self._note_out_of_order(runs, sequence)

    def restart(self) -> None:
        """Numbers start over; the counts go on."""
        self._workers.clear()

    def _note_out_of_order(self, runs: _Worker, sequence: int) -> bool:
        if sequence < runs.floor:
            return True
        first, last = runs.first, runs.last
        index = bisect_right(first, sequence)
        if index > 0 and sequence <= last[index - 1]:
            self.duplicates += 1
            return False
        if index == len(first):
            self.missing += sequence - last[-1] - 1
        elif index == 0:
            self.missing += first[0] - sequence - 1
        else:
            self.missing -= 1
        first.insert(index, sequence)
        last.insert(index, sequence)
        _join(runs, index)
        if len(first) > MAX_RUNS:
            del first[0], last[0]
            runs.floor = first[0]
        return True


def _join(runs: _Worker, index: int) -> None:
    """Merge the run at `index` with neighbours it now touches."""
    first, last = runs.first, runs.last
    if index + 1 < len(first) and last[index] + 1 == first[index + 1]:
        last[index] = last[index + 1]
        del first[index + 1], last[index + 1]
    if index > 0 and last[index - 1] + 1 == first[index]:
        last[index - 1] = last[index]
        del first[index], last[index]
