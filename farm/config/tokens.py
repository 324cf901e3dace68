"""The file of bearer tokens: who may call the farm, and as what. Pure but for reading the file.

A line is `NAME ROLE SHA256`, the last the hash of the token in hex; `#` begins a comment. Tokens
are long and random, so that a fast hash keeps them: nobody can try them all.

    token=$(openssl rand -hex 32)
    echo "trainer train $(printf %s "$token" | sha256sum | cut -c-64)"

The roles are those of `ROLES`; each may do what those in its row may.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farm.errors import ConfigError

KEY = "security.tokens_file"
MAX_BYTES = 1 << 20
MAX_TOKENS = 1024
ROLES: Mapping[str, frozenset[str]] = {
    "observe": frozenset({"observe"}),
    "play": frozenset({"observe", "play"}),
    "train": frozenset({"observe", "train"}),
    "admin": frozenset({"observe", "play", "train", "admin"}),
}
_LINE = re.compile(r"([\w.-]{1,64})\s+(\w+)\s+([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a token.

    Attributes:
        name: for people and logs.
        role: one of `ROLES`.
        digest: SHA-256 of the token.
    """

    name: str
    role: str
    digest: bytes


def read_tokens(file: str) -> tuple[Bearer, ...]:
    """The lines of a file.

    Raises:
        ConfigError: it cannot be read, or a line is not as above; no message shows the line.
    """
    try:
        with Path(file).open(encoding="ascii") as opened:
            text = opened.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not plain ASCII"
        raise ConfigError(KEY, f"{file}: {reason}") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(KEY, f"{file}: above {MAX_BYTES:,} bytes")
    bearers = tuple(
        _bearer(file, number, words)
        for number, line in enumerate(text.splitlines(), 1)
        if (words := line.partition("#")[0].strip())
    )
    if not 1 <= len(bearers) <= MAX_TOKENS:
        raise ConfigError(KEY, f"{file}: {len(bearers)} tokens; 1 to {MAX_TOKENS:,} are read")
    return bearers


def find_bearer(bearers: tuple[Bearer, ...], token: str) -> Bearer | None:
    """Whose token it is. Takes as long for any token: every line is compared, to its end."""
    digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
    found = None
    for bearer in bearers:
        if hmac.compare_digest(bearer.digest, digest):
            found = bearer
    return found


def _bearer(file: str, number: int, words: str) -> Bearer:
    match = _LINE.fullmatch(words)
    if match is None:
        raise ConfigError(KEY, f"{file}: line {number} is not NAME ROLE SHA256-IN-HEX")
    name, role, digest = match.groups()
    if role not in ROLES:
        raise ConfigError(
            KEY, f"{file}: line {number}: role {role!r} is none of {', '.join(ROLES)}"
        )
    return Bearer(name, role, bytes.fromhex(digest))
