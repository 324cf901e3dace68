"""What names and addresses look like, for the config and for the command line. Loads nothing."""

ADDRESS = r"^(unix:/[A-Za-z0-9._/@+~-]+|(?!unix:).+:\d{1,5})$"
"""`host:port`, the host of IPv6 in brackets; or `unix:/path`, without what gRPC would decode."""
INSTANCE = r"^[a-z0-9][a-z0-9-]{0,31}$"
"""Part of names in shared memory."""
GROUP = r"^[a-z0-9_-]{1,32}$"
"""Name of a group of subscribers."""
POLICY = r"^(lossless|latest|sample:(1(\.0*)?|0?\.[0-9]*[1-9][0-9]*))$"
"""What a group does to the rings; the part of a sample is above 0 and up to 1."""
MAX_PORT = 65_535
MAX_SOCKET_PATH_BYTES = 107
"""Of a unix socket: 108 with the zero behind it (unix(7))."""
_UNIX = "unix:"


def socket_path(address: str) -> str | None:
    """The path of a unix socket's address; None if it is `host:port`."""
    return address.removeprefix(_UNIX) if address.startswith(_UNIX) else None
