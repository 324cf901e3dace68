"""When a child has taken too long, and what is then done to it.

Pure: the arbiter passes the times in. A phase with a deadline ends in the next harder measure:

    STARTING  older than start (task: warm-up) ──▶ abort
    READY     heartbeat older than silence     ──▶ abort
    DRAINING  older than stop                  ──▶ kill
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


def overdue(  # noqa: PLR0913 - the five facts that a deadline depends on
    limits: Limits, phase: Phase, kind: Kind, *, now_ns: int, since_ns: int, heartbeat_ns: int
) -> Overdue | None:
    """The measure that is due against a child, or None while it is in time.

    Args:
        limits: the deadlines.
        phase: where the child is.
        kind: whether it is a service or a task.
        now_ns: the time.
        since_ns: when it came to `phase`.
        heartbeat_ns: its last heartbeat, or when the supervisor began to look, if that is later.
    """
    age_ns = now_ns - since_ns
    if phase is Phase.STARTING:
        limit_ns = limits.task_ns if kind is Kind.TASK else limits.start_ns
        goal = "done" if kind is Kind.TASK else "ready"
        if age_ns > limit_ns:
            return Overdue(Event.ABORT, f"not {goal} within {limit_ns / NS_PER_S:g} s")
    elif phase is Phase.READY:
        silent_ns = now_ns - heartbeat_ns
        if silent_ns > limits.silence_ns:
            return Overdue(Event.ABORT, f"silent for {silent_ns / NS_PER_S:.1f} s")
    elif phase is Phase.DRAINING:
        if age_ns > limits.stop_ns:
            return Overdue(Event.KILL, f"not stopped within {limits.stop_ns / NS_PER_S:g} s")
    elif phase is Phase.ABORTING and age_ns > limits.abort_ns:
        return Overdue(Event.KILL, f"not dead {limits.abort_ns / NS_PER_S:g} s after its abort")
    return None
