"""What the standard variables ask for, and that without them nothing of OpenTelemetry is loaded."""

import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest

import farm
from farm.errors import UsageError
from farm.telemetry import log, tracing
from farm.telemetry.tracing import wanted_exporters

ROOT = Path(farm.__file__).resolve().parents[1]
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
CHILDREN = (
    "farm.supervisor.child, farm.serve.main, farm.worker.main, farm.worker.warm_up, "
    "farm.metrics.main, farm.client, farm.telemetry.actions"
)
SUPERVISOR = "farm.app, farm.cli.main, farm.cli.up, farm.supervisor.arbiter"
SERVED = """
import sys
from handmade import Spec
from farm.client import Client
from serving import Serving
serving = Serving("untraced-{pid}")
try:
    serving.ring.write(Spec())
    with Client(serving.address) as client:
        client.info()
        next(client.subscribe())
    assert serving.stop_service() == 0
finally:
    serving.close()
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, ()),
        ({OTLP: ""}, ()),
        ({OTLP: "http://c:4317"}, ("otlp_proto_grpc",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, ("otlp_proto_grpc",)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4317"}, ()),
        ({OTLP: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ("otlp_proto_http",)),
        (
            {
                OTLP: "http://c",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            },
            ("otlp_proto_grpc",),
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp_proto_grpc",)),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", "otlp_proto_grpc")),
        ({"OTEL_TRACES_EXPORTER": "none", OTLP: "http://c"}, ()),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "TRUE"}, ()),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "false"}, ("console",)),
    ],
)
def test_the_standard_variables_say_what_traces_go_by(environment, names):
    assert wanted_exporters(environment) == names


def test_an_unknown_protocol_is_named():
    with pytest.raises(UsageError, match=r"'smoke'.*grpc, http/protobuf"):
        wanted_exporters({OTLP: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"})


def loaded(script, **environment):
    """The modules of opentelemetry that a process has after a script that prints its modules."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**bare, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    modules = done.stdout.split()
    assert "farm.telemetry.log" in modules
    return [name for name in modules if name.startswith("opentelemetry")]


@pytest.mark.parametrize("environment", [{}, {OTLP: "http://localhost:1"}], ids=["off", "on"])
@pytest.mark.parametrize("modules", [CHILDREN, SUPERVISOR], ids=["children", "supervisor"])
def test_importing_the_farm_loads_nothing_of_opentelemetry(modules, environment):
    assert loaded(f"import sys, {modules}; print(*sys.modules)", **environment) == []


@pytest.mark.parametrize(
    "environment",
    [{}, {OTLP: "http://localhost:1", "OTEL_SDK_DISABLED": "true"}],
    ids=["bare", "disabled"],
)
def test_a_service_and_its_client_load_nothing_of_opentelemetry(environment):
    script = SERVED.replace("{pid}", str(os.getpid()))
    assert loaded(script, **environment) == []


def test_what_is_asked_for_and_not_installed_is_one_warning(monkeypatch, lines):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    monkeypatch.setenv(OTLP, "http://localhost:1")
    log.configure(role="experiences", fmt="json")
    assert tracing.start({}, log.get_logger()) is None
    (line,) = lines()
    assert (line["event"], line["level"]) == ("traces_off", "warning")
    assert "farm[otel]" in line["hint"]


class Collector:
    """The receiving end of OTLP over gRPC: keeps what is exported, as bytes."""

    def __init__(self):
        self.requests = []
        self.arrived = threading.Event()
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        handlers = {"Export": grpc.unary_unary_rpc_method_handler(self._export)}
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _export(self, request, _context):
        self.requests.append(request)
        self.arrived.set()
        return b""


@pytest.fixture
def otlp(monkeypatch):
    """Points the real exporter somewhere."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="needs the extra otel")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")

    def point(address):
        monkeypatch.setenv(OTLP, f"http://{address}")
        log.configure(role="experiences", fmt="json")
        return tracing.start({"farm.role": "experiences"}, log.get_logger())

    return point


def test_spans_reach_a_collector_by_otlp(otlp):
    collector = Collector()
    tracer = otlp(f"127.0.0.1:{collector.port}")
    tracer.served("farm.rpc.v1.Some/Call", (), {"rpc.system": "grpc"}).end()
    assert collector.arrived.wait(20.0)
    assert tracer.stop(20.0)
    collector.server.stop(0).wait(10)
    for word in (b"farm.rpc.v1.Some/Call", b"rpc.system", b"farm.role", b"service.name"):
        assert word in collector.requests[0]


def test_a_collector_that_is_not_there_costs_a_stop_no_more_than_its_time(otlp, lines):
    tracer = otlp("127.0.0.1:1")
    for _ in range(5_000):
        tracer.served("farm.rpc.v1.Some/Call", (), {}).end()
    began_s = time.monotonic()
    tracer.stop(1.0)
    assert time.monotonic() - began_s < 5.0
    first = lines()[0]
    assert (first["event"], first["exporters"]) == ("traces_on", ["otlp_proto_grpc"])
