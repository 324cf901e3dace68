"""Listening addresses, tried from the outside: is one free to listen on, does somebody answer.

Plain sockets: the supervisor knows nothing of what is spoken there.
"""

import errno
import socket

from farm.errors import AddressInUseError, ConfigError, ResourceError

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - called, not listened on


def check_free(address: str, *, key: str) -> None:
    """Listen on an address for a moment, as a server would.

    SO_REUSEADDR, so that connections of an earlier farm in TIME_WAIT are no obstacle; no
    SO_REUSEPORT, with which gRPC would share the port with a stranger in silence. Binding alone
    proves little: two sockets may bind one port as long as neither listens.

    Args:
        address: `host:port`; port 0 is always free.
        key: config key that the address comes from, for messages.

    Raises:
        AddressInUseError: somebody listens there.
        ConfigError: the host has no address.
        ResourceError: the machine does not let us listen there.
    """
    host, port = split(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(key, f"{address}: {error.strerror or error}") from error
    family, kind, protocol, _, place = found[0]
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{address} is taken by another process; stop it or choose another {key}"
            ) from error
        raise ResourceError(f"cannot listen on {address} ({key}): {error.strerror}") from error


def answers(address: str, timeout_s: float) -> bool:
    """Whether somebody accepts a TCP connection at an address.

    Args:
        address: `host:port` as listened on; every-interface hosts are called over loopback.
        timeout_s: a machine that does not answer at all costs this long.
    """
    host, port = split(address)
    try:
        with socket.create_connection((_LOOPBACK_OF.get(host, host), port), timeout_s):
            return True
    except OSError:
        return False


def split(address: str) -> tuple[str, int]:
    """Host, without the brackets of IPv6, and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
