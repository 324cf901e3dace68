"""Children for tests: each does one thing that the supervisor has to deal with."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from farm.errors import AddressInUseError, ConfigError
from farm.shm.control import ChildState

BEAT_S = 0.02


def beats(ctx):
    """A good child: ready at once, beats, drains on SIGTERM."""
    ctx.slot.state = ChildState.READY
    _beat_until_stopped(ctx)
    return 0


def reports_imports(ctx):
    ctx.log.info("child_imports", modules=sorted(sys.modules))
    return beats(ctx)


def crashes(ctx):
    raise RuntimeError(f"{ctx.name} was made to crash")


def crashes_twice(ctx):
    """Crashes in its first two generations."""
    if ctx.generation <= 2:
        raise RuntimeError("not yet")
    return beats(ctx)


def ends_once(ctx):
    """Ends with 0 although nobody asked."""
    return 0 if ctx.generation == 1 else beats(ctx)


def bad_config(_ctx):
    raise ConfigError("match.board", "has no room for 16 seats")


def port_taken(_ctx):
    raise AddressInUseError("127.0.0.1:50051 is taken by another process")


def port_taken_later(ctx):
    """Cannot run any more once it has run: the replacement meets a taken port."""
    if ctx.generation == 2:
        raise AddressInUseError("127.0.0.1:50051 is taken by another process")
    return beats(ctx)


def goes_silent_once(ctx):
    """Ready, then stuck in Python code; its stacks can be dumped. The next generation is good."""
    if ctx.generation == 1:
        ctx.slot.state = ChildState.READY
        ctx.slot.beat(time.monotonic_ns())
        _stuck()
    return beats(ctx)


def goes_deaf_once(ctx):
    """Ready, then silent, and not even SIGABRT ends it."""
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
    return goes_silent_once(ctx)


def ignores_sigterm(ctx):
    ctx.slot.state = ChildState.READY
    while True:
        ctx.slot.beat(time.monotonic_ns())
        time.sleep(BEAT_S)


def never_ready(ctx):
    _beat_until_stopped(ctx)
    return 0


def drains_for_long(ctx):
    """Drains as long as the environment says."""
    beats(ctx)
    deadline = time.monotonic() + float(os.environ["DRAIN_S"])
    while time.monotonic() < deadline:
        ctx.slot.beat(time.monotonic_ns())
        time.sleep(BEAT_S)
    return 0


def task(ctx):
    ctx.log.info("task_done")
    return 0


def task_fails(_ctx):
    return 1


def task_hangs(_ctx):
    _stuck()
    return 0


def reports_context(ctx):
    ctx.log.info(
        "context",
        name=ctx.name,
        index=ctx.index,
        seed=ctx.seed,
        instance=ctx.instance,
        board=ctx.config.match.board,
        n_space_bells=len(ctx.space_bells),
        data_bell_rings=ctx.data_bell.wait(0.0),
        epoch=ctx.slot.config_epoch,
        session_leader=os.getsid(0) == os.getpid(),
        stdin=str(Path("/proc/self/fd/0").readlink()),
    )
    return beats(ctx)


def reports_environment(ctx):
    ctx.log.info("environment", names=sorted(os.environ))
    return beats(ctx)


def leaves_orphans(ctx):
    """Leaves processes behind that end by themselves, and says when not even a zombie is left."""
    shell = ["/bin/sh", "-c", "for _ in 1 2 3; do sleep 0.2 & echo $!; done"]
    done = subprocess.run(shell, stdout=subprocess.PIPE, text=True, check=True)
    pids = [int(word) for word in done.stdout.split()]
    ctx.log.info("orphans_left", pids=pids)
    ctx.slot.state = ChildState.READY
    while not ctx.stopping:
        ctx.slot.beat(time.monotonic_ns())
        if pids and not any(Path(f"/proc/{pid}").exists() for pid in pids):
            ctx.log.info("orphans_gone", pids=pids)
            pids = []
        time.sleep(BEAT_S)
    return 0


def has_threads(ctx):
    """Has a thread besides the one that beats."""
    threading.Thread(target=_stuck, daemon=True).start()
    return beats(ctx)


def _beat_until_stopped(ctx):
    while not ctx.stopping:
        ctx.slot.beat(time.monotonic_ns())
        time.sleep(BEAT_S)


def _stuck():
    while True:
        time.sleep(60)
