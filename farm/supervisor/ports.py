"""Listening addresses, tried from the outside: is one free to listen on, does somebody answer.

Plain sockets: the supervisor knows nothing of what is spoken there.
"""

import contextlib
import errno
import socket
from typing import Any, TypeAlias

from farm.config.patterns import socket_path
from farm.errors import AddressInUseError, ConfigError, ResourceError
from farm.supervisor import sockets

_AddressInfo: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - called, not listened on


def check_free(address: str, *, key: str) -> None:
    """Listen on an address for a moment, as a server would.

    SO_REUSEADDR, so that connections of an earlier farm in TIME_WAIT are no obstacle; no
    SO_REUSEPORT, with which gRPC would share the port with a stranger in silence. Binding alone
    proves little: two sockets may bind one port as long as neither listens. A host with several
    addresses is free if none of them is taken and there is one that can be listened on: a machine
    without IPv6 has a `localhost` too.

    Args:
        address: `host:port`, port 0 is always free; or `unix:/path`, see `sockets.check_free`.
        key: config key that the address comes from, for messages.

    Raises:
        AddressInUseError: somebody listens there, on one of the host's addresses at least.
        ConfigError: the host has no address, or the socket no folder.
        ResourceError: the machine does not let us listen there.
    """
    if (path := socket_path(address)) is not None:
        sockets.check_free(path, key=key)
        return
    host, port = split(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(key, f"{address}: {error.strerror or error}") from error
    failures = [failure for entry in found if (failure := _try_listen(entry)) is not None]
    for failure in failures:
        if failure.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{address} is taken by another process; stop it or choose another {key}"
            ) from failure
    if len(failures) == len(found):
        why = failures[0].strerror
        raise ResourceError(f"cannot listen on {address} ({key}): {why}") from failures[0]


def answers(address: str, timeout_s: float) -> bool:
    """Whether somebody accepts a connection at an address.

    Args:
        address: `host:port` as listened on; every-interface hosts are called over loopback.
        timeout_s: a machine that does not answer at all costs this long.
    """
    if (path := socket_path(address)) is not None:
        return sockets.answers(path, timeout_s)
    try:
        with socket.create_connection(split(reachable(address)), timeout_s):
            return True
    except OSError:
        return False


def reachable(address: str) -> str:
    """Where to call what listens at an address: every-interface hosts over loopback."""
    if socket_path(address) is not None:
        return address
    host, port = split(address)
    host = _LOOPBACK_OF.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def clean_up(address: str | None) -> None:
    """Remove the unix socket that a killed process may have left at an address, if it is one."""
    if address is not None and (path := socket_path(address)) is not None:
        with contextlib.suppress(OSError):
            sockets.remove_stale(path)


def split(address: str) -> tuple[str, int]:
    """Host, without the brackets of IPv6, and port; of no unix socket."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _try_listen(entry: _AddressInfo) -> OSError | None:
    """Listen for a moment; what went wrong, if anything."""
    family, kind, protocol, _, place = entry
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()
    except OSError as error:
        return error
    return None
