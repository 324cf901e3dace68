"""What /healthz and /readyz say. Pure.

    healthz   this child answers, and a supervisor holds the instance
    readyz    the farm is RUNNING, who serves clients is READY, and the heartbeat of every child is
              fresh

A heartbeat is fresh up to half of `supervisor.silence_s`: the farm says that it is not ready before
the supervisor replaces the child. A child that has stopped (a warm-up, a worker too many) is not
waited for; one that has failed is, until its replacement beats.
"""

from collections.abc import Iterable

from msgspec import Struct

from farm.shm.control import ChildSlot, ChildState, FarmState
from farm.supervisor.specs import GAMES_ROLE

NS_PER_S = 1_000_000_000
FRESH_SHARE = 0.5
"""Of `supervisor.silence_s`."""
_NOT_WAITED_FOR = (ChildState.EMPTY, ChildState.STOPPED)
_SERVING_ROLES = ("experiences", GAMES_ROLE)
"""Nothing answers at the address of one until it is READY; a worker is missed by nobody so soon."""


class Health(Struct, frozen=True):
    """An answer; as JSON, its body."""

    ok: bool
    problems: tuple[str, ...] = ()
    """In words; empty if there are none."""


def healthz(instance: str, supervisor_pid: int | None) -> Health:
    """Whether the farm is alive.

    Args:
        instance: its name.
        supervisor_pid: the process that holds its lease, if there is one.
    """
    if supervisor_pid is None:
        return Health(ok=False, problems=(f"no supervisor holds the instance {instance}",))
    return Health(ok=True)


def readyz(
    state: FarmState, children: Iterable[ChildSlot], silence_s: float, now_ns: int
) -> Health:
    """Whether the farm is at work.

    Args:
        state: of the farm.
        children: every slot in use.
        silence_s: `supervisor.silence_s`.
        now_ns: `time.monotonic_ns`.
    """
    problems = []
    if state is not FarmState.RUNNING:
        problems.append(f"the farm is {state.name.lower()}")
    fresh_s = silence_s * FRESH_SHARE
    for slot in children:
        if slot.state in _NOT_WAITED_FOR:
            continue
        if slot.role in _SERVING_ROLES and slot.state is not ChildState.READY:
            problems.append(f"{slot.name} is {slot.state.name.lower()}")
            continue
        age_s = (now_ns - slot.heartbeat_ns) / NS_PER_S
        if age_s > fresh_s:
            problems.append(f"{slot.name} last beat {age_s:.1f} s ago")
    return Health(ok=not problems, problems=tuple(problems))
