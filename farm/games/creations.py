"""Answers to CreateGame, by caller and key: a repeated request gets the first one (pure).

Also from a host that took the game up from its journal, which has no token. Those of a game that
was made with a key follow from the key and a salt; a journal has the salt, and of the key the
digest that it is known by. So who has the key, a secret of the caller's, has the tokens, and who
reads the journal has neither.
"""

import base64
import hmac
from collections.abc import Container
from typing import Final, NamedTuple

from farm.games.game import HostedGame
from farm.games.seats import digest_of

TOKEN_BYTES: Final = 18
"""Of a token: 144 bits, 24 characters."""


class Created(NamedTuple):
    """The answer to a creation."""

    game_id: int
    owner_token: str
    spectator_token: str
    """Empty without spectators."""


class _Made(NamedTuple):
    """What an answer is made of, beside the key."""

    game_id: int
    salt: str
    has_spectators: bool


class Creations:
    """What was made with which key."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bytes], _Made] = {}

    def find(self, caller: str, key: str) -> Created | None:
        """The answer that a caller got to a key; None if there was no such request."""
        made = self._made.get((caller, digest_of(key))) if key else None
        return None if made is None else _answer(key, made)

    def note(self, game: HostedGame) -> None:
        """Remember a game, if it was made with a key."""
        if game.key_digest:
            self._made[game.caller, game.key_digest] = _made(game)

    def forget(self, known: Container[int]) -> None:
        """Forget what was made but for these games."""
        self._made = {who: made for who, made in self._made.items() if made.game_id in known}

    def __len__(self) -> int:
        """Keys that are remembered."""
        return len(self._made)


def answer(key: str, game: HostedGame) -> Created:
    """The answer to a request with a key that has made a game."""
    return _answer(key, _made(game))


def _made(game: HostedGame) -> _Made:
    return _Made(game.game_id, game.key_salt, game.spec.spectators)


def _answer(key: str, made: _Made) -> Created:
    spectator = _token(key, made.salt, "spectator") if made.has_spectators else ""
    return Created(made.game_id, _token(key, made.salt, "owner"), spectator)


def _token(key: str, salt: str, whose: str) -> str:
    mac = hmac.digest(key.encode("utf-8", "surrogatepass"), f"{whose} {salt}".encode(), "sha256")
    return base64.urlsafe_b64encode(mac[:TOKEN_BYTES]).decode()
