"""Traces: OpenTelemetry where it is installed and configured, and nothing at all where it is not.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317 farm up

The standard variables say everything: exporter, endpoint, sampler, queue, service name. Without one
that names an exporter nothing of opentelemetry is imported. A child that serves calls `start` once
and hands the Tracer to whoever makes spans; None is how they know that there are none to make.

Spans wait in a queue of OTEL_BSP_MAX_QUEUE_SIZE (2,048) for a thread of the SDK's own: a collector
that is slow or gone costs the spans that find no room, and `stop` a bounded time.
"""

import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeAlias

from farm.errors import UsageError
from farm.telemetry.log import Logger
from farm.version import __version__

SERVICE_NAME: Final = "farm"
"""Of the resource, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES has another."""
STOP_S: Final = 2.0
"""Time for the last spans to reach the collector at a stop."""
HINT: Final = "pip install 'farm[otel]', or unset the OTEL_ variables"

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OTLP = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
"""Names of the entry points by protocol."""
_EXPORTERS = "opentelemetry_traces_exporter"
"""The group of entry points that exporters are found under."""
_CONTEXT_KEYS = ("traceparent", "tracestate")
"""Of W3C trace context."""
_MS_PER_S = 1e3


class Span(Protocol):
    """What the farm does with a span of OpenTelemetry."""

    def is_recording(self) -> bool:
        """Whether anybody will see it."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Say something of all of it."""

    def add_event(self, name: str, attributes: Any = None) -> None:
        """Something happened, now."""

    def record_exception(self, exception: BaseException) -> None:
        """An event with type, message and traceback."""

    def set_status(self, status: Any) -> None:
        """Say how it went."""

    def end(self) -> None:
        """It is over."""


def wanted_exporters(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the exporters that the standard variables ask for; none is the default.

    Raises:
        UsageError: the protocol is none of OpenTelemetry's.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    listed = environment.get("OTEL_TRACES_EXPORTER", "")
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if not names and any(environment.get(key) for key in _ENDPOINTS):
        names = ["otlp"]
    return tuple(_entry_point(name, environment) for name in names if name != "none")


def start(attributes: Attributes, log: Logger) -> "Tracer | None":
    """Trace, if the environment asks for it and what it needs is there.

    Nothing that is wrong with it keeps a child from starting: it is logged, and nothing is traced.

    Args:
        attributes: of the resource, beside those of the environment, which win.
        log: told what traces go by, or why there are none.
    """
    try:
        names = wanted_exporters(os.environ)
        if not names:
            return None
        tracer = Tracer(_make_provider(names, attributes))
    except Exception as error:  # noqa: BLE001 - exporters are anybody's, and may raise anything
        log.warning("traces_off", error=f"{type(error).__name__}: {error}", hint=HINT)
        return None
    log.info("traces_on", exporters=names)
    return tracer


class Tracer:
    """Makes the spans of a process.

    Args:
        provider: a TracerProvider of the SDK.
    """

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - see the module's docstring
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - likewise

        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE_NAME, __version__)
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        self._api: Any = trace

    def served(self, name: str, metadata: Metadata, attributes: Attributes) -> Span:
        """Begin the span of a call that somebody makes.

        Args:
            name: of the span.
            metadata: of the call: the caller's span is the parent, if it names one.
            attributes: of the span; a sampler sees them.
        """
        carrier = {key: value for key, value in metadata if key in _CONTEXT_KEYS}
        context = self._propagator.extract(carrier)
        kind = self._api.SpanKind.SERVER
        span: Span = self._tracer.start_span(name, context, kind, attributes)
        return span

    def child(self, name: str, attributes: Attributes) -> Span:
        """Begin a span below the one that is current."""
        span: Span = self._tracer.start_span(name, attributes=attributes)
        return span

    def current(self, span: Span) -> AbstractContextManager[Any]:
        """Make a span the current one of its task or thread; it does not end with the block."""
        manager: AbstractContextManager[Any] = self._api.use_span(
            span, record_exception=False, set_status_on_exception=False
        )
        return manager

    def is_traced(self) -> bool:
        """Whether the current span is recorded."""
        return bool(self._api.get_current_span().is_recording())

    def set_failed(self, span: Span, detail: str) -> None:
        """Mark a span as an error of ours."""
        span.set_status(self._api.Status(self._api.StatusCode.ERROR, detail))

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Send what is left; whether that was done in time.

        The SDK's own deadline is half a minute, and not kept by every exporter: so it is a thread
        that waits for it.
        """
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(timeout_s)
        return not ending.is_alive()


def _entry_point(name: str, environment: Mapping[str, str]) -> str:
    if name != "otlp":
        return name
    protocols = (environment.get(key, "").strip() for key in _PROTOCOLS)
    protocol = next(filter(None, protocols), "grpc")
    if protocol not in _OTLP:
        raise UsageError(f"OTLP has no protocol {protocol!r}; there are {', '.join(_OTLP)}")
    return _OTLP[protocol]


def _make_provider(names: Iterable[str], attributes: Attributes) -> Any:
    """A provider of the SDK's, which reads every other variable by itself."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporters = [_load(name) for name in names]
    given = OTELResourceDetector().detect().attributes
    about = {"service.name": SERVICE_NAME, "service.version": __version__, **attributes, **given}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    return provider


def _load(name: str) -> Any:
    """The class of an exporter.

    Raises:
        UsageError: no installed package has one of this name.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - see the module's docstring

    found = next(iter(entry_points(group=_EXPORTERS, name=name)), None)
    if found is None:
        raise UsageError(f"no installed package has a traces exporter {name!r}")
    return found.load()
