"""`run`: one farm from its overrides to its exit code. Everything is wired here.

    config ─ lease of the instance ─ port ─ room ─ segments, doorbells ─ arbiter ─ balance

`farm drain` is a farm that is told, by SIGUSR1, to produce nothing more and to stop when its
lossless groups have everything, or when its time is over; or, of a farm that has ended, one that
never has workers.

Whatever keeps the farm from starting raises a FarmError before a child exists; from then on
problems are log lines and the exit code.
"""

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec
from msgspec import structs

from farm.config.board import largest_board
from farm.config.check import check
from farm.config.load import COMMAND_LINE, compose, compose_config, conf_dir
from farm.config.memory import shared_memory_bytes
from farm.config.reload import ReloadPlan
from farm.config.schema import FarmConfig, SupervisorConfig
from farm.config.watch import FileWatch
from farm.errors import (
    EXIT_OK,
    CorruptDataError,
    FarmError,
    SegmentAbsentError,
    UnavailableError,
)
from farm.policies.registry import POLICY_NAMES
from farm.shm.balance import Balance
from farm.shm.control import ControlBlock, FarmState
from farm.shm.wake import Doorbell
from farm.supervisor import ports, warm_stamp
from farm.supervisor.arbiter import Arbiter, Rules
from farm.supervisor.deadlines import NS_PER_S, Limits
from farm.supervisor.notify import Notifier
from farm.supervisor.reload import Reloader
from farm.supervisor.restart import RestartPolicy
from farm.supervisor.segments import Segments, take_leftovers, take_segments
from farm.supervisor.signals import SignalQueue
from farm.supervisor.spawn import ChildProcess, Spawner
from farm.supervisor.specs import (
    GAMES_ROLE,
    MAX_ROLLOUTS,
    PRODUCER_ROLES,
    ROLLOUT_ROLE,
    ChildSpec,
    children_of,
    games_warm_up,
    metrics,
    warm_up,
)
from farm.supervisor.status import StatusLine
from farm.telemetry import log
from farm.version import __version__

FIRST_EPOCH = 1
"""Epoch of the config of a farm that starts afresh."""
DRAIN_S = 60.0
"""Time for `farm drain` if it names none."""
MS_PER_S = 1_000
ANSWER_S = 0.25
"""Time for the port to answer in one try; it is asked again while the farm starts."""
QUIET = "warning"
"""Level of a farm that shares its terminal with a tail."""
SEED_BITS = 63
_ROLE_OF = {"worker": ROLLOUT_ROLE, "serve": "experiences", "games": GAMES_ROLE}
"""Whose children a change of class `restart` in a section replaces."""

Ready = Callable[[str], subprocess.Popen[bytes] | None]
"""Called with the address once the farm serves; a process that it returns is watched: the farm
stops when that ends, and ends it when the farm stops."""


def run(
    overrides: Sequence[str],
    *,
    ready: Ready | None = None,
    seconds: float | None = None,
    quiet: bool = False,
    discard: bool = False,
    signals: SignalQueue | None = None,
    folders: Sequence[Path] = (),
) -> int:
    """Run a farm until it is told to stop; main thread only.

    Args:
        overrides: of the config, in Hydra's grammar.
        ready: called once, when the farm serves.
        seconds: stop this long after that; None runs until a signal.
        quiet: from then on log warnings only, children from the start, unless the overrides set a
            level.
        discard: throw away what a dead farm of this name left, whoever is owed something of it.
        signals: entered already, with what has come since; None takes signals from here on.
        folders: of the config's files, the first that has one wins; the packaged alone if empty.

    Returns:
        The exit code: 0 after a stop that was asked for, else see `farm.supervisor.arbiter`.

    Raises:
        ConfigError: the config is wrong.
        ResourceError: the port is taken, shared memory is full, or the instance is running or
            owes something.
    """
    with ExitStack() as stack:
        signals = signals or stack.enter_context(SignalQueue())
        watch = FileWatch(folders or [conf_dir()])  # before they are read: no change is missed
        composed = compose(overrides, folders=folders)
        config = composed.config
        check(config, policies=POLICY_NAMES)
        _log_as_supervisor(config)
        stack.callback(log.finish)
        quiet = quiet and composed.origins["telemetry.level"] != COMMAND_LINE
        seed = secrets.randbits(SEED_BITS) if config.seed is None else config.seed
        segments = take_segments(config, seed=seed, discard=discard)
        stack.callback(segments.end)
        stack.callback(_remove_sockets, config)
        _publish(config, segments.control, quiet=quiet)
        farm = _Farm(config, segments, warm_ups=_warm_ups(config), quiet=quiet)
        read = partial(_composed, folders)
        notifier = _notifier(farm, stack)
        farm.reloader = Reloader(
            segments.control, farm, read, config, overrides, watch.poll, notifier
        )
        arbiter = _arbiter(farm, stack, signals, lambda: farm.serve(ready, seconds))
        arbiter.report_to(notifier)
        arbiter.want(farm.children())
        exit_code = arbiter.run()
        segments.end()
        log.get_logger().info("farm_stopped", exit_code=exit_code, uptime_s=_process_age_s())
        return exit_code


def drain(instance: str, deadline_s: float, *, signals: SignalQueue) -> Balance | None:
    """Deliver what a farm that has ended left, without workers; main thread only.

    It serves at the address and with the settings that the farm had, until its lossless groups have
    everything, the deadline is over, or a signal comes.

    Args:
        instance: name of the farm.
        deadline_s: seconds from when it serves.
        signals: entered already.

    Returns:
        Where everything is at the end; None if that cannot be read.

    Raises:
        UnavailableError: there is no such farm.
        ResourceError: it is running, its port is taken, or what it left cannot be gone on with.
        FarmError: the service could not run.
    """
    config = _last_config(instance)
    # Nobody plays any more, and nobody's port has to be free for it.
    config = structs.replace(config, games=structs.replace(config.games, hosts=0))
    with ExitStack() as stack:
        _log_as_supervisor(config)
        stack.callback(log.finish)
        segments = take_leftovers(config)
        stack.callback(segments.end)
        stack.callback(_remove_sockets, config)
        _publish(config, segments.control, quiet=False)
        farm = _Farm(config, segments)
        arbiter = _arbiter(farm, stack, signals, lambda: farm.drain(deadline_s))
        arbiter.want(_services(config, producing=False))
        exit_code = arbiter.run()
    if exit_code != EXIT_OK:
        raise FarmError(f"the service of {instance!r} ended with exit code {exit_code}; see above")
    return segments.end()


class _Farm:
    """What a farm consists of, and how that changes.

    Attributes:
        config: in force.
        reloader: brings in another; None where there is none, as in a drain of what is left.

    Args:
        config: checked.
        segments: taken.
        warm_ups: tasks that compile kernels first.
        quiet: log warnings only, once the farm serves.
    """

    def __init__(
        self,
        config: FarmConfig,
        segments: Segments,
        *,
        warm_ups: tuple[ChildSpec, ...] = (),
        quiet: bool = False,
    ) -> None:
        self.config = config
        self.reloader: Reloader | None = None
        self._quiet = quiet
        self._settings: dict[str, int] = {}
        self.segments = segments
        self.control = segments.control
        self._warm_ups = warm_ups
        self.arbiter: Arbiter | None = None
        self.bells: list[Doorbell] = []

    def children(self) -> tuple[ChildSpec, ...]:
        """Who shall run."""
        if self._warm_ups:
            log.get_logger().info(
                "kernels_compiling", hint="a first start takes a minute or so, later ones seconds"
            )
        return (*self._warm_ups, *self._services(producing=True))

    def is_open(self) -> bool:
        """Whether every service has told its address and accepts a connection there."""
        addresses = [self.control.address, *self._game_addresses()]
        return all(address and ports.answers(address, ANSWER_S) for address in addresses)

    def serve(self, ready: Ready | None, seconds: float | None) -> None:
        """Say that the farm is ready, once it is."""
        assert self.arbiter is not None
        address = self.control.address
        log.get_logger().info(
            "farm_ready",
            address=address,
            metrics_address=self.control.metrics_address or None,
            game_addresses=self._game_addresses(),
            instance=self.config.instance,
            startup_s=_process_age_s(),
            workers=self.config.worker.count,
        )
        if self._quiet:
            log.set_level(QUIET)
        if self._warm_ups:
            _remember_that_it_is_warm(self.config)
        if seconds is not None:
            self.arbiter.stop_at(time.monotonic_ns() + int(seconds * NS_PER_S))
        process = ready(address) if ready else None
        if process is not None:
            self.arbiter.accompany(ChildProcess(process))

    def prepare(self, config: FarmConfig) -> None:
        """Make the rings of the workers of a config that is to come."""
        self.segments.prepare(config)

    def follow(self, config: FarmConfig, plan: ReloadPlan, epoch: int) -> None:
        """Be as another config says."""
        assert self.arbiter is not None
        self.config = config
        for section, role in _ROLE_OF.items():
            if plan.restarts(section):
                self._settings[role] = epoch
        self.control.store_config(epoch, _blob(config, self.control, quiet=self._quiet))
        log.set_level(QUIET if self._quiet else config.telemetry.level)
        log.set_burst(config.telemetry.burst, config.telemetry.burst_s)
        log.set_fields(config_epoch=epoch)
        self.arbiter.follow(_rules(config.supervisor))
        self.arbiter.want(self._services(producing=True))
        for bell in self.bells:  # who rests looks at the config when woken
            bell.ring()

    def poll(self, now_ns: int) -> bool:
        """A turn of the arbiter's loop; True while children have yet to take a config or a ring."""
        log.poll()
        hurries = self.reloader is not None and self.reloader.poll(now_ns)
        if self.control.state is not FarmState.RUNNING or self.control.draining:
            return hurries
        replacements = self.segments.replacements
        if replacements.poll(now_ns):
            assert self.arbiter is not None
            self.arbiter.want(self._services(producing=True))
        return replacements.is_moving or hurries

    def reload(self) -> None:
        """Somebody asks for the config to be read again."""
        if self.reloader is not None:
            self.reloader.ask()
            return
        log.get_logger().warning(
            "reload_ignored",
            reason="what a farm left is delivered by the settings it had",
            hint="`farm up` reads the config again, once this drain is over",
        )

    def refusal(self) -> str:
        """Why the last reload was refused; empty if it was not."""
        return self.reloader.refusal if self.reloader is not None else ""

    def _game_addresses(self) -> tuple[str, ...]:
        """Where the games hosts listen that shall run, "" before one is bound."""
        n_hosts = 0 if self.control.draining else self.config.games.hosts
        return self.control.game_addresses[:n_hosts]

    def _services(self, *, producing: bool) -> tuple[ChildSpec, ...]:
        """What runs for as long as the farm does, replaced since for what its children need.

        Workers whose rings wait for another capacity are left out.
        """
        waiting = self.segments.replacements.workers
        return tuple(
            structs.replace(spec, settings=self._settings.get(spec.role, 0))
            for spec in _services(self.config, producing=producing)
            if spec.role != ROLLOUT_ROLE or spec.index not in waiting
        )

    def drain(self, deadline_s: float) -> None:
        """Produce nothing more, and stop once everything is delivered or the time is over."""
        assert self.arbiter is not None
        until_ns = time.monotonic_ns() + int(deadline_s * NS_PER_S)
        self.control.draining = 1
        log.get_logger().info(
            "farm_draining",
            address=self.control.address,
            deadline_s=deadline_s,
            owed_bytes=self.segments.lags(),
        )
        self.arbiter.want(self._services(producing=False))
        self.arbiter.stop_when(lambda: self._is_drained(until_ns))

    def _is_drained(self, until_ns: int) -> str:
        """Why the drain is over; empty while it is not."""
        if any(slot.pid for slot in self.control.children if slot.role in PRODUCER_ROLES):
            return ""  # what is in its hand will be published
        lags = self.segments.lags()
        if not lags:
            return "everything is delivered"
        if time.monotonic_ns() < until_ns:
            return ""
        return f"the time to drain is over; bytes left: {lags}"


def _services(config: FarmConfig, *, producing: bool) -> tuple[ChildSpec, ...]:
    """What runs for as long as the farm does, with who produces experiences or without."""
    services = children_of(*((config.worker.count, config.games.hosts) if producing else (0, 0)))
    return services if config.telemetry.metrics_address is None else (metrics(), *services)


def _warm_ups(config: FarmConfig) -> tuple[ChildSpec, ...]:
    """The tasks that compile what the config needs and is not compiled yet."""
    return tuple(spec for spec in _all_warm_ups(config) if not warm_stamp.is_warm(spec.name))


def _all_warm_ups(config: FarmConfig) -> tuple[ChildSpec, ...]:
    return (warm_up(), games_warm_up()) if config.games.hosts else (warm_up(),)


def _remember_that_it_is_warm(config: FarmConfig) -> None:
    try:
        warm_stamp.store(spec.name for spec in _all_warm_ups(config))
    except OSError as error:
        log.get_logger().warning("warm_stamp_not_kept", error=str(error))


def _log_as_supervisor(config: FarmConfig) -> None:
    log.configure(role="supervisor", level=config.telemetry.level, fmt=config.telemetry.format)
    log.set_burst(config.telemetry.burst, config.telemetry.burst_s)
    log.set_fields(config_epoch=FIRST_EPOCH)


def _publish(config: FarmConfig, control: ControlBlock, *, quiet: bool) -> None:
    """Give the children their config, and say what starts."""
    epoch = control.load_config()[0] + 1
    control.store_config(epoch, _blob(config, control, quiet=quiet))
    log.set_fields(config_epoch=epoch)
    log.get_logger().info(
        "farm_starting",
        version=__version__,
        instance=config.instance,
        seed=control.seed,
        workers=config.worker.count,
        map=config.match.map,
        board="x".join(map(str, largest_board(config.match))),
        seats=list(config.match.seats),
        shared_memory_bytes=shared_memory_bytes(config),
    )


def _blob(config: FarmConfig, control: ControlBlock, *, quiet: bool) -> bytes:
    """A config as the children get it: with the seed, and with the level that they log at."""
    level = QUIET if quiet else config.telemetry.level
    telemetry = structs.replace(config.telemetry, level=level)
    return msgspec.json.encode(structs.replace(config, seed=control.seed, telemetry=telemetry))


def _composed(folders: Sequence[Path], overrides: Sequence[str]) -> FarmConfig:
    """What files and overrides come to now.

    Raises:
        ConfigError: they cannot work.
    """
    config = compose_config(overrides, folders=folders)
    check(config, policies=POLICY_NAMES)
    return config


def _remove_sockets(config: FarmConfig) -> None:
    """Remove the unix sockets of children that could not do so themselves."""
    addresses = (config.serve.address, *config.games.addresses, config.telemetry.metrics_address)
    for address in addresses:
        ports.clean_up(address)


def _last_config(instance: str) -> FarmConfig:
    """The config that a farm had last.

    Raises:
        UnavailableError: there is no such farm, or its config cannot be read.
    """
    try:
        control = ControlBlock.attach(instance, readonly=True)
    except SegmentAbsentError:
        raise UnavailableError(f"there is no farm {instance!r}, and nothing left of one") from None
    try:
        return msgspec.json.decode(control.load_config()[1], type=FarmConfig)
    except (msgspec.MsgspecError, CorruptDataError) as error:
        raise UnavailableError(f"the config of farm {instance!r} is unreadable: {error}") from error
    finally:
        control.close()


def _arbiter(
    farm: _Farm, stack: ExitStack, signals: SignalQueue, on_ready: Callable[[], None]
) -> Arbiter:
    farm.bells = _bells(stack)
    farm.arbiter = Arbiter(
        farm.control,
        Spawner(farm.config.instance, [bell.fileno() for bell in farm.bells]),
        signals,
        _rules(farm.config.supervisor),
        log.get_logger(),
        is_open=farm.is_open,
        on_ready=on_ready,
        on_drain=lambda: farm.drain(farm.control.drain_ms / MS_PER_S or DRAIN_S),
        on_reload=farm.reload,
        on_turn=farm.poll,
    )
    return farm.arbiter


def _bells(stack: ExitStack) -> list[Doorbell]:
    """The doorbells for as many workers as there can be, so that a running farm can grow."""
    bells = [Doorbell.create() for _ in range(1 + MAX_ROLLOUTS)]
    for bell in bells:
        stack.callback(bell.close)
    return bells


def _notifier(farm: _Farm, stack: ExitStack) -> Notifier | None:
    waits = farm.segments.replacements.owed_bytes
    describe = StatusLine(farm.control, farm.refusal, waits)
    notifier = Notifier.take(os.environ, os.getpid(), describe)
    if notifier is not None:
        stack.callback(notifier.close)
    return notifier


def _rules(config: SupervisorConfig) -> Rules:
    def ns(seconds: float) -> int:
        return int(seconds * NS_PER_S)

    return Rules(
        Limits(
            start_ns=ns(config.start_s),
            task_ns=ns(config.warm_up_s),
            silence_ns=ns(config.silence_s),
            abort_ns=ns(config.abort_s),
            stop_ns=ns(config.stop_s),
        ),
        RestartPolicy(
            intensity=config.intensity,
            period_ns=ns(config.period_s),
            backoff_ns=ns(config.backoff_s),
        ),
    )


def _process_age_s() -> float:
    """Seconds since this process was started: field 22 of proc_pid_stat(5), in clock ticks."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - started_s, 3)
