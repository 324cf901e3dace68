"""`run`: one farm from its overrides to its exit code. Everything is wired here.

    config ─ lease of the instance ─ port ─ room ─ segments, doorbells ─ arbiter ─ unlink

Whatever keeps the farm from starting raises a FarmError before a child exists; from then on
problems are log lines and the exit code.
"""

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec.structs import replace

from farm.config.check import check
from farm.config.load import COMMAND_LINE, compose
from farm.config.memory import shared_memory_bytes
from farm.config.schema import FarmConfig, SupervisorConfig
from farm.errors import SharedMemoryFullError
from farm.policies.registry import POLICY_NAMES
from farm.shm.control import ControlBlock
from farm.shm.lease import acquire_instance, unlink_instance
from farm.shm.ring_layout import create_ring
from farm.shm.room import SHM_DIR, free_bytes
from farm.shm.wake import Doorbell
from farm.supervisor import ports, warm_stamp
from farm.supervisor.arbiter import Arbiter, Rules
from farm.supervisor.deadlines import NS_PER_S, Limits
from farm.supervisor.restart import RestartPolicy
from farm.supervisor.signals import SignalQueue
from farm.supervisor.spawn import ChildProcess, Spawner
from farm.supervisor.specs import MAX_ROLLOUTS, ChildSpec, children_of, metrics, warm_up
from farm.telemetry import log
from farm.version import __version__

FIRST_EPOCH = 1
"""Epoch of the config that the farm starts with."""
ANSWER_S = 0.25
"""Time for the port to answer in one try; it is asked again while the farm starts."""
QUIET = "warning"
"""Level of a farm that shares its terminal with a tail."""
SEED_BITS = 63

Ready = Callable[[str], subprocess.Popen[bytes] | None]
"""Called with the address once the farm serves; a process that it returns is watched: the farm
stops when that ends, and ends it when the farm stops."""


def run(
    overrides: Sequence[str],
    *,
    ready: Ready | None = None,
    seconds: float | None = None,
    quiet: bool = False,
    signals: SignalQueue | None = None,
) -> int:
    """Run a farm until it is told to stop; main thread only.

    Args:
        overrides: of the config, in Hydra's grammar.
        ready: called once, when the farm serves.
        seconds: stop this long after that; None runs until a signal.
        quiet: from then on log warnings only, children from the start, unless the overrides set a
            level.
        signals: entered already, with what has come since; None takes signals from here on.

    Returns:
        The exit code: 0 after a stop that was asked for, else see `farm.supervisor.arbiter`.

    Raises:
        ConfigError: the config is wrong.
        ResourceError: the port is taken, shared memory is full, or the instance is running.
    """
    with ExitStack() as stack:
        signals = signals or stack.enter_context(SignalQueue())
        composed = compose(overrides)
        config = composed.config
        check(config, policies=POLICY_NAMES)
        log.configure(role="supervisor", level=config.telemetry.level, fmt=config.telemetry.format)
        log.set_fields(config_epoch=FIRST_EPOCH)
        quiet = quiet and composed.origins["telemetry.level"] != COMMAND_LINE
        farm = _Farm(config, _shared(config, stack, quiet=quiet), cold=not warm_stamp.is_warm())
        arbiter = Arbiter(
            farm.control,
            Spawner(config.instance, _bell_fds(stack)),
            signals,
            _rules(config.supervisor),
            log.get_logger(),
            is_open=farm.is_open,
            on_ready=lambda: farm.serve(arbiter, ready, seconds, quiet=quiet),
        )
        arbiter.want(farm.children())
        exit_code = arbiter.run()
        log.get_logger().info("farm_stopped", exit_code=exit_code, uptime_s=_process_age_s())
        return exit_code


class _Farm:
    """What is decided once per farm.

    Args:
        config: checked.
        control: the control block, ready to be attached to.
        cold: the kernels are to be compiled first.
    """

    def __init__(self, config: FarmConfig, control: ControlBlock, *, cold: bool) -> None:
        self.config = config
        self.control = control
        self.cold = cold

    def children(self) -> tuple[ChildSpec, ...]:
        """Who shall run."""
        services = children_of(self.config.worker.count)
        if self.config.telemetry.metrics_address is not None:
            services = (metrics(), *services)
        if not self.cold:
            return services
        log.get_logger().info(
            "kernels_compiling", hint="a first start takes a minute or so, later ones seconds"
        )
        return (warm_up(), *services)

    def is_open(self) -> bool:
        """Whether the experiences service has told its address and accepts a connection there."""
        address = self.control.address
        return bool(address) and ports.answers(address, ANSWER_S)

    def serve(
        self, arbiter: Arbiter, ready: Ready | None, seconds: float | None, *, quiet: bool
    ) -> None:
        """Say that the farm is ready, once it is."""
        address = self.control.address
        log.get_logger().info(
            "farm_ready",
            address=address,
            metrics_address=self.control.metrics_address or None,
            instance=self.config.instance,
            startup_s=_process_age_s(),
            workers=self.config.worker.count,
        )
        if quiet:
            log.set_level(QUIET)
        if self.cold:
            _remember_that_it_is_warm()
        if seconds is not None:
            arbiter.stop_at(time.monotonic_ns() + int(seconds * NS_PER_S))
        process = ready(address) if ready else None
        if process is not None:
            arbiter.accompany(ChildProcess(process))


def _remember_that_it_is_warm() -> None:
    try:
        warm_stamp.store()
    except OSError as error:
        log.get_logger().warning("warm_stamp_not_kept", error=str(error))


def _shared(config: FarmConfig, stack: ExitStack, *, quiet: bool) -> ControlBlock:
    """Take the instance and make its segments; `stack` removes them.

    Raises:
        ResourceError: another farm has the instance, or the machine lacks port or memory.
    """
    lease = acquire_instance(config.instance)
    with ExitStack() as undo:
        undo.callback(lease.close)
        undo.callback(unlink_instance, lease)
        if lease.reclaimed:
            log.get_logger().warning(
                "segments_reclaimed", instance=config.instance, segments=list(lease.reclaimed)
            )
        ports.check_free(config.serve.address, key="serve.address")
        if config.telemetry.metrics_address is not None:
            ports.check_free(config.telemetry.metrics_address, key="telemetry.metrics_address")
        _check_room(config)
        undo.pop_all()  # the control block has the lease from here on
    seed = secrets.randbits(SEED_BITS) if config.seed is None else config.seed
    control = ControlBlock.create(config.instance, 0, seed=seed, lease=lease)
    stack.callback(control.close)
    stack.callback(control.unlink)
    for worker in range(config.worker.count):
        create_ring(config.instance, worker, config.ring.bytes).close()
    level = QUIET if quiet else config.telemetry.level
    telemetry = replace(config.telemetry, level=level)
    blob = msgspec.json.encode(replace(config, seed=seed, telemetry=telemetry))
    control.store_config(FIRST_EPOCH, blob)
    log.get_logger().info(
        "farm_starting",
        version=__version__,
        instance=config.instance,
        seed=seed,
        workers=config.worker.count,
        board=config.match.board,
        seats=list(config.match.seats),
        shared_memory_bytes=shared_memory_bytes(config),
    )
    return control


def _check_room(config: FarmConfig) -> None:
    """Refuse what does not fit into shared memory, before any of it is taken."""
    wanted, free = shared_memory_bytes(config), free_bytes()
    if wanted > free:
        raise SharedMemoryFullError(
            f"the farm wants {wanted} bytes of shared memory (worker.count="
            f"{config.worker.count} rings of ring.bytes={config.ring.bytes}) and {free} are free "
            f"in {SHM_DIR}; ask for less, stop another farm, or enlarge {SHM_DIR}"
        )


def _bell_fds(stack: ExitStack) -> list[int]:
    """The doorbells for as many workers as there can be, so that a running farm can grow."""
    bells = [Doorbell.create() for _ in range(1 + MAX_ROLLOUTS)]
    for bell in bells:
        stack.callback(bell.close)
    return [bell.fileno() for bell in bells]


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
