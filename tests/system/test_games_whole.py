"""One farm and whole games of it: agents are processes, and come to it in every way there is.

way         by stream, by polling or over PlayMany, the same game is played
crowd       twenty games of forty agents end, and every experience of them arrives
network     however often it is cut, the game comes to the same end
lobby       of many that want the last seat one gets it
four        a surrender and eliminations are told, counted and recorded
"""

import json
import threading

import pytest
from hosted import WITH_TESTS, HostedFarm, results
from tcp_proxy import TcpProxy

from farm.client import Client, EventKind, Phase, Retry

pytestmark = pytest.mark.timeout(900)

GROUP = "trainer"
HOST_RING = 65
N_CROWD = 20
DUEL = {"map": "10x10", "seed": 11}


@pytest.fixture(scope="module")
def farm(shared_farm_up, start_shared, shared_instance, tmp_path_factory):
    made = HostedFarm(
        shared_farm_up,
        start_shared,
        shared_instance,
        tmp_path_factory.mktemp("farm"),
        [f"serve.groups={{{GROUP}:lossless}}"],
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def ways(farm, start_shared):
    """The same game, once by each way, against a bot."""
    one = ["--map", DUEL["map"], "--seed", DUEL["seed"], "--opponent", "random", "--json"]
    command = ["-m", "farm.cli.main", "play", farm.address, "--agent", "steady:Steady", *one]
    options = {**DUEL, "bots": {1: "random"}}
    running = [
        start_shared([*command, "--by", "stream"], env=WITH_TESTS),
        start_shared([*command, "--by", "polling"], env=WITH_TESTS),
        farm.process("many", {"n_games": 1, "options": options}),
    ]
    lines = [next(iter(results(process, 1).values())) for process in running]
    return lines, [farm.ended(line["game_id"]) for line in lines]


def test_by_every_way_an_agent_sees_and_chooses_the_same(ways):
    lines, _ = ways
    assert len({line["game_id"] for line in lines}) == 3
    assert len({line["chosen"] for line in lines}) == 1
    assert [line["refused"] for line in lines] == [{}, {}, {}]


def test_by_every_way_a_game_comes_to_the_same_end(farm, ways):
    lines, endings = ways
    first = endings[0].final
    assert first[1:3] == (Phase.ENDED, (0,))
    assert [ending.final for ending in endings] == [first] * 3
    assert [(line["ticks"], line["winners"]) for line in lines] == [(first[0], [0])] * 3
    farm.check_replays(*endings)


class Trainer:
    """Takes everything of the group, in a thread, until so many seats have had their last step."""

    def __init__(self, address, n_seats):
        self.client = Client(address, retry=Retry(deadline_s=5.0))
        self.n_steps = {}
        self._n_open = n_seats
        self._subscription = self.client.subscribe(group=GROUP)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for trajectory in self._subscription:
            trajectory.verify()
            place = trajectory.game_id, trajectory.seat
            self.n_steps[place] = self.n_steps.get(place, 0) + trajectory.n_steps
            self._n_open -= trajectory.terminated or trajectory.truncated
            if not self._n_open:
                break
        self._subscription.acknowledge()
        self._subscription.close()

    def wait(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{self._n_open} seats have not had their last step"


@pytest.fixture(scope="module")
def crowd(farm, wait_until):
    """Twenty games at once, two agents each, and a trainer that takes their experiences."""
    trainer = Trainer(farm.address, 2 * N_CROWD)
    games = [
        farm.game("steady", "marching", map="10x10", seed=100 + n, max_turns=60, collect=True)
        for n in range(N_CROWD)
    ]
    seats = [seat for _, pair in games for seat in pair]
    own = [seats[n::4] for n in range(4)]
    running = [farm.agents(some) for some in own]
    lines = {}
    for process, some in zip(running, own, strict=True):
        lines |= results(process, len(some))

    def ring():
        return next(ring for ring in trainer.client.balance().rings if ring.worker == HOST_RING)

    trainer.wait()
    wait_until(lambda: not ring().groups[0].waiting.records, what="every acknowledgement")
    balance = trainer.client.balance()
    trainer.client.close()
    top = json.loads(farm.run("top", "--instance", farm.instance, "--once", "--json"))
    return games, lines, trainer, balance, top


def test_twenty_games_of_forty_agents_come_to_their_end(farm, crowd):
    games, lines, *_ = crowd
    assert len(lines) == 2 * N_CROWD
    assert {line["phase"] for line in lines.values()} == {"ENDED"}
    endings = [farm.ended(made.game_id) for made, _ in games]
    for (made, _), ending in zip(games, endings, strict=True):
        both = [lines[made.game_id, seat] for seat in (0, 1)]
        assert {line["ticks"] for line in both} == {ending.end.tick}
        assert [len(ending.orders(seat)) for seat in (0, 1)] == [line["actions"] for line in both]
    farm.check_replays(*endings)


def test_every_experience_of_them_is_delivered(crowd):
    _, lines, trainer, balance, _ = crowd
    assert trainer.n_steps == {place: line["ticks"] for place, line in lines.items()}
    (ring,) = [ring for ring in balance.rings if ring.worker == HOST_RING]
    assert balance.exact
    assert ring.published.experiences == ring.groups[0].acknowledged.experiences
    assert ring.published.experiences == sum(trainer.n_steps.values())
    assert (ring.n_dropped, ring.aborted.records) == (0, 0)


def test_the_host_counts_none_of_them_as_open(crowd):
    *_, top = crowd
    assert top["games"]["games_open"] == 0
    assert {child["restarts"] for child in top["children"]} == {0}


LONG = {"map": "20x20", "seed": 5, "max_turns": 65}
CUTS = (10, 30, 50, 70, 90, 110)


@pytest.fixture(scope="module")
def calm(farm):
    """A game that nobody disturbs."""
    made, seats = farm.game("steady", "marching", **LONG)
    lines = results(farm.agents(seats), 2)
    return farm.ended(made.game_id), [lines[made.game_id, seat]["chosen"] for seat in (0, 1)]


@pytest.mark.parametrize("by", ["stream", "polling"])
def test_a_network_that_fails_again_and_again_changes_nothing(farm, calm, by):
    ending, chosen = calm
    assert ending.end.tick > CUTS[-1]
    proxy = TcpProxy(farm.host_address)
    faults = [(proxy.cut, proxy.cut), (proxy.down, proxy.up), (proxy.hold, proxy.flow)]
    made, seats = farm.game("steady", "marching", by=by, **LONG)
    gates = farm.gates(*CUTS)
    try:
        process = farm.agents(seats, gates=gates, address=proxy.address)
        for number, tick in enumerate(CUTS):
            fail, mend = faults[number % len(faults)]
            gates.wait_for(tick, made)
            fail()
            gates.open(tick)  # what is chosen now meets the fault
            mend()
            proxy.cut()
            farm.wait_for_tick(made, tick + 4)
            proxy.cut()
        lines = results(process, 2)
        assert proxy.n_links > 2 * len(CUTS)
    finally:
        proxy.close()
    again = farm.ended(made.game_id)
    assert again.final == ending.final
    assert again.moves() == ending.moves()
    assert [lines[made.game_id, seat]["chosen"] for seat in (0, 1)] == chosen
    assert [lines[made.game_id, seat]["actions"] for seat in (0, 1)] == [
        len(again.orders(seat)) for seat in (0, 1)
    ]


@pytest.mark.parametrize(("seat", "reason"), [(None, "GAME_FULL"), (1, "SEAT_TAKEN")])
def test_of_many_processes_that_want_the_last_seat_one_gets_it(farm, seat, reason):
    games = [farm.client.create(map="toy:5x5", bots={0: "random"}) for _ in range(10)]
    game_ids = [game.game_id for game in games]
    go = farm.folder / f"go-{reason}"
    spec = {"n_threads": 6, "games": game_ids, "seat": seat, "go": str(go)}
    racers = [farm.process("race", spec) for _ in range(3)]
    for process in racers:
        process.wait_for("racers_ready")
    go.touch()
    assert [process.wait() for process in racers] == [0, 0, 0]
    won = [line for process in racers for line in process.events("race_won")]
    lost = [line for process in racers for line in process.events("race_lost")]
    assert sorted(line["game_id"] for line in won) == game_ids
    assert {line["seat"] for line in won} == {1}
    assert len(lost) == (len(racers) * spec["n_threads"] - 1) * len(games)
    assert {line["reason"] for line in lost} == {reason}
    for line in won:
        assert farm.client.state(line["game_id"], line["token"]).seat == 1
    for game in games:
        farm.client.cancel(game.game_id, game.owner_token)


@pytest.fixture(scope="module")
def four(farm):
    """A game of four: one is strong, one surrenders, two do nothing."""
    made, seats = farm.game(
        "steady", "leaving", "passive", "passive", map="8x8", cities=0, mountains=0.0, seed=3
    )
    process = farm.agents(seats)
    with farm.client.stream(made.game_id, made.spectator_token) as stream:
        updates = list(stream)
    process.wait_for("agent_over", nth=3)
    assert process.wait() == 0
    events = [event for update in updates for event in update.events]
    stats = farm.client.stats(made.game_id, made.owner_token)
    return made, process, updates, events, stats


def test_in_a_game_of_four_a_surrender_and_every_elimination_are_told(four):
    _, process, updates, events, _ = four
    assert [line["seat"] for line in process.events("agent_left")] == [1]
    out = [event for event in events if event.kind is EventKind.PLAYER_ELIMINATED]
    assert (out[0].seat, out[0].by, out[0].tick) == (1, None, 12)
    assert sorted((event.seat, event.by) for event in out[1:]) == [(2, 0), (3, 0)]
    captured = [event for event in events if event.kind is EventKind.GENERAL_CAPTURED]
    assert {(event.seat, event.by) for event in captured} >= {(2, 0), (3, 0)}
    (ended,) = [event for event in events if event.kind is EventKind.GAME_ENDED]
    assert ended is events[-1]
    assert ended.winners == (0,)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [score.alive for score in updates[-1].scores] == [True, False, False, False]


def test_its_players_are_told_who_won(four):
    _, process, updates, *_ = four
    lines = {line["seat"]: line for line in process.events("agent_over")}
    assert lines.keys() == {0, 2, 3}
    assert {tuple(line["winners"]) for line in lines.values()} == {(0,)}
    assert {line["ticks"] for line in lines.values()} == {updates[-1].tick}


def test_its_statistics_and_its_replay_say_the_same(farm, four):
    made, _, updates, _, stats = four
    assert [player.kills for player in stats.players] == [2, 0, 0, 0]
    assert [player.alive for player in stats.players] == [True, False, False, False]
    assert (stats.players[1].name, stats.players[1].actions_accepted) == ("leaving", 12)
    assert (stats.game.winners, stats.seed, stats.game.tick) == ((0,), 3, updates[-1].tick)
    ending = farm.ended(made.game_id)
    assert ending.final[:3] == (updates[-1].tick, Phase.ENDED, (0,))
    accepted = [player.actions_accepted for player in stats.players]
    assert accepted == [len(ending.orders(seat)) for seat in range(4)]
    farm.check_replays(ending)
