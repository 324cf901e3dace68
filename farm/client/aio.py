"""The asyncio face of the client: the sync one's twin over the same core.

async with AsyncClient("127.0.0.1:50051") as client:
    async for trajectories in client.batches(512):
        batch = stack(trajectories)
        ...
"""

import asyncio
import contextlib
import random
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
import grpc.aio

from farm.client import replies
from farm.client.balance import Balance, Gap, balance_request, parse_balance
from farm.client.core import Received
from farm.client.decode import Trajectory
from farm.client.options import SubscribeOptions, Wanted
from farm.client.retry import Retry
from farm.client.session import (
    CLOSE_S,
    DEFAULT_ADDRESS,
    ENDED,
    Ending,
    Session,
    StreamCall,
    stream_call,
    subscribe_call,
)
from farm.client.submit import Submission, Submitted
from farm.client.tls import Tls, open_aio_channel
from farm.client.token import metadata_of
from farm.client.trace import traced
from farm.errors import UsageError
from farm.rpc import names


class AsyncSubscription:
    """Trajectories of one stream, as an asynchronous iterator that reconnects by itself.

    The rules and the errors are those of `farm.client.Subscription`. A wait that is cancelled costs
    the connection, not data: the next wait makes another one.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        address: str,
        call: StreamCall,
        retry: Retry,
        *,
        auto_ack: bool = True,
    ) -> None:
        self._session = Session(address, call, retry)
        self._inbox = self._session.inbox
        self._method = _method(channel, call)
        self._auto_ack = auto_ack
        self._call: Any = None
        self._closed = False

    @property
    def received(self) -> Received:
        """What has arrived so far: counts, duplicates, gaps."""
        return self._inbox.received

    def gaps(self, balance: Balance) -> tuple[Gap, ...]:
        """What has not arrived here; see `farm.client.Subscription.gaps`."""
        return self._session.gaps(balance)

    async def batches(self, n: int, *, partial: bool = False) -> AsyncIterator[list[Trajectory]]:
        """Lists of `n` trajectories, each done when the next list is asked for.

        A list is shorter if `n` of them take more than half the credit: ask for more credit then.
        The farm grants no more than half of its rings; larger ones are `ring.bytes`. So are the
        last ones of a farm that drains, and of a ring that is to have another size.

        Args:
            n: length of a list.
            partial: whether to take what has arrived, at least one, instead of waiting for `n`.
        """
        while True:
            if self._auto_ack:
                self._inbox.finish_taken()
            taken = self._inbox.try_take(n)
            while len(taken) < n and not (taken and (partial or self._inbox.is_awaited)):
                if not await self._receive():
                    break
                taken += self._inbox.try_take(n - len(taken))
            if not taken:
                return
            yield taken

    async def acknowledge(self) -> None:
        """Everything taken so far is done."""
        self._inbox.finish_taken()
        await self._send_acks()

    async def close(self) -> None:
        """End the stream: the farm gets the acknowledgements given, others get the rest."""
        if self._closed:
            return
        self._closed = True
        if self._call is None:
            return
        if self._session.call.takes_acks:
            ended = (grpc.RpcError, _EndedError, asyncio.InvalidStateError, TimeoutError)
            with contextlib.suppress(*ended):
                await asyncio.wait_for(self._finish(), CLOSE_S)
        self._drop_call()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Trajectory:
        if self._auto_ack:
            self._inbox.finish_taken()
        while (trajectory := self._inbox.try_next()) is None:
            if not await self._receive():
                raise StopAsyncIteration
        return trajectory

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _receive(self) -> bool:
        """Wait for one message, or for the time of the next try; False if the stream is closed."""
        if self._closed:
            return False
        try:
            if self._call is None:
                await self._connect()
            await self._send_acks()
            message = await self._call.read()
        except grpc.RpcError as error:
            ending = Ending.of(error)
        except _EndedError:
            ending = ENDED
        except asyncio.CancelledError:
            self._drop_call()
            self._inbox.disconnected()
            raise
        else:
            if message is not grpc.aio.EOF:
                self._take_in(message)
                return True
            ending = ENDED
        await self._wait_out(ending)
        return True

    def _take_in(self, message: bytes) -> None:
        try:
            self._session.receive(message)
        except Exception:
            # Whatever it was, the reader is told, and no message after it can be trusted.
            self._closed = True
            self._drop_call()
            raise

    async def _wait_out(self, ending: Ending) -> None:
        self._drop_call()
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        await asyncio.sleep(self._session.failed(ending, time.monotonic(), jitter))

    async def _connect(self) -> None:
        self._inbox.open()
        call = self._session.call
        if not call.takes_acks:
            self._call = self._method(call.request, metadata=call.metadata)
            return
        self._call = self._method(metadata=call.metadata)
        await self._write(call.request)

    async def _send_acks(self) -> None:
        if (ack := self._inbox.take_acks()) is not None:
            await self._write(ack)

    async def _write(self, message: bytes) -> None:
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:
            return  # the call has ended: the read that follows says how
        except grpc.aio.AioRpcError as error:
            # It was ending, and grpc.aio puts an error of its own in the place of the status.
            if error.code() is not grpc.StatusCode.INTERNAL:
                raise
            raise _EndedError from None

    async def _finish(self) -> None:
        """Half-close and read to the end, so that no acknowledgement is overtaken by a cancel."""
        await self._send_acks()
        await self._call.done_writing()
        while await self._call.read() is not grpc.aio.EOF:
            pass

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


class AsyncClient:
    """A farm, as seen from outside; to be entered with `async with`.

    Args:
        address: `host:port` of the farm's experiences service, or `unix:/path`.
        timeout_s: time for an answer to a question such as `stats`, in seconds.
        retry: how streams reconnect.
        tls: as for `farm.client.Client`; its files are read when the client is entered.
        token: as for `farm.client.Client`.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout_s: float = 5.0,
        retry: Retry | None = None,
        tls: Tls | None = None,
        token: str | None = None,
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._metadata = metadata_of(address, tls, token)
        self._retry = retry or Retry()
        self._tls = tls
        self._channel: grpc.aio.Channel | None = None
        self._streams: weakref.WeakSet[AsyncSubscription] = weakref.WeakSet()

    def subscribe(
        self, *, auto_ack: bool = True, **options: Unpack[SubscribeOptions]
    ) -> AsyncSubscription:
        """Join a group; see `farm.client.Client.subscribe`."""
        return self._open(subscribe_call(options), auto_ack=auto_ack)

    async def batches(
        self, n: int, **options: Unpack[SubscribeOptions]
    ) -> AsyncIterator[list[Trajectory]]:
        """Join a group and take lists of `n` trajectories; see `AsyncSubscription.batches`."""
        async with self.subscribe(**options) as subscription:
            async for trajectories in subscription.batches(n):
                yield trajectories

    def stream(self, **wanted: Unpack[Wanted]) -> AsyncSubscription:
        """Watch beside the groups; see `farm.client.Client.stream`."""
        return self._open(stream_call(wanted), auto_ack=True)

    async def remove_group(self, group: str) -> int:
        """Forget a group; see `farm.client.Client.remove_group`."""
        request = replies.remove_group_request(group)
        return replies.parse_removed(await self._ask(names.REMOVE_GROUP, request))

    async def balance(self) -> Balance:
        """Where every record is; see `farm.client.Client.balance`."""
        return parse_balance(await self._ask(names.GET_BALANCE, balance_request()))

    async def submit(
        self, trajectories: Iterable[Trajectory], *, timeout_s: float | None = None
    ) -> Submitted:
        """Hand in trajectories collected elsewhere; see `farm.client.Client.submit`.

        They are taken in the loop's own thread: an iterable that waits holds it up.
        """
        submission = Submission(trajectories)
        call = self._open_channel().stream_unary(names.method_path(names.SUBMIT_EXPERIENCES))
        try:
            reply: bytes = await call(
                submission.messages(), timeout=timeout_s, metadata=traced(self._metadata)
            )
        except grpc.RpcError as error:
            raise Ending.of(error).error(self.address) from None
        return submission.outcome(reply)

    async def stats(self, *, game_ids: Sequence[int] = (), per_seat: bool = False) -> replies.Stats:
        """What the service has seen; see `farm.client.Client.stats`."""
        request = replies.stats_request(list(game_ids), per_seat=per_seat)
        return replies.parse_stats(await self._ask(names.GET_EXPERIENCE_STATS, request))

    async def info(self) -> replies.FarmInfo:
        """What the farm is; see `farm.client.Client.info`."""
        return replies.parse_info(await self._ask(names.GET_FARM_INFO, replies.info_request()))

    async def close(self) -> None:
        """Close every stream, then the connection."""
        for stream in tuple(self._streams):
            await stream.close()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def __aenter__(self) -> Self:
        self._open_channel()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                raise UsageError("enter AsyncClient with `async with`, inside a loop") from None
            self._channel = open_aio_channel(self.address, self._tls)
        return self._channel

    def _open(self, call: StreamCall, *, auto_ack: bool) -> AsyncSubscription:
        call = replace(call, metadata=traced(self._metadata))
        channel = self._open_channel()
        stream = AsyncSubscription(channel, self.address, call, self._retry, auto_ack=auto_ack)
        self._streams.add(stream)
        return stream

    async def _ask(self, method: str, request: bytes) -> bytes:
        call = self._open_channel().unary_unary(names.method_path(method))
        try:
            reply: bytes = await call(
                request, timeout=self._timeout_s, metadata=traced(self._metadata)
            )
        except grpc.RpcError as error:
            raise Ending.of(error).error(self.address) from None
        return reply


class _EndedError(Exception):
    """The call ended while a message was written to it."""


def _method(channel: grpc.aio.Channel, call: StreamCall) -> Any:
    if call.takes_acks:
        return channel.stream_stream(call.path)
    return channel.unary_stream(call.path)
