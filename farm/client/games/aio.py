"""The asyncio face of the games: the sync one's twin over the same values.

async with AsyncGameClient("127.0.0.1:50051") as client:
    game = await client.create(map="20x20", bots={1: "expander"})
    seat = await client.join(game.game_id, name="me")
    async with client.play(seat.game_id, seat.token) as play:
        async for update in play:
            if update.to_move:
                await play.submit(*update.moves()[:1], expected_tick=update.tick)
"""

import weakref
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from farm.client.games import questions
from farm.client.games.aio_calls import AsyncCalls
from farm.client.games.aio_many import AsyncManySeats
from farm.client.games.aio_streams import AsyncGamePlay, AsyncGameStream
from farm.client.games.many import ManyRows, create_many, join_many
from farm.client.games.moves import ActionResult, Move
from farm.client.games.observation import GameUpdate
from farm.client.games.outbox import Keys
from farm.client.games.requests import GameOptions
from farm.client.games.session import GameSession, PlaySession
from farm.client.games.values import CreatedGame, GameInfo, GameStats, JoinedGame, Phase
from farm.client.retry import Retry
from farm.client.session import DEFAULT_ADDRESS
from farm.client.tls import Tls
from farm.rpc import names

Stream = TypeVar("Stream", AsyncGameStream, AsyncGamePlay, AsyncManySeats)


class AsyncGameClient:
    """The games of a farm; to be entered with `async with`. See `farm.client.GameClient`.

    Args:
        address: `host:port` of the farm's experiences service, or of a games host itself.
        timeout_s: time for an answer, in seconds.
        retry: how streams reconnect, and how long a host that has answered before is waited for.
        tls: as for `farm.client.Client`; its files are read when the first call is made.
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
        self.retry = retry or Retry()
        self._calls = AsyncCalls(address, timeout_s, self.retry, tls, token)
        self._streams: weakref.WeakSet[AsyncGameStream | AsyncManySeats] = weakref.WeakSet()

    async def create(self, **options: Unpack[GameOptions]) -> CreatedGame:
        """Make a game; see `farm.client.GameClient.create`."""
        return await self._calls.ask(questions.create(options))

    async def games(self, *phases: Phase, page_size: int = 100) -> AsyncIterator[GameInfo]:
        """The games, page by page; see `farm.client.GameClient.games`."""
        await self._calls.discover()
        for host in range(len(self._calls.hosts.all)):
            page_token = ""
            while True:
                question = questions.page(host, phases, page_size, page_token)
                page, page_token = await self._calls.ask(question)
                for game in page:
                    yield game
                if not page_token:
                    break

    async def join(self, game_id: int, *, name: str = "", seat: int | None = None) -> JoinedGame:
        """Take a seat; see `farm.client.GameClient.join`."""
        return await self._calls.ask(questions.join(game_id, name=name, seat=seat))

    async def submit(
        self,
        game_id: int,
        token: str,
        *moves: Move,
        expected_tick: int | None = None,
        clear: bool = False,
        key: str = "",
    ) -> ActionResult:
        """Act without a stream; see `farm.client.GameClient.submit`."""
        question = questions.submit(
            game_id, token, moves, expected_tick=expected_tick, clear=clear, key=key
        )
        return await self._calls.ask(question)

    async def state(
        self, game_id: int, token: str, *, after_tick: int | None = None, wait_s: float = 0.0
    ) -> GameUpdate:
        """What a seat, or a spectator, sees now; see `farm.client.GameClient.state`."""
        question = questions.state(game_id, token, after_tick=after_tick, wait_s=wait_s)
        return await self._calls.ask(question)

    def stream(self, game_id: int, token: str, *, after_event: int = 0) -> AsyncGameStream:
        """Watch a game; see `farm.client.GameClient.stream`."""
        session = GameSession(game_id, token, self.retry, after_event=after_event)
        return self._opened(AsyncGameStream(session, self._calls))

    def play(self, game_id: int, token: str, *, after_event: int = 0) -> AsyncGamePlay:
        """Play a seat; see `farm.client.GameClient.play`."""
        keys = Keys(questions.new_key())
        session = PlaySession(game_id, token, self.retry, keys, after_event=after_event)
        return self._opened(AsyncGamePlay(session, self._calls))

    def play_many(
        self,
        n_games: int,
        *,
        own_seats: Sequence[int] = (0,),
        autoreset: bool = False,
        **options: Unpack[GameOptions],
    ) -> AsyncManySeats:
        """Make and play many games at once; see `farm.client.GameClient.play_many`."""
        rows = ManyRows(create_many(n_games, own_seats, options, autoreset=autoreset))
        return self._opened(AsyncManySeats(rows, self._calls, self.retry, game_id=0, token=""))

    def play_joined(self, seats: Sequence[JoinedGame]) -> AsyncManySeats:
        """Play seats of several games at once; see `farm.client.GameClient.play_joined`."""
        rows = ManyRows(join_many(seats))
        first = seats[0]
        return self._opened(
            AsyncManySeats(rows, self._calls, self.retry, game_id=first.game_id, token=first.token)
        )

    async def surrender(self, game_id: int, token: str) -> None:
        """Leave a game for good: the seat is out at once."""
        await self._calls.ask(questions.surrender(game_id, token))

    async def pause(self, game_id: int, owner_token: str) -> Phase:
        """Stop the clock of a running game, as its owner."""
        return await self._calls.ask(questions.own(names.PAUSE_GAME, game_id, owner_token))

    async def resume(self, game_id: int, owner_token: str) -> Phase:
        """Go on with a paused game, as its owner."""
        return await self._calls.ask(questions.own(names.RESUME_GAME, game_id, owner_token))

    async def cancel(self, game_id: int, owner_token: str) -> Phase:
        """Call off a game that is not over, as its owner."""
        return await self._calls.ask(questions.own(names.CANCEL_GAME, game_id, owner_token))

    async def stats(self, game_id: int, token: str) -> GameStats:
        """A game and what its players have done; for a seat, a spectator or the owner."""
        return await self._calls.ask(questions.stats(game_id, token))

    async def close(self) -> None:
        """Close every stream, then the connections."""
        for stream in tuple(self._streams):
            await stream.close()
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _opened(self, stream: Stream) -> Stream:
        self._streams.add(stream)
        return stream
