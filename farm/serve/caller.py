"""Who calls, for limits a client: set by the interceptors of a server, read by its handlers."""

import ipaddress
from contextvars import ContextVar
from urllib.parse import unquote

_caller: ContextVar[str] = ContextVar("caller", default="")
_IPV6_PREFIX = 64
"""Bits of an address of IPv6 that tell clients apart: the rest is each one's own to choose."""


def set_caller(name: str) -> None:
    """Say who makes the call that the current task serves, as an interceptor."""
    _caller.set(name)


def caller() -> str:
    """Who makes the call that the current task serves.

    `token NAME` where the farm asks for tokens, else `host ADDRESS`, or `unix` on a socket of this
    machine; empty outside of a call.
    """
    return _caller.get()


def host_of(peer: str) -> str:
    """The caller of a peer as gRPC names it, such as `ipv4:127.0.0.1:4711`: without the port.

    Of IPv6, such as `ipv6:%5B2001:db8::1%5D:4711`, it is the network: `host 2001:db8::/64`.
    """
    kind, _, rest = peer.partition(":")
    if kind == "unix" or not rest:
        return "unix"
    host = unquote(rest).rpartition(":")[0].strip("[]")
    if kind != "ipv6":
        return f"host {host}"
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return f"host {address.ipv4_mapped}"
    return f"host {ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False)}"
