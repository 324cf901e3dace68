"""What the witnesses of a group wrote down, put together and held against the farm's own counts.

Everything here is counted from the files of the witnesses (witness.py) and from nothing else: no
figure of the farm goes in, so that the two can be compared.
"""

from dataclasses import dataclass, field

import numpy as np
from witness import WITNESSED


@dataclass
class _Worker:
    """By sequence: times seen, times in a batch without a mark, steps, generation."""

    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    unmarked: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    generation: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    def grow(self, n):
        """Room for sequences below `n`."""
        have = len(self.seen)
        if n > have:
            room = max(n, 2 * have) - have
            for name in ("seen", "unmarked", "steps", "generation"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(room, old.dtype)]))


class Account:
    """All that one group was given.

    Args:
        is_ordered: whether one member at a time was given it: then the parts of a seat's game come
            in order, repeats apart.

    Attributes:
        violations: what is forbidden and was seen, in words.
        had_ghost: whether the farm may have had a second member for a while, that nobody was
            behind any more: what that one had comes late, and marked.
    """

    def __init__(self, *, is_ordered=False):
        self.violations = []
        self.had_ghost = False
        self.rows = 0
        self._workers = {}
        self._is_ordered = is_ordered
        self._ticks = {}
        self._files = {}
        self._lives = {}

    def follow(self, path):
        """Take in the file of one more witness, from now on with every `update`."""
        self._files[path] = 0
        self._lives[path] = {}

    def update(self):
        """Take in what was written since."""
        for path, n_bytes in self._files.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(n_bytes)
                data = file.read()
            whole = len(data) // WITNESSED.itemsize * WITNESSED.itemsize
            self._files[path] = n_bytes + whole
            rows = np.frombuffer(data[:whole], WITNESSED)
            self._check_life(path, rows)
            self.add(rows)
        return self

    def add(self, rows):
        """Take in entries, WITNESSED[n], in the order in which they were written."""
        self.rows += len(rows)
        for name in ("corrupt", "unmarked"):
            if rows[name].any():
                self.violations.append(f"{name}: {rows[rows[name] > 0][0]}")
        for worker in np.unique(rows["worker"]).tolist():
            mine = rows[rows["worker"] == worker]
            state = self._workers.setdefault(worker, _Worker())
            state.grow(int(mine["sequence"].max()) + 1)
            self._check_order(state, mine)
            self._count(worker, state, mine)

    def has_all(self, next_sequences):
        """Whether every sequence below these, by worker, was seen."""
        return not any(self.holes(next_sequences).values())

    def holes(self, next_sequences):
        """Sequences below these, by worker, that were not seen."""
        return {
            worker: n - int((self._worker(worker).seen[:n] > 0).sum())
            for worker, n in next_sequences.items()
        }

    def records(self, worker):
        """Different records seen of a worker."""
        return int((self._worker(worker).seen > 0).sum())

    def experiences(self, worker):
        """Steps in them."""
        return int(self._worker(worker).steps.sum(dtype=np.int64))

    @property
    def repeats(self):
        """Records seen again, each time but the first."""
        return sum(
            int(state.seen.sum(dtype=np.int64) - (state.seen > 0).sum())
            for state in self._workers.values()
        )

    def _worker(self, worker):
        return self._workers.get(worker, _Worker())

    def _count(self, worker, state, rows):
        sequence = rows["sequence"].astype(np.int64)
        known = state.seen[sequence] > 0
        for name in ("n_steps", "generation"):
            kept = state.steps if name == "n_steps" else state.generation
            clash = known & (kept[sequence] != rows[name])
            if clash.any():
                self.violations.append(f"another record of this name: {rows[clash][0]}")
            kept[sequence] = rows[name]
        np.add.at(state.seen, sequence, np.uint16(1))
        np.add.at(state.unmarked, sequence, (rows["redelivered"] == 0).astype(np.uint16))
        # It may be seen marked before its first delivery is read from the file of a dead witness.
        twice = state.unmarked[sequence] > 1
        if twice.any():
            self.violations.append(f"came twice without a mark from {worker}: {rows[twice][0]}")

    def _check_life(self, path, rows):
        """In its own life a client meets each record once, however often it connects."""
        life = self._lives[path]
        for worker in np.unique(rows["worker"]).tolist():
            sequences = rows["sequence"][rows["worker"] == worker].astype(np.int64)
            had = life.get(worker, np.zeros(0, bool))
            if sequences.max() >= len(had):
                had = np.concatenate([had, np.zeros(2 * int(sequences.max()) + 1, bool)])
            if had[sequences].any() or len(np.unique(sequences)) < len(sequences):
                self.violations.append(f"{path.name} was given a record of {worker} twice")
            had[sequences] = True
            life[worker] = had

    def _check_order(self, state, rows):
        if not self._is_ordered:
            return
        fresh = set()
        for row in rows[state.seen[rows["sequence"].astype(np.int64)] == 0]:
            sequence = int(row["sequence"])
            if sequence in fresh:
                continue
            fresh.add(sequence)
            seat = (int(row["worker"]), int(row["game_id"]), int(row["seat"]))
            if self._ticks.get(seat, -1) >= row["first_tick"]:
                if self.had_ghost and row["redelivered"]:
                    continue
                self.violations.append(f"out of order: {row}")
            self._ticks[seat] = int(row["first_tick"])
            if row["ended"]:
                del self._ticks[seat]
