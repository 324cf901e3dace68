"""A companion: a process that is no child and whose end ends the farm, as the tail of `farm up`.

It shares the terminal for output, and leads a process group of its own: Ctrl-C reaches the
supervisor only, which sends it on when its time has come. It goes last: while children drain, it
takes what they still deliver.
"""

import signal

from farm.errors import EXIT_INTERNAL, EXIT_OK
from farm.supervisor.spawn import Process

TAIL_GROUP = "up-tail"
"""The group of the tail of `farm up`: it goes with the farm, and is owed nothing afterwards."""
YOUNG_NS = 1_000_000_000
"""A companion younger than this has nothing to sum up, and may not be ready for Ctrl-C."""
_ASKED = (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Ends that were asked for; the second half is how a program reports the first itself."""


class Companion:
    """Watches and dismisses one process.

    Args:
        process: started already.
        abort_ns: time between asking it to end and killing it.
        now_ns: the time.
    """

    def __init__(self, process: Process, abort_ns: int, now_ns: int) -> None:
        self.process = process
        self._began_ns = now_ns
        self._abort_ns = abort_ns
        self._asked_ns: int | None = None

    def try_reap(self) -> int | None:
        """The farm's exit code for its end, once it has ended."""
        returncode = self.process.try_reap()
        if returncode is None:
            return None
        if returncode in _ASKED:
            return EXIT_OK
        return returncode if returncode >= 0 else EXIT_INTERNAL

    def dismiss(self, now_ns: int, *, at_once: bool) -> None:
        """Ask it to end; kill it if that has taken too long, or at once."""
        if at_once:
            self.process.send(signal.SIGKILL)
        elif self._asked_ns is None:
            self._asked_ns = now_ns
            # As Ctrl-C would, so that it ends with its summary.
            young = now_ns - self._began_ns < YOUNG_NS
            self.process.send(signal.SIGTERM if young else signal.SIGINT)
        elif now_ns - self._asked_ns > self._abort_ns:
            self.process.send(signal.SIGKILL)
