"""A seat of a hosted game: who holds it, how it is reached, and what it was answered."""

import hashlib
import hmac
from collections import OrderedDict
from typing import Final, NamedTuple

MAX_PLAYER_BYTES: Final = 32
"""Of a player's name."""
KEPT_ANSWERS: Final = 64
"""Idempotency keys of a seat that are remembered."""


class Accepted(NamedTuple):
    """What an accepted action is answered with."""

    tick: int
    """Of the game."""
    queued: int
    """Moves of the seat that wait."""


class Seat:
    """One seat.

    Attributes:
        name: of the agent, or of the bot's policy; empty while the seat is free.
        policy: of a bot that has the seat for the whole game; empty for agents.
        stand_in: of a bot that plays on for an agent that is away; else empty.
        digest: SHA-256 of the agent's token.
        join_key: of the agent's JoinGame.
        token: kept while the game has no later use for it than to repeat the answer to `join_key`.
        connected: whether the agent is there.
        n_streams: open ones.
        seen_ns: monotonic time of its last call, or of the end of its last stream.
        gone_ns: since when it is disconnected.
        answers: to actions with a key, the last ones.
        rejected: refused actions by reason.
        kills: players whose general it took.
    """

    __slots__ = (
        "answers",
        "connected",
        "digest",
        "gone_ns",
        "join_key",
        "kills",
        "n_streams",
        "name",
        "policy",
        "rejected",
        "seen_ns",
        "stand_in",
        "token",
    )

    def __init__(self, policy: str = "") -> None:
        self.name = self.policy = policy
        self.stand_in = self.join_key = self.token = ""
        self.digest = b""
        self.connected = False
        self.n_streams = self.seen_ns = self.gone_ns = self.kills = 0
        self.answers: OrderedDict[str, Accepted] = OrderedDict()
        self.rejected: dict[str, int] = {}

    @property
    def is_free(self) -> bool:
        """Whether somebody may take it."""
        return not self.policy and not self.digest

    @property
    def kind(self) -> str:
        """In a word."""
        return "bot" if self.policy else "open" if self.is_free else "agent"

    def take(self, name: str, token: str, key: str, now_ns: int) -> None:
        """An agent takes the seat."""
        self.name, self.token, self.join_key = name, token, key
        self.digest = digest_of(token)
        self.connected, self.seen_ns = True, now_ns

    def has_token(self, digest: bytes) -> bool:
        """Whether a token of this digest is the seat's."""
        return bool(self.digest) and hmac.compare_digest(self.digest, digest)

    def remember(self, key: str, answer: Accepted) -> None:
        """Keep an answer for a repeated key."""
        if not key:
            return
        self.answers[key] = answer
        if len(self.answers) > KEPT_ANSWERS:
            self.answers.popitem(last=False)

    def refuse(self, reason: str) -> None:
        """Count a refused action."""
        name = reason.lower()
        self.rejected[name] = self.rejected.get(name, 0) + 1


def digest_of(token: str) -> bytes:
    """What is kept of a token: tokens are long and random, so that a fast hash will do."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
