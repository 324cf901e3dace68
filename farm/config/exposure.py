"""Which addresses other machines can reach, and what a farm must have before it listens there.

Rules, checked behind those of `check.py`:

    serve.address              loopback, or `security.insecure`
    telemetry.metrics_address  loopback, or `security.insecure`: the endpoint has no TLS
"""

import ipaddress
from collections.abc import Iterator

from farm.config.schema import FarmConfig
from farm.errors import ConfigError


def exposure_problems(config: FarmConfig) -> Iterator[ConfigError]:
    """Every address that others could reach although nothing guards it."""
    if config.security.insecure:
        return
    for key, address in exposed(config).items():
        yield ConfigError(key, f"{address} can be reached from other machines, and {_NEXT[key]}")


def exposed(config: FarmConfig) -> dict[str, str]:
    """The unguarded addresses that are not of this machine alone, by key."""
    addresses = {
        "serve.address": config.serve.address,
        "telemetry.metrics_address": config.telemetry.metrics_address,
    }
    return {key: one for key, one in addresses.items() if one and not is_loopback(one)}


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost may be any."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_NEXT = {
    "serve.address": "nothing guards it; listen on 127.0.0.1 behind a tunnel, or set "
    "security.insecure=true on a network that you trust",
    "telemetry.metrics_address": "it has neither TLS nor a password; listen on 127.0.0.1 and let "
    "an agent on this machine scrape it, or set security.insecure=true on a network that you trust",
}
