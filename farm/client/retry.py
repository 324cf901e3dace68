"""When to try again: back-off that doubles, with jitter, under a total deadline. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How a client reconnects. All in seconds."""

    first_s: float = 0.1
    """Wait before the second try; it doubles with each further one."""
    ceiling_s: float = 5.0
    """The longest wait."""
    deadline_s: float = 60.0
    """Time without a connection after which the client gives up; 0 tries once."""


_MAX_DOUBLINGS = 30

NO_RETRY = Retry(deadline_s=0.0)


class Backoff:
    """The waits of one outage after another.

    Args:
        retry: the policy.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._attempt = 0
        self._began_s: float | None = None

    def connected(self) -> None:
        """The outage is over; the next one starts from the shortest wait."""
        self._attempt = 0
        self._began_s = None

    def next_wait_s(self, now_s: float, jitter: float, *, at_least_s: float = 0.0) -> float | None:
        """How long to wait before the next try.

        Args:
            now_s: a monotonic clock.
            jitter: uniform in [0, 1): the wait is between half and all of the back-off.
            at_least_s: when the farm says to try again; the wait is up to a quarter longer.

        Returns:
            Seconds, or None when the deadline leaves no time for another try.
        """
        if self._began_s is None:
            self._began_s = now_s
        left_s = self._began_s + self._retry.deadline_s - now_s
        if left_s <= 0 or at_least_s > left_s:
            return None
        backoff_s = min(
            self._retry.ceiling_s, self._retry.first_s * 2.0 ** min(self._attempt, _MAX_DOUBLINGS)
        )
        self._attempt += 1
        asked_s = at_least_s * (1.0 + 0.25 * jitter)
        return min(left_s, max(asked_s, backoff_s * (0.5 + 0.5 * jitter)))
