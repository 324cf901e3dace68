"""Where log lines go: one file descriptor, one write a line, and never an exception."""

import os
import select

WAIT_MS = 1_000
"""How long a line waits for a full pipe whose descriptor does not block."""


class LineWriter:
    """Writes whole lines to a descriptor that other processes may share.

    Python's own buffers stand aside, so that a line is in the kernel when the call returns, and a
    process that is killed next has still said it. A reader that went away costs the lines, not the
    process: they are counted in `left_out`.

    Args:
        fd: descriptor to write to; not owned, never closed.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.left_out = 0

    def isatty(self) -> bool:
        """Whether a person reads along."""
        try:
            return os.isatty(self.fd)
        except OSError:
            return False

    def write(self, line: bytes) -> None:
        """Write one line, or count it as left out."""
        rest = line
        while rest:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                if not self._wait():
                    break
            except OSError:  # EPIPE, EIO, ENOSPC, EBADF: there is nowhere left to report to
                break
        if rest:
            self.left_out += 1

    def _wait(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(WAIT_MS))
