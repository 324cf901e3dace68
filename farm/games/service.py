"""The unary calls of GameService, and its handlers by name. Requests come in as bytes."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from farm.errors import GameError
from farm.games import views
from farm.games.convert import action_of, page_size_of, phases_of, spec_of, wait_ms_of
from farm.games.desk import Desk, about, parse
from farm.games.game import HostedGame
from farm.games.play_many import PlayMany
from farm.games.streams import Streams
from farm.rpc import names
from farm.rpc.v1 import games_pb2
from farm.serve.caller import caller

_MARK_DIGITS = 16
_MS_PER_S = 1_000
_NS_PER_US = 1_000


class GameService:
    """Handlers by method name: `handlers()`.

    Args:
        desk: what all handlers share.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        streams = Streams(self._desk)
        unary = {
            names.CREATE_GAME: self._create,
            names.LIST_GAMES: self._list,
            names.JOIN_GAME: self._join,
            names.SUBMIT_ACTION: self._submit,
            names.SURRENDER: self._surrender,
            names.PAUSE_GAME: self._pause,
            names.RESUME_GAME: self._resume,
            names.CANCEL_GAME: self._cancel,
            names.GET_GAME_STATS: self._stats,
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(_answering(handler))
            for name, handler in unary.items()
        }
        methods[names.GET_GAME_STATE] = grpc.unary_unary_rpc_method_handler(self.get_state)
        methods[names.STREAM_GAME] = grpc.unary_stream_rpc_method_handler(streams.stream_game)
        methods[names.PLAY] = grpc.stream_stream_rpc_method_handler(streams.play)
        methods[names.PLAY_MANY] = grpc.stream_stream_rpc_method_handler(PlayMany(self._desk).play)
        return grpc.method_handlers_generic_handler(names.GAME_SERVICE, methods)

    async def get_state(self, request: bytes, _context: Any) -> bytes:
        """What a seat or a spectator sees, now or after the next tick."""
        desk = self._desk
        desk.check_open()
        wanted = parse(games_pb2.GetGameStateRequest, request)
        with about(wanted.game_id):
            game = desk.host.game(wanted.game_id)
            viewer = desk.host.viewer_of(game, wanted.token)
            wait_ms = wait_ms_of(wanted)
            if viewer is not None:
                desk.host.touch(game, viewer, time.monotonic_ns())
            if wait_ms and not _has_news(game, wanted.after_tick):
                await self._wait(game, viewer, wanted.after_tick, wait_ms / _MS_PER_S)
            update = views.whole(game, viewer)
            desk.shown(game, viewer, update.tick)
            return update.SerializeToString()

    async def _wait(
        self, game: HostedGame, viewer: int | None, after_tick: int, wait_s: float
    ) -> None:
        """Wait for a tick, another phase, or until time is over."""
        desk, phase = self._desk, game.phase
        with (
            desk.stream(),
            desk.attached(game, viewer),
            desk.watches.watch(game.game_id) as news,
        ):
            try:
                async with asyncio.timeout(wait_s):
                    while not _has_news(game, after_tick) and game.phase is phase:
                        await news.wait()
                        news.clear()
                        desk.check_open()
            except TimeoutError:
                return

    def _create(self, request: bytes) -> Message:
        self._desk.check_open()
        wanted = parse(games_pb2.CreateGameRequest, request)
        created = self._desk.host.create(
            spec_of(wanted),
            caller=caller(),
            now_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
            key=wanted.key,
        )
        self._desk.wake()
        return games_pb2.CreateGameResponse(**created._asdict())

    def _list(self, request: bytes) -> Message:
        self._desk.check_open()
        wanted = parse(games_pb2.ListGamesRequest, request)
        phases, page_size = phases_of(wanted), page_size_of(wanted)
        after = _page_start(wanted.page_token)
        found = (
            game
            for game in self._desk.host.games()
            if game.game_id > after and game.phase in phases
        )
        page = list(itertools.islice(found, page_size + 1))
        reply = games_pb2.ListGamesResponse(games=map(views.info, page[:page_size]))
        if len(page) > page_size:
            reply.next_page_token = _page_token(page[page_size - 1].game_id)
        return reply

    def _join(self, request: bytes) -> Message:
        self._desk.check_open()
        wanted = parse(games_pb2.JoinGameRequest, request)
        host = self._desk.host
        with about(wanted.game_id):
            joined = host.join(
                wanted.game_id,
                name=wanted.name,
                now_ns=time.monotonic_ns(),
                wall_ns=time.time_ns(),
                seat=wanted.seat if wanted.HasField("seat") else None,
                key=wanted.key,
            )
            self._desk.wake()
            info = views.info(host.game(wanted.game_id))
        return games_pb2.JoinGameResponse(seat=joined.seat, token=joined.token, game=info)

    def _submit(self, request: bytes) -> Message:
        came_ns = time.monotonic_ns()
        self._desk.check_open()
        wanted = parse(games_pb2.SubmitActionRequest, request)
        host = self._desk.host
        with about(wanted.game_id):
            game = host.game(wanted.game_id)
            seat = host.seat_of(game, wanted.token)
            done = host.submit(game, seat, action_of(wanted.action), came_ns)
        self._desk.follow(game, seat, done, len(wanted.action.moves), came_ns)
        self._desk.wake()
        self._desk.on_action((time.monotonic_ns() - came_ns) // _NS_PER_US)
        return games_pb2.ActionResult(key=wanted.action.key, tick=done.tick, queued=done.queued)

    def _surrender(self, request: bytes) -> Message:
        self._desk.check_open()
        wanted = parse(games_pb2.SurrenderRequest, request)
        host = self._desk.host
        with about(wanted.game_id):
            game = host.game(wanted.game_id)
            seat = host.seat_of(game, wanted.token)
            host.surrender(game, seat, time.monotonic_ns(), time.time_ns())
        self._desk.wake()
        return games_pb2.SurrenderResponse()

    def _pause(self, request: bytes) -> Message:
        return self._as_owner(request, self._desk.host.pause)

    def _resume(self, request: bytes) -> Message:
        return self._as_owner(request, self._desk.host.resume)

    def _cancel(self, request: bytes) -> Message:
        return self._as_owner(request, self._desk.host.cancel)

    def _as_owner(
        self, request: bytes, act: Callable[[HostedGame, int, int], None]
    ) -> games_pb2.OwnerResponse:
        self._desk.check_open()
        wanted = parse(games_pb2.OwnerRequest, request)
        with about(wanted.game_id):
            game = self._desk.host.game(wanted.game_id)
            self._desk.host.check_owner(game, wanted.owner_token)
            act(game, time.monotonic_ns(), time.time_ns())
        self._desk.wake()
        return games_pb2.OwnerResponse(phase=views.phase_name(game))

    def _stats(self, request: bytes) -> Message:
        self._desk.check_open()
        wanted = parse(games_pb2.GetGameStatsRequest, request)
        host, now_ns = self._desk.host, time.monotonic_ns()
        with about(wanted.game_id):
            game = host.game(wanted.game_id)
            return views.stats(
                game, host.register.statistics.of(game), self._viewers(game, wanted.token), now_ns
            )

    def _viewers(self, game: HostedGame, token: str) -> frozenset[int]:
        """The seats that a token may learn everything of while the game runs.

        An owner may hold a seat, too: it learns no more than anybody, unless the game has
        spectators, whose token it was given.
        """
        host, everybody = self._desk.host, frozenset(range(game.spec.n_seats))
        if host.is_owner(game, token):
            return everybody if game.spec.spectators else frozenset()
        seat = host.viewer_of(game, token)
        if seat is None:
            return everybody
        host.touch(game, seat, time.monotonic_ns())
        return frozenset(one for one in everybody if game.sides[one] == game.sides[seat])


def _page_token(game_id: int) -> str:
    """Where the next page begins, on this host and on the one that replaces it.

    Marked, so that no client takes it for a number to count with; there is nothing to keep secret.
    """
    mark = hashlib.sha256(f"ListGames after {game_id}".encode()).hexdigest()[:_MARK_DIGITS]
    return f"{game_id:x}.{mark}"


def _page_start(token: str) -> int:
    """The id behind which a page begins.

    Raises:
        GameError: BAD_REQUEST, no host gave out the token.
    """
    if not token:
        return -1
    number = token.partition(".")[0]
    try:
        game_id = int(number, 16) if number.isascii() and len(number) <= 16 else -1  # noqa: PLR2004
    except ValueError:
        game_id = -1
    if game_id < 0 or token != _page_token(game_id):
        raise GameError("BAD_REQUEST", "page_token: no ListGames gave out such a one")
    return game_id


def _has_news(game: HostedGame, after_tick: int) -> bool:
    return game.tick > after_tick or game.is_over


def _answering(handler: Callable[[bytes], Message]) -> Callable[..., Any]:
    """A unary method that a plain function answers."""

    async def answer(request: bytes, _context: Any) -> bytes:
        return handler(request).SerializeToString()

    return answer
