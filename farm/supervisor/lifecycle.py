"""The lives of a child and of a farm, as tables.

A child, as its supervisor sees it:

    DOWN ──spawn──▶ STARTING ──ready──▶ READY ──drain──▶ DRAINING
                       │  └──────────drain──────────────▶  │
                       ├─────abort─────▶ ABORTING ◀─abort──┤ (READY too)
                       └──kill (from any phase with a process)──▶ KILLING
    any phase with a process ──exit──▶ DOWN

Rules: every phase but DOWN has exactly one process. A child is READY once it said so in its slot.
Draining is asked with SIGTERM, aborting with SIGABRT (its stacks are dumped), killing with SIGKILL,
and each step only goes down that list. Nothing leaves KILLING but the process's exit.

A farm:

    STARTING ──ready──▶ RUNNING ──stop──▶ STOPPING ──kill──▶ KILLING
                           (stop and kill from any earlier phase)      ──ended──▶ ENDED
"""

from enum import StrEnum
from types import MappingProxyType

from farm.errors import LifecycleError


class Phase(StrEnum):
    """Where a child is in its life."""

    DOWN = "down"
    """No process."""
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Asked to finish."""
    ABORTING = "aborting"
    """Told to dump its stacks and die."""
    KILLING = "killing"
    """Killed, and not reaped yet."""


class Event(StrEnum):
    """What happens to a child."""

    SPAWN = "spawn"
    READY = "ready"
    DRAIN = "drain"
    ABORT = "abort"
    KILL = "kill"
    EXIT = "exit"


class FarmPhase(StrEnum):
    """Where the farm is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    """Children drain, stage by stage."""
    KILLING = "killing"
    """No time is left: every child was killed."""
    ENDED = "ended"


class FarmEvent(StrEnum):
    """What happens to the farm."""

    READY = "ready"
    STOP = "stop"
    KILL = "kill"
    ENDED = "ended"


CHILD_MOVES = MappingProxyType(
    {
        (Phase.DOWN, Event.SPAWN): Phase.STARTING,
        (Phase.STARTING, Event.READY): Phase.READY,
        (Phase.STARTING, Event.DRAIN): Phase.DRAINING,
        (Phase.STARTING, Event.ABORT): Phase.ABORTING,
        (Phase.STARTING, Event.KILL): Phase.KILLING,
        (Phase.STARTING, Event.EXIT): Phase.DOWN,
        (Phase.READY, Event.DRAIN): Phase.DRAINING,
        (Phase.READY, Event.ABORT): Phase.ABORTING,
        (Phase.READY, Event.KILL): Phase.KILLING,
        (Phase.READY, Event.EXIT): Phase.DOWN,
        (Phase.DRAINING, Event.ABORT): Phase.ABORTING,
        (Phase.DRAINING, Event.KILL): Phase.KILLING,
        (Phase.DRAINING, Event.EXIT): Phase.DOWN,
        (Phase.ABORTING, Event.KILL): Phase.KILLING,
        (Phase.ABORTING, Event.EXIT): Phase.DOWN,
        (Phase.KILLING, Event.EXIT): Phase.DOWN,
    }
)

FARM_MOVES = MappingProxyType(
    {
        (FarmPhase.STARTING, FarmEvent.READY): FarmPhase.RUNNING,
        (FarmPhase.STARTING, FarmEvent.STOP): FarmPhase.STOPPING,
        (FarmPhase.STARTING, FarmEvent.KILL): FarmPhase.KILLING,
        (FarmPhase.RUNNING, FarmEvent.STOP): FarmPhase.STOPPING,
        (FarmPhase.RUNNING, FarmEvent.KILL): FarmPhase.KILLING,
        (FarmPhase.STOPPING, FarmEvent.KILL): FarmPhase.KILLING,
        (FarmPhase.STOPPING, FarmEvent.ENDED): FarmPhase.ENDED,
        (FarmPhase.KILLING, FarmEvent.ENDED): FarmPhase.ENDED,
    }
)


def move(phase: Phase, event: Event) -> Phase:
    """The child's next phase.

    Raises:
        LifecycleError: the event cannot happen in this phase.
    """
    try:
        return CHILD_MOVES[phase, event]
    except KeyError:
        raise LifecycleError(f"a child that is {phase} cannot {event}") from None


def farm_move(phase: FarmPhase, event: FarmEvent) -> FarmPhase:
    """The farm's next phase.

    Raises:
        LifecycleError: the event cannot happen in this phase.
    """
    try:
        return FARM_MOVES[phase, event]
    except KeyError:
        raise LifecycleError(f"a farm that is {phase} cannot {event}") from None


def allowed(phase: Phase, event: Event) -> bool:
    """Whether `event` can happen to a child in `phase`."""
    return (phase, event) in CHILD_MOVES
