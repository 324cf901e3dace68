"""A host that dies is replaced by one whose games are the same, to the byte, and go on the same."""

import shutil

import msgspec
import numpy as np
import pytest
from playing import Playing, duel_spec, games_config, image

from farm.games.events import Kind
from farm.games.lifecycle import Phase
from farm.games.spec import GameSpec
from farm.replay.journal import HEAD, decode, encode, to_replay
from farm.replay.simulate import verify

pytestmark = pytest.mark.timeout(300)

CONFIG = games_config(absent="expander", quiet_s=1.0, reconnect_grace_s=1.0)


@pytest.fixture
def playing(tmp_path):
    """Hosts on a folder; `playing()` is the first, `playing(of)` one on a copy of another's."""
    opened = []

    def start(of=None, config=CONFIG):
        folder = tmp_path / f"host-{len(opened)}"
        if of is not None:
            shutil.copytree(of.files.folder, folder)
        opened.append(Playing(config, folder))
        if of is not None:
            opened[-1].now_s = of.now_s
        return opened[-1]

    yield start
    for one in opened:
        one.close()


SPECS = [
    duel_spec(),
    duel_spec(no_fog=True, collect=True, spectators=True),
    duel_spec(bots={1: "hunter"}),
    duel_spec(n_seats=4, teams=(0, 1, 0, 1), bots={3: "expander"}, rules="alternating"),
    GameSpec(n_seats=2, kind="toy", height=6, width=6, seed=9, tick_ms=100),
    GameSpec(n_seats=2, kind="fixed", seed=3, board="G0 . . .\n. C5 S .\n. D7 M .\n. . . G1\n"),
]


def play_on(playing, game, rng, n_ticks):
    """Let whoever is there act at random: moves, queues, clears, packed actions, passes."""
    for _ in range(n_ticks):
        for seat, held in enumerate(game.seats):
            if game.is_over or not held.connected or not game.is_alive(seat):
                continue
            move = playing.random_move(game, seat, rng)
            if move is None or rng.random() < 0.15:
                playing.submit(game, seat, clear=bool(rng.random() < 0.3))
            elif rng.random() < 0.3:
                pack(playing, game, seat, move)
            else:
                back = (move[1], move[0], 0)
                moves = [move, back][: 1 + (rng.random() < 0.4)]
                playing.submit(game, seat, *moves, key=f"{rng.integers(1000)}", clear=True)
        playing.poll(0.1)


def pack(playing, game, seat, move):
    start, end, half = move
    direction = (-game.width, game.width, -1, 1).index(end - start)
    action = np.array([start * 8 + direction * 2 + half], np.int32)
    rows, seats = np.array([game.row]), np.array([seat])
    playing.host.submit_many(rows, seats, action, playing.now_ns)


def without_goodbyes(one, n_before):
    """An image of a game without what a replacement adds: its agents count as gone."""
    return {**one, "events": one["events"][:n_before]}


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_a_game_is_the_same_to_the_byte_wherever_its_host_died(playing, spec):
    first, rng = playing(), np.random.default_rng(5)
    game = first.start(spec)
    for _ in range(6):
        play_on(first, game, rng, int(rng.integers(1, 12)))
        if game.is_over:
            break
        second = playing(first)
        again = second.host.game(game.game_id)
        mine, its = image(first, game), image(second, again)
        assert without_goodbyes(its, len(mine["events"])) == mine
        added = its["events"][len(mine["events"]) :]
        assert {event.kind for event in added} <= {Kind.PLAYER_DISCONNECTED}
    assert game.tick > 5


def test_orders_that_wait_and_actions_of_the_tick_are_not_lost(playing):
    first = playing()
    game = first.start()
    play_on(first, game, np.random.default_rng(1), 4)
    move = first.random_move(game, 0, np.random.default_rng(2))
    answer = first.submit(game, 0, move, (move[1], move[0], 0), key="mine", clear=True)
    second = playing(first)
    again = second.host.game(game.game_id)
    assert again.queued(0) == 2
    assert second.submit(again, 0, move, key="mine") == answer
    assert again.queued(0) == 2


def test_a_replaced_host_plays_on_exactly_as_the_first_would_have(playing):
    first = playing()
    game = first.start(bots={1: "hunter"})
    play_on(first, game, np.random.default_rng(1), 20)
    second = playing(first)
    again = second.host.game(game.game_id)
    for one, played in ((first, game), (second, again)):
        one.host.touch(played, 0, one.now_ns)
        rng = np.random.default_rng(8)
        for _ in range(30):
            move = one.random_move(played, 0, rng)
            one.submit(played, 0, *([move] if move else []), clear=True)
            one.poll(0.1)
    assert again.tick == game.tick > 40
    assert again.board.frames.tobytes() == game.board.frames.tobytes()


def test_a_stand_in_plays_on_and_hands_back(playing):
    first = playing()
    game = first.start()
    play_on(first, game, np.random.default_rng(1), 5)
    first.host.attach(game, 0, first.now_ns)
    for _ in range(60):
        first.submit(game, 0)
        first.poll(0.1)
    assert game.seats[1].stand_in == "expander"
    second = playing(first)
    again = second.host.game(game.game_id)
    assert without_goodbyes(image(second, again), len(game.events)) == image(first, game)
    second.host.touch(again, 1, second.now_ns)
    assert not again.seats[1].stand_in
    third = playing(second)
    assert not third.host.game(game.game_id).seats[1].stand_in


def test_lobbies_and_pauses_stay_what_they_are(playing):
    first = playing()
    lobby, paused = first.create(name="lobby"), first.start(tick_ms=100)
    first.join(lobby, "early")
    play_on(first, paused, np.random.default_rng(1), 3)
    first.host.pause(paused, first.now_ns, first.wall_ns)
    second = playing(first)
    again = second.host.game(paused.game_id)
    assert again.phase is Phase.PAUSED
    assert second.host.game(lobby.game_id).seats[0].name == "early"
    second.poll(5.0)
    assert again.tick == paused.tick
    second.host.resume(again, second.now_ns, second.wall_ns)
    second.poll(0.11)
    assert again.tick == paused.tick + 1


def test_a_timed_game_waits_for_its_agents_and_no_longer_than_the_grace(playing):
    first = playing()
    game = first.start(tick_ms=100)
    first.poll(0.11)
    second, third = playing(first), playing(first)
    again = second.host.game(game.game_id)
    second.wait(0.5)
    assert again.tick == 1
    for seat in (0, 1):
        second.host.attach(again, seat, second.now_ns)
    second.wait(0.3)
    assert again.tick > 1
    alone = third.host.game(game.game_id)
    third.wait(1.5)
    assert alone.tick > 1
    assert [seat.stand_in for seat in alone.seats] == ["expander"] * 2


def test_a_game_that_was_decided_and_not_ended_ends(playing):
    first = playing(config=games_config())
    game = first.start()
    play_on(first, game, np.random.default_rng(1), 3)
    # As if killed between the two entries.
    first.host.register.journal.left(game.game_id, game.tick, 1, 0)
    second = playing(first, games_config())
    again = second.host.game(game.game_id)
    assert (again.phase, again.winners) == (Phase.ENDED, (0,))
    assert not second.files.unfinished()


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_the_journal_of_an_ended_game_is_its_replay(playing, spec):
    first, rng = playing(), np.random.default_rng(6)
    game = first.start(spec)
    play_on(first, game, rng, 25)
    if game.is_open:
        first.host.surrender(game, 0, first.now_ns, first.wall_ns)
    while game.is_open:
        play_on(first, game, rng, 10)
    (path,) = (first.files.folder / "ended").glob("*.journal")
    found = decode(path.read_bytes())
    assert found.end.digest
    assert found.end.winners == game.winners
    verdict = verify(to_replay(found))
    assert verdict.agrees
    assert verdict.n_hashes


def test_a_journal_that_no_game_can_have_costs_that_game_alone(playing):
    first = playing()
    games = [first.start(bots={1: "random"}) for _ in range(2)]
    for game in games:
        play_on(first, game, np.random.default_rng(1), 5)
    path = first.files.folder / f"{games[0].game_id}.journal"
    data = decode(path.read_bytes())
    assert data.entries
    path.write_bytes(path.read_bytes().replace(b"random", b"hunter"))
    second = playing(first)
    assert second.recovered.n_games == 1
    assert second.recovered.n_damaged == 1
    assert second.host.game(games[1].game_id).tick == games[1].tick
    assert len(list(second.host.games())) == 1


def test_captures_and_deaths_come_back_with_their_events_and_kills(playing):
    first = playing()
    board = "G0 C0 . .\n. . . .\n. . . G2\n. . . G1\n"
    game = first.start(GameSpec(n_seats=3, kind="fixed", seed=3, board=board))

    def tick(*moves):
        for seat, move in enumerate(moves):
            first.submit(game, seat, *([move] if move else []))
        first.poll()

    for _ in range(4):
        tick(None, None, None)
    tick((0, 1, 0), None, (11, 10, 0))
    tick(None, (15, 11, 0), None)
    told = first.kinds(game)[-3:]
    assert told == [Kind.CITY_CAPTURED, Kind.GENERAL_CAPTURED, Kind.PLAYER_ELIMINATED]
    mine = image(first, game)
    second = playing(first)
    again = second.host.game(game.game_id)
    assert without_goodbyes(image(second, again), len(mine["events"])) == mine
    assert [seat.kills for seat in again.seats] == [0, 1, 0]


def created(one, key, caller="me", **changes):
    spec = duel_spec(**changes)
    return one.host.create(spec, caller=caller, now_ns=one.now_ns, wall_ns=one.wall_ns, key=key)


def test_a_repeated_creation_gets_its_first_answer_also_from_the_next_host(playing):
    first = playing()
    lobby = created(first, "a secret", spectators=True)
    running = first.start(duel_spec(bots={1: "random"}), key="another")
    without_key = created(first, "")
    second = playing(first)
    assert created(second, "a secret", spectators=True) == lobby
    assert created(second, "another").game_id == running.game_id
    third = playing(second)
    assert created(third, "a secret", spectators=True) == lobby
    assert sorted(game.game_id for game in third.host.games()) == [
        lobby.game_id,
        running.game_id,
        without_key.game_id,
    ]
    game = third.host.game(lobby.game_id)
    third.host.check_owner(game, lobby.owner_token)
    assert third.host.viewer_of(game, lobby.spectator_token) is None


def test_keys_of_different_callers_and_different_keys_make_different_games(playing):
    first = playing()
    answers = [created(first, "key"), created(first, "key", caller="you"), created(first, "other")]
    second = playing(first)
    again = [
        created(second, "key"),
        created(second, "key", caller="you"),
        created(second, "other"),
    ]
    assert again == answers
    assert len({token for one in answers for token in one if token}) == 6


def test_neither_a_key_nor_a_token_of_a_creation_is_in_its_journal(playing):
    first = playing()
    answer = created(first, "a secret of mine", spectators=True)
    data = (first.files.folder / f"{answer.game_id}.journal").read_bytes()
    for secret in ("a secret of mine", answer.owner_token, answer.spectator_token):
        assert secret.encode() not in data


def test_a_journal_of_a_host_that_kept_no_keys_is_taken_up(playing):
    first = playing()
    game = first.start(key="a secret")
    path = first.files.folder / f"{game.game_id}.journal"
    found = decode(path.read_bytes())
    kept = msgspec.msgpack.decode(found.header.host)[:4]
    header = msgspec.structs.replace(found.header, host=msgspec.msgpack.encode(kept))
    path.write_bytes(HEAD + b"".join(encode(entry) for entry in (header, *found.entries)))
    second = playing(first)
    assert second.host.game(game.game_id).phase is Phase.RUNNING
    assert second.host.creations.find("me", "a secret") is None
