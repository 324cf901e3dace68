"""How many lines of one event a process logs within a while: a bound, and the count of the others.

Pure: the clock is an argument. A window begins with the first line after the one before it has
ended; what was left out in it is told when it has ended (`log`). Any thread may ask for a line, and
be interrupted by a destructor that warns: hence a lock that its holder may take again.
"""

from threading import RLock
from typing import NamedTuple

MAX_EVENTS = 1_024
"""Events that are counted apart in one window; the names of those beyond it are not kept."""
OTHERS = "other_events"
"""What they are counted as."""
_NS_PER_S = 1e9


class LeftOut(NamedTuple):
    """What one window left out."""

    events: dict[str, int]
    """Lines by event."""
    window_s: float
    """How long the window was."""

    @property
    def n_lines(self) -> int:
        """All of them."""
        return sum(self.events.values())


class BurstLimit:
    """Admits so many lines of one event and level within a window.

    Args:
        n_lines: of one event and level, in one window.
        window_s: seconds of a window.
    """

    def __init__(self, n_lines: int, window_s: float) -> None:
        self.n_lines = n_lines
        self.window_s = window_s
        self._window_ns = int(window_s * _NS_PER_S)
        self._began_ns = 0
        self._ends_ns = -1
        self._seen: dict[tuple[str, str], int] = {}
        self._left_out: dict[str, int] = {}
        self._lock = RLock()

    def admits(self, level: str, event: str, now_ns: int) -> bool:
        """Whether there is room for a line in the window; one for which there is none is counted.

        A window that is over does not end by this: `take` ends it.
        """
        with self._lock:
            if self._ends_ns < 0:
                self._began_ns, self._ends_ns = now_ns, now_ns + self._window_ns
            seen = self._seen
            key = (level, event)
            n_seen = seen.get(key, 0)
            if n_seen == 0 and len(seen) >= MAX_EVENTS:
                event, key = OTHERS, (level, OTHERS)
                n_seen = seen.get(key, 0)
            if n_seen < self.n_lines:
                seen[key] = n_seen + 1
                return True
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return False

    def is_over(self, now_ns: int) -> bool:
        """Whether a window has begun and is to be ended."""
        return 0 <= self._ends_ns <= now_ns

    def take(self, now_ns: int) -> LeftOut | None:
        """End the window; what it left out, if it did. The next line begins another."""
        with self._lock:
            events, window_s = self._left_out, (now_ns - self._began_ns) / _NS_PER_S
            self._ends_ns = -1
            self._seen, self._left_out = {}, {}
        return LeftOut(events, round(window_s, 3)) if events else None
