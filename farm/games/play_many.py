"""PlayMany: one learner, many seats of many games, packed (rows.py has what is hot).

A round of a learner is one message in and one out, whatever the number of games: its actions go to
the queues in one kernel call, the games they complete are stepped in another, and what came of it
is gathered by index. Ticks that were played while the learner was not reading are sent once, with
their rewards added up; no end of a game is skipped, as the next game begins when it is sent.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import grpc.aio
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from farm.errors import GameError
from farm.games.bus import EventBus, TicksPlayed
from farm.games.convert import spec_of
from farm.games.desk import Desk, about, parse
from farm.games.events import ENDS, Event, Kind
from farm.games.game import HostedGame
from farm.games.lifecycle import Phase
from farm.games.rows import Packed, Rows, messages
from farm.games.spec import MAX_SEED, GameSpec, check, size_of
from farm.games.streams import let_go, read, read_opening, wait_for_news, write
from farm.rpc.v1 import games_pb2
from farm.serve.caller import caller
from farm.serve.trail import trail
from farm.spec.observation import frame_bytes

MAX_GAMES: Final = 4096
"""That one stream has made."""
MAX_BYTES: Final = 1 << 29
"""Of what all PlayMany streams keep of their rows together: half a gigabyte."""
AT_ONCE: Final = 16
"""Games that are made without a pause: a few milliseconds."""
PLAYER: Final = "learner"
"""Name of who plays the games that a stream has made, in experiences and statistics."""
_INT32_BYTES: Final = 4


class Opened(NamedTuple):
    """What a stream was opened with."""

    size: tuple[int, int]
    """Height and width of its boards."""
    n_seats: int
    """Of each game."""
    joined: list[tuple[HostedGame, int]]
    """Game and seat of each row, where they were joined before."""
    spec: GameSpec | None = None
    """Of games that are made for the stream."""
    n_games: int = 0
    """So many."""
    wanted: tuple[int, ...] = ()
    """The seats of each that the stream plays."""
    autoreset: bool = False

    @property
    def n_rows(self) -> int:
        """Seats that the stream plays."""
        return len(self.joined) + self.n_games * len(self.wanted)


class PlayMany:
    """The handler.

    Args:
        desk: what all handlers share.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._n_bytes = 0

    async def play(self, _requests: Any, context: Any) -> None:
        """Play many seats until their games have ended, or the client half-closes."""
        desk = self._desk
        desk.check_open()
        with desk.stream():
            opening = await self._read_opening(context)
            opened = self._open(opening)
            trail().opened({"farm.rows": opened.n_rows, "farm.autoreset": opened.autoreset})
            learner = _Learner(desk, opened)
            try:
                with self._room(learner), learner.listening():
                    await learner.take_seats()
                    await self._play(context, learner)
            finally:
                learner.close()
                desk.wake()

    async def _play(self, context: Any, learner: "_Learner") -> None:
        first = games_pb2.PlayManyResponse(opened=learner.describe())
        await write(context, first, self._desk)
        reading = asyncio.ensure_future(self._take_actions(context, learner))
        try:
            while not reading.done():
                parts = await learner.take_news()
                if parts:
                    for update in messages(parts, learner.frame_bytes):
                        response = games_pb2.PlayManyResponse(update=update)
                        await write(context, response, self._desk)
                elif learner.rows.all_over and not learner.opened.autoreset:
                    return
                else:
                    await wait_for_news(learner.news, self._desk)
            reading.result()
        finally:
            let_go(reading)

    async def _take_actions(self, context: Any, learner: "_Learner") -> None:
        """Carry out actions until the client half-closes."""
        try:
            while (message := await read(context, self._desk)) is not grpc.aio.EOF:
                request = parse(games_pb2.PlayManyRequest, message)
                if request.WhichOneof("kind") != "actions":
                    raise GameError(
                        "BAD_REQUEST", "kind: behind `open` PlayMany takes only `actions`"
                    )
                self._desk.check_open()
                learner.act(request.actions)
                self._desk.wake()
        finally:
            learner.news.set()

    async def _read_opening(self, context: Any) -> games_pb2.PlayManyOpen:
        message = await read_opening(context, self._desk.write_s)
        request = parse(games_pb2.PlayManyRequest, message)
        if request.WhichOneof("kind") != "open":
            raise GameError("BAD_REQUEST", "open: the first message of PlayMany is `open`")
        return request.open

    def _open(self, opening: games_pb2.PlayManyOpen) -> Opened:
        """The seats that a stream plays.

        Raises:
            GameError: there can be none such.
        """
        if bool(opening.seats) == opening.HasField("create"):
            raise GameError("BAD_REQUEST", "seats, create: one of them opens a stream")
        if opening.HasField("create"):
            return self._made(opening.create)
        return self._find(opening)

    def _find(self, opening: games_pb2.PlayManyOpen) -> Opened:
        host, now_ns = self._desk.host, time.monotonic_ns()
        found: dict[tuple[int, int], HostedGame] = {}
        for key in opening.seats:
            with about(key.game_id):
                game = host.game(key.game_id)
                seat = host.seat_of(game, key.token)
                if (key.game_id, seat) in found:
                    raise GameError("BAD_REQUEST", "seats: each at most once")
                if game.is_over:
                    raise GameError("WRONG_PHASE", f"game {key.game_id} is over")
                host.touch(game, seat, now_ns)
                found[key.game_id, seat] = game
        shapes = {(game.height, game.width, game.spec.n_seats) for game in found.values()}
        if len(shapes) > 1:
            raise GameError(
                "BAD_REQUEST", "seats: all games of a stream have one size and number of seats"
            )
        height, width, n_seats = shapes.pop()
        joined = [(game, seat) for (_, seat), game in found.items()]
        return Opened((height, width), n_seats, joined)

    def _made(self, create: games_pb2.ManyGames) -> Opened:
        if not 1 <= create.n_games <= MAX_GAMES:
            raise GameError("BAD_REQUEST", f"n_games: {create.n_games}; 1 to {MAX_GAMES:,}")
        spec = check(spec_of(create.game), self._desk.config.games)
        wanted = tuple(create.seats)
        if sorted(wanted) != [seat for seat in range(spec.n_seats) if seat not in spec.bots]:
            raise GameError(
                "BAD_REQUEST", "seats: each that is no bot's is played by the stream, once"
            )
        return Opened(
            size_of(spec), spec.n_seats, [], spec, create.n_games, wanted, create.autoreset
        )

    @contextmanager
    def _room(self, learner: "_Learner") -> Iterator[None]:
        """What a stream keeps of its rows counts meanwhile.

        Raises:
            GameError: LIMIT, others have all the room.
        """
        n_bytes = learner.n_bytes
        if self._n_bytes + n_bytes > MAX_BYTES:
            raise GameError(
                "LIMIT",
                f"PlayMany streams may keep {MAX_BYTES >> 20} MB of frames together; play fewer "
                "seats, or smaller boards",
                retry_after_s=1.0,
            )
        self._n_bytes += n_bytes
        try:
            yield
        finally:
            self._n_bytes -= n_bytes


class _Learner:
    """One stream.

    Attributes:
        opened: what it was opened with.
        rows: what it plays.
        frame_bytes: of a frame.
        n_bytes: kept for it.
        news: set when there is something to send.
    """

    def __init__(self, desk: Desk, opened: Opened) -> None:
        height, width = opened.size
        self.opened = opened
        self.frame_bytes = frame_bytes(height * width, opened.n_seats)
        self.rows = Rows(desk.host.register.slots, opened.n_rows, self.frame_bytes)
        self.n_bytes = opened.n_rows * self.frame_bytes + self.rows.table_bytes
        self.news = asyncio.Event()
        self._desk = desk
        self._seats: list[tuple[HostedGame, int, str]] = []
        """Game, seat and token of each row as it begins; the token of games made for it alone."""
        self._games: dict[int, HostedGame] = {}
        self._places: dict[int, list[int]] = {}
        """Rows of each game."""
        self._ended: list[HostedGame] = []
        """Games whose rows may get the next one."""
        self._n_made = 0
        self._fault: Exception | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of what happens meanwhile."""
        bus: EventBus = self._desk.host.register.bus
        bus.subscribe_ticks(self._on_ticks)
        bus.subscribe(self._on_event, Kind.GAME_STARTED, *ENDS)
        with self._desk.watches.everything(self.news):
            try:
                yield
            finally:
                bus.unsubscribe_ticks(self._on_ticks)
                bus.unsubscribe(self._on_event)

    async def take_seats(self) -> None:
        """Have a seat in every row; games that are made begin at once, and may end meanwhile.

        Raises:
            GameError: there is no room for a game.
        """
        for row, (game, seat) in enumerate(self.opened.joined):
            self._seats.append((game, seat, ""))
            self._add(game, row, seat)
        for game in self._games.values():
            if game.phase is not Phase.LOBBY:
                self.rows.begin(np.array(self._places[game.game_id]))
        for number in range(self.opened.n_games):
            made = self._make()
            n_rows = len(self._seats)
            self._seats.extend(made)
            self._begin(range(n_rows, n_rows + len(made)), made)
            await _let_others_in(number)

    def describe(self) -> games_pb2.PlayManyOpened:
        """The first message."""
        height, width = self.opened.size
        return games_pb2.PlayManyOpened(
            rows=[
                games_pb2.ManyRow(
                    game_id=one.game_id, seat=seat, n_allies=one.n_allies[seat], token=token
                )
                for one, seat, token in self._seats
            ],
            height=height,
            width=width,
            n_seats=self.opened.n_seats,
            frame_bytes=self.frame_bytes,
        )

    def act(self, packed: games_pb2.PlayManyActions) -> None:
        """Take actions of rows.

        Raises:
            GameError: BAD_REQUEST, the arrays do not fit each other or the rows.
        """
        rows, actions = _ints(packed.rows, "rows"), _ints(packed.actions, "actions")
        if rows.size != actions.size:
            raise GameError("BAD_REQUEST", f"actions: {actions.size} for {rows.size} rows")
        if not rows.size:
            return
        n_rows = self.opened.n_rows
        if rows.min() < 0 or rows.max() >= n_rows:
            raise GameError("BAD_REQUEST", f"rows: of a stream of {n_rows} rows")
        if np.unique(rows).size != rows.size:
            raise GameError("BAD_REQUEST", "rows: each at most once")
        host, now_ns = self._desk.host, time.monotonic_ns()
        host.submit_many(*self.rows.act(rows, actions), now_ns)

    async def take_news(self) -> list[Packed]:
        """What is new: ends, then what begins in their place.

        Raises:
            Exception: ticks could not be taken in; the stream is over.
        """
        if self._fault is not None:
            raise self._fault
        parts = [self.rows.take_news()]
        if self.opened.autoreset and self._ended:
            ended, self._ended = self._ended, []
            for number, game in enumerate(ended):
                self._follow(game)
                await _let_others_in(number)
            parts.append(self.rows.take_news())
        return [part for part in parts if part is not None]

    def close(self) -> None:
        """The stream is over: games made for it are called off."""
        now_ns = time.monotonic_ns()
        for game in self._games.values():
            for seat in self._seats_of(game):
                self._desk.host.detach(game, seat, now_ns)
        if self.opened.spec is not None:
            call_off(self._desk, self._games.values())

    def _add(self, game: HostedGame, row: int, seat: int) -> None:
        self._games[game.game_id] = game
        self._places.setdefault(game.game_id, []).append(row)
        self.rows.place(row, game, seat)
        self._desk.host.attach(game, seat, time.monotonic_ns())

    def _seats_of(self, game: HostedGame) -> list[int]:
        return [self._seats[row][1] for row in self._places[game.game_id]]

    def _make(self) -> list[tuple[HostedGame, int, str]]:
        self._n_made += 1
        return make_game(self._desk, self.opened, self._n_made - 1)

    def _begin(self, places: Sequence[int], made: list[tuple[HostedGame, int, str]]) -> None:
        """Have a game that was made in these rows."""
        for row, (game, seat, _) in zip(places, made, strict=True):
            self._add(game, row, seat)
        self.rows.begin(np.array(places))
        self._desk.wake()

    def _follow(self, game: HostedGame) -> None:
        """Have another game in the rows of one that has ended."""
        host = self._desk.host
        places = self._places[game.game_id]
        for seat in self._seats_of(game):
            host.detach(game, seat, time.monotonic_ns())
        del self._games[game.game_id], self._places[game.game_id]
        self._begin(places, self._make())

    def _on_ticks(self, played: TicksPlayed) -> None:
        try:
            if self.rows.played(played.rows):
                self.news.set()
        except Exception as error:  # the bus tells it no more; its stream ends by it
            self._fault = error
            self.news.set()
            raise

    def _on_event(self, game: HostedGame, event: Event) -> None:
        if game.game_id not in self._games:
            return
        if event.kind is Kind.GAME_STARTED:
            self.rows.begin(np.array(self._places[game.game_id]))
        else:
            self.rows.stop(game)
            self._ended.append(game)
        self.news.set()


def make_game(desk: Desk, opened: Opened, number: int) -> list[tuple[HostedGame, int, str]]:
    """Make the n-th game of a stream and take its seats: game, seat and token of each row.

    Raises:
        GameError: there is no room for it, or no game can be so.
    """
    spec = opened.spec
    assert spec is not None
    if spec.seed is not None:
        spec = structs.replace(spec, seed=(spec.seed + number) % MAX_SEED)
    host, now_ns, wall_ns = desk.host, time.monotonic_ns(), time.time_ns()
    created = host.create(spec, caller=caller(), now_ns=now_ns, wall_ns=wall_ns)
    tokens = {
        seat: host.join(
            created.game_id, name=PLAYER, seat=seat, now_ns=now_ns, wall_ns=wall_ns
        ).token
        for seat in opened.wanted
    }
    game = host.game(created.game_id)
    return [(game, seat, tokens[seat]) for seat in opened.wanted]


async def _let_others_in(number: int) -> None:
    """Now and then, while many games are made."""
    if number % AT_ONCE == AT_ONCE - 1:
        await asyncio.sleep(0)


def call_off(desk: Desk, games: Iterable[HostedGame]) -> None:
    """Cancel those of these games that are not over."""
    for game in list(games):
        if game.is_open:
            desk.host.cancel(game, time.monotonic_ns(), time.time_ns(), "its stream has ended")


def _ints(data: bytes, field: str) -> NDArray[np.int32]:
    if len(data) % _INT32_BYTES:
        raise GameError("BAD_REQUEST", f"{field}: {len(data)} bytes are no int32")
    return np.frombuffer(data, "<i4")
