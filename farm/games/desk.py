"""What the handlers of the service share: the host, who watches, and the way in and out.

A handler changes the host and says so (`wake`): the duty loop then looks what became due. Errors
leave with the number of the game that they are about.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from farm.config.schema import FarmConfig
from farm.errors import GameError, StoppingError
from farm.games.game import HostedGame
from farm.games.host import Host
from farm.games.seats import Accepted
from farm.games.watches import Watches
from farm.serve.limits import Limiter
from farm.serve.quota import Way
from farm.telemetry.actions import NO_ACTIONS, Actions

Request = TypeVar("Request", bound=Message)


class Desk:
    """One for the service.

    Attributes:
        host: the games.
        watches: who waits for news.
        config: in force; replaced when it changes.
        actions: follows actions on their way; replaced where somebody traces.

    Args:
        host: the games.
        config: in force.
        limiter: holds back who has had its share of bytes.
        wake: lets the duty loop look at the host soon.
        on_streams: told how many streams are open, whenever that changes.
        on_action: told of each accepted action how long that took, in microseconds.
    """

    def __init__(
        self,
        host: Host,
        config: FarmConfig,
        limiter: Limiter,
        *,
        wake: Callable[[], None],
        on_streams: Callable[[int], None],
        on_action: Callable[[int], None],
    ) -> None:
        self.host = host
        self.watches = Watches()
        self.actions: Actions = NO_ACTIONS
        self.config = config
        self.wake = wake
        self.on_action = on_action
        self._on_streams = on_streams
        self._limiter = limiter
        self._n_streams = 0
        self._is_closed = False

    @property
    def write_s(self) -> float:
        """Seconds for a reader to take a message."""
        return self.config.serve.client_timeout_s

    def close(self) -> None:
        """Take nothing new, and let every stream end."""
        self._is_closed = True
        self.watches.tell_all()

    def check_open(self) -> None:
        """Raise StoppingError once the host stops."""
        if self._is_closed:
            raise StoppingError("the games host is stopping; connect again and go on")

    def follow_config(self, config: FarmConfig) -> None:
        """Go on by a changed config."""
        self.config = config
        self._limiter.limits = config.limits
        self.host.follow(config.games, config.reward)

    async def hold(self, way: Way) -> None:
        """Wait until the caller of the present stream may have its next message."""
        await self._limiter.hold(way, lambda: self._is_closed)

    def passed(self, way: Way, n_bytes: int) -> None:
        """A message of the present stream has gone its way."""
        self._limiter.passed(way, n_bytes)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A place among the open streams.

        Raises:
            GameError: LIMIT, there is none left.
        """
        limit = self.config.games.max_streams
        if self._n_streams >= limit:
            raise GameError(
                "LIMIT",
                f"{limit} streams are open (games.max_streams); close one or raise the limit",
                retry_after_s=1.0,
            )
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    @contextmanager
    def attached(self, game: HostedGame, seat: int | None) -> Iterator[None]:
        """A seat counts as connected meanwhile; a spectator changes nothing."""
        if seat is None:
            yield
            return
        self.host.attach(game, seat, time.monotonic_ns())
        self.wake()
        try:
            yield
        finally:
            self.host.detach(game, seat, time.monotonic_ns())
            self.wake()

    def follow(
        self, game: HostedGame, seat: int, accepted: Accepted, n_moves: int, now_ns: int
    ) -> None:
        """An action was accepted, with so many moves: its first is due behind those that wait."""
        due_tick = accepted.tick + accepted.queued - n_moves
        self.actions.accepted(game.game_id, seat, due_tick, now_ns)

    def played(self, now_ns: int) -> None:
        """The host was polled: ticks may have been played."""
        if self.actions.n_in_flight:
            self.actions.poll(now_ns, self._tick_of)

    def shown(self, game: HostedGame, viewer: int | None, tick: int) -> None:
        """A seat, or a spectator, was sent what it sees after so many ticks."""
        if viewer is not None and self.actions.n_in_flight:
            self.actions.sent(game.game_id, viewer, tick)

    def _tick_of(self, game_id: int) -> int | None:
        game = self.host.register.by_id.get(game_id)
        return None if game is None else game.tick

    def _count(self, change: int) -> None:
        self._n_streams += change
        self._on_streams(self._n_streams)


@contextmanager
def about(game_id: int) -> Iterator[None]:
    """Errors from within are about this game."""
    try:
        yield
    except GameError as error:
        error.game_id = game_id
        raise


def parse(kind: type[Request], message: bytes) -> Request:
    """A request.

    Raises:
        GameError: BAD_REQUEST, the bytes are none of this kind.
    """
    try:
        return kind.FromString(message)
    except DecodeError:
        raise GameError(
            "BAD_REQUEST", f"{len(message)} bytes that are no {kind.DESCRIPTOR.full_name}"
        ) from None
