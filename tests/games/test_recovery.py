"""What a journal says is what the next host has: of torn files, changed policies, any length."""

import msgspec
import numpy as np
import pytest
from games.test_takeover import pack, play_on
from playing import Playing, duel_spec, games_config, image

from farm.errors import GameError
from farm.games.events import Kind
from farm.games.lifecycle import Phase
from farm.games.slots import STILL
from farm.replay.digest import digest_bytes
from farm.replay.journal import HEAD, Orders, Ticked, decode, encode, to_replay
from farm.replay.simulate import Playback

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def playing(tmp_path):
    """Hosts on folders of their own: `playing("a")`, or on what `files` says is there."""
    opened = []

    def start(name, files=None, config=None):
        folder = tmp_path / name
        for game_id, data in (files or {}).items():
            folder.mkdir(exist_ok=True)
            (folder / f"{game_id}.journal").write_bytes(data)
        opened.append(Playing(config or games_config(), folder))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def journal_of(one, game):
    return (one.files.folder / f"{game.game_id}.journal").read_bytes()


def written(found, entries):
    return HEAD + b"".join(encode(entry) for entry in (found.header, *entries))


def digest(game):
    board = game.board
    return digest_bytes(board.owner, board.army, board.general)


def played_again(data):
    playback = Playback(to_replay(decode(data)))
    while playback.has_more:
        playback.step()
    return playback


def started(one, **changes):
    rng = np.random.default_rng(3)
    game = one.start(duel_spec(**changes))
    play_on(one, game, rng, 12)
    return game, rng


def test_a_file_that_is_torn_anywhere_gives_the_state_of_its_last_whole_entry(playing):
    first = playing("first")
    game, rng = started(first, bots={1: "hunter"})
    states = {}
    for _ in range(4):
        move = first.random_move(game, 0, rng)
        first.submit(game, 0, *([move] if move else []), key=f"k{game.tick}", clear=True)
        states[len(journal_of(first, game))] = image(first, game)
        first.poll(0.1)
        states[len(journal_of(first, game))] = image(first, game)
    data = journal_of(first, game)
    whole = sorted(states)
    for length in range(whole[0], len(data) + 1):
        second = playing(f"torn-{length}", {game.game_id: data[:length]})
        again = second.host.game(game.game_id)
        expected = states[max(size for size in whole if size <= length)]
        its = image(second, again)
        assert {**its, "events": its["events"][: len(expected["events"])]} == expected
        # Cut to the last whole entry; behind it, that its agent is gone.
        assert decode(journal_of(second, again)).cut_bytes == 0
        second.close()


def test_what_the_journal_says_of_a_bot_holds_whatever_it_would_choose_now(playing):
    first = playing("first")
    game, _ = started(first, bots={1: "expander"})
    found = decode(journal_of(first, game))
    assert any(entry.orders for entry in found.entries if isinstance(entry, Ticked))
    # As an expander of another version that never moved.
    still = [
        Ticked(entry.tick, ()) if isinstance(entry, Ticked) else entry for entry in found.entries
    ]
    data = written(found, still)
    second = playing("second", {game.game_id: data})
    again = second.host.game(game.game_id)
    assert again.tick == game.tick
    assert again.board.land[1] == 1 < game.board.land[1]
    assert digest(again) == played_again(data).digest()
    second.host.touch(again, 0, second.now_ns)
    for _ in range(20):
        second.submit(again, 0)
        second.poll(0.1)
    assert again.board.land[1] > 1


@pytest.mark.parametrize("seed", range(4))
def test_a_host_and_farm_replay_read_the_same_state_from_a_journal(playing, seed):
    first, rng = playing("first"), np.random.default_rng(seed)
    spec = duel_spec(n_seats=4, teams=(0, 1, 0, 1), bots={3: "hunter"}, seed=seed)
    game = first.start(spec)
    play_on(first, game, rng, 30)
    first.host.surrender(game, 1, first.now_ns, first.wall_ns)
    play_on(first, game, rng, int(rng.integers(5, 40)))
    data = journal_of(first, game)
    second = playing("second", {game.game_id: data})
    assert digest(second.host.game(game.game_id)) == digest(game) == played_again(data).digest()


def test_packed_actions_of_a_lockstep_game_are_there_with_their_ticks(playing):
    first, rng = playing("first"), np.random.default_rng(1)
    game = first.start()
    for _ in range(40):
        for seat in (0, 1):
            move = first.random_move(game, seat, rng)
            if move is None:
                first.submit(game, seat)
            else:
                pack(first, game, seat, move)
        assert first.poll(0.1) == 1
    second = playing("second", {game.game_id: journal_of(first, game)})
    again = second.host.game(game.game_id)
    assert (again.tick, digest(again)) == (40, digest(game))
    assert (
        second.slots.clocks.accepted[again.row].tolist()
        == first.slots.clocks.accepted[game.row].tolist()
    )


def test_more_events_than_are_looked_at_at_once_are_all_told(playing):
    # Room for what happens in one tick: whatever happened has to be told before the next.
    config = games_config(max_games=1, max_turns=600)
    first = playing("first", config=config)
    board = "G0 . . C1\n. C1 . .\n. . C1 .\nC1 . . G1\n"
    spec = duel_spec(kind="fixed", board=board, height=0, width=0, bots={1: "expander"})
    game = first.start(spec)
    rng = np.random.default_rng(2)
    while game.is_open and game.tick < 400:
        play_on(first, game, rng, 1)
    told = [event for event in game.events if event.kind in {10, 11, 12}]
    assert len(told) >= 4
    folder = first.files.folder if game.is_open else first.files.folder / "ended"
    found = decode((folder / f"{game.game_id}.journal").read_bytes())
    entries = [entry for entry in found.entries if entry is not found.end]
    second = playing("second", {game.game_id: written(found, entries)}, config=config)
    again = second.host.game(game.game_id)
    n_told = min(len(again.events), len(game.events))
    assert list(again.events)[: n_told - 2] == list(game.events)[: n_told - 2]


def test_a_paused_game_waits_without_a_due_time(playing):
    first = playing("first")
    game, _ = started(first, tick_ms=100)
    first.host.pause(game, first.now_ns, first.wall_ns)
    second = playing("second", {game.game_id: journal_of(first, game)})
    again = second.host.game(game.game_id)
    assert again.phase is Phase.PAUSED
    assert second.slots.clocks.due_ns[again.row] == STILL


@pytest.mark.parametrize(
    "more",
    [
        lambda at: [Ticked(at, ((1, 0, 1, 0),) * 200)],
        lambda at: [Orders(at, 0, 0, ((0, 1, 0),) * 200, "", 200)],
    ],
)
def test_more_moves_than_a_queue_holds_are_refused_and_cost_that_game(playing, more):
    first = playing("first")
    game, _ = started(first)
    data = journal_of(first, game) + b"".join(map(encode, more(game.tick)))
    second = playing("second", {game.game_id: data})
    assert (second.recovered.n_games, second.recovered.n_damaged) == (0, 1)
    assert not list(second.host.games())
    assert second.start().is_open


def test_a_tick_behind_the_end_of_a_game_is_refused(playing):
    first = playing("first")
    game, _ = started(first)
    found = decode(journal_of(first, game))
    first.host.surrender(game, 0, first.now_ns, first.wall_ns)
    ended = decode((first.files.folder / "ended" / f"{game.game_id}.journal").read_bytes())
    left = ended.entries[len(found.entries)]
    data = written(found, [*found.entries, left, Ticked(game.tick, ())])
    second = playing("second", {game.game_id: data})
    assert second.recovered.n_damaged == 1
    assert msgspec.structs.asdict(left)["seat"] == 0


def test_who_lost_the_answer_to_a_join_with_the_host_gets_the_seat_by_its_key(playing):
    first = playing("first")
    game = first.create()
    lost = first.join(game, "anna", key="annas secret")
    second = playing("second", {game.game_id: journal_of(first, game)})
    again = second.host.game(game.game_id)
    with pytest.raises(GameError, match="taken"):
        second.join(again, "bert", seat=lost.seat, key="berts secret")
    found = second.join(again, "anna", key="annas secret")
    assert found.seat == lost.seat
    assert found == second.join(again, "anna", key="annas secret")
    assert second.host.seat_of(again, found.token) == lost.seat
    assert [event.kind for event in again.events].count(Kind.PLAYER_JOINED) == 1
    second.join(again, "bert")
    assert again.phase is Phase.RUNNING
    third = playing("third", {game.game_id: journal_of(second, again)})
    assert third.host.seat_of(third.host.game(game.game_id), found.token) == lost.seat
    verdict = decode(journal_of(third, again))
    assert to_replay(verdict).players == ("anna", "bert")
