"""A gRPC server of the farm: its options, its port, health and reflection."""

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from farm.config.patterns import socket_path
from farm.errors import AddressInUseError, FarmError
from farm.rpc.names import MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES, method_path
from farm.serve.access import AccessInterceptor
from farm.serve.interceptor import ErrorInterceptor
from farm.serve.limits import LimitInterceptor
from farm.serve.trace import TraceInterceptor
from farm.supervisor import ports, sockets

MAX_CALLS = 2048
"""Calls at once, of any kind. Above the bound of `serve.max_streams`."""
_HEALTH_SERVICE = "grpc.health.v1.Health"
_MS_PER_S = 1_000


def make_server(
    handlers: grpc.GenericRpcHandler,
    service: str,
    interceptor: ErrorInterceptor,
    client_timeout_s: float,
    access: AccessInterceptor | None = None,
    limits: LimitInterceptor | None = None,
    *,
    trace: TraceInterceptor | None = None,
    max_calls: int = MAX_CALLS,
) -> tuple[grpc.aio.Server, "health.aio.HealthServicer"]:
    """A server that is not bound yet, and its health.

    Args:
        handlers: answer the calls.
        service: name of the service that they are of.
        interceptor: maps errors.
        client_timeout_s: time after which a client whose machine answers no ping counts as gone.
        access: asks for tokens; None lets everybody in.
        limits: keeps account of each client; None lets each have everything.
        trace: makes spans; None makes none.
        max_calls: calls at once, of any kind; one more is refused.
    """
    # In this order: who is refused by `access` is in the accounts too.
    interceptors = tuple(one for one in (trace, interceptor, limits, access) if one is not None)
    half_ms = max(_MS_PER_S, int(client_timeout_s * _MS_PER_S / 2))
    server = grpc.aio.server(
        interceptors=interceptors,
        maximum_concurrent_rpcs=max_calls,
        options=(
            # A second farm on the same port must fail, not share it.
            ("grpc.so_reuseport", 0),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.keepalive_time_ms", half_ms),
            ("grpc.keepalive_timeout_ms", half_ms),
            # Without it a client stopped by SIGSTOP stays connected for ever.
            ("grpc.http2.ping_timeout_ms", half_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            # Clients ask too whether we are there; that is no abuse.
            ("grpc.http2.min_ping_interval_without_data_ms", _MS_PER_S),
        ),
    )
    server.add_generic_rpc_handlers((handlers,))
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (service, _HEALTH_SERVICE, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server, servicer


def bind(
    server: grpc.aio.Server,
    address: str,
    credentials: grpc.ServerCredentials | None = None,
    *,
    key: str,
) -> str:
    """Take the port, or make the unix socket, which is removed when the server stops.

    Args:
        server: not started yet.
        address: `host:port`, or `unix:/path`.
        credentials: for TLS; None listens in plaintext, as a unix socket always does.
        key: config key that the address comes from, for messages.

    Returns:
        The address with the port that was taken, where `address` has port 0.

    Raises:
        AddressInUseError: somebody listens there.
        ConfigError: the host has no address, or the socket no folder.
        ResourceError: the machine does not let us listen there.
    """
    if socket_path(address) is not None:
        # gRPC would take the place of one that is listened on, without a word.
        ports.check_free(address, key=key)
        with sockets.own_sockets():
            server.add_insecure_port(address)
        return address
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        ports.check_free(address, key=key)  # gRPC does not say why
        raise AddressInUseError(
            f"{address} was taken by another process for a moment; start again"
        ) from error
    return f"{address.rpartition(':')[0]}:{bound}"


async def check_health(address: str, timeout_s: float, service: str) -> None:
    """Ask the server over its own port whether it serves, as a client would.

    Args:
        address: that was bound.
        timeout_s: for the answer.
        service: name of the service that shall be there.

    Raises:
        FarmError: it does not.
    """
    target = ports.reachable(address)
    async with grpc.aio.insecure_channel(target) as channel:
        check = channel.unary_unary(method_path("Check", _HEALTH_SERVICE))
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = await check(
                request.SerializeToString(), timeout=timeout_s, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            raise FarmError(f"{target} does not answer a health check: {error.details()}") from None
    status = health_pb2.HealthCheckResponse.FromString(answer).status
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise FarmError(f"{target} answers a health check with status {status}")
