"""Ties a process's life to that of the process that started it: prctl(PR_SET_PDEATHSIG).

Imports little on purpose: a child calls `tie` before anything else, so that the time in which it
could outlive its supervisor is that of starting the interpreter.

The kernel sends the signal when the *thread* that forked the child ends (prctl(2)); the supervisor
has one thread. The setting survives execve, so that `python -m farm.supervisor.leash PID COMMAND…`
ties any program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_ORPHANED = 1


def tie(parent_pid: int) -> None:
    """Be killed when the parent dies; exit at once if it is dead already.

    Args:
        parent_pid: the process that started this one. If it died before the call, the kernel has
            nothing left to tell us, and `getppid` names whoever adopted us.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os._exit(_ORPHANED)


def main() -> None:
    """Tie this process to PID and become COMMAND."""
    parent_pid, *command = sys.argv[1:]
    tie(int(parent_pid))
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
