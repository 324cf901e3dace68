"""Where the games hosts of a farm are, and which of them has a game. Pure."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import grpc

from farm.client.games.values import refusal
from farm.client.tls import is_local
from farm.errors import ClientError, GameRejectedError, RejectedError, UnavailableError
from farm.rpc import names
from farm.rpc.status import error_of
from farm.rpc.v1 import games_pb2

UNKNOWN_GAME: Final = "UNKNOWN_GAME"
LIMIT: Final = "LIMIT"
_REMEMBERED: Final = 1 << 16
"""Games whose host is remembered; of another one all hosts are asked."""
_ANYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - told apart, not bound to
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Hosts:
    """Addresses of the games hosts, as the farm told them.

    Args:
        address: of the farm, or of a games host itself.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._hosts: tuple[str, ...] = ()
        self._is_stale = True
        self._of_game: dict[int, str] = {}

    @property
    def were_reached(self) -> bool:
        """Whether a farm has ever answered."""
        return bool(self._hosts)

    @property
    def is_stale(self) -> bool:
        """Whether the farm is to be asked before the next call."""
        return self._is_stale

    @property
    def all(self) -> tuple[str, ...]:
        """Every host, in the farm's order."""
        return self._hosts

    def learned(self, endpoints: Mapping[str, str] | None) -> None:
        """The farm has answered.

        Args:
            endpoints: service name to address; None if it is a games host that was asked.

        Raises:
            UnavailableError: it has no games host.
        """
        found = (self.address,) if endpoints is None else _game_hosts(endpoints, self.address)
        if not found:
            raise UnavailableError(
                f"the farm at {self.address} has no games host that is ready; one is started "
                "with the farm by `farm up games=on`"
            )
        if set(found) != set(self._hosts):
            # A host that was replaced has its games, maybe at another port.
            self._of_game.clear()
        self._hosts = found
        self._is_stale = False

    def not_learned(self, error: ClientError) -> None:
        """The farm did not say where they are: it may be a games host that was asked.

        Raises:
            ClientError: the error, unless hosts are known from before, or it is one.
        """
        if isinstance(error, RejectedError) and error.status == "UNIMPLEMENTED":
            self.learned(None)
        elif not (isinstance(error, UnavailableError) and self._hosts):
            raise error

    def at(self, number: int) -> str:
        """The host at this place in the farm's order.

        Raises:
            UnavailableError: the farm names fewer now.
        """
        if number >= len(self._hosts):
            raise UnavailableError(f"games host {number} of the farm at {self.address} is away")
        return self._hosts[number]

    def doubt(self) -> None:
        """A host did not answer: it may be elsewhere by now."""
        self._is_stale = True

    def found(self, game_id: int, address: str) -> None:
        """A host has a game."""
        if game_id:
            self._of_game[game_id] = address
            if len(self._of_game) > _REMEMBERED:
                del self._of_game[next(iter(self._of_game))]

    def known(self, game_id: int) -> str | None:
        """The host of a game, if that is clear."""
        if len(self._hosts) == 1:
            return self._hosts[0]
        return self._of_game.get(game_id)

    def to_ask(self, game_id: int) -> tuple[str, ...]:
        """The hosts to ask about a game, the likeliest first."""
        known = self.known(game_id)
        if known is None:
            return self._hosts
        return (known, *(host for host in self._hosts if host != known))

    def for_new(self, key: str) -> tuple[str, ...]:
        """The hosts to ask for a new game: spread by its key, and for a key always the same."""
        first = zlib.crc32(key.encode()) % max(1, len(self._hosts))
        return self._hosts[first:] + self._hosts[:first]


def outranks(error: GameRejectedError, before: GameRejectedError | None) -> GameRejectedError:
    """Of the refusals of several hosts the one that the caller gets.

    Raises:
        GameRejectedError: the error, if no other host would say anything else.
    """
    if error.reason not in {UNKNOWN_GAME, LIMIT}:
        raise error
    return error if before is None or before.reason == UNKNOWN_GAME else before


def game_path(method: str) -> str:
    """What a call of the game service is addressed to."""
    return names.method_path(method, names.GAME_SERVICE)


def game_error(
    code: grpc.StatusCode,
    detail: str,
    metadata: Sequence[tuple[str, str | bytes]] | None,
    address: str,
) -> ClientError:
    """What a client raises for a call of the game service that ended with a status.

    Args:
        code: the status.
        detail: the server's message.
        metadata: the trailing one.
        address: that was called.
    """
    for key, value in metadata or ():
        if key == names.ERROR_METADATA and isinstance(value, bytes):
            return refusal(games_pb2.ErrorDetail.FromString(value), code.name)
    return error_of(code, detail, address)


def _game_hosts(endpoints: Mapping[str, str], asked: str) -> tuple[str, ...]:
    prefix = f"{names.GAME_SERVICE}/"
    numbered = {
        int(name.removeprefix(prefix)): address
        for name, address in endpoints.items()
        if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
    }
    if names.GAME_SERVICE in endpoints:
        numbered[0] = endpoints[names.GAME_SERVICE]
    return tuple(_reachable(numbered[number], asked) for number in sorted(numbered))


def _reachable(address: str, asked: str) -> str:
    """An address as this client reaches it: who listens anywhere is where the farm was asked.

    A farm that was asked over a unix socket is on this machine, and so are its loopback addresses.
    """
    if is_local(address):
        return address
    if is_local(asked):
        asked = "127.0.0.1:0"
    host, _, port = address.rpartition(":")
    asked_host = asked.rpartition(":")[0]
    bare, asked_bare = host.strip("[]"), asked_host.strip("[]")
    is_elsewhere = bare in _LOOPBACK and asked_bare not in _LOOPBACK
    return f"{asked_host}:{port}" if bare in _ANYWHERE or is_elsewhere else address
