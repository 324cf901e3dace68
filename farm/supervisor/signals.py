"""Signals as a queue that a selector can wait for.

Python's C handler writes each signal's number to the wakeup descriptor; the Python handlers do
nothing. What a signal means is decided by the arbiter's loop, between two of its verbs, so no code
of ours ever runs inside a handler. Enter it before anything that a signal should not tear apart.
"""

import os
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Self

WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_READ_BYTES = 4096


class SignalQueue:
    """Queues the watched signals while it is entered; main thread only."""

    def __init__(self, watched: Iterable[signal.Signals] = WATCHED) -> None:
        self._watched = tuple(watched)
        self._read_fd = -1
        self._write_fd = -1
        self._old_wakeup_fd = -1
        self._old_handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A full pipe loses signals that are queued 65,536 times already.
        self._old_wakeup_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._watched:
            # Also a SIGHUP that nohup ignored for us: it stops nothing, and `farm set` needs it.
            self._old_handlers[number] = signal.signal(number, _only_queue)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned
        signal.set_wakeup_fd(self._old_wakeup_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def fileno(self) -> int:
        """Readable while a signal is queued."""
        return self._read_fd

    def try_take(self) -> list[signal.Signals]:
        """The queued signals, oldest first; empty if there are none."""
        try:
            numbers = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in numbers if number in self._old_handlers]


def _only_queue(_number: int, _frame: FrameType | None) -> None:
    """Let the wakeup descriptor do the work; SIG_IGN or SIG_DFL would not write to it."""
