"""How a client's connection is encrypted, and whom it trusts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from farm.client.session import CHANNEL_OPTIONS
from farm.errors import UsageError

_CA, _CERT, _KEY = "FARM_TLS_CA", "FARM_TLS_CERT", "FARM_TLS_KEY"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a connection by TLS, in PEM, read when the connection is made.

    Attributes:
        ca: who vouches for the farm; None takes the roots that gRPC comes with.
        cert: this client's own certificate, for a farm that asks for one (`security.client_ca`).
        key: its key.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Tls | None":
        """From FARM_TLS_CA, FARM_TLS_CERT and FARM_TLS_KEY; None if there is none of them."""
        ca, cert, key = (environment.get(name) or None for name in (_CA, _CERT, _KEY))
        return cls(ca, cert, key) if ca or cert or key else None

    def credentials(self) -> grpc.ChannelCredentials:
        """What a channel is made with.

        Raises:
            UsageError: a file cannot be read, or one of certificate and key is missing.
        """
        if (self.cert is None) != (self.key is None):
            raise UsageError(f"a client's certificate needs its key ({_CERT}, {_KEY}): give both")
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.cert))


def open_channel(address: str, tls: Tls | None) -> grpc.Channel:
    """A channel of the blocking face; `tls=None` asks the environment.

    Raises:
        UsageError: what `Tls.credentials` raises; or TLS on a unix socket.
    """
    tls = _tls_of(address, tls)
    if tls is None:
        return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(address, tls.credentials(), options=CHANNEL_OPTIONS)


def open_aio_channel(address: str, tls: Tls | None) -> grpc.aio.Channel:
    """A channel of the asyncio face; otherwise as `open_channel`."""
    tls = _tls_of(address, tls)
    if tls is None:
        return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(address, tls.credentials(), options=CHANNEL_OPTIONS)


def is_local(address: str) -> bool:
    """Whether an address is a unix socket's: it leaves the machine by no network."""
    return address.startswith("unix:")


def _tls_of(address: str, tls: Tls | None) -> Tls | None:
    """How to encrypt a connection to an address; None for not at all."""
    if not is_local(address):
        return tls or Tls.of(os.environ)
    if tls is not None:
        raise UsageError(f"{address} is a socket of this machine, without TLS: leave `tls` out")
    return None


def _read(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
