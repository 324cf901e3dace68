"""Runs an asyncio agent through a game; the twin of run.py by stream."""

import contextlib
from collections.abc import AsyncIterator
from typing import Unpack

from farm.client.games.agent import AsyncAgent
from farm.client.games.aio import AsyncGameClient
from farm.client.games.conduct import Conduct, GameResult
from farm.client.games.moves import ActionResult
from farm.client.games.requests import GameOptions
from farm.client.games.run import OnError, with_opponent
from farm.client.games.values import JoinedGame
from farm.client.retry import Retry
from farm.client.session import DEFAULT_ADDRESS
from farm.client.tls import Tls
from farm.errors import ClientError


async def run_async(
    agent: AsyncAgent,
    address: str = DEFAULT_ADDRESS,
    *,
    game_id: int | None = None,
    seat: int | None = None,
    on_error: OnError = "surrender",
    retry: Retry | None = None,
    tls: Tls | None = None,
    token: str | None = None,
    **options: Unpack[GameOptions],
) -> GameResult:
    """Play one game, from joining it to its end, by a stream; see `farm.client.run`."""
    async with AsyncGameClient(address, retry=retry, tls=tls, token=token) as client:
        if game_id is None:
            game_id = (await client.create(**with_opponent(options))).game_id
        joined = await client.join(game_id, name=agent.name, seat=seat)
        return await play_game_async(client, agent, joined, on_error=on_error)


async def play_game_async(
    client: AsyncGameClient,
    agent: AsyncAgent,
    joined: JoinedGame,
    *,
    on_error: OnError = "surrender",
) -> GameResult:
    """Play a seat that was joined to the end of its game; see `farm.client.play_game`."""
    info = joined.info or (await client.stats(joined.game_id, joined.token)).game
    conduct = Conduct(joined.game_id, joined.seat, lockstep=info.tick_ms == 0)
    async with _guarded(client, joined, on_error):
        await _by_stream(client, agent, joined, conduct)
        result = conduct.result()
        await agent.on_end(result)
    return result


async def _by_stream(
    client: AsyncGameClient, agent: AsyncAgent, joined: JoinedGame, conduct: Conduct
) -> None:
    async with client.play(joined.game_id, joined.token) as play:
        latest = None
        while (received := await play.receive()) is not None:
            if isinstance(received, ActionResult):
                error = conduct.answered(received)
                if error is not None and latest is not None:
                    await agent.on_refused(latest, error)
            else:
                for hook, observation in conduct.updated(received):
                    latest = observation
                    await getattr(agent, hook)(observation)
            if (due := conduct.due()) is not None:
                order = conduct.acted(await agent.act(due))
                await play.submit(*order.moves, expected_tick=order.expected_tick)
            elif (of_pass := conduct.passes()) is not None:
                await play.submit(expected_tick=of_pass.expected_tick)


@contextlib.asynccontextmanager
async def _guarded(
    client: AsyncGameClient, joined: JoinedGame, on_error: OnError
) -> AsyncIterator[None]:
    """Give the seat up if the agent raises, or its task is cancelled."""
    try:
        yield
    except ClientError:
        raise
    except BaseException:
        if on_error == "surrender":
            with contextlib.suppress(ClientError):
                await client.surrender(joined.game_id, joined.token)
        raise
