"""The two faces of the client behind one, so that a script runs with either."""

import asyncio
import contextlib
import inspect
import time

import pytest

from farm.client import NO_RETRY, AsyncClient, Client, Retry

QUICK = Retry(first_s=0.02, ceiling_s=0.1, deadline_s=20.0)
TIMEOUT_S = 30.0


class Sync:
    """Runs a script with the sync face."""

    name = "sync"

    def __init__(self, address, retry=NO_RETRY):
        self.client = Client(address, retry=retry)

    def do(self, script):
        """What `script(client)` returns."""
        return script(self.client)

    def take(self, n, pause_s=0.0, **options):
        with self.client.subscribe(**options) as subscription:
            taken = [next(subscription)]
            time.sleep(pause_s)
            taken += [next(subscription) for _ in range(n - 1)]
            subscription.acknowledge()
            self.subscription = subscription
            return [describe(t) for t in taken], subscription.received

    def start(self, **options):
        """Be a member that has something and acknowledges nothing."""
        self.subscription = self.client.subscribe(auto_ack=False, **options)
        next(self.subscription)

    def take_batches(self, n, n_batches, **options):
        batches = self.client.batches(n, **options)
        taken = [[t.sequence for t in next(batches)] for _ in range(n_batches)]
        batches.close()
        return taken

    def watch(self, n, **wanted):
        with self.client.stream(**wanted) as stream:
            return [describe(next(stream)) for _ in range(n)]

    def ask(self):
        return self.client.stats(per_seat=True), self.client.info().instance

    def fail(self, **wanted):
        next(self.client.stream(**wanted))

    def ask_for_game(self, game_id):
        self.client.stats(game_ids=[game_id])

    def close(self):
        self.client.close()


class Async:
    """Runs the same script with the asyncio face."""

    name = "asyncio"

    def __init__(self, address, retry=NO_RETRY):
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(address, retry=retry)
        self.run(self.client.__aenter__())

    def run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, TIMEOUT_S))

    def do(self, script):
        """What `script(client)` returns, or what is awaited of it."""

        async def awaited():
            made = script(self.client)
            return await made if inspect.isawaitable(made) else made

        return self.run(awaited())

    def take(self, n, pause_s=0.0, **options):
        async def script():
            async with self.client.subscribe(**options) as subscription:
                taken = [await anext(subscription)]
                time.sleep(pause_s)  # noqa: ASYNC251 - the trainer is busy
                taken += [await anext(subscription) for _ in range(n - 1)]
                await subscription.acknowledge()
                self.subscription = subscription
                return [describe(t) for t in taken], subscription.received

        return self.run(script())

    def start(self, **options):
        async def script():
            self.subscription = self.client.subscribe(auto_ack=False, **options)
            await anext(self.subscription)

        self.run(script())

    def take_batches(self, n, n_batches, **options):
        async def script():
            batches = self.client.batches(n, **options)
            taken = [[t.sequence for t in await anext(batches)] for _ in range(n_batches)]
            await batches.aclose()
            return taken

        return self.run(script())

    def watch(self, n, **wanted):
        async def script():
            async with self.client.stream(**wanted) as stream:
                return [describe(await anext(stream)) for _ in range(n)]

        return self.run(script())

    def ask(self):
        async def script():
            return await self.client.stats(per_seat=True), (await self.client.info()).instance

        return self.run(script())

    def fail(self, **wanted):
        self.run(anext(self.client.stream(**wanted)))

    def ask_for_game(self, game_id):
        self.run(self.client.stats(game_ids=[game_id]))

    def close(self):
        self.run(self.client.close())
        self.loop.close()


FACES = [Sync, Async]
faces = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)


def describe(trajectory):
    """Everything of a trajectory that can be compared."""
    return (
        trajectory.worker,
        trajectory.sequence,
        trajectory.game_id,
        trajectory.seat,
        trajectory.decode(),
    )


@contextlib.contextmanager
def opened(face, serving, **options):
    opened_face = face(serving.address, **options)
    try:
        yield opened_face
    finally:
        opened_face.close()
