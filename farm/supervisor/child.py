"""The first code of every child: tie it to the supervisor, prepare its context, call the target.

    python -m farm.supervisor.child --supervisor-pid=P --instance=I --name=N --slot=K
                                    --generation=G --wake-fds=A,B,… package.module:function

The target gets a `ChildContext` and returns an exit code. It sets its slot READY after its first
piece of work, beats at least once a second, and returns soon after `ctx.stopping` is set. The
rest is done here: the slot says DRAINING from the SIGTERM on and STOPPED after a return of 0; a
FarmError becomes one log line and its exit code, any other exception a logged traceback and exit
code 70.

Nothing but the standard library is imported at the top: see `leash`.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import EXIT_INTERNAL, EXIT_OK, FarmError
from farm.supervisor import leash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from farm.config.schema import FarmConfig
    from farm.shm.control import ChildSlot, ControlBlock
    from farm.shm.wake import Doorbell
    from farm.telemetry.log import Logger

_STDOUT = 1
"""Where the log goes: dumps on standard error would be missing there if that goes elsewhere."""


@dataclass(slots=True)
class ChildContext:
    """What a child is given."""

    instance: str
    name: str
    """Unique in the farm, such as `rollout-3`."""
    role: str
    index: int
    """Number among the children of its role, from 0."""
    generation: int
    """Incarnation of this child, from 1."""
    config: FarmConfig
    """In force; `try_follow` replaces it."""
    seed: int
    """Of every game of this farm."""
    control: ControlBlock
    slot: ChildSlot
    """This child's own part of the control block."""
    log: Logger
    data_bell: Doorbell
    """Rung by any worker after a publish, waited on by the experiences service."""
    space_bells: list[Doorbell]
    """By worker index: rung by the experiences service after a release, if the worker is parked."""
    epoch: int = 0
    """Of `config`."""
    config_stamp: int = 0
    """Of `config`: another one in the control block says that there is a newer."""
    stopping: bool = False
    """Finish: set by SIGTERM, never cleared."""

    def try_follow(self) -> bool:
        """Take a newer config from the control block, if there is one; costs a look at one word.

        Whoever has applied it says so in `slot.config_epoch`, by `acknowledge`. As every duty cycle
        comes by here, the log has its turn too (`log.poll`).
        """
        from farm.telemetry import log  # noqa: PLC0415 - see the module's docstring

        log.poll()
        stamp = self.control.config_stamp
        if stamp == self.config_stamp:
            return False
        import msgspec  # noqa: PLC0415 - see the module's docstring

        from farm.config.schema import FarmConfig  # noqa: PLC0415

        self.epoch, blob = self.control.load_config()
        self.config = msgspec.json.decode(blob, type=FarmConfig)
        self.config_stamp = stamp
        telemetry = self.config.telemetry
        log.set_level(telemetry.level)
        log.set_burst(telemetry.burst, telemetry.burst_s)
        log.set_fields(config_epoch=self.epoch)
        return True

    def acknowledge(self) -> None:
        """Say that `config` is applied."""
        self.slot.config_epoch = self.epoch


def main(argv: Sequence[str] | None = None) -> int:
    """Run the child that the command line describes."""
    args = _parse(argv)
    leash.tie(args.supervisor_pid)
    faulthandler.enable(_STDOUT)
    # A terminal's Ctrl-C is the supervisor's business; whoever sends it to a child by hand errs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    context = _context(args)
    _drain_on_sigterm(context)
    try:
        exit_code = EXIT_OK if context.stopping else _target(args.target)(context)
    except FarmError as error:
        # No traceback: the message is written for the operator.
        context.log.error("child_failed", error=str(error), exit_code=error.exit_code)  # noqa: TRY400
        return error.exit_code
    except Exception:
        context.log.exception("child_crashed", exit_code=EXIT_INTERNAL)
        return EXIT_INTERNAL
    if exit_code == EXIT_OK:
        from farm.shm.control import ChildState  # noqa: PLC0415 - see the module's docstring

        context.slot.state = ChildState.STOPPED
    return exit_code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="farm.supervisor.child", allow_abbrev=False)
    parser.add_argument("--supervisor-pid", type=int, required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--wake-fds", required=True)
    parser.add_argument("target")
    return parser.parse_args(argv)


def _context(args: argparse.Namespace) -> ChildContext:
    import msgspec  # noqa: PLC0415 - see the module's docstring

    from farm.config.schema import FarmConfig  # noqa: PLC0415
    from farm.shm.control import ControlBlock  # noqa: PLC0415
    from farm.shm.wake import Doorbell  # noqa: PLC0415
    from farm.telemetry import log  # noqa: PLC0415

    control = ControlBlock.attach(args.instance)
    slot = control.children[args.slot]
    stamp = control.config_stamp  # first: of a config that comes meanwhile, it is the older
    epoch, blob = control.load_config()
    config = msgspec.json.decode(blob, type=FarmConfig)
    log.configure(
        role=slot.role,
        worker=slot.index,
        generation=args.generation,
        level=config.telemetry.level,
        fmt=config.telemetry.format,
    )
    log.set_burst(config.telemetry.burst, config.telemetry.burst_s)
    log.set_fields(config_epoch=epoch)
    slot.config_epoch = epoch
    data_bell, *space_bells = (Doorbell(int(fd)) for fd in args.wake_fds.split(","))
    return ChildContext(
        instance=args.instance,
        name=args.name,
        role=slot.role,
        index=slot.index,
        generation=args.generation,
        config=config,
        seed=control.seed,
        control=control,
        slot=slot,
        log=log.get_logger(),
        data_bell=data_bell,
        space_bells=space_bells,
        epoch=epoch,
        config_stamp=stamp,
    )


def _drain_on_sigterm(context: ChildContext) -> None:
    from farm.shm.control import ChildState  # noqa: PLC0415 - see the module's docstring

    def drain(_number: int, _frame: FrameType | None) -> None:
        context.stopping = True
        context.slot.state = ChildState.DRAINING

    signal.signal(signal.SIGTERM, drain)


def _target(dotted: str) -> Callable[[ChildContext], int]:
    module, _, function = dotted.partition(":")
    target: Callable[[ChildContext], int] = getattr(importlib.import_module(module), function)
    return target


def _run_as_module() -> None:
    # Under its own name, so that `ChildContext` is one class and not also one of `__main__`.
    from farm.supervisor import child  # noqa: PLC0415, PLW0406

    exit_code = child.main()
    from farm.telemetry import log  # noqa: PLC0415 - not before the child is tied

    log.finish()
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking Numba and gRPC apart would cost a third of a second and may hang; what a child leaves
    # is in shared memory and in the log already.
    os._exit(exit_code)


if __name__ == "__main__":
    _run_as_module()
