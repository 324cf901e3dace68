"""Runs an agent through a game: by a stream, by polling, or many games at once as arrays."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias, Unpack

from farm.client.games.agent import Agent
from farm.client.games.conduct import Conduct, GameResult, Order
from farm.client.games.moves import ActionResult
from farm.client.games.observation import GameObservation, GameUpdate
from farm.client.games.requests import GameOptions
from farm.client.games.rows import RowAgents
from farm.client.games.sync import GameClient
from farm.client.games.values import JoinedGame, Phase
from farm.client.retry import Retry
from farm.client.session import DEFAULT_ADDRESS
from farm.client.tls import Tls
from farm.errors import ClientError, GameRejectedError

By: TypeAlias = Literal["stream", "polling"]
OnError: TypeAlias = Literal["surrender", "leave"]

POLL_S: Final = 5.0
"""Longest wait of one question: below `games.quiet_s`, after which a silent seat counts as gone."""
IDLE_S: Final = 0.2
"""Between two looks at a game that waits for something else than a tick."""


def run(
    agent: Agent,
    address: str = DEFAULT_ADDRESS,
    *,
    game_id: int | None = None,
    seat: int | None = None,
    by: By = "stream",
    on_error: OnError = "surrender",
    retry: Retry | None = None,
    tls: Tls | None = None,
    token: str | None = None,
    **options: Unpack[GameOptions],
) -> GameResult:
    """Play one game, from joining it to its end.

    Args:
        agent: plays.
        address: `host:port` of the farm.
        game_id: of a game to join; None makes a new one.
        seat: to take; None takes the first that is free.
        by: `stream`, or `polling` for networks that let no stream through.
        on_error: what becomes of the seat if the agent raises: `surrender` gives it up, `leave`
            leaves it to the farm's `games.absent`. The exception goes on to the caller.
        retry: how long the farm is waited for when the connection dies.
        tls: as for `farm.client.Client`.
        token: of a farm that asks for one, as for `farm.client.Client`.
        options: of a new game, see `GameOptions`; without `bots` an expander takes the other seat.

    Raises:
        UnavailableError: no farm answers, or it does not come back in time.
        GameRejectedError: the game cannot be made or joined.
    """
    with GameClient(address, retry=retry, tls=tls, token=token) as client:
        if game_id is None:
            game_id = client.create(**with_opponent(options)).game_id
        joined = client.join(game_id, name=agent.name, seat=seat)
        return play_game(client, agent, joined, by=by, on_error=on_error)


def play_game(
    client: GameClient,
    agent: Agent,
    joined: JoinedGame,
    *,
    by: By = "stream",
    on_error: OnError = "surrender",
) -> GameResult:
    """Play a seat that was joined to the end of its game.

    Args:
        client: of the farm that has it.
        agent: plays.
        joined: the seat; one of another process that died needs its game, seat and token only.
        by: as for `run`.
        on_error: as for `run`.

    Raises:
        UnavailableError: the farm does not come back in time.
    """
    info = joined.info or client.stats(joined.game_id, joined.token).game
    conduct = Conduct(joined.game_id, joined.seat, lockstep=info.tick_ms == 0)
    with _guarded(client, joined, on_error):
        if by == "stream":
            _by_stream(client, agent, joined, conduct)
        else:
            _by_polling(client, agent, joined, conduct)
        result = conduct.result()
        agent.on_end(result)
    return result


def run_many(
    make_agent: Callable[[int], Agent],
    address: str = DEFAULT_ADDRESS,
    *,
    n_games: int,
    own_seats: tuple[int, ...] = (0,),
    retry: Retry | None = None,
    tls: Tls | None = None,
    token: str | None = None,
    **options: Unpack[GameOptions],
) -> list[GameResult]:
    """Play many new games at once, over one stream.

    Args:
        make_agent: gets the number of a row (game by game, seats in the order asked for) and makes
            the agent that plays it.
        address: `host:port` of the farm.
        n_games: 1 to 4,096, within the host's limits.
        own_seats: of each game that are played here; `bots` play all others.
        retry: how long a farm that does not answer is waited for.
        tls: as for `farm.client.Client`.
        token: as for `farm.client.Client`.
        options: of the games, as for `run`; a seed is that of the first.

    Returns:
        A result for each row. Actions are not acknowledged on such a stream: all of them count, and
        whether a side won is told by its scoreboard.

    Raises:
        UnavailableError: no farm answers, or the connection died: the games go with it.
    """
    options = with_opponent(options, own_seats)
    with (
        GameClient(address, retry=retry, tls=tls, token=token) as client,
        client.play_many(n_games, own_seats=own_seats, **options) as seats,
    ):
        rows = RowAgents(seats, make_agent)
        step = seats.reset()
        rows.take(step)
        while not seats.is_over:
            step = seats.step(rows.choose())
            rows.take(step)
        return rows.results()


def with_opponent(options: GameOptions, own: tuple[int, ...] = (0,)) -> GameOptions:
    """The options, with an expander where a game of two has nobody else."""
    is_alone = "bots" not in options and "seats" not in options and len(own) == 1
    if is_alone and "\n" not in options.get("map", ""):
        return {**options, "bots": {1 - own[0]: "expander"}} if own[0] in {0, 1} else options
    return options


def _by_stream(client: GameClient, agent: Agent, joined: JoinedGame, conduct: Conduct) -> None:
    with client.play(joined.game_id, joined.token) as play:
        update: GameUpdate | None = None
        while (received := play.receive()) is not None:
            if isinstance(received, ActionResult):
                _answered(agent, conduct, update, received)
            else:
                update = received
                _tell(agent, conduct, update)
            if (order := _choose(agent, conduct)) is not None:
                play.submit(*order.moves, expected_tick=order.expected_tick)


def _by_polling(client: GameClient, agent: Agent, joined: JoinedGame, conduct: Conduct) -> None:
    seen: tuple[int, Phase, bool] | None = None
    after_tick: int | None = None
    after_event = 0
    while True:
        wait_s = 0.0 if after_tick is None else POLL_S
        update = client.state(joined.game_id, joined.token, after_tick=after_tick, wait_s=wait_s)
        update = update.since(after_event)
        looks = (update.tick, update.phase, update.to_move)
        if looks != seen or update.events:
            seen = looks
            after_event = update.events[-1].sequence if update.events else after_event
            _tell(agent, conduct, update)
        if update.phase.is_over:
            return
        while (order := _choose(agent, conduct)) is not None:
            answer = _submit(client, joined, update, order)
            _answered(agent, conduct, update, answer)
        # A game that runs says by a tick that there is something to do; others do not.
        after_tick = update.tick if update.phase is Phase.RUNNING else None
        if after_tick is None:
            time.sleep(IDLE_S)


def _submit(
    client: GameClient, joined: JoinedGame, update: GameUpdate, order: Order
) -> ActionResult:
    """Send without a stream; a refusal is an answer like that of one."""
    try:
        return client.submit(
            joined.game_id, joined.token, *order.moves, expected_tick=order.expected_tick
        )
    except GameRejectedError as error:
        return ActionResult("", update.tick, 0, error)


def _choose(agent: Agent, conduct: Conduct) -> Order | None:
    """What to send now, if anything is due."""
    if (due := conduct.due()) is not None:
        return conduct.acted(agent.act(due))
    return conduct.passes()


def _tell(agent: Agent, conduct: Conduct, update: GameUpdate) -> None:
    for hook, observation in conduct.updated(update):
        getattr(agent, hook)(observation)


def _answered(
    agent: Agent, conduct: Conduct, update: GameUpdate | None, result: ActionResult
) -> None:
    error = conduct.answered(result)
    if error is not None and isinstance(update, GameObservation):
        agent.on_refused(update, error)


@contextlib.contextmanager
def _guarded(client: GameClient, joined: JoinedGame, on_error: OnError) -> Iterator[None]:
    """Give the seat up if the agent raises, or its process is interrupted."""
    try:
        yield
    except ClientError:
        raise
    except BaseException:
        if on_error == "surrender":
            with contextlib.suppress(ClientError):
                client.surrender(joined.game_id, joined.token)
        raise
