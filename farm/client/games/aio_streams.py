"""The streams of a game, for asyncio: the twins of streams.py over the same sessions."""

import asyncio
import random
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from farm.client.games.aio_calls import AsyncCalls
from farm.client.games.calls import Route, call_error
from farm.client.games.moves import ActionResult, Move
from farm.client.games.observation import GameUpdate
from farm.client.games.session import GameSession, PlaySession, ended_early
from farm.errors import ClientError, UnavailableError


class AsyncGameStream:
    """Updates of a game, as an asynchronous iterator that reconnects by itself.

    The rules and the errors are those of `farm.client.GameStream`. A wait that is cancelled costs
    the connection, not the game: the next wait makes another one.
    """

    def __init__(self, session: GameSession, calls: AsyncCalls) -> None:
        self._session = session
        self._calls = calls
        self._call: Any = None
        self._address = ""
        self._closed = False
        self._is_broken = False

    @property
    def game_id(self) -> int:
        """Of the game."""
        return self._session.game_id

    @property
    def last_event(self) -> int:
        """Sequence of the last event told; a later stream goes on with `after_event`."""
        return self._session.view.after_event

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self._call is not None

    async def close(self) -> None:
        """End the stream; the game goes on."""
        self._closed = True
        self._drop_call()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GameUpdate:
        while (received := await self._receive()) is not None:
            if isinstance(received, GameUpdate):
                return received
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _receive(self) -> GameUpdate | ActionResult | None:
        """The next message, over as many connections as it takes; None at the end."""
        while not (self._closed or self._session.is_done):
            try:
                if self._call is None:
                    await self._connect()
                message = await self._call.read()
            except grpc.RpcError as error:
                await self._wait_out(self._error(error))
            except (ClientError, asyncio.InvalidStateError) as error:
                await self._wait_out(_ending(error, self._address))
            except asyncio.CancelledError:
                self._drop_call()
                raise
            else:
                if message is not grpc.aio.EOF:
                    return self._take_in(message)
                await self._wait_out(ended_early(self._address))
        self._drop_call()
        return None

    def _error(self, error: Any) -> ClientError:
        if self._is_broken and error.code() is grpc.StatusCode.INTERNAL:
            return ended_early(self._address)
        return call_error(error, self._address)

    def _take_in(self, message: bytes) -> GameUpdate | ActionResult:
        try:
            return self._session.receive(message)
        except Exception:
            self._closed = True
            self._drop_call()
            raise

    async def _wait_out(self, error: ClientError) -> None:
        self._drop_call()
        if self._closed or self._session.is_over:
            self._closed = True  # the end of the stream of a game that is over
            return
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        wait_s = self._session.failed(error, time.monotonic(), jitter)
        self._calls.doubt()
        await asyncio.sleep(wait_s)

    async def _connect(self) -> None:
        route = await self._calls.route(self._session.game_id, self._session.token)
        self._address = route.address
        self._is_broken = False
        await self._open(route)

    async def _open(self, route: Route) -> None:
        method = route.channel.unary_stream(self._session.path)
        (request,) = self._session.open()
        self._call = method(request, metadata=route.metadata)

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


class AsyncGamePlay(AsyncGameStream):
    """One seat's game: its updates as an iterator, and actions the other way.

    As `farm.client.GamePlay`; one task may submit while another receives.
    """

    _session: PlaySession

    def __init__(self, session: PlaySession, calls: AsyncCalls) -> None:
        super().__init__(session, calls)
        self._unsent: deque[bytes] = deque()
        self.last_result: ActionResult | None = None

    @property
    def n_unanswered(self) -> int:
        """Actions on their way."""
        return len(self._session.outbox)

    async def submit(
        self, *moves: Move, expected_tick: int | None = None, clear: bool = False
    ) -> str:
        """Send an action; see `farm.client.GamePlay.submit`."""
        key, message = self._session.submit(moves, expected_tick=expected_tick, clear=clear)
        if self._call is None:
            self._unsent.append(message)
        else:
            await self._write(self._call, message)
        return key

    async def receive(self) -> GameUpdate | ActionResult | None:
        """The next update, or answer to an action; None when the game is over."""
        received = await self._receive()
        if isinstance(received, ActionResult):
            self.last_result = received
        return received

    async def __anext__(self) -> GameUpdate:
        while (received := await self.receive()) is not None:
            if isinstance(received, GameUpdate):
                return received
        raise StopAsyncIteration

    async def _open(self, route: Route) -> None:
        # What is submitted from here on is in none of the first messages.
        self._unsent.clear()
        first = self._session.open()
        call = route.channel.stream_stream(self._session.path)(metadata=route.metadata)
        for message in first:
            await self._write(call, message)
        while self._unsent:
            await self._write(call, self._unsent.popleft())
        self._call = call

    async def _write(self, call: Any, message: bytes) -> None:
        """Send; a call that has ended says how when it is read, and all is sent again then."""
        try:
            await call.write(message)
        except asyncio.InvalidStateError:
            return
        except grpc.aio.AioRpcError:
            # It was ending, and grpc.aio puts an error of its own in the place of the status.
            self._is_broken = True


def _ending(error: BaseException, address: str) -> ClientError:
    if isinstance(error, ClientError):
        return error
    return UnavailableError(f"the connection to {address} was lost")
