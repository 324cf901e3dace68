"""The experiences service as a child of the farm: wiring, readiness, and how it stops."""

import asyncio
import time

from farm.config.exposure import exposed
from farm.config.patterns import socket_path
from farm.errors import EXIT_OK, SegmentAbsentError, SegmentNotReadyError
from farm.rpc.names import EXPERIENCE_SERVICE
from farm.serve.access import AccessInterceptor
from farm.serve.batch import Limits
from farm.serve.describe import Describer, LiveConfig
from farm.serve.groups import Groups
from farm.serve.hub import Hub
from farm.serve.interceptor import ErrorInterceptor
from farm.serve.limits import Limiter, LimitInterceptor
from farm.serve.policy import declared_policies
from farm.serve.pump import Pump
from farm.serve.rings import Ring, attach_rings
from farm.serve.server import bind, check_health, make_server
from farm.serve.service import ExperienceService
from farm.serve.stats import Statistics
from farm.serve.submit import Intake
from farm.serve.tls import certificates_of, check_handshake
from farm.serve.trace import TraceInterceptor, start_tracer, stop_tracer
from farm.serve.upkeep import Upkeep
from farm.serve.warm_up import compile_kernels
from farm.shm.control import ChildState
from farm.shm.groups import SUBMITTED_RING, GroupsBlock, attach_groups
from farm.shm.ring import RingProducer
from farm.shm.wake import Doorbell
from farm.supervisor.capacities import capacities
from farm.supervisor.child import ChildContext
from farm.supervisor.specs import PRODUCER_ROLES

BUSY_PAUSE_S = 0.008
"""Least time between two rounds of the pump while somebody waits for a batch: a round costs the
same for one publish as for many. A short `serve.max_batch_wait_ms` shortens it."""
QUIET_PAUSE_S = 0.02
"""The same while nobody waits."""
MAX_REST_S = 0.1
"""Longest time without a round."""
HEALTH_S = 10.0
"""Time for the port to answer after it was bound."""
GRACE_S = 1.0
"""Time for calls to end after their streams were told to."""
_ATTACH_PAUSE_S = 0.02
_NS_PER_S = 1e9


def main(ctx: ChildContext) -> int:
    """Serve until the farm stops."""
    compile_kernels()
    attached = _wait_for_rings(ctx)
    if attached is not None:
        asyncio.run(_serve(ctx, *attached))
    return EXIT_OK


def _wait_for_rings(ctx: ChildContext) -> tuple[GroupsBlock, list[Ring]] | None:
    """Attach to the groups segment and every ring; None if the farm stops before they are there.

    Raises:
        SegmentError: one is not there in time, or has another layout.
        CorruptDataError: they contradict each other.
    """
    deadline_s = time.monotonic() + ctx.config.supervisor.start_s
    while not ctx.stopping:
        ctx.slot.beat(time.monotonic_ns())
        try:
            groups = attach_groups(ctx.instance)
            wanted = capacities(ctx.config)
            return groups, attach_rings(ctx.instance, groups, ctx.space_bells, wanted)
        except (SegmentAbsentError, SegmentNotReadyError):
            if time.monotonic() > deadline_s:
                raise
        ctx.data_bell.wait(_ATTACH_PAUSE_S)
    return None


async def _serve(ctx: ChildContext, block: GroupsBlock, rings: list[Ring]) -> None:
    config = ctx.config
    declared = declared_policies(config.serve.groups)
    hub = Hub(rings, Groups(block, rings, declared, time.monotonic_ns()))
    statistics = Statistics(config.serve.stats_records)
    pump = Pump(hub, statistics, ctx.slot, Limits.of(config.serve))
    live = LiveConfig(ctx.slot.config_epoch, config)
    upkeep = Upkeep(hub, ctx.log)
    describer = Describer(ctx.control, live, hub, statistics, upkeep)
    intake = _intake(ctx, rings, pump)
    limiter = Limiter(config.limits, ctx.slot.add, ctx.log)
    service = ExperienceService(pump, describer, ctx.slot, intake, limiter)
    interceptor = ErrorInterceptor(ctx.log, lambda: ctx.slot.add("rpc_errors", 1))
    tokens_file = config.security.tokens_file
    access = None if tokens_file is None else AccessInterceptor(tokens_file, ctx.log)
    limits = LimitInterceptor(limiter)
    tracer = start_tracer(ctx)
    server, health = make_server(
        service.handlers(),
        EXPERIENCE_SERVICE,
        interceptor,
        config.serve.client_timeout_s,
        access,
        limits,
        trace=None if tracer is None else TraceInterceptor(tracer),
    )
    is_local = socket_path(config.serve.address) is not None
    certificates = None if is_local else certificates_of(config.security, ctx.log)
    credentials = certificates and certificates.credentials
    address = bind(server, config.serve.address, credentials, key="serve.address")
    if unguarded := exposed(config):
        ctx.log.warning("addresses_unguarded", **_as_fields(unguarded), setting="security.insecure")
    await server.start()
    try:
        await health.set(EXPERIENCE_SERVICE, 1)
        if certificates is None:
            await check_health(address, HEALTH_S, EXPERIENCE_SERVICE)
        else:
            await check_handshake(address, HEALTH_S)
        ctx.control.address = address
        if not ctx.stopping:
            ctx.slot.state = ChildState.READY
        groups = {group.name: group.lag_records for group in hub.groups}
        ctx.log.info("experiences_serving", address=address, rings=len(rings), groups=groups)
        await _Duty(ctx, block, pump, describer, upkeep, intake, limiter).run()
    finally:
        pump.close()
        await health.enter_graceful_shutdown()
        await server.stop(GRACE_S)
        await stop_tracer(tracer, ctx.log)
    ctx.log.info("experiences_stopped", **_balance(ctx, hub))


def _intake(ctx: ChildContext, rings: list[Ring], pump: Pump) -> Intake | None:
    """Takes trajectories in, if there is a ring for them; this service is its producer."""
    ring = next((ring for ring in rings if ring.worker == SUBMITTED_RING), None)
    if ring is None:
        return None
    producer = RingProducer(ring.view.segment, ctx.generation)
    return Intake(producer, ctx.generation, pump.wake.set)


def _as_fields(addresses: dict[str, str]) -> dict[str, str]:
    """Addresses by names that a log line can have: address, games_address, metrics_address."""
    names = {key: key.removeprefix("serve.").removeprefix("telemetry.") for key in addresses}
    return {names[key].replace(".", "_"): address for key, address in addresses.items()}


def _balance(ctx: ChildContext, hub: Hub) -> dict[str, int]:
    return {
        "served_records": ctx.slot.counter("served_records"),
        "acknowledged_records": ctx.slot.counter("acknowledged_records"),
        "leased_records": hub.leased_records,
        "ring_records": sum(ring.tail.records - ring.head.records for ring in hub.rings),
    }


class _Duty:
    """Runs the pump: a round, a pause, and rest until there is something to do."""

    def __init__(
        self,
        ctx: ChildContext,
        block: GroupsBlock,
        pump: Pump,
        describer: Describer,
        upkeep: Upkeep,
        intake: Intake | None,
        limiter: Limiter,
    ) -> None:
        self._ctx = ctx
        self._block = block
        self._pump = pump
        self._describer = describer
        self._upkeep = upkeep
        self._intake = intake
        self._limiter = limiter
        self._drain_until_ns: int | None = None

    async def run(self) -> None:
        """Until the farm stops and what is left was taken, or time is up for it."""
        while True:
            self._pump.wake.clear()
            now_ns = time.monotonic_ns()
            # In this order: once it drains, everything is published before the round that says so.
            self._pump.hub.is_draining = self._is_draining()
            self._pump.poll(now_ns)
            if self._is_over(now_ns):
                return
            self._look_after(now_ns)
            self._follow_config()
            await asyncio.sleep(self._pause_s())
            await self._rest(self._ctx.data_bell)

    def _pause_s(self) -> float:
        if not self._pump.has_requests:
            return QUIET_PAUSE_S
        return min(BUSY_PAUSE_S, self._pump.limits.max_wait_ns / 2e9)

    def _is_draining(self) -> bool:
        """Whether the farm drains, and nobody is left who could publish something."""
        control = self._ctx.control
        return bool(control.draining) and not any(
            slot.pid for slot in control.children if slot.role in PRODUCER_ROLES
        )

    def _is_over(self, now_ns: int) -> bool:
        if self._intake is not None and (self._ctx.stopping or self._ctx.control.draining):
            self._intake.close()
        if not self._ctx.stopping:
            return False
        if self._drain_until_ns is None:
            drain_s = self._describer.live.config.serve.drain_s
            self._drain_until_ns = now_ns + int(drain_s * 1e9)
            self._ctx.log.info("experiences_draining", drain_s=drain_s)
        return self._pump.hub.is_drained or now_ns >= self._drain_until_ns

    def _look_after(self, now_ns: int) -> None:
        serve = self._describer.live.config.serve
        self._upkeep.poll(
            now_ns,
            idle_ns=int(serve.group_idle_s * _NS_PER_S),
            warn_ns=int(serve.stall_warn_s * _NS_PER_S),
        )

    def _follow_config(self) -> None:
        """Apply a newer config, and say so in the slot."""
        ctx = self._ctx
        if not ctx.try_follow():
            return
        hub, wanted = self._pump.hub, capacities(ctx.config)
        known = [ring.worker for ring in hub.rings]
        hub.add_rings(attach_rings(ctx.instance, self._block, ctx.space_bells, wanted, known=known))
        self._describer.live = LiveConfig(ctx.epoch, ctx.config)
        self._pump.limits = Limits.of(ctx.config.serve)
        self._limiter.limits = ctx.config.limits
        ctx.acknowledge()

    async def _rest(self, bell: Doorbell) -> None:
        """Wait for the bell, a reader, or the deadline."""
        wake = self._pump.wake
        if wake.is_set():
            return
        loop = asyncio.get_running_loop()
        rest_s = MAX_REST_S
        if self._pump.has_requests:
            rest_s = min(rest_s, self._pump.limits.max_wait_ns / 1e9)
        deadline = loop.call_later(rest_s, wake.set)
        # Listening only while resting: a bell that nobody waits for costs nothing.
        loop.add_reader(bell.fileno(), self._heard)
        try:
            await wake.wait()
        finally:
            loop.remove_reader(bell.fileno())
            deadline.cancel()

    def _heard(self) -> None:
        self._ctx.data_bell.clear()
        self._pump.wake.set()
