"""The metrics child of the farm: wiring, the three paths, and its duty cycle.

    GET /metrics   a page for Prometheus, in its format or in OpenMetrics
    GET /healthz   200 while this child lives and the supervisor holds its instance, else 503
    GET /readyz    200 while the farm runs, serves, and every heartbeat is fresh, else 503

The control block that is read here is a mapping of its own, read-only; the child's slot is written
through the one that every child is given.
"""

import asyncio
import gc
import time
from http import HTTPStatus

import msgspec

from farm.config.schema import FarmConfig
from farm.errors import EXIT_OK
from farm.metrics.collector import Collector
from farm.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE, Writer
from farm.metrics.health import Health, healthz, readyz
from farm.metrics.request import Request, Response
from farm.metrics.segments import Segments
from farm.metrics.server import Server, listen
from farm.shm.control import ChildState, ControlBlock
from farm.shm.lease import running_pid
from farm.supervisor import ports
from farm.supervisor.child import ChildContext

KEY = "telemetry.metrics_address"
DUTY_S = 0.025
"""Between two rounds of the duty cycle: how long a stop or a reload waits for this child. A round
takes 40 us."""
FRESH_NS = 100_000_000
"""A page is handed out again for this long: whoever asks without end costs no more than this."""


def main(ctx: ChildContext) -> int:
    """Answer until the farm stops."""
    control = ControlBlock.attach(ctx.instance, readonly=True)
    segments = Segments(ctx.instance)
    try:
        asyncio.run(_serve(ctx, Endpoint(control, segments, ctx.config), segments))
    finally:
        segments.close()
        control.close()
    return EXIT_OK


class Endpoint:
    """Answers by path.

    Attributes:
        config: the one in force.
        outcomes: of the server's requests, once it has one.

    Args:
        control: read only.
        segments: of the same instance.
        config: the one in force.
        fresh_ns: FRESH_NS.
    """

    def __init__(
        self,
        control: ControlBlock,
        segments: Segments,
        config: FarmConfig,
        *,
        fresh_ns: int = FRESH_NS,
    ) -> None:
        self.config = config
        self.outcomes: dict[str, int] = {}
        self._control = control
        self._collector = Collector(control, segments, lambda: self.config)
        self._writer = Writer()
        self._fresh_ns = fresh_ns
        self._kept: dict[bool, tuple[int, bytes]] = {}

    def answer(self, request: Request) -> Response:
        """The response to a request."""
        if request.path == "/metrics":
            return self._metrics(openmetrics=request.wants_openmetrics)
        if request.path == "/healthz":
            instance = self._control.instance
            return _health(healthz(instance, running_pid(instance)))
        if request.path == "/readyz":
            control, silence_s = self._control, self.config.supervisor.silence_s
            now_ns = time.monotonic_ns()
            return _health(readyz(control.state, control.children, silence_s, now_ns))
        return Response(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")

    def _metrics(self, *, openmetrics: bool) -> Response:
        now_ns = time.monotonic_ns()
        made_ns, body = self._kept.get(openmetrics, (0, b""))
        if now_ns - made_ns > self._fresh_ns:
            page = self._collector.collect(now_ns, time.time_ns(), self.outcomes)
            body = self._writer.write(page, openmetrics=openmetrics)
            self._kept[openmetrics] = (now_ns, body)
        return Response(HTTPStatus.OK, body, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE)


def spare_what_is_loaded() -> None:
    """Keep modules out of garbage collections: one of all takes 15 ms, in the middle of a page."""
    gc.collect()
    gc.freeze()


def _health(health: Health) -> Response:
    status = HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(status, msgspec.json.encode(health) + b"\n", "application/json")


async def _serve(ctx: ChildContext, endpoint: Endpoint, segments: Segments) -> None:
    address = endpoint.config.telemetry.metrics_address
    assert address is not None, f"no {KEY}: the child is not started then"
    server = Server(endpoint.answer)
    endpoint.outcomes = server.outcomes
    sockets, bound = listen(address, key=KEY)
    await server.start(sockets)
    ctx.control.metrics_address = bound
    if not ctx.stopping:
        ctx.slot.state = ChildState.READY
    ctx.log.info("metrics_serving", address=bound)
    spare_what_is_loaded()
    try:
        await _duty(ctx, endpoint, segments)
    finally:
        server.close()
        ports.clean_up(address)


async def _duty(ctx: ChildContext, endpoint: Endpoint, segments: Segments) -> None:
    """Beat and follow the config until the farm stops."""
    while not ctx.stopping:
        ctx.slot.beat(time.monotonic_ns())
        segments.let_go()
        if ctx.try_follow():
            endpoint.config = ctx.config
            ctx.acknowledge()
        await asyncio.sleep(DUTY_S)
