"""Unix sockets as listening addresses: a file that may be there although nobody listens.

A process that is killed leaves its socket behind. Whoever calls such a file is refused by the
kernel, which tells it from one that is listened on; it may then be removed.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from farm.errors import AddressInUseError, ConfigError, ResourceError

CALL_S = 1.0
"""For the kernel to take a connection, which it does at once unless too many wait."""
_OWNER_ALONE = 0o177
_OWNER_AND_GROUP = 0o117
_GROUP_WRITES = 0o020


def check_free(path: str, *, key: str) -> None:
    """Listen on a path for a moment, as a server would; a dead one's socket is removed.

    Args:
        path: of the socket.
        key: config key that it comes from, for messages.

    Raises:
        AddressInUseError: somebody listens there.
        ConfigError: the folder is not there.
        ResourceError: what is there is no socket, or the machine does not let us listen there.
    """
    try:
        remove_stale(path)
        if os.path.lexists(path):
            raise _obstacle(path, key)
        with own_sockets(), socket.socket(socket.AF_UNIX) as probe:
            probe.bind(path)
            try:
                probe.listen()
            finally:
                Path(path).unlink(missing_ok=True)
    except FileNotFoundError:
        raise ConfigError(
            key,
            f"unix:{path}: the folder {Path(path).parent} is not there; make it, or let the unit "
            "do so (RuntimeDirectory=)",
        ) from None
    except OSError as error:
        raise ResourceError(f"cannot listen on unix:{path} ({key}): {error.strerror}") from error


def answers(path: str, timeout_s: float) -> bool:
    """Whether somebody accepts a connection at a path."""
    try:
        _call(path, timeout_s)
    except OSError:
        return False
    return True


def remove_stale(path: str) -> bool:
    """Remove a socket that nobody listens on; whether there was one.

    Raises:
        OSError: it may not be removed.
    """
    try:
        _call(path, CALL_S)
    except ConnectionRefusedError:
        if not _is_socket(path):
            return False
        Path(path).unlink(missing_ok=True)
        return True
    except OSError:
        pass  # there is none, or one that cannot be told to be dead
    return False


@contextlib.contextmanager
def own_sockets() -> Iterator[None]:
    """Give the sockets that are bound in here mode 0600, or 0660 if the umask lets the group write.

    From their first moment on: a chmod behind the bind would come too late.
    """
    umask = os.umask(_OWNER_ALONE)
    if not umask & _GROUP_WRITES:
        os.umask(_OWNER_AND_GROUP)
    try:
        yield
    finally:
        os.umask(umask)


def _call(path: str, timeout_s: float) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(timeout_s)
        caller.connect(path)


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(Path(path).lstat().st_mode)


def _obstacle(path: str, key: str) -> ResourceError:
    """What is wrong with a path at which something is."""
    if not _is_socket(path):
        return ResourceError(
            f"cannot listen on unix:{path} ({key}): a file is there that is no socket; remove it, "
            "or choose another path"
        )
    return AddressInUseError(
        f"unix:{path} is taken by another process; stop it or choose another {key}"
    )
