"""Brings a new config into a running farm: composed, checked, planned, stored, acknowledged.

    asked for (SIGHUP) ─▶ composed and planned ─▶ stored, epoch + 1 ─▶ acknowledged by every child
                              │                                            │
                              └─▶ refused: nothing has changed             └─▶ late: said, and over

A tool asks by a request in the control block (farm.shm.requests) and a SIGHUP; it may bring
overrides of its own, which stay on top from then on, and it is answered there.

A service manager is told of every reload, whoever asked for it and whatever came of it.

Asked for while the farm starts or a reload is under way, it is done afterwards, once however often
it was asked for: the last state of the files is the one in force. A config that is refused leaves
the one before, one line in the log and `last_reload_ok` 0 in the control block.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct, structs

from farm.config.overrides import combined
from farm.config.reload import ReloadPlan, plan_reload
from farm.config.schema import FarmConfig
from farm.errors import ConfigError, FarmError
from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.requests import (
    DONE,
    PLANNED,
    REFUSED,
    Answer,
    Changed,
    Request,
    read_request,
    write_answer,
)
from farm.supervisor.deadlines import NS_PER_S
from farm.telemetry import log

NS_PER_MS = 1_000_000
NS_PER_US = 1_000

Compose = Callable[[Sequence[str]], FarmConfig]
"""A config from overrides and the files as they are now, checked; raises ConfigError."""


Watch = Callable[[int], bool]
"""Whether the files have changed since it last said so, at this `time.monotonic_ns`."""


def _never(_now_ns: int) -> bool:
    return False


class Farm(Protocol):
    """The parts of a farm that a reload changes."""

    def prepare(self, config: FarmConfig) -> None:
        """Make what children under this config need; raises FarmError, with nothing changed."""

    def follow(self, config: FarmConfig, plan: ReloadPlan, epoch: int) -> None:
        """Store the config under this epoch, and let supervisor and children be as it says."""


class Manager(Protocol):
    """Whoever is to know that a reload is under way."""

    def reloading(self, now_ns: int) -> None:
        """It has begun."""

    def reloaded(self) -> None:
        """It is over, or refused."""


class _Underway(Struct, frozen=True):
    """A config that is stored and not acknowledged by all."""

    epoch: int
    began_ns: int
    until_ns: int
    answer: Answer
    """What is known of it so far."""


class Reloader:
    """Reloads when asked to, one after another.

    Attributes:
        config: in force.
        refusal: why the last reload was refused; empty if it was not.

    Args:
        control: of which the config and the figures about reloads are written.
        farm: that is changed.
        compose: composes and checks.
        config: in force.
        overrides: that the farm was started with; they stay on top of the files.
        watch: tells that the files have changed, which is heeded with `config.watch`.
        manager: told of every reload.
    """

    def __init__(
        self,
        control: ControlBlock,
        farm: Farm,
        compose: Compose,
        config: FarmConfig,
        overrides: Sequence[str],
        watch: Watch = _never,
        manager: Manager | None = None,
    ) -> None:
        self.config = config
        self.refusal = ""
        self._control = control
        self._farm = farm
        self._compose = compose
        self._overrides = tuple(overrides)
        self._watch = watch
        self._manager = manager
        self._answered = 0
        self._is_due = False
        self._underway: _Underway | None = None

    def ask(self) -> None:
        """Reload as soon as that is possible."""
        self._is_due = True

    def poll(self, now_ns: int) -> bool:
        """Do what is due: finish the reload that is under way, then begin the next.

        Returns:
            Whether children have not acknowledged one yet.
        """
        if self._underway is not None:
            self._follow_up(self._underway, now_ns)
        if self.config.config.watch and self._watch(now_ns):
            log.get_logger().info("config_files_changed")
            self._is_due = True
        if self._is_due and self._underway is None and self._control.state == FarmState.RUNNING:
            self._is_due = False
            if self._manager is not None:
                self._manager.reloading(time.monotonic_ns())
            self._reload(now_ns)
        return self._underway is not None

    def _reload(self, now_ns: int) -> None:
        request = self._new_request()
        overrides = combined(self._overrides, request.overrides)
        try:
            config, plan = self._planned(overrides)
        except FarmError as error:
            self._refuse(request, str(error))
            return
        except Exception as error:  # noqa: BLE001 - no text that somebody wrote may end a farm
            log.get_logger().exception("reload_failed")
            self._refuse(request, f"a fault of the farm, see its log: {type(error).__name__}")
            return
        for change in plan.changes:
            log.get_logger().info(
                "config_changed", key=change.key, old=change.old, new=change.new, when=change.when
            )
        epoch = self._control.load_config()[0]
        if plan.changes:
            epoch += 1
            self._farm.follow(config, plan, epoch)
        self.config, self._overrides = config, overrides
        changes = tuple(Changed(one.key, one.old, one.new, one.when) for one in plan.changes)
        answer = Answer(request.id, PLANNED, epoch, changes)
        self._say(answer)
        until_ns = now_ns + int(config.supervisor.silence_s * NS_PER_S)
        self._underway = _Underway(epoch, now_ns, until_ns, answer)

    def _planned(self, overrides: Sequence[str]) -> tuple[FarmConfig, ReloadPlan]:
        """What is to come; raises with nothing changed."""
        if self._control.draining:
            raise ConfigError("", "the farm drains, and a config would change nothing any more")
        config = self._compose(overrides)
        plan = plan_reload(self.config, config)
        self._farm.prepare(config)
        return config, plan

    def _new_request(self) -> Request:
        """What a tool asks for, once; of a signal that came without a request, nothing special."""
        request = read_request(self._control)
        if request is None or request.id <= self._answered:
            return Request(0)
        self._answered = request.id
        return request

    def _say(self, answer: Answer) -> None:
        if answer.id:
            write_answer(self._control, answer)

    def _refuse(self, request: Request, reason: str) -> None:
        """Everything stays as it is."""
        self.refusal = reason
        self._control.reloads_refused += 1
        self._control.last_reload_ok = 0
        log.get_logger().error(
            "config_refused", reason=reason, hint="the config before stays in force"
        )
        self._say(Answer(request.id, REFUSED, self._control.load_config()[0], reason=reason))
        self._over()

    def _follow_up(self, reload: _Underway, now_ns: int) -> None:
        """End the reload once every child at work has said that it has the config."""
        late = tuple(
            slot.name
            for slot in self._control.children
            if slot.pid and slot.state is ChildState.READY and slot.config_epoch < reload.epoch
        )
        if late and now_ns < reload.until_ns:
            return
        self._underway = None
        self.refusal = ""
        took_ns = time.monotonic_ns() - reload.began_ns
        self._control.reloads += 1
        self._control.observe_reload(took_ns // NS_PER_US)
        self._control.last_reload_ok = 1
        took_ms = round(took_ns / NS_PER_MS, 1)
        say = log.get_logger().warning if late else log.get_logger().info
        say(
            "config_reloaded",
            epoch=reload.epoch,
            changes=len(reload.answer.changes),
            took_ms=took_ms,
            **({"not_acknowledged": late} if late else {}),
        )
        self._say(structs.replace(reload.answer, outcome=DONE, late=late, took_ms=took_ms))
        self._over()

    def _over(self) -> None:
        if self._manager is not None:
            self._manager.reloaded()
