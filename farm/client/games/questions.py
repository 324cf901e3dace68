"""What a games host is asked, as values: the same for both faces. Pure."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from farm.client.games import requests, values
from farm.client.games.hosts import Hosts
from farm.client.games.moves import ActionResult, Move, action_message
from farm.client.games.observation import GameUpdate
from farm.client.games.requests import GameOptions
from farm.client.games.values import CreatedGame, GameInfo, GameStats, JoinedGame, Phase
from farm.client.games.view import GameView, parse_update
from farm.rpc import names

T = TypeVar("T")


def _same_game(_answer: object) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A call, how its answer is read, and whom it goes to."""

    method: str
    request: bytes
    parse: Callable[[bytes], T]
    game_id: int = 0
    """The game that it is about; 0 for none."""
    host: int | None = None
    """The one host that it is for, by its place in the order of the farm; None for whoever can."""
    new_key: str = ""
    """Of a new game: its key, which also chooses the host."""
    wait_s: float = 0.0
    """How long the host may take beyond the time of any answer."""
    new_game_id: Callable[[T], int] = _same_game
    """The game that an answer is about where the question was about none."""

    def hosts(self, hosts: Hosts) -> tuple[str, ...]:
        """Whom to ask, in this order.

        Raises:
            UnavailableError: the host that it is for is away.
        """
        if self.host is not None:
            return (hosts.at(self.host),)
        return hosts.for_new(self.new_key) if self.new_key else hosts.to_ask(self.game_id)

    def answered(self, hosts: Hosts, address: str, reply: bytes) -> T:
        """The answer of a host."""
        answer = self.parse(reply)
        hosts.found(self.game_id or self.new_game_id(answer), address)
        return answer


def new_key() -> str:
    """A key that nobody can guess: who has that of a request gets its answer."""
    return secrets.token_hex(16)


def create(options: GameOptions) -> Question[CreatedGame]:
    """CreateGame."""
    key = new_key()
    return Question(
        names.CREATE_GAME,
        requests.create_message(options, key=key).SerializeToString(),
        values.parse_created,
        new_key=key,
        new_game_id=lambda game: game.game_id,
    )


def page(
    host: int, phases: Iterable[Phase], page_size: int, page_token: str
) -> Question[tuple[tuple[GameInfo, ...], str]]:
    """ListGames, of one host."""
    request = requests.list_request(phases, page_size, page_token)
    return Question(names.LIST_GAMES, request, values.parse_page, host=host)


def join(game_id: int, *, name: str, seat: int | None) -> Question[JoinedGame]:
    """JoinGame."""
    request = requests.join_request(game_id, seat=seat, name=name, key=new_key())
    return Question(names.JOIN_GAME, request, values.parse_joined, game_id)


def submit(
    game_id: int,
    token: str,
    moves: tuple[Move, ...],
    *,
    expected_tick: int | None,
    clear: bool,
    key: str,
) -> Question[ActionResult]:
    """SubmitAction."""
    action = action_message(moves, key=key or new_key(), expected_tick=expected_tick, clear=clear)
    request = requests.submit_request(game_id, token, action)
    return Question(names.SUBMIT_ACTION, request, values.parse_result, game_id)


def state(
    game_id: int, token: str, *, after_tick: int | None, wait_s: float
) -> Question[GameUpdate]:
    """GetGameState."""
    request = requests.state_request(game_id, token, after_tick=after_tick, wait_s=wait_s)

    def parse(reply: bytes) -> GameUpdate:
        return GameView(game_id).receive(parse_update(reply))

    return Question(names.GET_GAME_STATE, request, parse, game_id, wait_s=wait_s)


def surrender(game_id: int, token: str) -> Question[bytes]:
    """Surrender."""
    return Question(names.SURRENDER, requests.surrender_request(game_id, token), bytes, game_id)


def own(method: str, game_id: int, owner_token: str) -> Question[Phase]:
    """PauseGame, ResumeGame or CancelGame."""
    request = requests.owner_request(game_id, owner_token)
    return Question(method, request, values.parse_phase, game_id)


def stats(game_id: int, token: str) -> Question[GameStats]:
    """GetGameStats."""
    request = requests.stats_request(game_id, token)
    return Question(names.GET_GAME_STATS, request, values.parse_stats, game_id)
