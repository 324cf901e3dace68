"""A real games host on a real port, as a thread of the test's own process, and bare calls to it."""

import queue
import threading
import time

import grpc
import msgspec
import numpy as np

from farm.config.schema import FarmConfig
from farm.games import main as games_main
from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb
from farm.shm.control import ChildState, ControlBlock
from farm.shm.wake import Doorbell
from farm.spec.actions import pass_action
from farm.spec.observation import score_offset
from farm.supervisor.child import ChildContext
from farm.telemetry.log import get_logger

DEADLINE_S = 60.0
TIMEOUT_S = 20.0
ANSWERS = {
    names.CREATE_GAME: pb.CreateGameResponse,
    names.LIST_GAMES: pb.ListGamesResponse,
    names.JOIN_GAME: pb.JoinGameResponse,
    names.SUBMIT_ACTION: pb.ActionResult,
    names.GET_GAME_STATE: pb.GameUpdate,
    names.STREAM_GAME: pb.GameUpdate,
    names.PLAY: pb.PlayResponse,
    names.PLAY_MANY: pb.PlayManyResponse,
    names.SURRENDER: pb.SurrenderResponse,
    names.PAUSE_GAME: pb.OwnerResponse,
    names.RESUME_GAME: pb.OwnerResponse,
    names.CANCEL_GAME: pb.OwnerResponse,
    names.GET_GAME_STATS: pb.GameStats,
}
REQUESTS = {
    names.CREATE_GAME: pb.CreateGameRequest,
    names.LIST_GAMES: pb.ListGamesRequest,
    names.JOIN_GAME: pb.JoinGameRequest,
    names.SUBMIT_ACTION: pb.SubmitActionRequest,
    names.GET_GAME_STATE: pb.GetGameStateRequest,
    names.STREAM_GAME: pb.StreamGameRequest,
    names.PLAY: pb.PlayRequest,
    names.PLAY_MANY: pb.PlayManyRequest,
    names.SURRENDER: pb.SurrenderRequest,
    names.PAUSE_GAME: pb.OwnerRequest,
    names.RESUME_GAME: pb.OwnerRequest,
    names.CANCEL_GAME: pb.OwnerRequest,
    names.GET_GAME_STATS: pb.GetGameStatsRequest,
}


def farm_config(journal_dir, *, games=None, serve=None, security=None, reward=None, limits=None):
    """A config whose host takes a free port and small boards, so that it starts at once."""
    games = {
        "hosts": 1,
        "address": "127.0.0.1:0",
        "max_games": 64,
        "max_side": 24,
        "max_seats": 8,
        "journal_dir": str(journal_dir),
        **(games or {}),
    }
    tree = {
        "match": {"seats": ["expander", "random"]},
        "worker": {"count": 1},
        "ring": {},
        "serve": serve or {},
        "supervisor": {},
        "telemetry": {},
        "security": security or {},
        "reward": reward or {},
        "limits": limits or {},
        "games": games,
        "instance": "test",
        "seed": 7,
    }
    return msgspec.convert(tree, FarmConfig)


class Hosting:
    """A host that runs until `stop_host`.

    Attributes:
        slot: the host's slot in the control block.
        result: of its main function.
    """

    def __init__(self, instance, journal_dir, **sections):
        games_main.compile_kernels()  # which takes a minute the first time, of no host's time
        self.instance = instance
        self.config = farm_config(journal_dir, **sections)
        self.control = ControlBlock.create(instance, 1, seed=7)
        self.slot = self.control.children[0]
        self.slot.assign("games-0", "games", 0)
        self.store_config(self.config, 1)
        self.bell = Doorbell.create()
        self.result = None
        self.start()

    def start(self):
        """Start the host; also again, after `stop_host`, as a replacement would."""
        self.slot.state = ChildState.STARTING
        self.slot.config_epoch = 1
        self.context = ChildContext(
            instance=self.instance,
            name="games-0",
            role="games",
            index=0,
            generation=1,
            config=self.config,
            seed=7,
            control=self.control,
            slot=self.slot,
            log=get_logger(),
            data_bell=self.bell,
            space_bells=[],
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self.result = games_main.main(self.context)
        except BaseException as error:
            self.result = error
            raise

    @property
    def address(self):
        """Where the host listens, once it is ready."""
        self.wait(lambda: self.slot.state == ChildState.READY, "the host to be ready")
        return self.control.game_addresses[0]

    def store_config(self, config, epoch):
        self.control.store_config(epoch, msgspec.json.encode(config))

    def wait(self, condition, what="the condition"):
        """Look until the condition holds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < deadline_s, f"{what} did not come"
            assert self._thread.is_alive(), f"the host ended: {self.result!r}"
            time.sleep(0.002)
        return value

    def stop_host(self):
        """Stop as on SIGTERM; the exit code, or the error."""
        self.context.stopping = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the host does not stop"
        return self.result

    def close(self):
        self.stop_host()
        self.control.unlink()
        self.control.close()
        self.bell.close()


class RefusedError(Exception):
    """A call ended with a status: `code`, and `detail`, the ErrorDetail or None."""

    def __init__(self, error):
        super().__init__(f"{error.code()}: {error.details()}")
        self.code = error.code()
        self.message = error.details()
        found = [value for key, value in error.trailing_metadata() or () if "farm-error" in key]
        self.detail = pb.ErrorDetail.FromString(found[0]) if found else None

    @property
    def reason(self):
        return self.detail and pb.Reason.Name(self.detail.reason)


class Calls:
    """Calls of the service by their names, with the fields of the request; nothing is checked.

    With a token they are made by its bearer, which streams are not.
    """

    def __init__(self, address, token=None):
        self.channel = grpc.insecure_channel(address)
        self._metadata = None if token is None else [("authorization", f"Bearer {token}")]

    def close(self):
        self.channel.close()

    def raw(self, method, data=b"", timeout_s=TIMEOUT_S):
        """A unary call of bytes."""
        call = self.channel.unary_unary(names.method_path(method, names.GAME_SERVICE))
        try:
            return call(data, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise RefusedError(error) from None

    def unary(self, method, **fields):
        request = REQUESTS[method](**fields)
        return ANSWERS[method].FromString(self.raw(method, request.SerializeToString()))

    def create(self, **fields):
        fields = {"n_seats": 2, "toy": pb.ToyMap(height=5, width=5), "seed": 3} | fields
        return self.unary(names.CREATE_GAME, **fields)

    def join(self, game_id, name="anna", **fields):
        return self.unary(names.JOIN_GAME, game_id=game_id, name=name, **fields)

    def state(self, game_id, token, **fields):
        return self.unary(names.GET_GAME_STATE, game_id=game_id, token=token, **fields)

    def submit(self, game_id, token, *moves, **fields):
        action = pb.Action(moves=[pb.Move(start=a, end=b) for a, b in moves], **fields)
        return self.unary(names.SUBMIT_ACTION, game_id=game_id, token=token, action=action)

    def pass_ticks(self, created, tokens, n_ticks=1):
        """Let all seats of a lockstep game pass."""
        for _ in range(n_ticks):
            for token in tokens:
                self.submit(created.game_id, token)

    def stats(self, game_id, token):
        return self.unary(names.GET_GAME_STATS, game_id=game_id, token=token)

    def owner(self, method, created):
        return self.unary(method, game_id=created.game_id, owner_token=created.owner_token)

    def stream(self, game_id, token, **fields):
        request = pb.StreamGameRequest(game_id=game_id, token=token, **fields)
        path = names.method_path(names.STREAM_GAME, names.GAME_SERVICE)
        return Reading(
            self.channel.unary_stream(path)(request.SerializeToString(), timeout=DEADLINE_S),
            pb.GameUpdate,
        )

    def talk(self, method, first=None):
        """A stream both ways; `send` on it takes messages, `half_close` ends its own side."""
        return Talking(self.channel, method, first)

    def play(self, game_id, token, **fields):
        opening = pb.StreamGameRequest(game_id=game_id, token=token, **fields)
        return self.talk(names.PLAY, pb.PlayRequest(open=opening))


class Reading:
    """The messages of a stream, as they come; `next` raises StopIteration at its end."""

    def __init__(self, call, kind):
        self.call = call
        self._kind = kind

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._kind.FromString(next(self.call))
        except grpc.RpcError as error:
            raise RefusedError(error) from None

    def until(self, condition):
        """The first message that meets a condition."""
        for message in self:
            if condition(message):
                return message
        raise AssertionError("the stream ended before")


class Talking(Reading):
    """A stream both ways."""

    def __init__(self, channel, method, first):
        self._requests = queue.SimpleQueue()
        if first is not None:
            self.send(first)
        path = names.method_path(method, names.GAME_SERVICE)
        call = channel.stream_stream(path)(iter(self._requests.get, None), timeout=DEADLINE_S)
        super().__init__(call, ANSWERS[method])

    def send(self, message):
        self._requests.put(message if isinstance(message, bytes) else message.SerializeToString())

    def act(self, *moves, **fields):
        action = pb.Action(moves=[pb.Move(start=a, end=b) for a, b in moves], **fields)
        self.send(pb.PlayRequest(action=action))

    def half_close(self):
        self._requests.put(None)


class Eyes:
    """A seat's frame, put together from what its stream sends: whole once, then by deltas."""

    def __init__(self):
        self.frame = None
        self.n_cells = 0

    def see(self, update):
        """Take an update in; the frame as it is then, or None before the first."""
        if update.WhichOneof("view") == "observation":
            self.frame = np.frombuffer(update.observation.frame, np.uint8).copy()
            self.n_cells = update.observation.height * update.observation.width
        elif update.WhichOneof("view") == "delta":
            n, delta = self.n_cells, update.delta
            cells = np.frombuffer(delta.cells, "<u2")
            self.frame[: 2 * n].view("<u2")[cells] = np.frombuffer(delta.army, "<u2")
            self.frame[2 * n : 3 * n][cells] = np.frombuffer(delta.tile, np.uint8)
            if delta.scores:
                self.frame[score_offset(n) :] = np.frombuffer(delta.scores, np.uint8)
        return self.frame


def pass_rows(opened, rows):
    """A message with which these rows of PlayMany pass."""
    rows = np.asarray(rows, "<i4")
    actions = np.full(rows.size, pass_action(opened.height * opened.width), "<i4")
    return pb.PlayManyRequest(
        actions=pb.PlayManyActions(rows=rows.tobytes(), actions=actions.tobytes())
    )
