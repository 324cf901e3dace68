"""The service's certificate, from files: read at the start, and again when they have changed.

gRPC asks at every handshake. A pair that does not fit together, such as one that is being replaced
at this moment, changes nothing: the pair before it stays in force until the files are right.
"""

import asyncio
import ssl
from pathlib import Path

import grpc

from farm.config.certificates import check_certificates
from farm.config.schema import SecurityConfig
from farm.errors import ConfigError, FarmError
from farm.supervisor import ports
from farm.telemetry.log import Logger

_Signature = tuple[tuple[int, int, int], ...]


class Certificates:
    """What a handshake is answered with.

    Args:
        cert: PEM file of the certificate and those that vouch for it.
        key: PEM file of its key.
        client_ca: PEM file of who vouches for clients; None asks clients for no certificate.
        log: gets what is loaded, and what cannot be.

    Raises:
        ConfigError: the files are no certificate with its key.
    """

    def __init__(self, cert: str, key: str, client_ca: str | None, log: Logger) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._log = log
        try:
            self._seen = self._signature()
            self._first = self._load()
        except OSError as error:
            raise ConfigError("security.tls_cert", f"{cert}, {key}: {error}") from error

    @property
    def credentials(self) -> grpc.ServerCredentials:
        """For a port; they follow the files."""
        return grpc.dynamic_ssl_server_credentials(
            self._first, self._changed, require_client_authentication=self._client_ca is not None
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The new files, None for no news; gRPC asks at a handshake, in a thread of its own."""
        try:
            signature = self._signature()
            if signature == self._seen:
                return None
            self._seen = signature
            loaded = self._load()
        except (OSError, ConfigError) as error:
            self._log.error("certificate_not_loaded", error=str(error))
            return None
        self._log.info("certificate_loaded", cert=self._cert)
        return loaded

    def _load(self) -> grpc.ServerCertificateConfiguration:
        """Read the files; raises OSError or ConfigError."""
        check_certificates(self._cert, self._key, self._client_ca)
        roots = None if self._client_ca is None else Path(self._client_ca).read_bytes()
        both = (Path(self._key).read_bytes(), Path(self._cert).read_bytes())
        return grpc.ssl_server_certificate_configuration([both], root_certificates=roots)

    def _signature(self) -> _Signature:
        files = (self._cert, self._key, self._client_ca)
        found = (Path(file).stat() for file in files if file is not None)
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def certificates_of(security: SecurityConfig, log: Logger) -> Certificates | None:
    """The certificates that a config names; None for plaintext.

    Raises:
        ConfigError: the files are no certificate with its key.
    """
    if security.tls_cert is None or security.tls_key is None:
        return None
    return Certificates(security.tls_cert, security.tls_key, security.client_ca, log)


async def check_handshake(address: str, timeout_s: float) -> None:
    """Ask the port for TLS and HTTP/2. Nothing is verified: the farm is no client of its own.

    Raises:
        FarmError: it does not answer, or with something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, port = ports.split(ports.reachable(address))
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError) as error:
        raise FarmError(f"{address} does not answer a TLS handshake: {error}") from None
    spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.transport.abort()
    if spoken != "h2":
        raise FarmError(f"{address} speaks {spoken} instead of HTTP/2")
