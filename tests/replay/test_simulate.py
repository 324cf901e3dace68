"""Playing a replay again gives the recorded states, or says where they part."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from replay.games import ABSENT, FOLDER, OFFICIAL, march, wandering

from farm.engine import rules
from farm.replay.codec import decode, encode
from farm.replay.digest import digest_bytes
from farm.replay.files import read_replays
from farm.replay.model import (
    FORGET,
    GeneratedMap,
    Leave,
    OfficialMap,
    Order,
    Replay,
    Rules,
    ToyMap,
)
from farm.replay.simulate import Playback, queue_capacity, verify, with_hashes
from farm.replay.text import playthrough

SAMPLE = 8
"""Every how many-th conformance game a default run plays."""
FILES = ("orders", "recorded")
INT32 = st.integers(-(2**31), 2**31 - 1)
NUMBERS = st.lists(INT32) | st.lists(st.integers(-5, 10_001))
"""Any, and those around what armies usually are."""


def conformance(name):
    return read_replays(Path(FOLDER) / f"{name}.jsonl.gz")


def disagreeing(games):
    verdicts = {game.game_id: verify(game) for game in games}
    assert verdicts
    assert all(verdict.n_hashes for verdict in verdicts.values())
    return {name: verdict for name, verdict in verdicts.items() if not verdict.agrees}


@pytest.mark.skipif(not FOLDER.exists(), reason=ABSENT)
@pytest.mark.parametrize("name", FILES)
def test_a_sample_of_the_conformance_games_agrees_on_every_tick(name):
    games = [found.replay for found in conformance(name)]
    assert disagreeing(games[::SAMPLE]) == {}


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason=ABSENT)
@pytest.mark.parametrize("name", FILES)
def test_every_conformance_game_agrees_on_every_tick(name):
    assert disagreeing(found.replay for found in conformance(name)) == {}


@given(NUMBERS, NUMBERS, NUMBERS)
def test_the_digest_is_the_md5_of_the_lists_joined_by_commas(owners, armies, generals):
    joined = "|".join(",".join(map(str, numbers)) for numbers in (owners, armies, generals))
    expected = hashlib.md5(joined.encode()).hexdigest()[:12]
    assert digest_bytes(owners, armies, generals).hex() == expected


def test_the_rules_of_a_replay_are_those_of_the_engine_in_order():
    indices = {
        name.lower(): value
        for name, value in vars(rules).items()
        if name.lower() in Rules.__struct_fields__
    }
    assert len(indices) == rules.N_RULES
    assert tuple(sorted(indices, key=indices.get)) == Rules.__struct_fields__
    for vector in (rules.official(), rules.simple(), rules.of_replay(5)):
        assert Rules.of(vector).vector().tolist() == vector.tolist()


def test_a_game_agrees_with_the_hashes_of_its_own_play():
    hashed = with_hashes(wandering())
    verdict = verify(hashed)
    assert verdict.agrees
    assert verdict.n_hashes == verdict.n_ticks == 60


@pytest.mark.parametrize("tick", [1, 30, 60])
def test_the_first_state_that_differs_is_named(tick):
    hashed = with_hashes(wandering())
    end = 6 * tick
    wrong = hashed.hashes[: end - 1] + bytes([hashed.hashes[end - 1] ^ 1]) + hashed.hashes[end:]
    verdict = verify(structs.replace(hashed, hashes=wrong))
    assert verdict.first_mismatch == verdict.n_ticks == tick


def test_a_final_state_is_compared_where_the_hashes_end_sooner():
    hashed = with_hashes(wandering())
    short = structs.replace(hashed, hashes=hashed.hashes[:60], final_hash=hashed.hashes[-6:])
    assert verify(short).agrees
    assert verify(short).n_hashes == 11
    assert verify(structs.replace(short, final_hash=b"wrong!")).first_mismatch == 60


def test_another_order_leads_to_another_state():
    hashed = with_hashes(march())
    first, *others = hashed.orders
    longer = structs.replace(hashed, orders=(structs.replace(first, half=1), *others))
    assert verify(longer).first_mismatch == 5


def test_a_game_ends_with_its_winner():
    verdict = verify(march())
    assert verdict.is_over
    assert verdict.winners == (0,)
    assert verdict.n_ticks == 8


def test_a_second_leave_neutralises_where_the_replay_says_when():
    board = wandering().map
    explicit = Rules.of(rules.of_replay(17))
    game = Replay(
        game_id="gone",
        rules=explicit,
        map=board,
        n_ticks=20,
        leaves=(Leave(3, 2), Leave(9, 2)),
    )
    playback = Playback(game)
    owners = []
    while playback.has_more:
        playback.step()
        owners.append(int(playback.games.owner[0, 5]))
    assert owners == [2] * 9 + [-1] * 11


def test_a_generated_map_comes_from_its_seed():
    def first_digest(**fields):
        board = GeneratedMap(
            **{"height": 10, "width": 12, "n_seats": 4, "seed": 7, "game_number": 3, **fields},
            mountains=200,
            cities=5,
        )
        return Playback(Replay(game_id="", rules=OFFICIAL, map=board, n_ticks=1)).digest()

    assert first_digest() == first_digest()
    assert first_digest(seed=2**64 - 1) != first_digest()
    assert first_digest(game_number=4) != first_digest()


@pytest.mark.parametrize("pad", [True, False])
def test_an_official_map_comes_from_its_seed_and_plays_as_it_was_recorded(pad):
    board = OfficialMap(n_seats=4, seed=7, game_number=3, pad=pad, teams=(0, 0, 1, 1))
    start = Playback(Replay(game_id="", rules=OFFICIAL, map=board, n_ticks=1))
    general = int(start.games.general[0, 0])
    orders = tuple(
        Order(tick, 0, general, general + step, 0)
        for tick, step in ((2, 1), (4, -1), (6, start.width), (8, -start.width))
    )
    recorded = with_hashes(Replay(game_id="", rules=OFFICIAL, map=board, n_ticks=60, orders=orders))
    (read,) = decode(encode([recorded]))
    verdict = verify(read)
    assert verdict.agrees
    assert verdict.n_hashes == 60
    assert (verdict.height, verdict.width) == (start.height, start.width)
    assert (start.height, start.width) == (26, 26) if pad else start.height * start.width < 26 * 26
    assert f"board {start.height}x{start.width}, 4 seats" in "\n".join(playthrough(read, every=60))


def test_a_toy_map_comes_from_its_seed():
    def first_digest(**fields):
        board = ToyMap(**{"height": 5, "width": 6, "n_seats": 8, "seed": 7, **fields})
        return Playback(Replay(game_id="", rules=OFFICIAL, map=board, n_ticks=1)).digest()

    assert first_digest(game_number=3) == first_digest(game_number=3)
    assert len({first_digest(game_number=number) for number in range(4)}) == 4


def test_a_game_that_reaches_its_last_tick_is_over_and_nobody_won():
    replay = structs.replace(wandering(), max_ticks=40, leaves=())
    verdict = verify(replay)
    assert (verdict.n_ticks, verdict.is_over, verdict.winners) == (40, True, ())
    assert list(playthrough(replay, every=99))[-1] == "nobody won after 40 ticks"


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 1), st.sampled_from((0, 0, 0, FORGET))),
    max_size=60,
)


@given(ARRIVALS)
def test_the_queues_are_as_long_as_they_can_become(arrivals):
    orders = [
        Order(tick, seat, start, 1, 0)
        for tick, seat, start in sorted(arrivals, key=lambda arrival: arrival[0])
    ]
    longest = 1
    for seat in (0, 1):
        waiting = 0
        for tick in range(31):
            for order in orders:
                if (order.tick, order.seat) == (tick, seat):
                    waiting = 0 if order.start == FORGET else waiting + 1
                    longest = max(longest, waiting)
            waiting = max(waiting - 1, 0)
    assert queue_capacity(orders, 2) == longest


def test_orders_sent_far_ahead_wait_for_their_turn_behind_invalid_ones():
    invalid = [Order(6, 0, 9, 10, 0)] * 300
    ahead = (*invalid, *(Order(6, 0, start, start + 1, 0) for start in (0, 1, 2)))
    playback = Playback(structs.replace(march(), orders=ahead, leaves=()))
    owned = []
    while playback.tick < 9:
        playback.step()
        owned.append(int((playback.games.owner[0, :4] == 0).sum()))
    assert owned == [1] * 6 + [2, 3, 4]


def test_an_order_to_forget_empties_the_queue_of_its_seat_alone():
    ahead = [Order(4, 0, start, start + 1, 0) for start in (0, 1, 2)]
    others = [Order(4, 1, start, start - 1, 0) for start in (15, 14)]
    orders = (*ahead, *others, Order(5, 0, FORGET, 0, 0))
    playback = Playback(structs.replace(march(), orders=orders, leaves=()))
    while playback.tick < 9:
        playback.step()
    owner = playback.games.owner[0]
    assert owner[:4].tolist() == [0, 0, -1, -1]
    assert owner[12:].tolist() == [-1, 1, 1, 1]
