"""Which sequences have arrived from each worker: what is missing, what came twice.

A worker numbers its trajectories without gaps, across its generations too, and each number is used
once: (worker, generation, sequence) names a trajectory as long as the rings live. Seen numbers are
kept as runs, for each generation its own; in the ordinary case there is one run a worker and noting
is one comparison. Whoever is the only reader sees a number missing exactly if it was lost; members
of a group see the others' share as missing.

Only a number that is known to have been seen counts as come twice. Where a group leaves so many
holes that memory runs out, the lowest numbers are forgotten: whatever comes from there later is
taken for new, as a repeat does less harm than a loss.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

MAX_RUNS = 4096
"""Runs kept a generation; beyond them the lowest is forgotten, and the holes around it stay
missing."""
MAX_GENERATIONS = 64
"""Generations kept a worker; beyond them the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What has arrived of one worker."""

    first: int
    """Lowest sequence."""
    last: int
    """Highest sequence."""
    missing: int
    """Sequences between the two that have not arrived."""

    @property
    def records(self) -> int:
        """Trajectories that have arrived, each counted once."""
        return self.last - self.first + 1 - self.missing


@dataclass(slots=True)
class _Runs:
    """Sequences seen of one generation: run i is first[i] to last[i], both included, ascending.

    Nothing is known of sequences below `floor`.
    """

    first: list[int]
    last: list[int]
    floor: int = 0

    def holds(self, sequence: int) -> bool:
        """Whether the sequence was seen."""
        index = bisect_right(self.first, sequence)
        return index > 0 and sequence <= self.last[index - 1]

    def add(self, sequence: int) -> None:
        """Put in a sequence that is not there; the lowest run goes if there are too many."""
        first, last = self.first, self.last
        index = bisect_right(first, sequence)
        first.insert(index, sequence)
        last.insert(index, sequence)
        self._join(index)
        if len(first) > MAX_RUNS:
            del first[0], last[0]
            self.floor = first[0]

    def _join(self, index: int) -> None:
        """Merge the run at `index` with neighbours it now touches."""
        first, last = self.first, self.last
        if index + 1 < len(first) and last[index] + 1 == first[index + 1]:
            last[index] = last[index + 1]
            del first[index + 1], last[index + 1]
        if index > 0 and last[index - 1] + 1 == first[index]:
            last[index - 1] = last[index]
            del first[index], last[index]


@dataclass(slots=True)
class _Worker:
    """All of one worker; `newest` is the latest generation and `last` the ends of its runs."""

    newest: int
    last: list[int]
    lowest: int
    missing: int = 0
    oldest: int = 0
    """Generations below it were forgotten."""
    generations: dict[int, _Runs] = field(default_factory=dict)

    @property
    def highest(self) -> int:
        """Highest sequence seen."""
        return max(runs.last[-1] for runs in self.generations.values())


class SequenceLedger:
    """Notes (worker, generation, sequence) and counts.

    Attributes:
        duplicates: names noted more than once, each time but the first.
        missing: sequences between the lowest and the highest noted of a worker that were not.
    """

    __slots__ = ("_workers", "duplicates", "missing")

    def __init__(self) -> None:
        self._workers: dict[int, _Worker] = {}
        self.duplicates = 0
        self.missing = 0

    def note(self, worker: int, generation: int, sequence: int) -> bool:
        """Record a name; False if it is known to have been recorded before."""
        seen = self._workers.get(worker)
        if seen is None:
            runs = _Runs([sequence], [sequence])
            seen = _Worker(generation, runs.last, sequence, generations={generation: runs})
            self._workers[worker] = seen
            return True
        last = seen.last
        if generation == seen.newest and sequence == last[-1] + 1:
            last[-1] = sequence
            return True
        return self._note_out_of_order(seen, generation, sequence)

    def restart(self) -> None:
        """Numbers start over; the counts go on."""
        self._workers.clear()

    def seen(self) -> dict[int, Seen]:
        """What has arrived of each worker since the last restart."""
        return {
            worker: Seen(seen.lowest, seen.highest, seen.missing)
            for worker, seen in self._workers.items()
        }

    def _note_out_of_order(self, seen: _Worker, generation: int, sequence: int) -> bool:
        if generation < seen.oldest:
            return True
        runs = seen.generations.get(generation)
        if runs is None:
            self._count_holes(seen, sequence)
            runs = seen.generations[generation] = _Runs([sequence], [sequence])
            if generation > seen.newest:
                seen.newest, seen.last = generation, runs.last
            if len(seen.generations) > MAX_GENERATIONS:
                seen.oldest = min(seen.generations) + 1
                del seen.generations[seen.oldest - 1]
            return True
        if sequence < runs.floor:
            return True
        if runs.holds(sequence):
            self.duplicates += 1
            return False
        self._count_holes(seen, sequence)
        runs.add(sequence)
        return True

    def _count_holes(self, seen: _Worker, sequence: int) -> None:
        """What a sequence that is about to be added opens or fills."""
        highest = seen.highest
        change = -1
        if sequence > highest:
            change = sequence - highest - 1
        elif sequence < seen.lowest:
            change = seen.lowest - sequence - 1
            seen.lowest = sequence
        elif any(runs.holds(sequence) for runs in seen.generations.values()):
            change = 0
        seen.missing += change
        self.missing += change
