"""Which addresses other machines can reach, and what a farm must have before it listens there.

Rules, checked behind those of `check.py`:

    security.tls_cert          a certificate, and security.tls_key its key
    security.tls_key           given with security.tls_cert; a file that others cannot read
    security.tokens_file       as tokens.py says; a file that others cannot read
    security.client_ca         needs security.tls_cert; holds a certificate
    serve.address              loopback or a unix socket, or TLS with a client CA or tokens, or
                               `security.insecure`
    games.address              likewise, where there are games hosts
    telemetry.metrics_address  loopback or a unix socket, or `security.insecure`: the endpoint has
                               no TLS
"""

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path

from farm.config.certificates import check_certificates
from farm.config.patterns import socket_path
from farm.config.schema import FarmConfig, SecurityConfig
from farm.config.tokens import read_tokens
from farm.errors import ConfigError


def exposure_problems(config: FarmConfig) -> Iterator[ConfigError]:
    """Every file that is no guard, and every address that others could reach unguarded."""
    yield from _files(config.security)
    if config.security.insecure:
        return
    for key, address in exposed(config).items():
        yield ConfigError(key, f"{address} can be reached from other machines, and {_NEXT[key]}")


def exposed(config: FarmConfig) -> dict[str, str]:
    """The unguarded addresses that are not of this machine alone, by key."""
    addresses = {
        "serve.address": config.serve.address,
        "games.address": config.games.address if config.games.hosts else None,
        "telemetry.metrics_address": config.telemetry.metrics_address,
    }
    security = config.security
    if security.tls_cert and (security.client_ca or security.tokens_file):
        del addresses["serve.address"], addresses["games.address"]
    return {key: one for key, one in addresses.items() if one and not is_loopback(one)}


def _files(security: SecurityConfig) -> Iterator[ConfigError]:
    if (security.tls_cert is None) != (security.tls_key is None):
        yield ConfigError("security.tls_key", "certificate and key go together: give both or none")
    if security.client_ca is not None and security.tls_cert is None:
        yield ConfigError("security.client_ca", "needs security.tls_cert and security.tls_key")
    unreadable = [
        problem
        for name in ("tls_cert", "tls_key", "client_ca", "tokens_file")
        if (file := getattr(security, name)) is not None
        for problem in _file(f"security.{name}", file, is_secret=name in _SECRET)
    ]
    yield from unreadable
    if security.tls_cert is not None and security.tls_key is not None and not unreadable:
        try:
            check_certificates(security.tls_cert, security.tls_key, security.client_ca)
        except ConfigError as error:
            yield error
    if security.tokens_file is not None:
        try:
            read_tokens(security.tokens_file)
        except ConfigError as error:
            yield error


def _file(key: str, file: str, *, is_secret: bool) -> Iterator[ConfigError]:
    try:
        with Path(file).open("rb"):
            found = Path(file).stat()
    except OSError as error:
        yield ConfigError(key, f"{file}: {error.strerror}")
        return
    # As PostgreSQL has it: the owner's alone, or root's and readable by its group.
    forbidden = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
    if found.st_uid != 0:
        forbidden |= stat.S_IRGRP
    if is_secret and found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        yield ConfigError(key, f"{file} has mode {mode:04o}: others can read it; chmod 0600 {file}")


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost may be any."""
    if socket_path(address) is not None:
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_SECRET = {"tls_key", "tokens_file"}
_GUARD = (
    "nothing guards it; set security.tls_cert, security.tls_key and security.client_ca or "
    "security.tokens_file, listen on 127.0.0.1 behind a tunnel, or set security.insecure=true on a "
    "network that you trust"
)
_NEXT = {
    "serve.address": _GUARD,
    "games.address": _GUARD,
    "telemetry.metrics_address": "it has neither TLS nor a password; listen on 127.0.0.1 and let "
    "an agent on this machine scrape it, or set security.insecure=true on a network that you "
    "trust",
}
