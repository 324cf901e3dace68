"""Tells a service manager how the farm stands: the protocol of sd_notify(3), in plain Python.

    READY=1                  once the farm serves
    RELOADING=1              with MONOTONIC_USEC, before a config is read again; READY=1 when every
                             child has it, or when it is refused
    STOPPING=1               once it begins to drain
    STATUS=…                 what `systemctl status` shows, at every change and every REPORT_NS
    EXTEND_TIMEOUT_USEC=…    with it while the farm starts or stops: how long either may take is the
                             farm's to decide (supervisor.start_s, warm_up_s, stop_s), and a first
                             start compiles for a minute or more
    WATCHDOG=1               twice per interval, while the loop turns and can end what it has killed

Each message is one datagram to the socket in $NOTIFY_SOCKET, sent without waiting. A socket that is
gone, or was never there, costs the messages and nothing else; one that is full gets its message
with the next turn of the loop.
"""

import socket
from collections.abc import Callable, MutableMapping
from typing import Self

from farm.supervisor.deadlines import NS_PER_S
from farm.supervisor.lifecycle import FarmPhase

REPORT_NS = 5 * NS_PER_S
"""Time between two reports while nothing changes."""
EXTENSION_US = 60_000_000
"""What each report asks for while the farm starts or stops: a dozen reports may go missing."""
MAX_STATUS_CHARS = 300
"""A status is one line on a terminal, or a few."""

_NS_PER_US = 1_000
_SAID_AT = {
    FarmPhase.RUNNING: "READY=1",
    FarmPhase.STOPPING: "STOPPING=1",
    FarmPhase.KILLING: "STOPPING=1",
}

Describe = Callable[[FarmPhase, int], str]
"""What the farm does in this phase at this `time.monotonic_ns`, in a line for people."""


class Notifier:
    """Sends what is due, turn by turn of the supervisor's loop.

    Args:
        address: path of a datagram socket, or a name in the abstract namespace after an `@`.
        watchdog_ns: the manager kills a service that is silent for longer; None if it does not.
        describe: makes the status.
    """

    def __init__(self, address: str, watchdog_ns: int | None, describe: Describe) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._beat_ns = None if watchdog_ns is None else watchdog_ns // 2
        self._describe = describe
        self._phase: FarmPhase | None = None
        self._unsaid = ""
        self._report_ns = 0
        self._next_beat_ns = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0.0)

    @classmethod
    def take(
        cls, environment: MutableMapping[str, str], pid: int, describe: Describe
    ) -> Self | None:
        """The notifier that the environment asks for, taken out of it: children are not to speak.

        Args:
            environment: `os.environ`; loses NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            pid: of this process, the one whose watchdog it may be.
            describe: makes the status.

        Returns:
            None if no manager listens, or on a transport that sd_notify(3) has and this has not.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        interval = environment.pop("WATCHDOG_USEC", "")
        guarded = environment.pop("WATCHDOG_PID", str(pid))
        if not address.startswith(("/", "@")):
            return None
        ours = guarded == str(pid) and interval.isascii() and interval.isdigit()
        watchdog_ns = int(interval) * _NS_PER_US if ours else 0
        return cls(address, watchdog_ns or None, describe)

    def poll(self, phase: FarmPhase, now_ns: int, *, sound: bool = True) -> None:
        """Send what is due.

        Args:
            phase: of the farm.
            now_ns: the time.
            sound: False keeps the watchdog unfed: the loop turns, and something is beyond it.
        """
        reports = phase is not self._phase or now_ns >= self._report_ns
        beats = sound and self._beat_ns is not None and now_ns >= self._next_beat_ns
        if not (reports or beats):
            return
        if self._unsaid and not self._try_send(self._unsaid):
            return
        self._unsaid = ""
        lines = self._report(phase, now_ns) if reports else []
        if beats:
            lines.append("WATCHDOG=1")
        if not self._try_send("\n".join(lines)):
            return
        if reports:
            self._phase = phase
            self._report_ns = now_ns + REPORT_NS
        if beats and self._beat_ns is not None:
            self._next_beat_ns = now_ns + self._beat_ns

    def reloading(self, now_ns: int) -> None:
        """Say that the config is being read again, before the loop stands still for that.

        One that finds no room is said later, before the READY=1 that ends it. A READY=1 that is
        still to be said for the reload before is not said any more: it would end this one.

        Args:
            now_ns: the time, by the clock of MONOTONIC_USEC.
        """
        self._phase = FarmPhase.RUNNING
        since = f"MONOTONIC_USEC={now_ns // _NS_PER_US}"
        message = f"RELOADING=1\n{since}\nSTATUS=Reading the config again"
        self._unsaid = "" if self._try_send(message) else message

    def reloaded(self) -> None:
        """Say READY=1 with the next turn of the loop, and until there is room for it."""
        self._phase = None

    def close(self) -> None:
        """Let go of the socket; idempotent."""
        self._socket.close()

    def _report(self, phase: FarmPhase, now_ns: int) -> list[str]:
        status = " ".join(self._describe(phase, now_ns).split())[:MAX_STATUS_CHARS]
        lines = [f"STATUS={status}"]
        if phase is not self._phase and phase in _SAID_AT:
            lines.insert(0, _SAID_AT[phase])
        if phase is not FarmPhase.RUNNING:
            lines.append(f"EXTEND_TIMEOUT_USEC={EXTENSION_US}")
        return lines

    def _try_send(self, message: str) -> bool:
        """False if there is no room right now: READY must not be lost to that."""
        try:
            self._socket.sendto(message.encode(), self._address)
        except BlockingIOError:
            return False
        except OSError:  # ENOENT, ECONNREFUSED, EACCES: nobody listens, and that is their affair
            return True
        return True
