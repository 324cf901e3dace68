"""Keys of a terminal as they are pressed, and what they mean."""

import contextlib
import io
import sys
import termios
import tty
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def keyboard() -> Iterator[int | None]:
    """Standard input with each key as it is pressed, or None where that is no terminal.

    The terminal is as before when the context ends, however it ends.
    """
    try:
        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
    except (OSError, io.UnsupportedOperation, termios.error):
        yield None
        return
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def meanings(pressed: bytes, sequences: Mapping[bytes, str]) -> Iterator[str]:
    """What keys mean; those that mean nothing are left out.

    Args:
        pressed: as read from the terminal.
        sequences: what each key sends, and its meaning.
    """
    while pressed:
        sequence = next((s for s in sequences if pressed.startswith(s)), pressed[:1])
        pressed = pressed[len(sequence) :]
        if sequence in sequences:
            yield sequences[sequence]
