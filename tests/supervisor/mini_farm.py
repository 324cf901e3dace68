"""A farm of test targets as a process: the real arbiter, spawner and control block.

python mini_farm.py INSTANCE '{"children": [{"name": "a", "target": "targets:beats"}],
    "limits_s": {…}, "restart": {…}, "once_ready": [children], "once_drained": [children],
    "seconds": 1.5, "hurries": true, "companion": "code"}'
"""

import json
import os
import random
import subprocess
import sys
import time
from typing import Any

import msgspec

from farm.config.schema import (
    FarmConfig,
    MatchConfig,
    RingConfig,
    ServeConfig,
    SupervisorConfig,
    TelemetryConfig,
    WorkerConfig,
)
from farm.shm.control import ControlBlock
from farm.shm.wake import Doorbell
from farm.supervisor.arbiter import Arbiter, Rules
from farm.supervisor.deadlines import NS_PER_S, Limits
from farm.supervisor.notify import Notifier
from farm.supervisor.restart import RestartPolicy
from farm.supervisor.signals import SignalQueue
from farm.supervisor.spawn import ChildProcess, Spawner
from farm.supervisor.specs import ChildSpec, Kind
from farm.supervisor.status import StatusLine
from farm.telemetry import log

LIMITS_S = {"start": 20, "task": 20, "silence": 20, "abort": 5, "stop": 20}
RESTART = {"intensity": 5, "period_s": 60, "backoff_s": 0.05}
SEED = 7

_slots: dict[str, int] = {}


def main() -> int:
    instance, text = sys.argv[1:]
    plan = json.loads(text)
    random.seed(0)
    log.configure(role="supervisor", level="debug", fmt="json")
    logger = log.get_logger()
    logger.info("imports", modules=[name for name in sys.modules if "." not in name])
    with SignalQueue() as signals:
        control = ControlBlock.create(instance, 0, seed=SEED)
        control.store_config(3, msgspec.json.encode(_config(instance)))
        bells = [Doorbell.create() for _ in range(3)]
        bells[0].ring()
        turns: list[int] = []
        arbiter = Arbiter(
            control,
            Spawner(instance, [bell.fileno() for bell in bells]),
            signals,
            _rules(plan),
            logger,
            is_open=lambda: True,
            on_ready=lambda: _ready(arbiter, plan),
            on_drain=lambda: _drain(arbiter, plan),
            on_reload=lambda: logger.info("asked_to_reload"),
            on_turn=lambda now_ns: turns.append(now_ns) or plan.get("hurries", False),  # type: ignore[func-returns-value]
        )
        arbiter.report_to(Notifier.take(os.environ, os.getpid(), StatusLine(control)))
        arbiter.want(map(_spec, plan["children"]))
        exit_code = arbiter.run()
        logger.info("turns", at_ns=turns)
        control.unlink()
        control.close()
        return exit_code


def _rules(plan: dict[str, Any]) -> Rules:
    limits = LIMITS_S | plan.get("limits_s", {})
    restart = RESTART | plan.get("restart", {})
    return Rules(
        Limits(**{f"{key}_ns": int(value * NS_PER_S) for key, value in limits.items()}),
        RestartPolicy(
            intensity=restart["intensity"],
            period_ns=int(restart["period_s"] * NS_PER_S),
            backoff_ns=int(restart["backoff_s"] * NS_PER_S),
        ),
    )


def _ready(arbiter: Arbiter, plan: dict[str, Any]) -> None:
    log.get_logger().info("farm_ready")
    if "once_ready" in plan:
        arbiter.want(map(_spec, plan["once_ready"]))
    if "seconds" in plan:
        arbiter.stop_at(time.monotonic_ns() + int(plan["seconds"] * NS_PER_S))
    if "companion" in plan:
        arbiter.accompany(ChildProcess(subprocess.Popen([sys.executable, "-c", plan["companion"]])))


def _drain(arbiter: Arbiter, plan: dict[str, Any]) -> None:
    """Shrink to the children of the plan, and stop once it was asked three times."""
    asked: list[int] = []
    arbiter.want(map(_spec, plan.get("once_drained", ())))
    arbiter.stop_when(lambda: asked.append(1) or ("drained" if len(asked) == 3 else ""))  # type: ignore[func-returns-value]
    log.get_logger().info("asked_to_drain")


def _spec(entry: dict[str, Any]) -> ChildSpec:
    slot = _slots.setdefault(entry["name"], len(_slots))
    return ChildSpec(
        name=entry["name"],
        role=entry["name"],
        index=slot,
        slot=slot,
        target=entry["target"],
        stage=entry.get("stage", 1),
        kind=Kind(entry.get("kind", "service")),
    )


def _config(instance: str) -> FarmConfig:
    return FarmConfig(
        match=MatchConfig(),
        worker=WorkerConfig(),
        ring=RingConfig(),
        serve=ServeConfig(),
        supervisor=SupervisorConfig(),
        telemetry=TelemetryConfig(level="debug", format="json"),
        instance=instance,
    )


if __name__ == "__main__":
    sys.exit(main())
