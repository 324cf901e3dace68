"""When a child has taken too long, and what is then done to it.

Pure: the arbiter passes the times in. A phase with a deadline ends in the next harder measure:

    STARTING  older than start (task: warm-up) ──▶ abort
    READY     heartbeat older than silence     ──▶ abort
    DRAINING  older than stop                  ──▶ kill
              (never ready: older than abort, as it has nothing to finish)
    ABORTING  older than abort                 ──▶ kill
"""

from msgspec import Struct

from farm.supervisor.lifecycle import Event, Phase
from farm.supervisor.specs import Kind

NS_PER_S = 1_000_000_000


class Limits(Struct, frozen=True):
    """How long each phase may take."""

    start_ns: int
    task_ns: int
    silence_ns: int
    abort_ns: int
    stop_ns: int


class Overdue(Struct, frozen=True):
    """A child has to be ended, one step harder than before."""

    event: Event
    """ABORT or KILL."""
    reason: str


class Standing(Struct, frozen=True):
    """How a child stands, as far as deadlines go."""

    phase: Phase
    kind: Kind
    since_ns: int
    """When it came to its phase."""
    heartbeat_ns: int
    """Its last heartbeat, or when the supervisor began to look, if that is later."""
    was_ready: bool
    """This process of it has been ready."""


def overdue(limits: Limits, child: Standing, *, now_ns: int) -> Overdue | None:
    """The measure that is due against a child, or None while it is in time."""
    age_ns = now_ns - child.since_ns
    if child.phase is Phase.STARTING:
        is_task = child.kind is Kind.TASK
        limit_ns = limits.task_ns if is_task else limits.start_ns
        if age_ns > limit_ns:
            goal = "done" if is_task else "ready"
            return Overdue(Event.ABORT, f"not {goal} within {limit_ns / NS_PER_S:g} s")
    elif child.phase is Phase.READY:
        silent_ns = now_ns - child.heartbeat_ns
        if silent_ns > limits.silence_ns:
            return Overdue(Event.ABORT, f"silent for {silent_ns / NS_PER_S:.1f} s")
    elif child.phase is Phase.DRAINING:
        limit_ns = limits.stop_ns if child.was_ready else limits.abort_ns
        if age_ns > limit_ns:
            return Overdue(Event.KILL, f"not stopped within {limit_ns / NS_PER_S:g} s")
    elif child.phase is Phase.ABORTING and age_ns > limits.abort_ns:
        return Overdue(Event.KILL, f"not dead {limits.abort_ns / NS_PER_S:g} s after its abort")
    return None
