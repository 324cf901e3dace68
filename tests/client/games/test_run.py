"""Agents through whole games of a scripted host: by every way, over every accident."""

import asyncio
import threading
import traceback

import pytest
from game_messages import GAME
from scripted_host import TOKEN

from farm.client import (
    Agent,
    AsyncAgent,
    GameClient,
    JoinedGame,
    Move,
    Phase,
    Retry,
    play_game,
    run,
    run_async,
    run_many,
)
from farm.errors import GameRejectedError
from farm.rpc import names

QUICK = Retry(first_s=0.02, ceiling_s=0.1, deadline_s=10.0)
RIGHT = 6 * 8 + 3 * 2

pytestmark = pytest.mark.timeout(60)


class Recorder(Agent):
    """Moves to the right and notes what it is told."""

    name = "recorder"

    def __init__(self, act=lambda _: Move(6, 7)):
        self._act = act
        self.seen = []
        self.refused = []

    def on_start(self, observation):
        self.seen.append(("start", observation.tick))

    def on_update(self, observation):
        self.seen.append(("update", observation.tick))

    def act(self, observation):
        self.seen.append(("act", observation.tick))
        return self._act(observation)

    def on_refused(self, observation, error):
        self.refused.append((observation.tick, error.reason))

    def on_end(self, result):
        self.seen.append(("end", result.ticks))


class Twin(AsyncAgent):
    """A Recorder that is awaited."""

    name = "recorder"

    def __init__(self, act=lambda _: Move(6, 7)):
        self.inner = Recorder(act)

    async def on_start(self, observation):
        self.inner.on_start(observation)

    async def on_update(self, observation):
        self.inner.on_update(observation)

    async def act(self, observation):
        await asyncio.sleep(0)
        return self.inner.act(observation)

    async def on_refused(self, observation, error):
        self.inner.on_refused(observation, error)

    async def on_end(self, result):
        self.inner.on_end(result)


def by_stream(agent, address, **options):
    return run(agent, address, retry=QUICK, **options)


def by_polling(agent, address, **options):
    return run(agent, address, retry=QUICK, by="polling", **options)


def by_asyncio(agent, address, **options):
    twin = Twin()
    twin.inner = agent
    return asyncio.run(run_async(twin, address, retry=QUICK, **options))


WAYS = [by_stream, by_polling, by_asyncio]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@ways
def test_a_game_is_played_from_its_start_to_its_end(host, way):
    farm = host(last_tick=3)
    agent = Recorder()
    result = way(agent, farm.address)
    assert agent.seen == [
        ("start", 0),
        *(entry for tick in range(3) for entry in (("update", tick), ("act", tick))),
        ("update", 3),
        ("end", 3),
    ]
    assert farm.orders == [(tick, [(6, 7, False)]) for tick in range(3)]
    assert (result.won, result.phase, result.ticks, result.refused) == (True, Phase.ENDED, 3, {})
    assert dict(farm.created.bots) == {1: "expander"}


@ways
def test_a_game_that_waits_for_players_is_waited_for(host, way):
    farm = host(last_tick=1, lobby=True)
    agent = Recorder()

    timer = threading.Timer(0.3, farm.begin)
    timer.start()
    assert way(agent, farm.address, game_id=GAME).won
    timer.join()
    assert agent.seen[0] == ("start", 0)
    assert farm.created is None


@ways
def test_every_kind_of_answer_reaches_the_game(host, way):
    answers = [None, RIGHT, [Move(6, 7), Move(6, 5, half=True)], Move(6, 11), []]
    farm = host(last_tick=len(answers))
    way(Recorder(lambda seen: answers[seen.tick]), farm.address)
    assert [moves for _, moves in farm.orders] == [
        [],
        [(6, 7, False)],
        [(6, 7, False), (6, 5, True)],
        [(6, 11, False)],
        [],
    ]


@ways
def test_what_is_refused_is_told_passed_for_and_counted(host, way):
    farm = host(last_tick=2)
    agent = Recorder(lambda seen: Move(3, 4) if seen.tick == 0 else Move(6, 7))
    result = way(agent, farm.address)
    assert agent.refused == [(0, "NOT_YOUR_CELL")]
    assert result.refused == {"NOT_YOUR_CELL": 1}
    assert [moves for _, moves in farm.orders] == [[], [(6, 7, False)]]


@ways
@pytest.mark.parametrize("on_error", ["surrender", "leave"])
def test_an_error_of_the_agent_comes_out_with_its_traceback(host, way, on_error):
    farm = host()
    secret = {}
    agent = Recorder(lambda _: secret["absent"])
    with pytest.raises(KeyError, match="absent") as caught:
        way(agent, farm.address, on_error=on_error)
    assert 'secret["absent"]' in "".join(traceback.format_exception(caught.value))
    assert farm.surrendered == (on_error == "surrender")


@ways
def test_a_cut_costs_no_tick_and_no_action(host, way):
    farm = host(last_tick=6)

    def act(seen):
        if seen.tick in {2, 4}:
            farm.cut()
        return Move(6, 7)

    result = way(Recorder(act), farm.address)
    assert [tick for tick, _ in farm.orders] == list(range(6))
    assert result.actions == 6


@ways
def test_a_host_that_is_replaced_elsewhere_costs_nothing_either(host, way):
    farm = host(last_tick=4)

    def act(seen):
        if seen.tick == 2 and len(farm.orders) == 2 and not moved:
            moved.append(True)
            farm.move_away()
        return Move(6, 7)

    moved = []
    assert way(Recorder(act), farm.address).actions == 4
    assert [tick for tick, _ in farm.orders] == list(range(4))


def test_a_seat_of_a_process_that_died_is_gone_on_with(host):
    farm = host(last_tick=4)
    agent = Recorder()
    with GameClient(farm.address, retry=QUICK) as client:
        client.submit(GAME, TOKEN, Move(6, 7))
        result = play_game(client, agent, JoinedGame(GAME, 0, TOKEN))
    assert agent.seen[0] == ("start", 1)
    assert (result.ticks, result.actions) == (4, 3)


def test_a_timed_game_is_not_told_which_tick_is_meant(host):
    farm = host(last_tick=2, tick_ms=100)
    keys = []
    take = farm.take

    def noting(action, answer):
        keys.append(action.HasField("expected_tick"))
        return take(action, answer)

    farm.take = noting
    by_stream(Recorder(), farm.address)
    assert keys == [False, False]


def test_an_agent_that_does_not_say_how_it_acts_says_so(host):
    with pytest.raises(NotImplementedError, match="Agent does not say how it acts"):
        by_stream(Agent(), host().address)


@ways
def test_a_game_that_cannot_be_joined_is_an_error(host, way):
    with pytest.raises(GameRejectedError, match="NOT_FOUND"):
        way(Recorder(), host().address, game_id=99)


def test_many_games_have_an_agent_for_each_row(host):
    farm = host(last_tick=3)
    made = {}

    def make_agent(row):
        made[row] = Recorder(lambda seen: [Move(6, 7), Move(6, 11)] if seen.tick == 0 else None)
        return made[row]

    results = run_many(make_agent, farm.address, n_games=2, retry=QUICK)
    assert [chosen for _, chosen in farm.orders] == [
        [RIGHT, RIGHT],
        [6 * 8 + 1 * 2] * 2,
        [160, 160],
    ]
    assert [entry for entry in made[0].seen if entry[0] != "update"] == [
        ("start", 0),
        ("act", 0),
        ("act", 2),
        ("end", 3),
    ]
    assert [(result.ticks, result.actions, result.game_id) for result in results] == [
        (3, 3, GAME),
        (3, 3, GAME + 1),
    ]
    assert farm.calls == [names.PLAY_MANY]
