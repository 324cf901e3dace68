"""Orphans: processes that come to us when their parent dies, as to pid 1 of a container.

The kernel gives them to pid 1 of their namespace, or to the nearest ancestor that asked for them
(PR_SET_CHILD_SUBREAPER). Nobody else can reap them: each would stay a zombie, until the pids of the
container run out. Elsewhere they never come here, and nothing is asked.
"""

import ctypes
import os
from collections.abc import Collection

_PR_GET_CHILD_SUBREAPER = 37
INIT_PID = 1
MAX_AT_ONCE = 64
"""Orphans reaped in one turn of the loop; the rest have the next."""


def come_to_us() -> bool:
    """Whether orphans are given to this process."""
    if os.getpid() == INIT_PID:
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    flag = ctypes.c_int(0)
    found = libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0)
    return found == 0 and flag.value != 0


def reap(known: Collection[int]) -> list[int]:
    """Reap every orphan that has ended.

    Args:
        known: processes that have an owner, who waits for each by its pid and must find it there.

    Returns:
        The pids that are gone.
    """
    gone: list[int] = []
    for _ in range(MAX_AT_ONCE):
        try:
            # Only looked at: one of the known may have ended between their turn and this.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # there is no child at all
            break
        if ended is None or ended.si_pid in known:
            break
        os.waitpid(ended.si_pid, os.WNOHANG)
        gone.append(ended.si_pid)
    return gone
