"""Cohorts: the games of a worker that are played by one config, while the configs change.

A game is played to its end by the config that set it up, and what it becomes says so: a trajectory
carries the epoch of the plan that it was played under, rewards and length included. So a config
that changes what games are opens a new cohort, in which new games begin, and closes the one before,
in which games only end. One that changes no more than how games are told (rewards, steps, which are
recorded) goes to the newest cohort, from its next chunk on. What a full ring does concerns them
all, at once.

There are MAX_COHORTS at most: a config that comes while that many are under way waits for one to
end, and the newest of those that wait is the one that gets its turn.
"""

import numpy as np

from farm.engine.settings import Settings
from farm.engine.state import OUTCOME, PLAYING, Games, allocate
from farm.worker import wire
from farm.worker.plan import Plan, Scratch
from farm.worker.tape import make_tape

MAX_COHORTS = 4
"""One that is open, and three in which games end: memory is bounded by as many times the games."""


class Cohort:
    """Games under one plan.

    Attributes:
        plan: settings.
        scratch: memory made for the plan.
        games: the games.
        tape: room for those that are recorded.
        next: the one to go on with.

    Args:
        plan: settings.
        scratch: memory made for the plan.
        n_games: games side by side.
    """

    def __init__(self, plan: Plan, scratch: Scratch, n_games: int) -> None:
        self.plan = plan
        self.scratch = scratch
        self.games = allocate_games(plan, n_games)
        self.tape = make_tape(plan, n_games)
        self.next = 0

    def take(self, plan: Plan, scratch: Scratch) -> None:
        """Go on by a plan that sets games up as the one so far does."""
        self.plan, self.scratch = plan, scratch
        if plan.record_every and not self.tape.state.size:
            self.tape = make_tape(plan, self.tape.slot.size)

    @property
    def is_over(self) -> bool:
        """Whether no game is left that has to be played to its end."""
        playing = self.games.status[:, OUTCOME] == PLAYING
        return not self.plan.is_open and not (playing & (self.games.n_seats > 0)).any()


class Cohorts:
    """The cohorts of one worker, oldest first; the last one is open.

    Args:
        plan: settings of the first.
        scratch: memory made for the plan.
        n_games: games side by side in each.
    """

    def __init__(self, plan: Plan, scratch: Scratch, n_games: int) -> None:
        self._n_games = n_games
        self._cohorts = [Cohort(plan, scratch, n_games)]
        self._waiting: tuple[Plan, Scratch] | None = None
        self._turn = 0

    def __len__(self) -> int:
        return len(self._cohorts)

    @property
    def epoch(self) -> int:
        """Of the config that new games are played by."""
        return int(self._cohorts[-1].scratch.fields[wire.CONFIG_EPOCH])

    @property
    def is_waiting(self) -> bool:
        """Whether the newest plan waits for games of older ones to end."""
        return self._waiting is not None

    def follow(self, plan: Plan, scratch: Scratch) -> None:
        """Play new games by another plan; games in progress keep theirs."""
        self._waiting = (plan, scratch)
        for cohort in self._cohorts:
            cohort.plan = cohort.plan._replace(
                when_full=plan.when_full, sample_below=plan.sample_below
            )
        self._take_waiting()

    def take_turn(self) -> Cohort:
        """The cohort whose turn it is; never one without a game to play."""
        if len(self._cohorts) > 1:
            self._cohorts = [cohort for cohort in self._cohorts if not cohort.is_over]
            self._take_waiting()
        self._turn = (self._turn + 1) % len(self._cohorts)
        return self._cohorts[self._turn]

    def _take_waiting(self) -> None:
        if self._waiting is None:
            return
        (plan, scratch), newest = self._waiting, self._cohorts[-1]
        if sets_up_the_same(newest.plan, plan):
            newest.take(plan, scratch)
        elif len(self._cohorts) < MAX_COHORTS:
            newest.plan = newest.plan._replace(is_open=False)
            self._cohorts.append(Cohort(plan, scratch, self._n_games))
        else:
            return
        self._waiting = None


def allocate_games(plan: Plan, n_games: int) -> Games:
    """Room for `n_games` games of the plan; each is set up when its first chunk is played."""
    n_cells = plan.height * plan.width
    return allocate(n_games, n_cells, plan.weights.shape[0], memory=plan.memory)


def sets_up_the_same(plan: Plan, other: Plan) -> bool:
    """Whether two plans differ in nothing that a game keeps from its beginning to its end."""
    return (
        plan.memory == other.memory
        and np.array_equal(plan.weights, other.weights)
        and all(
            np.array_equal(getattr(plan.settings, name), getattr(other.settings, name))
            for name in Settings._fields
        )
    )
