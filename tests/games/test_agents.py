"""Agents of the client through whole games of a real host: by every way, over every accident."""

import asyncio
import threading

import pytest
from hosting import Hosting
from tcp_proxy import TcpProxy

from farm.client import (
    AsyncAgent,
    EventKind,
    ExpanderAgent,
    GameBoard,
    GameClient,
    Phase,
    RandomAgent,
    Retry,
    play_game,
    run,
    run_async,
    run_many,
)
from farm.errors import GameRejectedError

QUICK = Retry(first_s=0.02, ceiling_s=0.2, deadline_s=30.0)
DUEL = {"map": "10x10", "bots": {1: "random"}, "seed": 11, "max_turns": 60}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def host(instance, tmp_path):
    made = Hosting(instance, tmp_path / "journals")
    yield made
    made.close()


@pytest.fixture
def client(host):
    with GameClient(host.address, retry=QUICK) as made:
        yield made


class Noting(ExpanderAgent):
    """An expander that notes what it saw and chose."""

    def __init__(self, note=lambda _: None):
        super().__init__(seed=1)
        self.chosen = []
        self._note = note

    def act(self, observation):
        action = super().act(observation)
        self.chosen.append((observation.tick, observation.frame.tobytes(), action))
        self._note(observation)
        return action

    def first_choices(self):
        """Of each tick that was chosen for: a game that is told again is chosen for again."""
        return {tick: rest for tick, *rest in reversed(self.chosen)}


class Awaited(AsyncAgent):
    """The same, awaited."""

    def __init__(self):
        self.inner = Noting()

    async def act(self, observation):
        return self.inner.act(observation)


def test_by_every_way_the_same_game_is_played(host):
    by_stream, by_polling, awaited = Noting(), Noting(), Awaited()
    rows = []

    def make_agent(_row):
        rows.append(Noting())
        return rows[-1]

    results = [
        run(by_stream, host.address, retry=QUICK, **DUEL),
        run(by_polling, host.address, retry=QUICK, by="polling", **DUEL),
        asyncio.run(run_async(awaited, host.address, retry=QUICK, **DUEL)),
        *run_many(make_agent, host.address, n_games=1, retry=QUICK, **DUEL),
    ]
    assert by_stream.chosen == by_polling.chosen == awaited.inner.chosen
    assert len({result.game_id for result in results}) == 4
    assert len({(r.ticks, r.winners) for r in results}) == 1
    assert rows[0].chosen == by_stream.chosen
    assert results[0].refused == {}


def test_the_expander_beats_the_random_agent(host):
    agents = []

    def make_agent(row):
        agents.append(ExpanderAgent(row) if row % 2 == 0 else RandomAgent(row))
        return agents[-1]

    results = run_many(
        make_agent,
        host.address,
        n_games=12,
        own_seats=(0, 1),
        retry=QUICK,
        map="8x8",
        cities=2,
        seed=4,
        max_turns=300,
    )
    assert sum(result.won for result in results[0::2]) >= 11
    assert sum(result.won for result in results[1::2]) <= 1


def test_two_agents_play_each_other_and_both_hear_of_the_end(client, host):
    game = client.create(map="8x8", seed=5, max_turns=300, spectators=True)
    with pytest.raises(GameRejectedError, match="PERMISSION_DENIED"):
        client.state(game.game_id, "guess")
    joined = [client.join(game.game_id, name=name) for name in ("ann", "bob")]
    with pytest.raises(GameRejectedError) as caught:
        client.join(game.game_id)
    assert caught.value.reason in {"GAME_FULL", "WRONG_PHASE"}
    agents = (ExpanderAgent(1), RandomAgent(2))
    results = {}

    def play(seat):
        with GameClient(host.address, retry=QUICK) as own:
            results[seat] = play_game(own, agents[seat], joined[seat])

    threads = [threading.Thread(target=play, args=(seat,)) for seat in (0, 1)]
    for thread in threads:
        thread.start()
    boards = list(client.stream(game.game_id, game.spectator_token))
    for thread in threads:
        thread.join()
    assert (results[0].won, results[1].won) == (True, False)
    assert isinstance(boards[-1], GameBoard)
    assert boards[-1].phase is Phase.ENDED
    kinds = [event.kind for board in boards for event in board.events]
    assert kinds.count(EventKind.GAME_STARTED) == kinds.count(EventKind.GAME_ENDED) == 1
    stats = client.stats(game.game_id, joined[0].token)
    assert [player.name for player in stats.players] == ["ann", "bob"]
    assert stats.players[0].kills == 1
    assert [info.game_id for info in client.games(Phase.ENDED)] == [game.game_id]


@pytest.fixture
def proxy(host):
    made = TcpProxy(host.address)
    yield made
    made.close()


def test_a_network_that_fails_costs_no_tick(host, proxy):
    calm = Noting()
    undisturbed = run(calm, host.address, retry=QUICK, **DUEL)

    def shake(observation):
        if observation.tick % 7 == 3:
            proxy.cut()

    for by in ("stream", "polling"):
        shaken = Noting(shake)
        result = run(shaken, proxy.address, retry=QUICK, by=by, **DUEL)
        assert (result.ticks, result.winners) == (undisturbed.ticks, undisturbed.winners)
        assert shaken.first_choices() == calm.first_choices()
