"""Whether a dead child is started again, and when: intensity, period and back-off, as in OTP.

Pure: the time and the random number are arguments. The first restart within a period is at once,
so that one crash costs nothing but the start; each further one waits twice as long as the one
before; one more than `intensity` within the period is given up.
"""

from collections.abc import Sequence

from msgspec import Struct


class RestartPolicy(Struct, frozen=True):
    """How often a child may die."""

    intensity: int
    """Restarts allowed within a period."""
    period_ns: int
    backoff_ns: int
    """Wait before the second restart within a period."""


class RestartAt(Struct, frozen=True):
    """Start the child again."""

    at_ns: int
    """Not before this time."""
    nth: int
    """This is the n-th restart within the period, from 1."""


class GiveUp(Struct, frozen=True):
    """The child dies too often: the farm cannot go on."""

    n_restarts: int
    """Restarts within the period before this death."""


Decision = RestartAt | GiveUp


def decide(
    policy: RestartPolicy, earlier_ns: Sequence[int], *, now_ns: int, jitter: float
) -> Decision:
    """What to do about a child that died at `now_ns`.

    Args:
        policy: the bounds.
        earlier_ns: times of this child's earlier deaths that were followed by a restart.
        now_ns: time of this death.
        jitter: random number in [0, 1): children that died of one cause shall not all return at
            one moment. Half of the wait is fixed, half is scaled by it.
    """
    recent = sum(1 for death_ns in earlier_ns if now_ns - death_ns < policy.period_ns)
    if recent >= policy.intensity:
        return GiveUp(n_restarts=recent)
    return RestartAt(at_ns=now_ns + _wait_ns(policy, recent, jitter), nth=recent + 1)


def forget(policy: RestartPolicy, earlier_ns: Sequence[int], *, now_ns: int) -> list[int]:
    """The deaths that still count, so that a child's history stays bounded by the intensity."""
    return [death_ns for death_ns in earlier_ns if now_ns - death_ns < policy.period_ns]


def _wait_ns(policy: RestartPolicy, recent: int, jitter: float) -> int:
    if recent == 0:
        return 0
    # A wait beyond the period could never be followed by one more: the bound also keeps the
    # doubling of a large intensity finite.
    doublings = min(recent - 1, policy.period_ns.bit_length())
    full_ns = min(policy.backoff_ns << doublings, policy.period_ns)
    return int(full_ns * (0.5 + 0.5 * jitter))
