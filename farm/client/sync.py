"""The blocking face of the client.

with Client("127.0.0.1:50051") as client:
    for trajectories in client.batches(512):
        batch = stack(trajectories)
        ...
"""

import contextlib
import queue
import random
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

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
from farm.client.tls import Tls, open_channel
from farm.client.token import metadata_of
from farm.client.trace import traced
from farm.rpc import names


class Subscription:
    """Trajectories of one stream, as an iterator that reconnects by itself.

    By default a trajectory counts as done when the next one is asked for, and a batch of the farm
    is acknowledged when all of it is done: what a loop was busy with when it died is delivered
    again, to whoever is left in the group. Held unacknowledged for longer than
    `serve.client_timeout_s` with the credit used up, it is delivered again too. With
    `auto_ack=False` things are done when `acknowledge()` says so. For use by one thread at a time.

    Raises:
        UnavailableError: while iterating: no farm answered within the policy's deadline.
        RejectedError: the farm refuses the request; carries the status.
        SpecMismatchError: the farm was built from another spec than this client.
        CorruptDataError: what arrived is no stream of a farm.
    """

    def __init__(
        self,
        channel: grpc.Channel,
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
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closed = False

    @property
    def received(self) -> Received:
        """What has arrived so far: counts, duplicates, gaps."""
        return self._inbox.received

    def gaps(self, balance: Balance) -> tuple[Gap, ...]:
        """What has not arrived here, worker by worker, beside what the farm says it may lack.

        Of use to the sole member of a group, and exact while nothing moves: see `Gap`.

        Args:
            balance: from `Client.balance`, after the last trajectory was acknowledged.

        Raises:
            UsageError: this is a stream beside the groups, or its group was removed.
        """
        return self._session.gaps(balance)

    def batches(self, n: int, *, partial: bool = False) -> Iterator[list[Trajectory]]:
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
                if not self._receive():
                    break
                taken += self._inbox.try_take(n - len(taken))
            if not taken:
                return
            yield taken

    def acknowledge(self) -> None:
        """Everything taken so far is done."""
        self._inbox.finish_taken()
        self._send_acks()

    def close(self) -> None:
        """End the stream: the farm gets the acknowledgements given, others get the rest."""
        if self._closed:
            return
        self._closed = True
        if self._call is None:
            return
        if self._session.call.takes_acks:
            self._send_acks()
            self._requests.put(None)
            _read_to_end(self._call)
        self._drop_call()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Trajectory:
        if self._auto_ack:
            self._inbox.finish_taken()
        while (trajectory := self._inbox.try_next()) is None:
            if not self._receive():
                raise StopIteration
        return trajectory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self) -> bool:
        """Wait for one message, or for the time of the next try; False if the stream is closed."""
        if self._closed:
            return False
        try:
            if self._call is None:
                self._connect()
            self._send_acks()
            message = next(self._call)
        except StopIteration:
            ending = ENDED
        except grpc.RpcError as error:
            ending = Ending.of(error)
        else:
            self._take_in(message)
            return True
        self._wait_out(ending)
        return True

    def _take_in(self, message: bytes) -> None:
        try:
            self._session.receive(message)
        except Exception:
            # Whatever it was, the reader is told, and no message after it can be trusted.
            self._closed = True
            self._drop_call()
            raise

    def _wait_out(self, ending: Ending) -> None:
        self._drop_call()
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        time.sleep(self._session.failed(ending, time.monotonic(), jitter))

    def _connect(self) -> None:
        self._inbox.open()
        call = self._session.call
        if not call.takes_acks:
            self._call = self._method(call.request, metadata=call.metadata)
            return
        self._requests = queue.SimpleQueue()
        self._requests.put(call.request)
        self._call = self._method(iter(self._requests.get, None), metadata=call.metadata)

    def _send_acks(self) -> None:
        if (ack := self._inbox.take_acks()) is not None:
            self._requests.put(ack)

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        # gRPC's own thread waits for the next request: let it go.
        self._requests.put(None)


class Client:
    """A farm, as seen from outside.

    Args:
        address: `host:port` of the farm's experiences service, or `unix:/path`.
        timeout_s: time for an answer to a question such as `stats`, in seconds.
        retry: how streams reconnect.
        tls: files of an encrypted connection; None takes FARM_TLS_CA, FARM_TLS_CERT and
            FARM_TLS_KEY, and plaintext if the environment has none of them.
        token: bearer token shown with each call; None takes FARM_TOKEN, or the file
            FARM_TOKEN_FILE. Never sent in plaintext to another machine without FARM_INSECURE=1.

    Raises:
        UsageError: a file cannot be read, or a token would go over a network in plaintext.
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
        self._channel = open_channel(address, tls)
        self._streams: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def subscribe(
        self, *, auto_ack: bool = True, **options: Unpack[SubscribeOptions]
    ) -> Subscription:
        """Join a group: trajectories that no other member of it gets, none of them lost.

        Args:
            auto_ack: whether asking for the next trajectory acknowledges the ones before.
            options: `group`, `policy`, `credit_bytes` and a filter (`game_ids`, `seats`,
                `min_turn`, `policies`), all optional: see `SubscribeOptions`.

        Raises:
            UsageError: there is no such policy.
        """
        return self._open(subscribe_call(options), auto_ack=auto_ack)

    def batches(self, n: int, **options: Unpack[SubscribeOptions]) -> Iterator[list[Trajectory]]:
        """Join a group and take lists of `n` trajectories; see `Subscription.batches`."""
        with self.subscribe(**options) as subscription:
            yield from subscription.batches(n)

    def stream(self, **wanted: Unpack[Wanted]) -> Subscription:
        """Watch beside the groups: at most once, takes nothing from anybody.

        Args:
            wanted: a filter (`game_ids`, `seats`, `min_turn`, `policies`): see `Wanted`.
        """
        return self._open(stream_call(wanted), auto_ack=True)

    def remove_group(self, group: str) -> int:
        """Forget a group, and with it what it has not acknowledged; how many records that is.

        Raises:
            UnavailableError: no farm answers.
            RejectedError: there is none (NOT_FOUND); it has members, or is declared in the farm's
                config (FAILED_PRECONDITION).
        """
        request = replies.remove_group_request(group)
        return replies.parse_removed(self._ask(names.REMOVE_GROUP, request))

    def balance(self) -> Balance:
        """Where every record is that the farm ever made.

        Raises:
            UnavailableError: no farm answers.
        """
        return parse_balance(self._ask(names.GET_BALANCE, balance_request()))

    def submit(
        self, trajectories: Iterable[Trajectory], *, timeout_s: float | None = None
    ) -> Submitted:
        """Hand in trajectories collected elsewhere (`make_trajectory`); every group gets them.

        Full rings hold it up, as they do the workers. A trajectory that the farm rejects does not
        end it: the answer names it and the reason.

        Args:
            trajectories: taken as the farm makes room, in a thread of gRPC's own.
            timeout_s: time for all of it; None takes as long as the farm has room now and then.

        Raises:
            UnavailableError: no farm answers, or it stopped midway; it may have taken some.
            RejectedError: the farm has another spec (FAILED_PRECONDITION), or nobody has made room
                for `serve.client_timeout_s` (RESOURCE_EXHAUSTED).
            UsageError: a trajectory is too long to be sent; those before it were.
        """
        submission = Submission(trajectories)
        call = self._channel.stream_unary(names.method_path(names.SUBMIT_EXPERIENCES))
        try:
            reply: bytes = call(
                submission.messages(), timeout=timeout_s, metadata=traced(self._metadata)
            )
        except grpc.RpcError as error:
            raise Ending.of(error).error(self.address) from None
        return submission.outcome(reply)

    def stats(self, *, game_ids: Sequence[int] = (), per_seat: bool = False) -> replies.Stats:
        """What the service has seen; with a row for each of `game_ids`, and for each seat if asked.

        Raises:
            UnavailableError: no farm answers.
            RejectedError: a game is not among the kept ones (NOT_FOUND).
        """
        request = replies.stats_request(list(game_ids), per_seat=per_seat)
        return replies.parse_stats(self._ask(names.GET_EXPERIENCE_STATS, request))

    def info(self) -> replies.FarmInfo:
        """What the farm is, where its services are and how its processes do.

        Raises:
            UnavailableError: no farm answers.
        """
        return replies.parse_info(self._ask(names.GET_FARM_INFO, replies.info_request()))

    def close(self) -> None:
        """Close every stream, then the connection."""
        for stream in tuple(self._streams):
            stream.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, call: StreamCall, *, auto_ack: bool) -> Subscription:
        call = replace(call, metadata=traced(self._metadata))
        stream = Subscription(self._channel, self.address, call, self._retry, auto_ack=auto_ack)
        self._streams.add(stream)
        return stream

    def _ask(self, method: str, request: bytes) -> bytes:
        call = self._channel.unary_unary(names.method_path(method))
        try:
            reply: bytes = call(request, timeout=self._timeout_s, metadata=traced(self._metadata))
        except grpc.RpcError as error:
            raise Ending.of(error).error(self.address) from None
        return reply


def _method(channel: grpc.Channel, call: StreamCall) -> Any:
    if call.takes_acks:
        return channel.stream_stream(call.path)
    return channel.unary_stream(call.path)


def _read_to_end(call: Any) -> None:
    """Let the farm end a half-closed stream: a cancel would overtake acknowledgements."""
    deadline = threading.Timer(CLOSE_S, call.cancel)
    deadline.daemon = True
    deadline.start()
    with contextlib.suppress(grpc.RpcError):
        for _ in call:
            pass
    deadline.cancel()
