"""Many seats of many games at once, blocking: a learner's loop over arrays."""

import queue
import random
import time
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from farm.client.games.calls import Calls, call_error
from farm.client.games.hosts import game_path
from farm.client.games.many import ManyRows
from farm.client.games.many_arrays import ManyStep, SeatArrays
from farm.client.games.session import ended_early
from farm.client.retry import Backoff, Retry
from farm.errors import ClientError, UnavailableError
from farm.rpc import names


class ManySeats(SeatArrays):
    """Seats of many games, driven in step: `reset`, then `step` again and again.

        with client.play_many(256, map="10x10", bots={1: "expander"}, autoreset=True) as seats:
            seats.reset()
            while learning:
                step = seats.step(choose(seats.frames, seats.legal_mask()))

    Games made for the stream end with it, also when the connection dies; joined ones go on, and so
    does this object, by itself. For use by one thread at a time.

    Raises:
        UnavailableError: in `reset` and `step`: the games went with the connection, or nobody
            answered within the policy's deadline.
        GameRejectedError: in `reset`: no such games can be made, or played with these tokens.
    """

    def __init__(
        self, rows: ManyRows, calls: Calls, retry: Retry, *, game_id: int, token: str
    ) -> None:
        super().__init__(rows)
        self._calls = calls
        self._backoff = Backoff(retry)
        self._game = (game_id, token)
        self._call: Any = None
        self._address = ""
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closed = False

    def reset(self) -> ManyStep:
        """Open the stream and wait for a frame of every row; later calls return the newest ones."""
        while not (self._rows.is_seen or self._closed):
            self._receive()
        return self._step()

    def step(self, actions: NDArray[np.integer], *, partial: bool = False) -> ManyStep:
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
            self._requests.put(message)
        while not (rows.is_stepped or rows.is_over or self._closed):
            self._receive()
            if partial and rows.n_updates:
                break
        return self._step()

    def close(self) -> None:
        """End the stream; games made for it are cancelled, joined ones go on."""
        self._closed = True
        self._drop_call()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self) -> None:
        """One message, or the wait before another connection."""
        try:
            if self._call is None:
                self._connect()
            message = next(self._call)
        except StopIteration:
            self._wait_out(ended_early(self._address))
        except grpc.RpcError as error:
            self._wait_out(call_error(error, self._address))
        except ClientError as error:
            self._wait_out(error)
        else:
            self._take_in(message)

    def _take_in(self, message: bytes) -> None:
        try:
            self._rows.receive(message)
        except Exception:
            self.close()
            raise
        self._backoff.connected()
        if (again := self._rows.take_again()) is not None:
            self._requests.put(again)

    def _wait_out(self, error: ClientError) -> None:
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
        time.sleep(wait_s)

    def _connect(self) -> None:
        route = self._calls.route(*self._game)
        self._address = route.address
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        requests.put(self._rows.open())
        self._requests = requests
        method = route.channel.stream_stream(game_path(names.PLAY_MANY))
        self._call = method(iter(requests.get, None), metadata=route.metadata)

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._requests.put(None)  # gRPC's own thread waits for the next request: let it go
