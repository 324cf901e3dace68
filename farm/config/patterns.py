"""What names and addresses look like, for the config and for the command line. Loads nothing."""

ADDRESS = r"^.+:\d{1,5}$"
"""`host:port`, the host of IPv6 in brackets."""
INSTANCE = r"^[a-z0-9][a-z0-9-]{0,31}$"
"""Part of names in shared memory."""
MAX_PORT = 65_535
