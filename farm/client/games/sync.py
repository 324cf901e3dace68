"""The blocking face of the games.

with GameClient("127.0.0.1:50051") as client:
    game = client.create(map="20x20", bots={1: "expander"})
    seat = client.join(game.game_id, name="me")
    with client.play(seat.game_id, seat.token) as play:
        for update in play:
            if update.to_move:
                play.submit(*update.moves()[:1], expected_tick=update.tick)
"""

import weakref
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from farm.client.games import questions
from farm.client.games.calls import Calls
from farm.client.games.many import ManyRows, create_many, join_many
from farm.client.games.many_sync import ManySeats
from farm.client.games.moves import ActionResult, Move
from farm.client.games.observation import GameUpdate
from farm.client.games.outbox import Keys
from farm.client.games.requests import GameOptions
from farm.client.games.session import GameSession, PlaySession
from farm.client.games.streams import GamePlay, GameStream
from farm.client.games.values import CreatedGame, GameInfo, GameStats, JoinedGame, Phase
from farm.client.retry import Retry
from farm.client.session import DEFAULT_ADDRESS
from farm.client.tls import Tls
from farm.rpc import names

Stream = TypeVar("Stream", GameStream, GamePlay, ManySeats)


class GameClient:
    """The games of a farm: made, joined, watched and played.

    It finds the games hosts by asking the farm, also again when one of them was replaced. What such
    a host leaves unanswered is asked again, with the same key where it could be done twice.

    Args:
        address: `host:port` of the farm's experiences service, or of a games host itself.
        timeout_s: time for an answer, in seconds.
        retry: how streams reconnect, and how long a host that has answered before is waited for.
        tls: as for `farm.client.Client`.
        token: bearer token of a farm that asks for one, as for `farm.client.Client`.

    Raises:
        UsageError: a file cannot be read, or a token would go over a network in plaintext.
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
        self._calls = Calls(address, timeout_s, self.retry, tls, token)
        self._streams: weakref.WeakSet[GameStream | ManySeats] = weakref.WeakSet()

    def create(self, **options: Unpack[GameOptions]) -> CreatedGame:
        """Make a game; it waits for players, and begins when every seat is taken.

        Args:
            options: `map`, `seats`, `teams`, `bots`, `fog`, `rules`, `seed`, `tick_ms`, `collect`,
                `spectators`, `max_turns`, `name`, all optional: see `GameOptions`.

        Raises:
            UnavailableError: no farm answers, or it has no games host.
            GameRejectedError: no game can have these options, or a limit is reached.
            UsageError: an option is unknown.
        """
        return self._calls.ask(questions.create(options))

    def games(self, *phases: Phase, page_size: int = 100) -> Iterator[GameInfo]:
        """The games, of all hosts, or those in one of these phases; asked for page by page."""
        self._calls.discover()
        for host in range(len(self._calls.hosts.all)):
            page_token = ""
            while True:
                question = questions.page(host, phases, page_size, page_token)
                page, page_token = self._calls.ask(question)
                yield from page
                if not page_token:
                    break

    def join(self, game_id: int, *, name: str = "", seat: int | None = None) -> JoinedGame:
        """Take a seat: this one, or the first that is free.

        Args:
            game_id: of a game in its lobby.
            name: of the player, up to 32 bytes of UTF-8, for others to see.
            seat: from 0.

        Raises:
            GameRejectedError: WRONG_PHASE, GAME_FULL, SEAT_TAKEN or UNKNOWN_GAME.
        """
        return self._calls.ask(questions.join(game_id, name=name, seat=seat))

    def submit(
        self,
        game_id: int,
        token: str,
        *moves: Move,
        expected_tick: int | None = None,
        clear: bool = False,
        key: str = "",
    ) -> ActionResult:
        """Act without a stream; no moves pass this tick.

        Args:
            game_id: of the game.
            token: of the seat.
            moves: join the seat's queue, all or none.
            expected_tick: refuse it unless the game is at this tick; None takes it at any.
            clear: forget the moves that wait, first.
            key: an action with the same key is not done again; empty draws one.

        Raises:
            GameRejectedError: the game refuses; `reason` says why, `move` which of them.
        """
        question = questions.submit(
            game_id, token, moves, expected_tick=expected_tick, clear=clear, key=key
        )
        return self._calls.ask(question)

    def state(
        self, game_id: int, token: str, *, after_tick: int | None = None, wait_s: float = 0.0
    ) -> GameUpdate:
        """What a seat, or a spectator, sees now.

        Args:
            game_id: of the game.
            token: of the seat, or the spectators'.
            after_tick: wait for a tick above this one, or the end.
            wait_s: at most so long, up to 30 seconds.

        Returns:
            A `GameObservation`, a `GameBoard` for a spectator, or of a lobby a bare `GameUpdate`.
        """
        question = questions.state(game_id, token, after_tick=after_tick, wait_s=wait_s)
        return self._calls.ask(question)

    def stream(self, game_id: int, token: str, *, after_event: int = 0) -> GameStream:
        """Watch a game, as a seat or a spectator; see `GameStream`.

        Args:
            game_id: of the game.
            token: of the seat, or the spectators'.
            after_event: sequence of the last event that is known already.
        """
        session = GameSession(game_id, token, self.retry, after_event=after_event)
        return self._opened(GameStream(session, self._calls))

    def play(self, game_id: int, token: str, *, after_event: int = 0) -> GamePlay:
        """Play a seat; see `GamePlay`. The arguments are those of `stream`."""
        keys = Keys(questions.new_key())
        session = PlaySession(game_id, token, self.retry, keys, after_event=after_event)
        return self._opened(GamePlay(session, self._calls))

    def play_many(
        self,
        n_games: int,
        *,
        own_seats: Sequence[int] = (0,),
        autoreset: bool = False,
        **options: Unpack[GameOptions],
    ) -> ManySeats:
        """Make many equal games and play seats of all of them at once, as arrays; see `ManySeats`.

        Args:
            n_games: 1 to 4,096, within the host's limits.
            own_seats: that are played here; `bots` play all others.
            autoreset: whether an ended game is followed by a new one.
            options: as for `create`; a seed is that of the first game.
        """
        rows = ManyRows(create_many(n_games, own_seats, options, autoreset=autoreset))
        return self._opened(ManySeats(rows, self._calls, self.retry, game_id=0, token=""))

    def play_joined(self, seats: Sequence[JoinedGame]) -> ManySeats:
        """Play seats of games of one shape at once, as arrays; see `ManySeats`.

        Args:
            seats: that were joined, of games of one host.

        Raises:
            UsageError: there is none.
        """
        rows = ManyRows(join_many(seats))
        first = seats[0]
        return self._opened(
            ManySeats(rows, self._calls, self.retry, game_id=first.game_id, token=first.token)
        )

    def surrender(self, game_id: int, token: str) -> None:
        """Leave a game for good: the seat is out at once."""
        self._calls.ask(questions.surrender(game_id, token))

    def pause(self, game_id: int, owner_token: str) -> Phase:
        """Stop the clock of a running game, as its owner."""
        return self._calls.ask(questions.own(names.PAUSE_GAME, game_id, owner_token))

    def resume(self, game_id: int, owner_token: str) -> Phase:
        """Go on with a paused game, as its owner."""
        return self._calls.ask(questions.own(names.RESUME_GAME, game_id, owner_token))

    def cancel(self, game_id: int, owner_token: str) -> Phase:
        """Call off a game that is not over, as its owner."""
        return self._calls.ask(questions.own(names.CANCEL_GAME, game_id, owner_token))

    def stats(self, game_id: int, token: str) -> GameStats:
        """A game and what its players have done; for a seat, a spectator or the owner."""
        return self._calls.ask(questions.stats(game_id, token))

    def close(self) -> None:
        """Close every stream, then the connections."""
        for stream in tuple(self._streams):
            stream.close()
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self, stream: Stream) -> Stream:
        self._streams.add(stream)
        return stream
