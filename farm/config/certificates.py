"""Whether certificate, key and CA are what they are given as: for the check and the service."""

from farm.errors import ConfigError


def check_certificates(cert: str, key: str, client_ca: str | None) -> None:
    """Load them, as the service will.

    Args:
        cert: PEM file of a certificate and those that vouch for it.
        key: PEM file of its key, without a passphrase.
        client_ca: PEM file of who vouches for clients, if they need a certificate.

    Raises:
        ConfigError: one cannot be read or is something else, or the key is another certificate's.
    """
    import ssl  # noqa: PLC0415 - 2 MiB and 10 ms for those who have certificates, and no others

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a passphrase OpenSSL would ask for one at the terminal.
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        reason = f"{cert} and {key} are no PEM certificate with its key ({_words(error)})"
        raise ConfigError("security.tls_cert", reason) from error
    if client_ca is None:
        return
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ValueError) as error:
        reason = f"{client_ca} holds no PEM certificate ({_words(error)})"
        raise ConfigError("security.client_ca", reason) from error


def _words(error: OSError | ValueError) -> str:
    """`key values mismatch`, of `[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:3926)`."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition("] ")[2].partition(" (")[0] or text
