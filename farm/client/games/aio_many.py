"""Many seats of many games at once, for asyncio: the twin of many_sync.py over the same rows."""

import asyncio
import random
import time
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from farm.client.games.aio_calls import AsyncCalls
from farm.client.games.calls import call_error
from farm.client.games.hosts import game_path
from farm.client.games.many import ManyRows
from farm.client.games.many_arrays import ManyStep, SeatArrays
from farm.client.games.session import ended_early
from farm.client.retry import Backoff, Retry
from farm.errors import ClientError, UnavailableError
from farm.rpc import names


class AsyncManySeats(SeatArrays):
    """Seats of many games, driven in step; as `farm.client.ManySeats`.

    A wait that is cancelled costs the connection, and with it games that were made for the stream.
    """

    def __init__(
        self, rows: ManyRows, calls: AsyncCalls, retry: Retry, *, game_id: int, token: str
    ) -> None:
        super().__init__(rows)
        self._calls = calls
        self._backoff = Backoff(retry)
        self._game = (game_id, token)
        self._call: Any = None
        self._address = ""
        self._closed = False
        self._is_broken = False

    async def reset(self) -> ManyStep:
        """Open the stream and wait for a frame of every row; later calls return the newest ones."""
        while not (self._rows.is_seen or self._closed):
            await self._receive()
        return self._step()

    async def step(self, actions: NDArray[np.integer], *, partial: bool = False) -> ManyStep:
        """Act for every row that waits, and wait for what comes of it.

        Args:
            actions: int[n_rows]: an action index for each row, of which those that wait count;
                `passing` does nothing, and so does one that is not legal.
            partial: whether to return after any update, instead of when every action shows.

        Raises:
            UsageError: before `reset`, after the last end, or actions that are none.
        """
        self._check_open()
        rows = self._rows
        message = rows.act(actions)
        rows.begin_step()
        if message is not None:
            await self._write(message)
        while not (rows.is_stepped or rows.is_over or self._closed):
            await self._receive()
            if partial and rows.n_updates:
                break
        return self._step()

    async def close(self) -> None:
        """End the stream; games made for it are cancelled, joined ones go on."""
        self._closed = True
        self._drop_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _receive(self) -> None:
        """One message, or the wait before another connection."""
        try:
            if self._call is None:
                await self._connect()
            message = await self._call.read()
        except grpc.RpcError as error:
            is_own = self._is_broken and error.code() is grpc.StatusCode.INTERNAL
            ending = ended_early(self._address) if is_own else call_error(error, self._address)
            await self._wait_out(ending)
        except ClientError as error:
            await self._wait_out(error)
        except asyncio.CancelledError:
            self._drop_call()
            raise
        else:
            if message is grpc.aio.EOF:
                await self._wait_out(ended_early(self._address))
            else:
                await self._take_in(message)

    async def _take_in(self, message: bytes) -> None:
        try:
            self._rows.receive(message)
        except Exception:
            await self.close()
            raise
        self._backoff.connected()
        if (again := self._rows.take_again()) is not None:
            await self._write(again)

    async def _wait_out(self, error: ClientError) -> None:
        self._drop_call()
        may_retry = isinstance(error, UnavailableError) and (
            self._rows.can_reopen or not self._rows.n_rows
        )
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        wait_s = self._backoff.next_wait_s(time.monotonic(), jitter) if may_retry else None
        if wait_s is None:
            self._closed = True
            raise error
        self._calls.doubt()
        await asyncio.sleep(wait_s)

    async def _connect(self) -> None:
        route = await self._calls.route(*self._game)
        self._address = route.address
        self._is_broken = False
        self._call = route.channel.stream_stream(game_path(names.PLAY_MANY))(
            metadata=route.metadata
        )
        await self._write(self._rows.open())

    async def _write(self, message: bytes) -> None:
        """Send; a call that has ended says how when it is read."""
        if self._call is None:
            return  # what is lost is sent again once the rows have come again
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:
            return
        except grpc.aio.AioRpcError:
            # It was ending, and grpc.aio puts an error of its own in the place of the status.
            self._is_broken = True

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
