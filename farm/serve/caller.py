"""Who calls, for limits a client: set by the interceptors of a server, read by its handlers."""

from contextvars import ContextVar

_caller: ContextVar[str] = ContextVar("caller", default="")


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
    """The caller of a peer as gRPC names it, such as `ipv4:127.0.0.1:4711`: without the port."""
    kind, _, rest = peer.partition(":")
    if kind == "unix" or not rest:
        return "unix"
    return f"host {rest.rpartition(':')[0]}"
