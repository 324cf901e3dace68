"""Calls to the games hosts, for asyncio: the twin of calls.py over the same values."""

import asyncio
import random
import time
from typing import TypeVar

import grpc

from farm.client import replies
from farm.client.games.calls import Route, call_error
from farm.client.games.hosts import Hosts, game_path, outranks
from farm.client.games.questions import Question, state
from farm.client.retry import NO_RETRY, Backoff, Retry
from farm.client.tls import Tls, open_aio_channel
from farm.client.token import metadata_of
from farm.errors import GameRejectedError, UnavailableError, UsageError
from farm.rpc import names

T = TypeVar("T")


class AsyncCalls:
    """The connections of one client.

    Args:
        address: of the farm, or of a games host.
        timeout_s: time for an answer, in seconds.
        retry: how long a host that has answered before is waited for.
        tls: files of an encrypted connection, or None for those of the environment.
        token: bearer token, or None for that of the environment.
    """

    def __init__(
        self, address: str, timeout_s: float, retry: Retry, tls: Tls | None, token: str | None
    ) -> None:
        self.hosts = Hosts(address)
        self._timeout_s = timeout_s
        self._retry = retry
        self._tls = tls
        self._token = token
        metadata_of(address, tls, token)  # what is wrong with them shows at once
        self._routes: dict[str, Route] = {}

    async def ask(self, question: Question[T]) -> T:
        """The answer of the host that has the game, or of any to a new one.

        Raises:
            UnavailableError: nobody answers: at once where nobody ever has, else after the time
                that `retry` gives.
            GameRejectedError: the host refuses.
        """
        backoff = Backoff(self._retry if self.hosts.were_reached else NO_RETRY)
        while True:
            try:
                await self.discover()
                address, reply = await self._ask_hosts(question)
            except UnavailableError:
                self.hosts.doubt()
                jitter = random.random()  # noqa: S311 - spreads load, guards nothing
                wait_s = backoff.next_wait_s(time.monotonic(), jitter)
                if wait_s is None:
                    raise
                await asyncio.sleep(wait_s)
            else:
                return question.answered(self.hosts, address, reply)

    async def discover(self) -> None:
        """Ask the farm where its games hosts are, unless that is known.

        Raises:
            UnavailableError: it does not answer, or has none.
        """
        if not self.hosts.is_stale:
            return
        route = self.route_to(self.hosts.address)
        call = route.channel.unary_unary(names.method_path(names.GET_FARM_INFO))
        try:
            reply = await call(
                replies.info_request(), timeout=self._timeout_s, metadata=route.metadata
            )
        except grpc.RpcError as error:
            self.hosts.not_learned(call_error(error, self.hosts.address))
        else:
            self.hosts.learned(replies.parse_info(reply).endpoints)

    async def route(self, game_id: int, token: str) -> Route:
        """Where the streams of a game go; of no game (0), of new ones.

        Raises:
            ClientError: the game cannot be found.
        """
        await self.discover()
        if game_id and self.hosts.known(game_id) is None:
            await self._ask_hosts(state(game_id, token, after_tick=None, wait_s=0.0))
        return self.route_to(self.hosts.known(game_id) or self.hosts.all[0])

    def doubt(self) -> None:
        """A host did not answer: look for it again before the next call."""
        self.hosts.doubt()

    def route_to(self, address: str) -> Route:
        """The connection to an address.

        Raises:
            UsageError: there is no loop to make one in.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("use AsyncGameClient inside a loop, with `async with`") from None
        if address not in self._routes:
            metadata = metadata_of(address, self._tls, self._token)
            self._routes[address] = Route(open_aio_channel(address, self._tls), address, metadata)
        return self._routes[address]

    async def close(self) -> None:
        """Close the connections."""
        for route in self._routes.values():
            await route.channel.close()

    async def _ask_hosts(self, question: Question[T]) -> tuple[str, bytes]:
        """The first host that does not leave it to another."""
        refused: GameRejectedError | None = None
        for address in question.hosts(self.hosts):
            try:
                reply = await self._call(address, question)
            except GameRejectedError as error:
                refused = outranks(error, refused)
            else:
                self.hosts.found(question.game_id, address)
                return address, reply
        assert refused is not None  # there is a host, or `discover` would have raised
        raise refused

    async def _call(self, address: str, question: Question[T]) -> bytes:
        route = self.route_to(address)
        call = route.channel.unary_unary(game_path(question.method))
        timeout_s = self._timeout_s + question.wait_s
        try:
            reply: bytes = await call(question.request, timeout=timeout_s, metadata=route.metadata)
        except grpc.RpcError as error:
            raise call_error(error, address) from None
        return reply
