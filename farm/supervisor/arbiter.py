"""The arbiter: keeps the children that shall run running, in one thread and one loop of five verbs.

    wait               for a signal, the end of a process, or the next deadline
    handle             the queued signals
    replace the silent children that are too late: SIGABRT, then SIGKILL
    reap the dead      and decide: restart now, restart later, or stop the farm
    restore the count  spawn what is missing, drain what is too much

`want` sets the desired state; the loop brings the actual state to it, so that starting, growing,
shrinking and stopping are one mechanism: to stop is to want nothing, one stage at a time in reverse
start order. The farm's exit code is that of the first reason to stop:

    0       asked to (SIGTERM, SIGINT), or a companion ended with 0
    69, 78  a child that has never been ready ended with this code: it cannot run here
    70      a child died more often than intensity and period allow, or a task failed

A second signal kills every child at once; the exit code stays 0, as the farm did what it was told.
SIGUSR1 and SIGHUP are no wishes to stop: `farm drain` sends the one, the other asks for a reload;
whoever wired the arbiter knows what to do.
"""

import random
import selectors
import signal
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from farm.errors import EXIT_CONFIG, EXIT_INTERNAL, EXIT_OK, EXIT_UNAVAILABLE
from farm.shm.control import ControlBlock, FarmState
from farm.supervisor import orphans
from farm.supervisor.companion import Companion
from farm.supervisor.deadlines import NS_PER_S, Limits, overdue
from farm.supervisor.lifecycle import Event, FarmEvent, FarmPhase, Phase, allowed, farm_move
from farm.supervisor.notify import Notifier
from farm.supervisor.restart import GiveUp, RestartPolicy, decide, forget
from farm.supervisor.signals import SignalQueue
from farm.supervisor.spawn import Process
from farm.supervisor.specs import ChildSpec, Kind, last_stage, start_order
from farm.supervisor.watched import Death, Starter, WatchedChild
from farm.telemetry.log import Logger

STARTING_POLL_S = 0.02
"""How often children that start are asked whether they are ready, or have taken a new config."""
POLL_S = 0.1
"""How often heartbeats and deadlines are looked at; signals and deaths wake the loop at once."""
LATE_NS = NS_PER_S
"""A loop that comes back later than this did not run (SIGSTOP, a frozen machine): its children may
not have run either, and their silence counts from now on."""
ASK_NS = NS_PER_S // 5
"""How often it is asked whether the farm's work is over."""
ONE_PRESS_NS = NS_PER_S // 10
"""Signals this close to the first are the same wish: timeout(1) and terminals send several."""
UNKILLABLE_NS = 10 * NS_PER_S
"""A killed process that is still there after this hangs in the kernel: the farm ends without it."""

_CANNOT_RUN = (EXIT_UNAVAILABLE, EXIT_CONFIG)
_STATE_OF = {
    FarmPhase.STARTING: FarmState.STARTING,
    FarmPhase.RUNNING: FarmState.RUNNING,
    FarmPhase.STOPPING: FarmState.DRAINING,
    FarmPhase.KILLING: FarmState.DRAINING,
}


class Rules(Struct, frozen=True):
    """What the arbiter goes by."""

    limits: Limits
    restart: RestartPolicy


class Arbiter:
    """Brings the actual children to the desired ones until it is told to stop.

    Args:
        control: the control block; the arbiter owns its farm state and the slots of the dead.
        starter: starts processes.
        signals: entered already.
        rules: deadlines and restart policy.
        log: of the supervisor.
        is_open: whether the farm can serve, asked while every child is ready; the first True ends
            the start ...
        on_ready: ... and this is called, once.
        on_drain: called for each SIGUSR1, unless the farm is stopping.
        on_reload: likewise for SIGHUP, once for those that came together.
        on_turn: called in every turn of the loop, unless the farm is stopping, with the time; True
            if it waits for something, and the next turn should be soon.
    """

    def __init__(
        self,
        control: ControlBlock,
        starter: Starter,
        signals: SignalQueue,
        rules: Rules,
        log: Logger,
        *,
        is_open: Callable[[], bool],
        on_ready: Callable[[], None],
        on_drain: Callable[[], None] = lambda: None,
        on_reload: Callable[[], None] = lambda: None,
        on_turn: Callable[[int], bool] = lambda _now_ns: False,
    ) -> None:
        self._control = control
        self._starter = starter
        self._signals = signals
        self._rules = rules
        self._log = log
        self._is_open = is_open
        self._on_ready = on_ready
        self._on_drain = on_drain
        self._on_reload = on_reload
        self._on_turn = on_turn
        self._hurries = False
        self._desired: dict[str, ChildSpec] = {}
        self._actual: dict[str, WatchedChild] = {}
        self._companion: Companion | None = None
        self._notifier: Notifier | None = None
        self._has_orphans = orphans.come_to_us()
        self._phase = FarmPhase.STARTING
        self._exit_code = EXIT_OK
        self._now_ns = time.monotonic_ns()
        self._until_ns: int | None = None
        self._is_over: Callable[[], str] | None = None
        self._ask_ns = 0
        self._stopped_ns = 0
        self._looking_since_ns = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals, selectors.EVENT_READ)

    def want(self, specs: Iterable[ChildSpec]) -> None:
        """Set the desired state: these children and no others, from the next turn of the loop."""
        self._desired = {spec.name: spec for spec in start_order(specs)}
        n_slots = max((spec.slot + 1 for spec in self._desired.values()), default=0)
        self._control.n_children = max(self._control.n_children, n_slots)

    def follow(self, rules: Rules) -> None:
        """Go by other rules from now on."""
        self._rules = rules

    def accompany(self, process: Process) -> None:
        """Watch a process that is no child: when it ends, the farm stops; it ends with the farm."""
        self._companion = Companion(process, self._rules.limits.abort_ns, self._now_ns)
        self._selector.register(process, selectors.EVENT_READ)

    def report_to(self, notifier: Notifier | None) -> None:
        """Tell a service manager, if there is one, how the farm stands, from the next turn on."""
        self._notifier = notifier

    def stop_at(self, at_ns: int) -> None:
        """Stop with exit code 0 at this `time.monotonic_ns`."""
        self._until_ns = at_ns

    def stop_when(self, is_over: Callable[[], str]) -> None:
        """Stop with exit code 0 once this returns a reason, which is asked every ASK_NS."""
        self._is_over = is_over

    def stop(self, exit_code: int, reason: str) -> None:
        """Begin to drain; the first reason decides the exit code, later ones change nothing."""
        if self._phase not in {FarmPhase.STARTING, FarmPhase.RUNNING}:
            return
        self._exit_code = exit_code
        self._stopped_ns = self._now_ns
        self._enter(FarmEvent.STOP)
        log = self._log.info if exit_code == EXIT_OK else self._log.error
        log("farm_stopping", reason=reason, exit_code=exit_code)

    def run(self) -> int:
        """Turn the loop until every child is down; returns the farm's exit code."""
        while self._phase is not FarmPhase.ENDED:
            self._wait()
            self._handle_signals()
            self._replace_silent()
            self._reap_dead()
            self._restore_count()
            self._report()
        self._selector.close()
        return self._exit_code

    # wait

    def _wait(self) -> None:
        timeout_s = self._timeout_s()
        self._selector.select(timeout_s)
        now_ns = time.monotonic_ns()
        if now_ns - self._now_ns > timeout_s * NS_PER_S + LATE_NS:
            self._looking_since_ns = now_ns
        self._now_ns = now_ns

    def _timeout_s(self) -> float:
        """Until the next look; every verb finds by itself what there is to do."""
        settled = self._phase is FarmPhase.RUNNING and self._all_ready() and not self._hurries
        timeout_s = POLL_S if settled else STARTING_POLL_S
        for child in self._actual.values():
            if child.phase is Phase.DOWN:
                timeout_s = min(timeout_s, max(0, child.due_ns - self._now_ns) / NS_PER_S)
        return timeout_s

    # handle

    def _handle_signals(self) -> None:
        if self._until_ns is not None and self._now_ns >= self._until_ns:
            self.stop(EXIT_OK, "its time is over")
        if self._is_over is not None and self._is_up() and self._now_ns >= self._ask_ns:
            self._ask_ns = self._now_ns + ASK_NS
            reason = self._is_over()
            if reason:
                self.stop(EXIT_OK, reason)
        taken = self._signals.try_take()
        if signal.SIGHUP in taken and self._is_up():
            self._on_reload()
        for number in taken:
            if number is not signal.SIGHUP:
                self._handle(number)
        if self._is_up():
            self._hurries = self._on_turn(self._now_ns)

    def _handle(self, number: signal.Signals) -> None:
        if number is signal.SIGUSR1:
            if self._is_up():
                self._on_drain()
        elif self._is_up():
            self.stop(EXIT_OK, number.name)
        elif self._phase is FarmPhase.STOPPING and self._now_ns - self._stopped_ns > ONE_PRESS_NS:
            self._log.warning("farm_killing", reason=f"a second {number.name}")
            self._enter(FarmEvent.KILL)

    # replace the silent

    def _replace_silent(self) -> None:
        for child in self._actual.values():
            child.notice(self._now_ns)
            standing = child.standing(self._looking_since_ns)
            late = overdue(self._rules.limits, standing, now_ns=self._now_ns)
            if late is not None:
                child.end(late.event, self._now_ns, reason=late.reason)

    # reap the dead

    def _reap_dead(self) -> None:
        for child in list(self._actual.values()):
            process, death = child.process, child.try_reap(self._now_ns)
            if process is not None and death is not None:
                self._let_go(process)
                self._settle(child, death)
        if self._companion is not None:
            exit_code = self._companion.try_reap()
            if exit_code is not None:
                self._let_go(self._companion.process)
                self._companion = None
                self.stop(exit_code, f"its companion ended with exit code {exit_code}")
        if self._has_orphans:
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        known = {child.process.pid for child in self._actual.values() if child.process}
        if self._companion is not None:
            known.add(self._companion.process.pid)
        for pid in orphans.reap(known):
            self._log.debug("orphan_reaped", orphan_pid=pid)

    def _settle(self, child: WatchedChild, death: Death) -> None:
        name = child.spec.name
        if not self._is_up() or name not in self._desired:
            del self._actual[name]
        elif child.spec.kind is Kind.TASK:
            del self._actual[name], self._desired[name]
            if death.returncode != EXIT_OK:
                code = death.returncode if death.returncode in _CANNOT_RUN else EXIT_INTERNAL
                self.stop(code, f"{name}: {death.reason}")
        elif death.asked:
            child.due_ns = self._now_ns
        elif not child.proven and death.returncode in _CANNOT_RUN:
            self.stop(death.returncode, f"{name} cannot run here: {death.reason}")
        else:
            self._plan_restart(child, death.reason)

    def _plan_restart(self, child: WatchedChild, reason: str) -> None:
        policy, now_ns = self._rules.restart, self._now_ns
        jitter = random.random()  # noqa: S311 - spreads restarts, guards nothing
        decision = decide(policy, child.deaths_ns, now_ns=now_ns, jitter=jitter)
        if isinstance(decision, GiveUp):
            period_s = policy.period_ns / NS_PER_S
            n_deaths = decision.n_restarts + 1
            self.stop(
                EXIT_INTERNAL,
                f"{child.spec.name} ended {n_deaths} times within {period_s:g} s, last: {reason}",
            )
            return
        child.deaths_ns = [*forget(policy, child.deaths_ns, now_ns=now_ns), now_ns]
        child.due_ns = decision.at_ns
        in_s = round((decision.at_ns - now_ns) / NS_PER_S, 3)
        child.log.warning("child_restarting", reason=reason, in_s=in_s, nth=decision.nth)

    # restore the count

    def _restore_count(self) -> None:
        if self._is_up():
            self._drain_surplus()
            self._spawn_missing()
            if self._phase is FarmPhase.STARTING and self._all_ready():
                self._open()
        else:
            self._stop_stage()

    def _open(self) -> None:
        if self._is_open():
            self._enter(FarmEvent.READY)
            self._on_ready()
            return
        ready_ns = max((child.since_ns for child in self._actual.values()), default=self._now_ns)
        if self._now_ns - ready_ns > self._rules.limits.start_ns:
            self.stop(EXIT_INTERNAL, "every child is ready, and the farm does not answer")

    def _drain_surplus(self) -> None:
        for name, child in list(self._actual.items()):
            wanted = self._desired.get(name)
            if child.phase is Phase.DOWN:
                if wanted is None:
                    del self._actual[name]
                else:
                    child.spec = wanted
            elif child.spec != wanted and child.phase in {Phase.STARTING, Phase.READY}:
                child.end(Event.DRAIN, self._now_ns)

    def _spawn_missing(self) -> None:
        unfinished = [spec.stage for spec in self._desired.values() if spec.kind is Kind.TASK]
        for spec in self._desired.values():
            held_up = unfinished and spec.stage > min(unfinished)
            if held_up or not self._is_up():
                break
            child = self._actual.get(spec.name)
            if child is None:
                child = WatchedChild(spec, self._control.children[spec.slot], self._log)
                self._actual[spec.name] = child
            if child.phase is Phase.DOWN and child.due_ns <= self._now_ns:
                self._spawn(child)

    def _spawn(self, child: WatchedChild) -> None:
        try:
            process = child.spawn(self._starter, self._now_ns)
        except OSError as error:
            self._plan_restart(child, f"no process: {error}")
        else:
            self._selector.register(process, selectors.EVENT_READ)

    def _all_ready(self) -> bool:
        return self._desired.keys() == self._actual.keys() and all(
            child.phase is Phase.READY for child in self._actual.values()
        )

    def _stop_stage(self) -> None:
        alive = [
            child for child in self._actual.values() if child.process and not self._lost(child)
        ]
        stage = last_stage(child.spec for child in alive)
        for child in alive:
            # A task has nothing to drain.
            kill = self._phase is FarmPhase.KILLING or child.spec.kind is Kind.TASK
            event = Event.KILL if kill else Event.DRAIN
            if (kill or child.spec in stage) and allowed(child.phase, event):
                child.end(event, self._now_ns)
        if alive:
            return
        if self._companion is None:
            self._enter(FarmEvent.ENDED)
        else:
            at_once = self._phase is FarmPhase.KILLING
            self._companion.dismiss(self._now_ns, at_once=at_once)

    def _lost(self, child: WatchedChild) -> bool:
        """Whether even SIGKILL has not ended it: it hangs in the kernel, and we stop waiting."""
        return child.phase is Phase.KILLING and self._now_ns - child.since_ns > UNKILLABLE_NS

    # small things

    def _report(self) -> None:
        if self._notifier is not None and self._phase is not FarmPhase.ENDED:
            # A child that even SIGKILL does not end is for whoever watches us.
            sound = not any(self._lost(child) for child in self._actual.values())
            self._notifier.poll(self._phase, self._now_ns, sound=sound)

    def _is_up(self) -> bool:
        return self._phase in {FarmPhase.STARTING, FarmPhase.RUNNING}

    def _enter(self, event: FarmEvent) -> None:
        self._phase = farm_move(self._phase, event)
        ended = FarmState.STOPPED if self._exit_code == EXIT_OK else FarmState.FAILED
        self._control.state = _STATE_OF.get(self._phase, ended)

    def _let_go(self, process: Process) -> None:
        self._selector.unregister(process)
        process.close()
