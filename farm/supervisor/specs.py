"""Child specs: what runs, where it stands in the control block, and in which order.

A later child role is one more entry in `children_of`. Stages start in ascending order and stop in
descending order. A stage of services does not wait for the one before it to be ready (children
start in parallel, and each waits for what it needs); only a task holds up the stages after it,
until it has exited.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

ROLLOUT_ROLE = "rollout"
GAMES_ROLE = "games"
PRODUCER_ROLES = frozenset({ROLLOUT_ROLE, GAMES_ROLE})
"""Whoever has one of them publishes experiences in a ring of its own."""
EXPERIENCES_SLOT = 0
WARM_UP_SLOT = 1
FIRST_ROLLOUT_SLOT = 2
MAX_ROLLOUTS = 64
"""Rollout workers take slots 2 to 65; those after the last below are free for later roles."""
METRICS_SLOT = FIRST_ROLLOUT_SLOT + MAX_ROLLOUTS
MAX_HOSTS = 4
"""As `farm.shm.groups` has it, which loads NumPy: too early here for who sets up its threads."""
FIRST_HOST_SLOT = METRICS_SLOT + 1
GAMES_WARM_UP_SLOT = FIRST_HOST_SLOT + MAX_HOSTS

# Metrics stop last, so that a drain can be watched; whoever publishes experiences stops before who
# delivers them. The experiences service compiles kernels of its own, on another core than the
# warm-ups, for which games hosts wait: theirs take longer than a start may.
METRICS_STAGE, EXPERIENCES_STAGE, WARM_UP_STAGE, GAMES_STAGE, ROLLOUT_STAGE = range(5)


class Kind(StrEnum):
    """What the end of a child means."""

    SERVICE = "service"
    """It runs until it is stopped; an earlier end is a failure, and it is started again."""
    TASK = "task"
    """It runs once; exit code 0 is its success, anything else ends the farm."""


class ChildSpec(Struct, frozen=True):
    """One child that shall run."""

    name: str
    """Unique, such as `rollout-3`."""
    role: str
    index: int
    """Number among the children of its role, from 0."""
    slot: int
    """Its slot in the control block."""
    target: str
    """`package.module:function`, called with a ChildContext in a fresh interpreter."""
    stage: int
    kind: Kind = Kind.SERVICE
    settings: int = 0
    """Epoch of the last config for which it had to be replaced; 0: none yet."""


def warm_up() -> ChildSpec:
    """The task that fills the kernel cache before anyone else compiles."""
    return ChildSpec(
        name="warm-up",
        role="warm-up",
        index=0,
        slot=WARM_UP_SLOT,
        target="farm.worker.warm_up:main",
        stage=WARM_UP_STAGE,
        kind=Kind.TASK,
    )


def games_warm_up() -> ChildSpec:
    """The task that does the same for the games hosts, beside it on another core."""
    return ChildSpec(
        name="warm-up-games",
        role="warm-up",
        index=1,
        slot=GAMES_WARM_UP_SLOT,
        target="farm.games.warm_up:main",
        stage=WARM_UP_STAGE,
        kind=Kind.TASK,
    )


def metrics() -> ChildSpec:
    """The endpoint of metrics and health."""
    return ChildSpec(
        name="metrics",
        role="metrics",
        index=0,
        slot=METRICS_SLOT,
        target="farm.metrics.main:main",
        stage=METRICS_STAGE,
    )


def children_of(n_workers: int, n_hosts: int = 0) -> tuple[ChildSpec, ...]:
    """The experiences service, its games hosts and its rollout workers, in start order."""
    experiences = ChildSpec(
        name="experiences",
        role="experiences",
        index=0,
        slot=EXPERIENCES_SLOT,
        target="farm.serve.main:main",
        stage=EXPERIENCES_STAGE,
    )
    rollouts = tuple(
        ChildSpec(
            name=f"rollout-{index}",
            role=ROLLOUT_ROLE,
            index=index,
            slot=FIRST_ROLLOUT_SLOT + index,
            target="farm.worker.main:main",
            stage=ROLLOUT_STAGE,
        )
        for index in range(n_workers)
    )
    hosts = tuple(
        ChildSpec(
            name=f"games-{index}",
            role=GAMES_ROLE,
            index=index,
            slot=FIRST_HOST_SLOT + index,
            target="farm.games.main:main",
            stage=GAMES_STAGE,
        )
        for index in range(n_hosts)
    )
    return (experiences, *hosts, *rollouts)


def start_order(specs: Iterable[ChildSpec]) -> list[ChildSpec]:
    """By stage, and within a stage as given."""
    return sorted(specs, key=lambda spec: spec.stage)


def last_stage(specs: Iterable[ChildSpec]) -> list[ChildSpec]:
    """The specs that stop next: those of the highest stage; empty if there are none."""
    ordered = start_order(specs)
    return [spec for spec in ordered if spec.stage == ordered[-1].stage]
