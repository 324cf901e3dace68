"""One game across the connections of a stream: what is sent, what comes, when to try again. Pure.

    IDLE --open--> OPEN --failed--> IDLE ...          until the game is over

Shells move the bytes and wait. See view.py for what an update comes to, and outbox.py for what is
sent again.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from farm.client.games.hosts import LIMIT, game_path
from farm.client.games.moves import ActionResult, Move
from farm.client.games.observation import GameUpdate
from farm.client.games.outbox import Keys, Outbox
from farm.client.games.requests import stream_request
from farm.client.games.values import action_result
from farm.client.games.view import GameView, parse_update
from farm.client.retry import Backoff, Retry
from farm.errors import ClientError, CorruptDataError, GameRejectedError, UnavailableError
from farm.rpc import names
from farm.rpc.v1 import games_pb2


class GameSession:
    """A stream of updates: what both streams share, and all of StreamGame.

    Args:
        game_id: of the game.
        token: of a seat, or a spectator.
        retry: how long and how often to try.
        after_event: sequence of the last event that is known already.
    """

    method = names.STREAM_GAME

    def __init__(self, game_id: int, token: str, retry: Retry, *, after_event: int = 0) -> None:
        self.game_id = game_id
        self.token = token
        self.view = GameView(game_id, after_event)
        self.is_over = False
        self._backoff = Backoff(retry)
        self._was_connected = False

    @property
    def path(self) -> str:
        """What the call is addressed to."""
        return game_path(self.method)

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be received."""
        return self.is_over

    def open(self) -> list[bytes]:
        """A connection is made: the messages to send first."""
        self.view.reopen()
        return [self._opening().SerializeToString()]

    def receive(self, message: bytes) -> GameUpdate | ActionResult:
        """Take in a message.

        Raises:
            CorruptDataError: it is none of a game's, or does not fit what came before.
        """
        self._arrived()
        return self._updated(parse_update(message))

    def failed(self, error: ClientError, now_s: float, jitter: float) -> float:
        """The connection ended, or could not be made: seconds to wait before the next.

        Raises:
            UnavailableError: nobody answered within the policy's deadline.
            GameRejectedError: the game refuses, and would again.
            RejectedError: the farm does.
        """
        wait_s = None
        if self._is_transient(error):
            told_s = error.retry_after_s if isinstance(error, GameRejectedError) else None
            wait_s = self._backoff.next_wait_s(now_s, jitter, at_least_s=told_s or 0.0)
        if wait_s is None:
            raise error
        return wait_s

    def _is_transient(self, error: ClientError) -> bool:
        """A client that reconnects may meet its own old stream, which the host has not given up."""
        if isinstance(error, GameRejectedError):
            return self._was_connected and error.reason == LIMIT
        return isinstance(error, UnavailableError)

    def _opening(self) -> games_pb2.StreamGameRequest:
        return stream_request(self.game_id, self.token, self.view.after_event)

    def _arrived(self) -> None:
        self._was_connected = True
        self._backoff.connected()

    def _updated(self, message: games_pb2.GameUpdate) -> GameUpdate:
        update = self.view.receive(message)
        self.is_over = update.phase.is_over
        return update


class PlaySession(GameSession):
    """Play: updates in, actions out, one stream.

    Args:
        game_id: of the game.
        token: of a seat.
        retry: how long and how often to try.
        keys: makes the keys of the actions.
        after_event: sequence of the last event that is known already.
    """

    method = names.PLAY

    def __init__(
        self, game_id: int, token: str, retry: Retry, keys: Keys, *, after_event: int = 0
    ) -> None:
        super().__init__(game_id, token, retry, after_event=after_event)
        self.outbox = Outbox(keys)

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be received: answers may come behind the end of the game."""
        return self.is_over and not len(self.outbox)

    def open(self) -> list[bytes]:
        """A connection is made: the messages to send first, unanswered actions among them."""
        self.view.reopen()
        opening = games_pb2.PlayRequest(open=self._opening())
        again = [games_pb2.PlayRequest(action=action) for action in self.outbox.resend()]
        return [message.SerializeToString() for message in (opening, *again)]

    def submit(
        self, moves: Sequence[Move], *, expected_tick: int | None = None, clear: bool = False
    ) -> tuple[str, bytes]:
        """An action: its key, and the message to send if there is a connection.

        Raises:
            UsageError: too many have no answer yet.
        """
        action = self.outbox.add(moves, expected_tick=expected_tick, clear=clear)
        return action.key, games_pb2.PlayRequest(action=action).SerializeToString()

    def receive(self, message: bytes) -> GameUpdate | ActionResult:
        """Take in a message.

        Raises:
            CorruptDataError: it is none of a game's, or does not fit what came before.
        """
        self._arrived()
        try:
            response = games_pb2.PlayResponse.FromString(message)
        except DecodeError as error:
            raise CorruptDataError(f"a message of {len(message)} bytes is no answer") from error
        match response.WhichOneof("kind"):
            case "update":
                return self._updated(response.update)
            case "result":
                result = action_result(response.result)
                self.outbox.answered(result)
                return result
            case _:
                raise CorruptDataError("an answer that is neither an update nor a result")


def ended_early(address: str) -> UnavailableError:
    """The host ended a stream whose game is not over."""
    return UnavailableError(f"the games host at {address} ended the stream")
