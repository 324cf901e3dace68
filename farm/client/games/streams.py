"""The streams of a game, blocking: updates in, and of a seat actions out."""

import queue
import random
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from farm.client.games.calls import Calls, Route, call_error
from farm.client.games.moves import ActionResult, Move
from farm.client.games.observation import GameUpdate
from farm.client.games.session import GameSession, PlaySession, ended_early
from farm.errors import ClientError


class GameStream:
    """Updates of a game, as an iterator that reconnects by itself and ends with the game.

    A slow reader misses ticks, never events. For use by one thread at a time.

    Raises:
        UnavailableError: while iterating: nobody answered within the policy's deadline.
        GameRejectedError: while iterating: the game is unknown, or the token is not of it.
        CorruptDataError: what arrived is no stream of a game.
    """

    def __init__(self, session: GameSession, calls: Calls) -> None:
        self._session = session
        self._calls = calls
        self._call: Any = None
        self._address = ""
        self._closed = False

    @property
    def game_id(self) -> int:
        """Of the game."""
        return self._session.game_id

    @property
    def last_event(self) -> int:
        """Sequence of the last event told; a later stream goes on with `after_event`."""
        return self._session.view.after_event

    def close(self) -> None:
        """End the stream; the game goes on."""
        self._closed = True
        self._drop_call()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> GameUpdate:
        while (received := self._receive()) is not None:
            if isinstance(received, GameUpdate):
                return received
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self) -> GameUpdate | ActionResult | None:
        """The next message, over as many connections as it takes; None at the end."""
        while not (self._closed or self._session.is_done):
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
                return self._take_in(message)
        self._drop_call()
        return None

    def _take_in(self, message: bytes) -> GameUpdate | ActionResult:
        try:
            return self._session.receive(message)
        except Exception:
            self.close()
            raise

    def _wait_out(self, error: ClientError) -> None:
        self._drop_call()
        if self._closed or self._session.is_over:
            self._closed = True  # the end of the stream of a game that is over
            return
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        wait_s = self._session.failed(error, time.monotonic(), jitter)
        self._calls.doubt()
        time.sleep(wait_s)

    def _connect(self) -> None:
        route = self._calls.route(self._session.game_id, self._session.token)
        self._address = route.address
        self._call = self._open(route, self._session.open())

    def _open(self, route: Route, first: Sequence[bytes]) -> Any:
        method = route.channel.unary_stream(self._session.path)
        return method(first[0], metadata=route.metadata)

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


class GamePlay(GameStream):
    """One seat's game: its updates as an iterator, and actions the other way.

    What has no answer when a connection dies is sent again on the next, and never done twice.
    """

    _session: PlaySession

    def __init__(self, session: PlaySession, calls: Calls) -> None:
        super().__init__(session, calls)
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.last_result: ActionResult | None = None

    @property
    def n_unanswered(self) -> int:
        """Actions on their way."""
        return len(self._session.outbox)

    def submit(self, *moves: Move, expected_tick: int | None = None, clear: bool = False) -> str:
        """Send an action; no moves pass this tick.

        Args:
            moves: join the seat's queue, all or none.
            expected_tick: refuse it unless the game is at this tick; None takes it at any.
            clear: forget the moves that wait, first.

        Returns:
            Its key: the `ActionResult` with it, from `receive`, is the answer.

        Raises:
            UsageError: 64 have no answer yet.
        """
        key, message = self._session.submit(moves, expected_tick=expected_tick, clear=clear)
        if self._call is not None:
            self._requests.put(message)
        return key

    def receive(self) -> GameUpdate | ActionResult | None:
        """The next update, or answer to an action; None when the game is over."""
        received = self._receive()
        if isinstance(received, ActionResult):
            self.last_result = received
        return received

    def __next__(self) -> GameUpdate:
        while (received := self.receive()) is not None:
            if isinstance(received, GameUpdate):
                return received
        raise StopIteration

    def _open(self, route: Route, first: Iterable[bytes]) -> Any:
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for message in first:
            requests.put(message)
        self._requests = requests
        method = route.channel.stream_stream(self._session.path)
        return method(iter(requests.get, None), metadata=route.metadata)

    def _drop_call(self) -> None:
        super()._drop_call()
        # gRPC's own thread waits for the next request: let it go.
        self._requests.put(None)
