"""Doorbells: how one process wakes another that has nothing to do (eventfd(2)).

The supervisor makes the set and passes it to every child at spawn:

    index   bell            rung by                     waited on by
    0       data            any worker, after publish   the experiences service
    1 + i   space of ring i the experiences service,    worker i, parked on a full ring
                            after release, if parked

A ring counts until it is heard, so that one rung before the wait is not lost. Still every wait has
a deadline of at most `MAX_WAIT_S`: whatever goes wrong with a bell costs that long and no more.
"""

import contextlib
import os
import select
from typing import Self

DATA_BELL = 0
"""Index of the data bell in the set."""
FIRST_SPACE_BELL = 1
"""Index of the space bell of worker 0."""
MAX_WAIT_S = 0.1
"""The longest one should wait in one go, in seconds."""

_MS_PER_S = 1_000


class Doorbell:
    """One eventfd, non-blocking; usable from asyncio by its `fileno`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    @classmethod
    def create(cls) -> Self:
        """Make a bell; children get it by `pass_fds`, everything else closes it at exec."""
        return cls(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))

    def ring(self) -> None:
        """Wake whoever waits, or the next one who does."""
        # Full counter: rung 2**64 - 2 times and never heard; it is ringing already.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._fd, 1)

    def wait(self, timeout_s: float = MAX_WAIT_S) -> bool:
        """Wait until the bell rings, clear it, and say whether it rang."""
        if not self._poll.poll(max(0.0, timeout_s) * _MS_PER_S):
            return False
        return self.clear()

    def clear(self) -> bool:
        """Stop the ringing; whether it was ringing."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return False
        return True

    def fileno(self) -> int:
        """The descriptor, for `pass_fds`, selectors and event loops."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor in this process."""
        if self._fd >= 0:
            self._poll.unregister(self._fd)
            os.close(self._fd)
            self._fd = -1
