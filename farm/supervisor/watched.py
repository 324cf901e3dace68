"""One child as the supervisor has it: its process, its phase, its slot and its history."""

import signal
from typing import Protocol

from msgspec import Struct

from farm.shm.control import ChildSlot, ChildState
from farm.supervisor.deadlines import NS_PER_S, Standing
from farm.supervisor.lifecycle import Event, Phase, move
from farm.supervisor.spawn import Process, exit_reason
from farm.supervisor.specs import ChildSpec, Kind
from farm.telemetry.log import Logger

SAY_NS = 5 * NS_PER_S
"""How often a task that takes long is mentioned."""

_SIGNAL_OF = {
    Event.DRAIN: signal.SIGTERM,
    Event.ABORT: signal.SIGABRT,
    Event.KILL: signal.SIGKILL,
}
_EVENT_OF = {
    Event.DRAIN: "child_draining",
    Event.ABORT: "child_aborting",
    Event.KILL: "child_killing",
}
_LATE_IN = {
    Phase.STARTING: "not_ready",
    Phase.READY: "silent",
    Phase.DRAINING: "not_stopped",
}
"""RESTART_REASONS of a child that the supervisor ended, by the phase in which it was too late."""


class Starter(Protocol):
    """Starts the process of a spec."""

    def spawn(self, spec: ChildSpec, generation: int) -> Process:
        """Start it; OSError if the machine cannot."""


class Death(Struct, frozen=True):
    """How a process of a child ended."""

    returncode: int
    """As subprocess has it: a signal is negative."""
    reason: str
    """In words, with what the supervisor did about it."""
    asked: bool
    """It was asked to and ended with 0, or by the SIGTERM itself before it could answer."""


class WatchedChild:
    """The actual state of one child.

    Attributes:
        spec: what it runs.
        phase: where it is in its life.
        since_ns: when it came to that phase.
        due_ns: while it is down, not started before this time.
        generation: of the last process; 0 before the first.
        deaths_ns: its deaths that were followed by a restart and still count.
    """

    def __init__(self, spec: ChildSpec, slot: ChildSlot, log: Logger) -> None:
        self.spec = spec
        self.phase = Phase.DOWN
        self.since_ns = 0
        self.due_ns = 0
        self.generation = 0
        self.deaths_ns: list[int] = []
        self._slot = slot
        self._process: Process | None = None
        self._verdict = ""
        self._late = ""
        self._ended_by = "asked"
        self._ready_generation = 0
        self._spawned_ns = 0
        self._said_ns = 0
        self._base_log = log
        if slot.name == spec.name:
            # It ran before, in this farm: its ring and counters go on, so its generations do.
            self.generation = slot.generation
        else:
            slot.assign(spec.name, spec.role, spec.index)

    @property
    def process(self) -> Process | None:
        """The process, unless the child is down."""
        return self._process

    @property
    def proven(self) -> bool:
        """A process of this child was ready once, so what it runs can run here."""
        return self._ready_generation > 0

    @property
    def log(self) -> Logger:
        """Lines about this child carry its role, worker and generation."""
        return self._base_log.bind(
            child=self.spec.name,
            role=self.spec.role,
            worker=self.spec.index,
            generation=self.generation,
        )

    def standing(self, looking_since_ns: int) -> Standing:
        """How it stands, its silence counted from `looking_since_ns` at the earliest."""
        return Standing(
            phase=self.phase,
            kind=self.spec.kind,
            since_ns=self.since_ns,
            heartbeat_ns=max(self._slot.heartbeat_ns, looking_since_ns),
            was_ready=self._ready_generation == self.generation,
        )

    def spawn(self, starter: Starter, now_ns: int) -> Process:
        """Start its next generation.

        Raises:
            OSError: the machine cannot start a process.
        """
        self.generation += 1
        self._verdict = self._late = ""
        self._enter(Event.SPAWN, now_ns)
        self._spawned_ns = self._said_ns = now_ns
        slot = self._slot
        slot.generation = self.generation
        slot.started_ns = now_ns
        slot.heartbeat_ns = now_ns
        slot.restarts = self.generation - 1
        if self.generation > 1:
            slot.count_restart(self._ended_by)
        # Before the process exists: from here until its death only the child writes the state.
        slot.state = ChildState.STARTING
        try:
            self._process = starter.spawn(self.spec, self.generation)
        except OSError:
            self._ended_by = "no_process"
            self._enter(Event.EXIT, now_ns)
            slot.state = ChildState.FAILED
            raise
        slot.pid = self._process.pid
        self.log.info("child_spawned", child_pid=self._process.pid)
        return self._process

    def notice(self, now_ns: int) -> None:
        """Take over what the child says of itself in its slot; say that a long task goes on."""
        if self.phase is not Phase.STARTING:
            return
        if self._slot.state is ChildState.READY:
            self._enter(Event.READY, now_ns)
            self._ready_generation = self.generation
            self.log.info("child_ready", startup_s=self._age_s(now_ns))
        elif self.spec.kind is Kind.TASK and now_ns - self._said_ns > SAY_NS:
            self._said_ns = now_ns
            self.log.info("task_running", for_s=self._age_s(now_ns))

    def end(self, event: Event, now_ns: int, *, reason: str = "") -> None:
        """Ask it to drain, abort it or kill it.

        Args:
            event: DRAIN, ABORT or KILL.
            now_ns: the time.
            reason: what it did wrong; empty if its end is wanted.
        """
        assert self._process is not None, f"{self.spec.name} is {self.phase}"
        if reason:
            self._late = self._late or _LATE_IN[self.phase]
        self._enter(event, now_ns)
        if reason:
            self._verdict = self._verdict or reason
            self.log.error(_EVENT_OF[event], reason=reason, child_pid=self._process.pid)
        else:
            self.log.debug(_EVENT_OF[event], child_pid=self._process.pid)
        self._process.send(_SIGNAL_OF[event])

    def try_reap(self, now_ns: int) -> Death | None:
        """How the process ended, once; None while it runs or if there is none."""
        if self._process is None:
            return None
        returncode = self._process.try_reap()
        if returncode is None:
            return None
        self._process = None
        ended_in = self.phase
        self._enter(Event.EXIT, now_ns)
        reason = exit_reason(returncode)
        if self._verdict:
            reason = f"{self._verdict}, then {reason}"
        asked = ended_in is Phase.DRAINING and returncode in {0, -signal.SIGTERM}
        done = self.spec.kind is Kind.TASK and returncode == 0
        given_up = ended_in is Phase.KILLING and not self._verdict
        self._ended_by = "asked" if asked else self._late or _own_end(returncode)
        self._slot.exit_reason = reason
        self._slot.pid = 0
        self._slot.state = ChildState.STOPPED if asked or done else ChildState.FAILED
        log = self.log.info if asked or done or given_up else self.log.warning
        log("child_exited", reason=reason, phase=str(ended_in), ran_s=self._age_s(now_ns))
        return Death(returncode, reason, asked=asked)

    def _age_s(self, now_ns: int) -> float:
        return round((now_ns - self._spawned_ns) / NS_PER_S, 3)

    def _enter(self, event: Event, now_ns: int) -> None:
        self.phase = move(self.phase, event)
        self.since_ns = now_ns


def _own_end(returncode: int) -> str:
    """RESTART_REASONS of a child that the supervisor did not end."""
    return "exit_code" if returncode >= 0 else "signal"
