"""Scripted games hosts, and the two faces of the games client behind one."""

import asyncio
import inspect

import pytest
from scripted_host import ScriptedHost

from farm.client import AsyncGameClient, GameClient, Retry

QUICK = Retry(first_s=0.02, ceiling_s=0.1, deadline_s=10.0)
TIMEOUT_S = 30.0


@pytest.fixture
def host():
    """Starts hosts with these options."""
    started = []

    def start(**options):
        started.append(ScriptedHost(**options))
        return started[-1]

    yield start
    for made in started:
        made.close()


class Sync:
    """The blocking face."""

    def __init__(self, address, **options):
        self.client = GameClient(address, **{"retry": QUICK, **options})

    def do(self, script):
        """What `script(client)` returns; what it iterates as a list."""
        made = script(self.client)
        return list(made) if inspect.isgenerator(made) else made

    def play(self, game_id, token, answer, **options):
        """Play with what `answer(update)` submits; the updates and the results."""
        updates, results = [], []
        with self.client.play(game_id, token, **options) as play:
            while (received := play.receive()) is not None:
                if hasattr(received, "phase"):
                    updates.append(received)
                    if (moves := answer(received)) is not None:
                        play.submit(*moves)
                else:
                    results.append(received)
        return updates, results

    def watch(self, game_id, token, n, **options):
        """The first `n` updates of a stream, all of them for None."""
        with self.client.stream(game_id, token, **options) as stream:
            return [update for _, update in zip(range(n or 1 << 20), stream, strict=False)]

    def step_many(self, choose, n_steps, **options):
        """Steps of two rows."""
        with self.client.play_many(2, **options) as seats:
            steps = [seats.reset()]
            while not seats.is_over and len(steps) <= n_steps:
                steps.append(seats.step(choose(seats)))
            return seats, steps

    def close(self):
        self.client.close()


class Async:
    """The same with the asyncio face."""

    def __init__(self, address, **options):
        self.client = AsyncGameClient(address, **{"retry": QUICK, **options})
        self.loop = asyncio.new_event_loop()

    def run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, TIMEOUT_S))

    def do(self, script):
        async def awaited():
            made = script(self.client)
            if inspect.isasyncgen(made):
                return [value async for value in made]
            return await made

        return self.run(awaited())

    def play(self, game_id, token, answer, **options):
        async def script():
            updates, results = [], []
            async with self.client.play(game_id, token, **options) as play:
                while (received := await play.receive()) is not None:
                    if hasattr(received, "phase"):
                        updates.append(received)
                        if (moves := answer(received)) is not None:
                            await play.submit(*moves)
                    else:
                        results.append(received)
            return updates, results

        return self.run(script())

    def watch(self, game_id, token, n, **options):
        async def script():
            updates = []
            async with self.client.stream(game_id, token, **options) as stream:
                async for update in stream:
                    updates.append(update)
                    if len(updates) == n:
                        break
            return updates

        return self.run(script())

    def step_many(self, choose, n_steps, **options):
        async def script():
            async with self.client.play_many(2, **options) as seats:
                steps = [await seats.reset()]
                while not seats.is_over and len(steps) <= n_steps:
                    steps.append(await seats.step(choose(seats)))
                return seats, steps

        return self.run(script())

    def close(self):
        self.run(self.client.close())
        self.loop.close()


@pytest.fixture(params=[Sync, Async], ids=["sync", "asyncio"])
def face(request):
    """Makes a client of one of the faces."""
    opened = []

    def connect(address, **options):
        opened.append(request.param(address, **options))
        return opened[-1]

    yield connect
    for made in opened:
        made.close()
