"""A span for every call: its parent from the caller's metadata, its end by the status.

Attributes are those of the semantic conventions for gRPC, and `farm.caller`, the name that limits
are kept by. Calls of the health service, which load balancers make without end, have no span.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from farm.serve.access import OPEN
from farm.serve.caller import caller
from farm.serve.interceptor import answer, is_stream, method_of, with_method
from farm.serve.trail import NO_TRAIL, SpanTrail, set_trail
from farm.supervisor.child import ChildContext
from farm.telemetry import tracing
from farm.telemetry.log import Logger
from farm.telemetry.tracing import Attributes, Span, Tracer

FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Errors of the server by the semantic conventions; any other is the caller's."""
UNEXPECTED: Final = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})
"""What comes with a traceback; the others are told on purpose."""


def start_tracer(ctx: ChildContext) -> Tracer | None:
    """Trace what a child serves, if the environment asks for it."""
    about: Attributes = {
        "service.instance.id": f"{ctx.instance}/{ctx.name}",
        "farm.instance": ctx.instance,
        "farm.role": ctx.role,
        "farm.index": ctx.index,
        "farm.generation": ctx.generation,
        "process.pid": os.getpid(),
    }
    return tracing.start(about, ctx.log)


async def stop_tracer(tracer: Tracer | None, log: Logger) -> None:
    """Send the last spans, as far as the collector takes them in time."""
    if tracer is not None and not await asyncio.to_thread(tracer.stop):
        log.warning("traces_not_sent", hint="the collector takes too long, or is not there")


class TraceInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Stands before every other interceptor, ErrorInterceptor included, whose status it sees.

    Args:
        tracer: makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Hand out the handler of a call, with a span around it."""
        handler = await continuation(handler_call_details)
        name = handler_call_details.method
        if handler is None or name in OPEN:
            return handler
        metadata = handler_call_details.invocation_metadata or ()
        run, streams = method_of(handler), is_stream(handler)

        async def traced(request: Any, context: Any) -> Any:
            span = self._tracer.served(name.removeprefix("/"), metadata, _attributes(name))
            trail = SpanTrail(span) if streams and span.is_recording() else NO_TRAIL
            set_trail(trail)
            error: BaseException | None = None
            with self._tracer.current(span):
                try:
                    return await answer(run, request, context)
                except BaseException as raised:
                    error = raised
                    raise
                finally:
                    if span.is_recording():
                        status = _status_of(error, context)
                        self._note(span, status, error, context)
                        trail.ended(context.details() or status.name.lower())
                    span.end()

        return with_method(handler, traced)

    def _note(
        self, span: Span, status: grpc.StatusCode, error: BaseException | None, context: Any
    ) -> None:
        """Say how a call ended."""
        span.set_attribute("rpc.grpc.status_code", status.value[0])
        span.set_attribute("farm.caller", caller())
        detail = context.details() or ""
        if status in FAULTS:
            self._tracer.set_failed(span, detail or status.name)
        if error is None or status is grpc.StatusCode.CANCELLED:
            return
        if status in UNEXPECTED:
            # ErrorInterceptor raises AbortError while it handles what the handler raised.
            span.record_exception(error.__context__ or error)
        else:
            span.add_event("refused", {"detail": detail})


def _attributes(method: str) -> Attributes:
    service, _, name = method.removeprefix("/").rpartition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def _status_of(error: BaseException | None, context: Any) -> grpc.StatusCode:
    code = context.code()
    if isinstance(error, grpc.aio.AbortError) and isinstance(code, grpc.StatusCode):
        return code
    # A handler may end as if all were well when its client has gone: it reads the end of a stream.
    if isinstance(error, asyncio.CancelledError) or context.cancelled():
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.OK if error is None else grpc.StatusCode.UNKNOWN
