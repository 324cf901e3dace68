"""Games that outlive their host: killed, stopped, told to go, with all that can be under way.

In every story agents in processes of their own play on, and find their games again by themselves;
what they come to is what the same game comes to that nobody disturbs.

host    killed in the middle of games in lockstep and of timed ones, again and again
lobby   killed while a game waits for its players
still   stopped without a word: it is replaced for its silence
farm    killed as a whole, or told to stop, and started again in the same folders
"""

import asyncio
import os
import signal

import pytest
from hosted import OVER_S, HostedFarm, results
from steady import PATIENT

from farm.client import AsyncGameClient, EventKind, Move, Phase
from farm.errors import GameRejectedError

pytestmark = pytest.mark.timeout(900)

LOCKSTEP = [
    {"map": "20x20", "seed": 21, "max_turns": 70},
    {"map": "20x20", "seed": 22, "max_turns": 70},
]
TIMED = {"map": "20x20", "seed": 23, "max_turns": 60, "tick_ms": 50}
KINDS = [("steady", "marching"), ("marching", "steady")]
KILLS = (15, 40, 41, 90)
"""Ticks; the second and the third kill follow each other at once."""
LENIENT = ("supervisor.intensity=40", "supervisor.backoff_s=0.05", "supervisor.silence_s=20")


@pytest.fixture(scope="module")
def farm(shared_farm_up, start_shared, shared_instance, tmp_path_factory):
    made = HostedFarm(
        shared_farm_up, start_shared, shared_instance, tmp_path_factory.mktemp("farm"), LENIENT
    )
    yield made
    made.close()


def lockstep_games(farm):
    """Agents against each other, and against a bot."""
    games = [farm.game(*kinds, **how) for kinds, how in zip(KINDS, LOCKSTEP, strict=True)]
    games.append(farm.game("marching", bots={0: "hunter"}, **LOCKSTEP[0]))
    return [made for made, _ in games], [seat for _, seats in games for seat in seats]


@pytest.fixture(scope="module")
def calm(farm):
    """The games in lockstep as nobody disturbs them."""
    games, seats = lockstep_games(farm)
    lines = results(farm.agents(seats), len(seats))
    return Played(farm, games, lines)


class Played:
    """Games that have ended."""

    def __init__(self, farm, games, lines):
        self.games, self.lines = games, lines
        self.endings = [farm.ended(made.game_id) for made in games]

    def chosen(self):
        """By place of the game and seat, what was seen and chosen."""
        places = {made.game_id: place for place, made in enumerate(self.games)}
        return {(places[g], seat): line["chosen"] for (g, seat), line in self.lines.items()}

    def check_same(self, other):
        """It went with these games as with the others, in every tick."""
        assert [one.final for one in self.endings] == [one.final for one in other.endings]
        assert [one.moves() for one in self.endings] == [one.moves() for one in other.endings]
        assert self.chosen() == other.chosen()

    def check_acknowledged(self):
        """What agents were told is accepted is in the journals, once, and nothing else is."""
        for made, ending in zip(self.games, self.endings, strict=True):
            keys = [order.key for order in ending.orders()]
            assert len(keys) == len(set(keys))
            for (game_id, seat), line in self.lines.items():
                if game_id == made.game_id:
                    assert line["actions"] == len(ending.orders(seat))


@pytest.fixture(scope="module")
def killed(farm):
    """The same games, and a timed one beside them, while their host is killed again and again."""
    games, seats = lockstep_games(farm)
    timed, timed_seats = farm.game("marching", "steady", **TIMED)
    gates = farm.gates(*KILLS)
    process = farm.agents(seats, gates=gates)
    timed_process = farm.agents(timed_seats)
    boards = []
    for tick in KILLS:
        gates.wait_for(tick, *games)
        # Seat 0 of each game has acted, and seat 1 has not.
        before = [farm.board(made) for made in games]
        gates.open(tick)  # at the same time: what comes meets a host that dies, or is not there
        farm.kill_host()
        boards.append((before, [farm.board(made)[0] for made in games]))
    lines = results(process, len(seats))
    timed_lines = results(timed_process, 2)
    return Played(farm, games, lines), Played(farm, [timed], timed_lines), boards


def test_games_whose_host_is_killed_again_and_again_go_as_if_it_were_not(calm, killed):
    played, *_ = killed
    assert calm.endings[0].end.tick > KILLS[-1]
    played.check_same(calm)


def test_no_tick_is_undone_by_a_kill(killed):
    *_, boards = killed
    for before, after in boards:
        assert all(now >= then[0] for then, now in zip(before, after, strict=True))


def test_no_acknowledged_action_is_lost_or_done_twice(killed):
    played, timed, _ = killed
    played.check_acknowledged()
    timed.check_acknowledged()


def test_their_replays_and_that_of_a_timed_game_agree(farm, killed):
    played, timed, _ = killed
    (ending,) = timed.endings
    assert ending.final[:2] == (2 * TIMED["max_turns"], Phase.ENDED)
    assert {line["ticks"] for line in timed.lines.values()} == {ending.end.tick}
    farm.check_replays(*played.endings, ending)


def test_the_state_after_a_kill_is_the_same_to_the_byte(farm):
    """With moves that wait, one that was acknowledged and not played, and half of a tick."""
    made, seats = farm.game("steady", "steady", **LOCKSTEP[0])
    tokens = [seat["token"] for seat in seats]
    client, game_id = farm.client, made.game_id
    for _ in range(8):
        for token in tokens:
            client.submit(game_id, token)
    general = client.state(game_id, tokens[0]).general
    (first, *_) = client.state(game_id, tokens[0]).moves()
    moves = [first, Move(first.end, first.start), Move(first.start, first.end)]
    answer = client.submit(game_id, tokens[0], *moves, key="once", expected_tick=8)
    assert first.start == general
    before, frames = farm.board(made), [client.state(game_id, token) for token in tokens]
    stats = client.stats(game_id, made.owner_token)
    for _ in range(2):
        farm.kill_host()
        assert farm.board(made) == before
        for token, was in zip(tokens, frames, strict=True):
            now = client.state(game_id, token)
            assert now.frame.tobytes() == was.frame.tobytes()
            assert (now.tick, now.queued, now.to_move) == (was.tick, was.queued, was.to_move)
    assert client.submit(game_id, tokens[0], *moves, key="once", expected_tick=8) == answer
    again = client.stats(game_id, made.owner_token)
    accepted = [[p.actions_accepted for p in one.players] for one in (stats, again)]
    assert accepted[0] == accepted[1] == [9, 8]
    for left in (2, 1, 0):
        client.submit(game_id, tokens[1])
        state = client.state(game_id, tokens[0])
        assert (state.queued, state.tick) == (left, 11 - left)
    assert state.owner_of(first.end) == 1
    client.cancel(game_id, made.owner_token)


async def lobbies_over_a_kill(farm):
    """What the clients of both faces list, which knew the host that is killed meanwhile."""
    async with AsyncGameClient(farm.address, retry=PATIENT) as client:
        assert [one async for one in client.games(Phase.LOBBY)]
        farm.kill_host()
        listed = [one async for one in client.games(Phase.LOBBY)]
    return listed, list(farm.client.games(Phase.LOBBY))


def test_a_lobby_keeps_its_seats_over_a_kill(farm):
    client = farm.client
    made = client.create(map="8x8", seed=4, seats=3, spectators=True, max_turns=5, name="later")
    first = client.join(made.game_id, name="ann", seat=2)
    by_both = asyncio.run(lobbies_over_a_kill(farm))
    assert by_both[0] == by_both[1]
    (info,) = [one for one in by_both[0] if one.game_id == made.game_id]
    assert (info.name, [seat.kind for seat in info.seats]) == ("later", ["open", "open", "agent"])
    with pytest.raises(GameRejectedError) as caught:
        client.join(made.game_id, name="eve", seat=2)
    assert caught.value.reason == "SEAT_TAKEN"
    farm.kill_host()
    seats = [farm.seat(made, seat, "steady") for seat in (0, 1)]
    seats.append({**seats[0], "seat": 2, "token": first.token})
    lines = results(farm.agents(seats), 3)
    assert {line["ticks"] for line in lines.values()} == {10}
    farm.check_replays(farm.ended(made.game_id))


def test_what_happened_before_a_kill_is_told_after_it_once(farm):
    made, seats = farm.game("steady", "steady", map="8x8", seed=9, max_turns=20)
    gates = farm.gates(10)
    with farm.client.stream(made.game_id, made.spectator_token) as stream:
        process = farm.agents(seats, gates=gates)
        events = list(next(stream).events)
        gates.wait_for(10, made)
        farm.kill_host()
        gates.open(10)
        for update in stream:
            events += update.events
    results(process, 2)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    kinds = [event.kind for event in events]
    for kind in (EventKind.GAME_CREATED, EventKind.GAME_STARTED, EventKind.GAME_ENDED):
        assert kinds.count(kind) == 1
    gone = [e.seat for e in events if e.kind is EventKind.PLAYER_DISCONNECTED]
    back = [e.seat for e in events if e.kind is EventKind.PLAYER_RECONNECTED]
    assert sorted(gone)[:2] == [0, 1]
    assert set(back) == {0, 1}


def test_a_host_that_stands_still_is_replaced_and_its_games_go_on(farm, calm):
    farm.set("supervisor.silence_s=2", "supervisor.abort_s=0.5")
    games, seats = lockstep_games(farm)
    gates = farm.gates(30)
    process = farm.agents(seats, gates=gates)
    gates.wait_for(30, *games)
    farm.kill_host(number=signal.SIGSTOP)
    farm.set("supervisor.silence_s=20")
    gates.open(30)
    Played(farm, games, results(process, len(seats))).check_same(calm)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_games_go_on_after_the_whole_farm_was_away(farm, calm, number):
    n_before = len(list(farm.client.games(Phase.LOBBY, Phase.RUNNING, Phase.PAUSED)))
    games, seats = lockstep_games(farm)
    timed, timed_seats = farm.game("marching", "steady", **TIMED)
    gates = farm.gates(30)
    process = farm.agents(seats, gates=gates)
    timed_process = farm.agents(timed_seats)
    gates.wait_for(30, *games)
    farm.wait_for_tick(timed, 10)
    if number == signal.SIGKILL:
        os.killpg(farm.up.pid, signal.SIGKILL)
        farm.up.wait()
    else:
        assert farm.up.stop(number, timeout_s=OVER_S) == 0
    gates.open(30)  # they meet nobody, and wait
    farm.start_again()
    (taken,) = farm.up.events("games_taken_up")
    assert (taken["n_games"], taken["n_damaged"]) == (n_before + 4, 0)
    Played(farm, games, results(process, len(seats))).check_same(calm)
    played = Played(farm, [timed], results(timed_process, 2))
    played.check_acknowledged()
    farm.check_replays(*played.endings)
