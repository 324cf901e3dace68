"""StreamGame and Play: updates out, and on Play actions in.

A stream keeps the last frame that it sent and the sequence of the last event, nothing else: a slow
reader finds several ticks merged into its next delta, and every event. What a client has sent on
Play and not been answered waits in a queue of RESULTS_AHEAD; beyond it nothing more is read, and
flow control holds the client. Whoever takes nothing for `serve.client_timeout_s` is cut off.
"""

import asyncio
import time
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from farm.errors import GameError, SilentClientError
from farm.games.convert import action_of
from farm.games.desk import Desk, about, parse
from farm.games.game import HostedGame
from farm.games.lens import Lens
from farm.rpc.v1 import games_pb2
from farm.serve.interceptor import error_detail
from farm.serve.quota import Way
from farm.serve.trail import trail
from farm.telemetry.tracing import Attributes

RESULTS_AHEAD = 64
"""Answers of one Play stream that wait for their client to take them."""
_NS_PER_US = 1_000


class Streams:
    """The handlers.

    Args:
        desk: what all handlers share.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def stream_game(self, request: bytes, context: Any) -> None:
        """Show a game until its end."""
        desk = self._desk
        desk.check_open()
        wanted = parse(games_pb2.StreamGameRequest, request)
        with about(wanted.game_id), desk.stream():
            game = desk.host.game(wanted.game_id)
            viewer = desk.host.viewer_of(game, wanted.token)
            trail().opened(_about(game, viewer))
            lens = Lens(game, viewer, wanted.after_event)
            with desk.attached(game, viewer), desk.watches.watch(wanted.game_id) as news:
                while (update := lens.try_update()) is not None or not game.is_over:
                    if update is not None:
                        await write(context, update, desk)
                        desk.shown(game, viewer, update.tick)
                        continue
                    await wait_for_news(news, desk)

    async def play(self, _requests: Any, context: Any) -> None:
        """Show a game to a seat until its end, and take the seat's actions."""
        desk = self._desk
        desk.check_open()
        with desk.stream():
            wanted = await self._read_opening(context)
            with about(wanted.game_id):
                game = desk.host.game(wanted.game_id)
                seat = desk.host.seat_of(game, wanted.token)
                trail().opened(_about(game, seat))
                with desk.attached(game, seat), desk.watches.watch(wanted.game_id) as news:
                    await self._play(context, _Play(game, seat, wanted.after_event, news))

    async def _play(self, context: Any, play: "_Play") -> None:
        reading = asyncio.ensure_future(self._take_actions(context, play))
        try:
            while True:
                is_last = reading.done()  # first: what it put there is answered below
                await self._answer(context, play)
                update = play.lens.try_update()
                if update is not None:
                    response = games_pb2.PlayResponse(update=update)
                    await write(context, response, self._desk)
                    self._desk.shown(play.game, play.seat, update.tick)
                elif is_last or play.game.is_over:
                    break
                else:
                    await wait_for_news(play.news, self._desk)
            if is_last:
                reading.result()
        finally:
            let_go(reading)

    async def _answer(self, context: Any, play: "_Play") -> None:
        """Send the results that wait."""
        while not play.results.empty():
            result = play.results.get_nowait()
            await write(context, games_pb2.PlayResponse(result=result), self._desk)

    async def _take_actions(self, context: Any, play: "_Play") -> None:
        """Carry out actions in their order until the client half-closes."""
        try:
            while (message := await read(context, self._desk)) is not grpc.aio.EOF:
                request = parse(games_pb2.PlayRequest, message)
                if request.WhichOneof("kind") != "action":
                    raise GameError("BAD_REQUEST", "kind: behind `open` Play takes only `action`")
                self._desk.check_open()
                result = self._act(play, request.action)
                await play.results.put(result)
                play.news.set()
        finally:
            play.news.set()

    def _act(self, play: "_Play", wanted: games_pb2.Action) -> games_pb2.ActionResult:
        """Submit an action; a refusal is a result."""
        came_ns, host = time.monotonic_ns(), self._desk.host
        try:
            done = host.submit(play.game, play.seat, action_of(wanted), came_ns, time.time_ns())
        except GameError as error:
            error.game_id = play.game.game_id
            return games_pb2.ActionResult(
                key=wanted.key,
                tick=play.game.tick,
                queued=play.game.queued(play.seat),
                error=error_detail(error),
            )
        self._desk.follow(play.game, play.seat, done, len(wanted.moves), came_ns)
        self._desk.wake()
        self._desk.on_action((time.monotonic_ns() - came_ns) // _NS_PER_US)
        return games_pb2.ActionResult(key=wanted.key, tick=done.tick, queued=done.queued)

    async def _read_opening(self, context: Any) -> games_pb2.StreamGameRequest:
        message = await read_opening(context, self._desk.write_s)
        request = parse(games_pb2.PlayRequest, message)
        if request.WhichOneof("kind") != "open":
            raise GameError("BAD_REQUEST", "open: the first message of Play is `open`")
        return request.open


class _Play:
    """One stream of Play."""

    def __init__(self, game: HostedGame, seat: int, after_event: int, news: asyncio.Event) -> None:
        self.game = game
        self.seat = seat
        self.lens = Lens(game, seat, after_event)
        self.news = news
        self.results: asyncio.Queue[games_pb2.ActionResult] = asyncio.Queue(RESULTS_AHEAD)


async def read_opening(context: Any, timeout_s: float) -> bytes:
    """The first message of a stream.

    Raises:
        SilentClientError: it does not come in time.
        GameError: BAD_REQUEST, the stream ended before it.
    """
    try:
        async with asyncio.timeout(timeout_s):
            message = await context.read()
    except TimeoutError:
        raise SilentClientError(f"no `open` within {timeout_s} s") from None
    if message is grpc.aio.EOF:
        raise GameError("BAD_REQUEST", "open: the stream ended before its `open`")
    return bytes(message)


async def read(context: Any, desk: Desk) -> Any:
    """The next message of a stream, in its time: bytes, or `grpc.aio.EOF`."""
    await desk.hold(Way.IN)
    message = await context.read()
    if message is not grpc.aio.EOF:
        desk.passed(Way.IN, len(message))
    return message


async def write(context: Any, message: Message, desk: Desk) -> None:
    """Send a message, or give the reader up; return when it is time to look for the next.

    So that ticks played while a reader is held back come to it as one.

    Raises:
        SilentClientError: the reader took nothing for too long.
    """
    data, timeout_s = message.SerializeToString(), desk.write_s
    try:
        async with asyncio.timeout(timeout_s):
            await context.write(data)
    except TimeoutError:
        raise SilentClientError(f"the client has read nothing for {timeout_s} s") from None
    desk.passed(Way.OUT, len(data))
    await desk.hold(Way.OUT)


def let_go(task: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more."""
    if not task.cancel() and not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it as lost


def _about(game: HostedGame, viewer: int | None) -> Attributes:
    """What a stream shows, for its span; ids are 64 bits without a sign, so they go as texts."""
    about = {"farm.game_id": str(game.game_id)}
    return about if viewer is None else {**about, "farm.seat": viewer}


async def wait_for_news(news: asyncio.Event, desk: Desk) -> None:
    """Wait for news; as long as there is none the connection alone bounds it.

    Raises:
        StoppingError: the host stops.
    """
    desk.check_open()
    await news.wait()
    news.clear()
    desk.check_open()
