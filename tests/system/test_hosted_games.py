"""Hosted games in a real farm: whole games, many at once, and hosts that are killed.

kill of the host    it is replaced, agents go on with their tokens; nothing that was acknowledged
                    is lost, and the game is the one that is played without a kill
kill of the farm    the next farm of its name goes on with the games
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farm.client import (
    NO_RETRY,
    Client,
    EventKind,
    ExpanderAgent,
    GameClient,
    JoinedGame,
    Move,
    Phase,
    RandomAgent,
    Retry,
    play_game,
    run,
    run_many,
)
from farm.errors import GameRejectedError, UnavailableError
from farm.replay.files import read_replays
from farm.replay.simulate import verify

pytestmark = pytest.mark.timeout(900)

PATIENT = Retry(first_s=0.05, ceiling_s=0.5, deadline_s=120.0)
DUEL = {"map": "10x10", "bots": {1: "expander"}, "seed": 11, "max_turns": 60}
TRAINER = "trainer"


@pytest.fixture(scope="module")
def journals(tmp_path_factory):
    return tmp_path_factory.mktemp("journals")


def overrides(journals):
    return (
        "games=on",
        "worker.count=0",
        "games.address=127.0.0.1:0",
        f"games.journal_dir={journals}",
        f"serve.groups={{{TRAINER}:lossless}}",
    )


@pytest.fixture(scope="module")
def farm(shared_farm_up, journals):
    return shared_farm_up(*overrides(journals))


@pytest.fixture
def client(farm):
    with GameClient(farm.address, retry=PATIENT) as made:
        yield made


def host_pid(farm):
    return farm.events("child_spawned", child="games-0")[-1]["child_pid"]


def replay_of(journals, game_id):
    """The game as its journal has it, played again and found to agree."""
    (path,) = Path(journals).rglob(f"*{game_id}*.journal")
    (found,) = read_replays(path)
    verdict = verify(found.replay)
    assert verdict.agrees
    assert found.replay.final_hash
    return found.replay


def played(replay):
    """What was played, without whose it was."""
    return replay.n_ticks, replay.orders, replay.leaves, replay.final_hash


class KillsAt(ExpanderAgent):
    """An expander that has the host killed at some ticks, each once."""

    def __init__(self, ticks, kill):
        super().__init__(seed=1)
        self._ticks, self._kill = set(ticks), kill

    def act(self, observation):
        if observation.tick in self._ticks:
            self._ticks.remove(observation.tick)
            self._kill()
        return super().act(observation)


def test_by_every_way_the_same_result(farm):
    by_stream = run(ExpanderAgent(1), farm.address, **DUEL)
    by_polling = run(ExpanderAgent(1), farm.address, by="polling", **DUEL)
    (by_many,) = run_many(lambda _: ExpanderAgent(1), farm.address, n_games=1, **DUEL)
    assert len({(r.ticks, r.winners) for r in (by_stream, by_polling, by_many)}) == 1


def test_farm_play_plays_a_whole_game_in_a_process_of_its_own(farm):
    command = [sys.executable, "-m", "farm.cli.main", "play", farm.address, "--agent", "expander"]
    options = ["--new", "--board", "8x8", "--opponent", "random", "--seed", "4", "--json"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"won"' in done.stdout


def test_a_killed_host_is_replaced_and_the_game_goes_on_as_if_nothing_had_been(farm, journals):
    undisturbed = run(ExpanderAgent(1), farm.address, **DUEL)
    agent = KillsAt({7, 31}, lambda: os.kill(host_pid(farm), signal.SIGKILL))
    disturbed = run(agent, farm.address, retry=PATIENT, **DUEL)
    assert (disturbed.ticks, disturbed.winners) == (undisturbed.ticks, undisturbed.winners)
    first, second = (replay_of(journals, r.game_id) for r in (undisturbed, disturbed))
    assert played(first) == played(second)


def test_acknowledged_moves_that_wait_outlive_their_host(client, farm):
    game = client.create(map="toy:8x8", seats=2, seed=3)
    mine, other = (client.join(game.game_id, name=f"p{n}") for n in range(2))
    for _ in range(4):  # until the general's army can move
        tick = client.state(game.game_id, mine.token).tick
        client.submit(game.game_id, mine.token)
        client.submit(game.game_id, other.token)
        before = client.state(game.game_id, mine.token, after_tick=tick, wait_s=10.0)
    first = before.moves()[0]
    answer = client.submit(game.game_id, mine.token, first, Move(first.end, first.start), key="k")
    os.kill(host_pid(farm), signal.SIGKILL)
    after = client.state(game.game_id, mine.token)
    assert (after.tick, after.queued) == (before.tick, 2)
    assert after.frame.tobytes() == before.frame.tobytes()
    # The answer that was given is given again, and the moves are not there twice.
    again = client.submit(game.game_id, mine.token, first, Move(first.end, first.start), key="k")
    assert (again.tick, again.queued) == (answer.tick, answer.queued) == (before.tick, 2)
    client.submit(game.game_id, other.token)
    played = client.state(game.game_id, mine.token, after_tick=before.tick, wait_s=10.0)
    assert played.owner_of(first.end) == 1
    assert played.queued == 1
    assert client.cancel(game.game_id, game.owner_token) == Phase.CANCELLED


def test_twenty_games_at_once_reach_their_end_and_every_experience_arrives(
    farm, client, wait_until
):
    received = []

    def train():
        # Until the farm of this file stops, which the client is told by no answer.
        with (
            contextlib.suppress(UnavailableError),
            Client(farm.address, retry=NO_RETRY) as trainer,
            trainer.subscribe(group=TRAINER) as subscription,
        ):
            received.extend(subscription)

    before = produced(farm)
    threading.Thread(target=train, daemon=True).start()

    def play(number):
        game = client.create(map="8x8", seats=2, seed=number, max_turns=40, collect=True)
        seats = [client.join(game.game_id, name=f"p{n}") for n in range(2)]
        with ThreadPoolExecutor(2) as both:
            agents = (ExpanderAgent(number), RandomAgent(number))
            ends = both.map(lambda pair: play_game(client, *pair), zip(agents, seats, strict=True))
            return {(end.game_id, end.ticks, end.winners) for end in ends}

    with ThreadPoolExecutor(20) as games:
        ends = list(games.map(play, range(20)))
    assert all(len(end) == 1 for end in ends)
    mine = {game_id for end in ends for game_id, *_ in end}
    wait_until(
        lambda: sum(t.n_steps for t in received if t.game_id in mine) == produced(farm) - before,
        what="every experience",
    )
    with Client(farm.address) as looking:
        assert looking.balance().exact


def produced(farm):
    with Client(farm.address) as client:
        children = client.info().children
    return sum(child.counters["experiences"] for child in children if child.role == "games")


def test_of_many_who_want_the_last_seat_one_gets_it(client):
    game = client.create(map="8x8", seats=2, seed=1)
    client.join(game.game_id, name="first")
    start = threading.Barrier(8)

    def join(number):
        start.wait(10)
        try:
            return client.join(game.game_id, name=f"p{number}")
        except GameRejectedError as error:
            return error.reason

    with ThreadPoolExecutor(8) as everybody:
        answers = list(everybody.map(join, range(8)))
    assert sum(isinstance(answer, JoinedGame) for answer in answers) == 1
    assert answers.count("GAME_FULL") == 7
    client.cancel(game.game_id, game.owner_token)


def test_four_players_one_leaves_and_the_others_fight_it_out(client, journals):
    game = client.create(
        map="10x10", seats=4, seed=8, cities=0, bots={3: "expander"}, spectators=True, max_turns=400
    )
    seats = [client.join(game.game_id, name=f"p{n}") for n in range(3)]
    client.surrender(game.game_id, seats[2].token)
    with ThreadPoolExecutor(2) as both:
        agents = (ExpanderAgent(1), RandomAgent(2))
        pairs = zip(agents, seats[:2], strict=True)
        ends = list(both.map(lambda pair: play_game(client, *pair), pairs))
    with client.stream(game.game_id, game.spectator_token) as stream:
        events = [event for update in stream for event in update.events]
    out = [e for e in events if e.kind == EventKind.PLAYER_ELIMINATED]
    assert [e.by for e in out if e.seat == 2] == [None]
    assert any(e.by is not None for e in out)
    assert len({(end.ticks, end.winners) for end in ends}) == 1
    assert replay_of(journals, game.game_id).leaves[0].seat == 2


def test_games_outlive_the_whole_farm(farm_up, tmp_path):
    first = farm_up(*overrides(tmp_path))
    with GameClient(first.address, retry=PATIENT) as client:
        game = client.create(**DUEL)
        seat = client.join(game.game_id, name="me")
        seen = client.state(game.game_id, seat.token)
    first.send(signal.SIGKILL)
    first.wait()
    second = farm_up(*overrides(tmp_path))
    with GameClient(second.address, retry=PATIENT) as client:
        again = client.state(game.game_id, seat.token)
        assert again.frame.tobytes() == seen.frame.tobytes()
        end = play_game(client, ExpanderAgent(1), JoinedGame(game.game_id, seat.seat, seat.token))
    assert end.ticks > 0
    assert replay_of(tmp_path, game.game_id).n_ticks == end.ticks
