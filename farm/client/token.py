"""The token that a client shows with each call, and where it does not show it."""

import ipaddress
import os
from pathlib import Path
from typing import TypeAlias

from farm.client.tls import Tls, is_local
from farm.errors import UsageError

Metadata: TypeAlias = tuple[tuple[str, str], ...]


def metadata_of(address: str, tls: Tls | None, token: str | None) -> Metadata:
    """What goes with every call; nothing without a token.

    Args:
        address: of the farm.
        tls: as the client was given it; None asks the environment.
        token: None takes FARM_TOKEN, or what is in the file FARM_TOKEN_FILE.

    Raises:
        UsageError: the file cannot be read, or the token would cross a network in plaintext.
    """
    token = token or os.environ.get("FARM_TOKEN") or _from_file(os.environ.get("FARM_TOKEN_FILE"))
    if not token:
        return ()
    is_encrypted = (tls or Tls.of(os.environ)) is not None
    stays_here = is_local(address) or _is_loopback(address)
    if not (is_encrypted or stays_here or os.environ.get("FARM_INSECURE") == "1"):
        raise UsageError(
            f"a token would go to {address} in plaintext, for all to read; use TLS (FARM_TLS_CA), "
            "or set FARM_INSECURE=1 on a network that you trust"
        )
    return (("authorization", f"Bearer {token}"),)


def _from_file(file: str | None) -> str | None:
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"FARM_TOKEN_FILE: {file}: {error}") from error


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
