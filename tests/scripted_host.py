"""A games host of one scripted game, over real sockets: no rules, but the protocol to the letter.

The game is in lockstep with one seat that counts. Each accepted action is a tick, with one more
army on the general, and the last tick ends it. It breaks on demand: `cut` ends every stream,
`is_mute` loses the answers to actions that were taken in, `move_away` goes on at another port.
"""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from game_messages import (
    GAME,
    HEIGHT,
    OPEN,
    SEATS,
    WIDTH,
    delta,
    event,
    frame,
    observation,
    refused,
)
from game_messages import update as make_update

from farm.rpc import names
from farm.rpc.status import GAME_STATUS
from farm.rpc.v1 import experience_pb2, games_pb2
from farm.spec import frame_bytes, tiles

TOKEN = "seat-token"
OWNER = "owner-token"
PASS = 8 * HEIGHT * WIDTH


class RefusalError(Exception):
    """A call to refuse for this reason."""

    def __init__(self, reason, **fields):
        super().__init__(reason)
        self.detail = refused(games_pb2.Reason.Value(reason), **fields)
        self.status = GAME_STATUS[reason]


class ScriptedHost:
    """The host, and the farm that says where it is, on two ports.

    Attributes:
        orders: accepted actions: (tick, moves), each once.
        calls: names of the methods called, in order.

    Args:
        last_tick: that ends the game.
        tick_ms: as the game says it.
        lobby: whether the game waits for `begin`.
    """

    def __init__(self, *, last_tick=5, tick_ms=0, lobby=False):
        self.last_tick = last_tick
        self.tick_ms = tick_ms
        self.phase = games_pb2.PHASE_LOBBY if lobby else games_pb2.PHASE_RUNNING
        self.tick = 0
        self.orders = []
        self.calls = []
        self.openings = []
        self.tokens = set()
        self.created = None
        self.answers = {}
        self.is_mute = False
        self.is_hostless = False
        self.refuse = {}
        self.surrendered = False
        self._streams = []
        self._changed = threading.Condition()
        self._server = self._start_host()
        self._farm, port = _serve(
            [
                _handlers(
                    names.EXPERIENCE_SERVICE,
                    {names.GET_FARM_INFO: grpc.unary_unary_rpc_method_handler(self._farm_info)},
                )
            ]
        )
        self.address = f"127.0.0.1:{port}"

    def _start_host(self):
        server, port = _serve([_handlers(names.GAME_SERVICE, self._methods())])
        self.host_address = f"127.0.0.1:{port}"
        return server

    def _methods(self):
        unary = {
            names.CREATE_GAME: (games_pb2.CreateGameRequest, self._create),
            names.LIST_GAMES: (games_pb2.ListGamesRequest, self._list),
            names.JOIN_GAME: (games_pb2.JoinGameRequest, self._join),
            names.SUBMIT_ACTION: (games_pb2.SubmitActionRequest, self._submit),
            names.GET_GAME_STATE: (games_pb2.GetGameStateRequest, self._state),
            names.SURRENDER: (games_pb2.SurrenderRequest, self._surrender),
            names.PAUSE_GAME: (games_pb2.OwnerRequest, self._pause),
            names.RESUME_GAME: (games_pb2.OwnerRequest, self._resume),
            names.GET_GAME_STATS: (games_pb2.GetGameStatsRequest, self._stats),
        }
        made = {
            method: grpc.unary_unary_rpc_method_handler(self._unary(method, kind, act))
            for method, (kind, act) in unary.items()
        }
        made[names.STREAM_GAME] = grpc.unary_stream_rpc_method_handler(self._stream_game)
        made[names.PLAY] = grpc.stream_stream_rpc_method_handler(self._play)
        made[names.PLAY_MANY] = grpc.stream_stream_rpc_method_handler(self._play_many)
        return made

    def _unary(self, method, kind, act):
        def handle(raw, context):
            self.calls.append(method)
            self.tokens.add(dict(context.invocation_metadata()).get("authorization"))
            try:
                self._refuse_if_told(method)
                return act(kind.FromString(raw)).SerializeToString()
            except RefusalError as refusal:
                _abort(context, refusal)

        return handle

    def _refuse_if_told(self, method):
        if method in self.refuse:
            raise RefusalError(self.refuse[method], retry_after_ms=1500)

    # What a test does.

    def begin(self):
        """The lobby is over."""
        with self._changed:
            self.phase = games_pb2.PHASE_RUNNING
            self._push()

    def cut(self):
        """End every stream as a host that dies."""
        with self._changed:
            for stream in self._streams:
                stream.put(None)
            self._streams.clear()

    def move_away(self):
        """A replaced host: the same game at another port."""
        old = self._server
        self._server = self._start_host()
        old.stop(0).wait()
        self.cut()

    def close(self):
        self.cut()
        self._server.stop(0).wait()
        self._farm.stop(0).wait()

    # The game.

    def frame(self, tick):
        return frame({**OPEN, 6: (tiles.SELF, tiles.GENERAL, 5 + tick)})

    def take(self, action, answer=lambda _: None):
        """An action of the seat: its result, told before what comes of it."""
        with self._changed:
            if action.key in self.answers:
                answer(self.answers[action.key])
                return self.answers[action.key]
            if action.HasField("expected_tick") and action.expected_tick != self.tick:
                raise RefusalError("WRONG_TICK", tick=self.tick)
            if self.phase > games_pb2.PHASE_PAUSED:
                raise RefusalError("WRONG_PHASE")
            for number, move in enumerate(action.moves):
                if move.start != 6:
                    raise RefusalError("NOT_YOUR_CELL", move=number)
            result = games_pb2.ActionResult(key=action.key, tick=self.tick)
            self.answers[action.key] = result
            answer(result)
            self.orders.append((self.tick, [(m.start, m.end, m.half) for m in action.moves]))
            self.tick += 1
            if self.tick >= self.last_tick:
                self.phase = games_pb2.PHASE_ENDED
            self._push()
            return result

    def update(self, *, before=None, after_event=0):
        """The state as an update: whole, or as a delta to a tick before."""
        if self.phase == games_pb2.PHASE_LOBBY:
            return make_update(phase=self.phase)
        seen = self.frame(self.tick)
        view = observation(seen) if before is None else delta(self.frame(before), seen)
        is_over = self.phase == games_pb2.PHASE_ENDED
        events = [event(1, games_pb2.GAME_STARTED)]
        if is_over:
            events.append(event(9, games_pb2.GAME_ENDED, winners=[0], n_turns=self.tick // 2))
        return make_update(
            self.tick,
            view=view,
            phase=self.phase,
            events=[e for e in events if e.sequence > after_event],
            to_move=self.phase == games_pb2.PHASE_RUNNING,
            winners=[0] if is_over else [],
        )

    def info(self):
        return games_pb2.GameInfo(
            game_id=GAME,
            phase=self.phase,
            tick=self.tick,
            height=HEIGHT,
            width=WIDTH,
            tick_ms=self.tick_ms,
            seats=[
                games_pb2.SeatInfo(seat=0, kind="agent", name="me", team=0, alive=True),
                games_pb2.SeatInfo(seat=1, kind="bot", name="random", team=1, alive=True),
            ],
        )

    def _push(self):
        for stream in self._streams:
            stream.put("changed")
        self._changed.notify_all()

    # The methods.

    def _farm_info(self, _request, _context):
        endpoints = {} if self.is_hostless else {names.GAME_SERVICE: self.host_address}
        return experience_pb2.GetFarmInfoResponse(endpoints=endpoints).SerializeToString()

    def _create(self, request):
        self.created = request
        return games_pb2.CreateGameResponse(game_id=GAME, owner_token=OWNER)

    def _list(self, request):
        number = int(request.page_token or 0)
        game = self.info()
        game.game_id += number
        return games_pb2.ListGamesResponse(
            games=[game], next_page_token=str(number + 1) if number < 2 else ""
        )

    def _join(self, request):
        if request.game_id != GAME:
            raise RefusalError("UNKNOWN_GAME")
        return games_pb2.JoinGameResponse(seat=request.seat, token=TOKEN, game=self.info())

    def _check(self, request):
        if request.game_id != GAME:
            raise RefusalError("UNKNOWN_GAME")
        if request.token != TOKEN:
            raise RefusalError("BAD_TOKEN")

    def _submit(self, request):
        self._check(request)
        return self.take(request.action)

    def _state(self, request):
        self._check(request)
        with self._changed:
            if request.HasField("after_tick"):
                self._changed.wait_for(
                    lambda: self.tick > request.after_tick or self.phase > games_pb2.PHASE_PAUSED,
                    request.wait_ms / 1e3,
                )
            return self.update()

    def _surrender(self, request):
        self._check(request)
        self.surrendered = True
        return games_pb2.SurrenderResponse()

    def _pause(self, _request):
        return games_pb2.OwnerResponse(phase=games_pb2.PHASE_PAUSED)

    def _resume(self, _request):
        return games_pb2.OwnerResponse(phase=games_pb2.PHASE_RUNNING)

    def _stats(self, request):
        self._check(request)
        players = [
            games_pb2.PlayerStats(seat=0, army=5, land=1, cities=2, actions_rejected={"limit": 1}),
            games_pb2.PlayerStats(seat=1, army=6, land=2),
        ]
        return games_pb2.GameStats(game=self.info(), players=players, duration_ms=12)

    def _stream_game(self, raw, context):
        self.calls.append(names.STREAM_GAME)
        request = games_pb2.StreamGameRequest.FromString(raw)
        for message in self._updates(request, queue.SimpleQueue(), context):
            yield message.SerializeToString()

    def _play(self, requests, context):
        self.calls.append(names.PLAY)
        first = games_pb2.PlayRequest.FromString(next(requests)).open
        stream = queue.SimpleQueue()
        reader = threading.Thread(target=self._read_actions, args=(requests, stream), daemon=True)
        for message in self._updates(first, stream, context, reader.start):
            if isinstance(message, games_pb2.GameUpdate):
                yield games_pb2.PlayResponse(update=message).SerializeToString()
            else:
                yield games_pb2.PlayResponse(result=message).SerializeToString()

    def _read_actions(self, requests, stream):
        try:
            for raw in requests:
                action = games_pb2.PlayRequest.FromString(raw).action
                try:
                    self.take(action, lambda result: self.is_mute or stream.put(result))
                except RefusalError as refusal:
                    stream.put(
                        games_pb2.ActionResult(key=action.key, tick=self.tick, error=refusal.detail)
                    )
        except grpc.RpcError:
            return

    def _updates(self, request, stream, context, started=lambda: None):
        """The messages of a stream: updates, and what is put into it."""
        self.openings.append(request)
        try:
            self._check(request)
        except RefusalError as refusal:
            _abort(context, refusal)
        with self._changed:
            self._streams.append(stream)
            first, told = self.update(after_event=request.after_event), self.tick
        started()
        yield first
        last_event = max([request.after_event, *(e.sequence for e in first.events)])
        while self.phase != games_pb2.PHASE_ENDED or told < self.tick:
            if (message := stream.get()) is None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the host was killed")
            if message != "changed":
                yield message
                continue
            with self._changed:
                was_lobby = first.phase == games_pb2.PHASE_LOBBY
                first = self.update(before=None if was_lobby else told, after_event=last_event)
                told = self.tick
            last_event = max([last_event, *(e.sequence for e in first.events)])
            yield first

    def _play_many(self, requests, context):
        """Two rows, in step; the same script for each."""
        self.calls.append(names.PLAY_MANY)
        request = games_pb2.PlayManyRequest.FromString(next(requests)).open
        self.openings.append(request)
        rows = [games_pb2.ManyRow(game_id=GAME + row, seat=0) for row in range(2)]
        size = frame_bytes(HEIGHT * WIDTH, SEATS)
        opened = games_pb2.PlayManyOpened(
            rows=rows, height=HEIGHT, width=WIDTH, n_seats=SEATS, frame_bytes=size
        )
        yield games_pb2.PlayManyResponse(opened=opened).SerializeToString()
        is_new = self.tick == 0
        yield many_update([0, 1], self.tick, self.frame(self.tick), flags=4 | 8 * is_new)
        for raw in requests:
            message = games_pb2.PlayManyRequest.FromString(raw).actions
            chosen = np.frombuffer(message.actions, "<i4").tolist()
            if self.is_mute:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the host was killed")
            self.orders.append((self.tick, chosen))
            self.tick += 1
            is_over = self.tick >= self.last_tick
            seen = self.frame(self.tick)
            yield many_update([0, 1], self.tick, seen, flags=1 if is_over else 4, reward=0.5)
            if is_over and request.create.autoreset:
                self.tick = 0
                yield many_update([0, 1], 0, self.frame(0), flags=4 | 8)
            elif is_over:
                return


def many_update(rows, tick, seen, *, flags, reward=0.0):
    n = len(rows)
    made = games_pb2.PlayManyUpdate(
        rows=np.array(rows, "<i4").tobytes(),
        ticks=np.full(n, tick, "<i4").tobytes(),
        frames=seen.tobytes() * n,
        reward=np.full(n, reward, "<f4").tobytes(),
        flags=bytes([flags]) * n,
    )
    if flags & 8:
        made.game_ids = np.array([GAME + row for row in rows], "<u8").tobytes()
    return games_pb2.PlayManyResponse(update=made).SerializeToString()


def _handlers(service, methods):
    return grpc.method_handlers_generic_handler(service, methods)


def _serve(handlers):
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _abort(context, refusal):
    metadata = ((names.ERROR_METADATA, refusal.detail.SerializeToString()),)
    context.set_trailing_metadata(metadata)
    context.abort(refusal.status, refusal.detail.message)
