"""The agents of the load test: one process of them, each a gRPC client of its own.

Started by `load_test.py` with a plan as its argument (JSON), answers with one line of JSON for each
second and a last one with everything that was measured.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field

from farm.client import AsyncGameClient, GameObservation, Phase
from farm.errors import FarmError

JOIN_TIMEOUT_S = 60.0
"""For a call while everybody comes at once."""


@dataclass(frozen=True)
class Plan:
    """What a process of agents does.

    Attributes:
        address: of the farm.
        first: number of its first game among all.
        n_games: its games, of two agents each.
        n_all: games of all processes.
        rate: actions a second of each agent.
        timed: games have a tick of 1 / rate seconds; else they are in lockstep.
        board: as `GameClient.create` takes it.
        begin_s, end_s: monotonic times of the measurement.
        seed: of the agents' choices.
    """

    address: str
    first: int
    n_games: int
    n_all: int
    rate: float
    timed: bool
    board: str
    begin_s: float
    end_s: float
    seed: int


@dataclass
class Tally:
    """What was measured."""

    latency_ms: list[float] = field(default_factory=list)
    """From submit to the update that shows it."""
    beyond_tick_ms: list[float] = field(default_factory=list)
    """Of timed games: how much later than the length of a tick an update came."""
    n_actions: int = 0
    n_refused: int = 0
    n_late: int = 0
    """Actions that began later than the agent's pace by more than a tenth of it."""
    n_games_ended: int = 0
    errors: list[str] = field(default_factory=list)


class Game:
    """One game after another, and its two agents."""

    def __init__(self, plan: Plan, number: int, tally: Tally) -> None:
        self._plan = plan
        self._number = number
        self._tally = tally
        self._choice = random.Random(plan.seed + number)  # noqa: S311 - plays, guards nothing

    async def run(self) -> None:
        """Until the end of the measurement."""
        plan = self._plan
        # Games are apart within a tick, as those of strangers are; agents of one game are not.
        offset_s = (plan.first + self._number) / plan.n_all / plan.rate
        async with AsyncGameClient(plan.address, timeout_s=JOIN_TIMEOUT_S) as owner:
            while time.monotonic() < plan.end_s:
                tick_ms = round(1000 / plan.rate) if plan.timed else 0
                game = await owner.create(
                    map=plan.board, seats=2, tick_ms=tick_ms, collect=True, max_turns=25_000
                )
                await asyncio.gather(
                    *(self._agent(game.game_id, seat, offset_s) for seat in range(2))
                )
                if time.monotonic() < plan.end_s:
                    self._tally.n_games_ended += 1
                else:
                    await owner.cancel(game.game_id, game.owner_token)

    async def _agent(self, game_id: int, number: int, offset_s: float) -> None:
        plan = self._plan
        async with AsyncGameClient(plan.address, timeout_s=JOIN_TIMEOUT_S) as client:
            seat = await client.join(game_id, name=f"agent-{number}", seat=number)
            async with client.play(seat.game_id, seat.token) as play:
                began_s, acted_at = 0.0, -1
                updated_s = 0.0
                async for update in play:
                    now_s = time.monotonic()
                    if now_s >= plan.end_s or update.phase not in {Phase.LOBBY, Phase.RUNNING}:
                        return
                    if 0 <= acted_at < update.tick:
                        self._measure(began_s, now_s)
                        acted_at = -1
                    if plan.timed and updated_s and began_s:
                        beyond_s = now_s - updated_s - 1 / plan.rate
                        self._note(self._tally.beyond_tick_ms, now_s, 1000 * beyond_s)
                    updated_s = now_s
                    if isinstance(update, GameObservation) and update.to_move and acted_at < 0:
                        await self._wait_for_turn(offset_s)
                        moves = update.moves()
                        chosen = [self._choice.choice(moves)] if moves else []
                        began_s, acted_at = time.monotonic(), update.tick
                        await play.submit(*chosen)
                        self._count(began_s)

    async def _wait_for_turn(self, offset_s: float) -> None:
        """Until the next multiple of the pace; a timed game has its own."""
        plan, now_s = self._plan, time.monotonic()
        pace_s = 1 / plan.rate
        if plan.timed:
            await asyncio.sleep(self._choice.uniform(0, 0.8 * pace_s))
            return
        since_s = (now_s - plan.begin_s - offset_s) % pace_s
        due_s = now_s + pace_s - since_s
        await asyncio.sleep(due_s - now_s)
        if time.monotonic() - due_s > pace_s / 10 and due_s > plan.begin_s:
            self._tally.n_late += 1

    def _measure(self, began_s: float, now_s: float) -> None:
        self._note(self._tally.latency_ms, began_s, 1000 * (now_s - began_s))

    def _note(self, values: list[float], at_s: float, value: float) -> None:
        if at_s >= self._plan.begin_s:
            values.append(round(value, 3))

    def _count(self, at_s: float) -> None:
        if at_s >= self._plan.begin_s:
            self._tally.n_actions += 1


async def main() -> None:
    """Play all games of this process."""
    plan, tally = Plan(**json.loads(sys.argv[1])), Tally()

    async def guarded(number: int) -> None:
        # Everybody at once would be another test.
        await asyncio.sleep(0.01 * number)
        try:
            await Game(plan, number, tally).run()
        except FarmError as error:
            tally.errors.append(f"{type(error).__name__}: {error}")

    await asyncio.gather(*(guarded(number) for number in range(plan.n_games)))
    print(json.dumps(asdict(tally)))


if __name__ == "__main__":
    asyncio.run(main())
