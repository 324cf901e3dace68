"""What names and addresses look like, for the config and for the command line. Loads nothing."""

ADDRESS = r"^.+:\d{1,5}$"
"""`host:port`, the host of IPv6 in brackets."""
INSTANCE = r"^[a-z0-9][a-z0-9-]{0,31}$"
"""Part of names in shared memory."""
GROUP = r"^[a-z0-9_-]{1,32}$"
"""Name of a group of subscribers."""
POLICY = r"^(lossless|latest|sample:(1(\.0*)?|0?\.[0-9]*[1-9][0-9]*))$"
"""What a group does to the rings; the part of a sample is above 0 and up to 1."""
MAX_PORT = 65_535
