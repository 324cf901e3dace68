"""Recorded games for tests: small ones made here, and strategies that make any."""

import random
from pathlib import Path

from hypothesis import strategies as st

from farm.engine import rules
from farm.replay.model import (
    GeneratedMap,
    GivenMap,
    Leave,
    OfficialMap,
    Order,
    Replay,
    Rules,
    ToyMap,
)

FOLDER = Path(__file__).parents[2] / "../shared/conformance"
ABSENT = f"the conformance games are kept outside the repository, in {FOLDER}"
OFFICIAL = Rules.of(rules.official())

BOARD = GivenMap(
    height=5,
    width=6,
    generals=(0, 29, 5),
    mountains=(7, 8),
    cities=(14,),
    city_armies=(40,),
    swamps=(2,),
    deserts=(12,),
    neutrals=(20,),
    neutral_armies=(3,),
)


def wandering(seed=0, *, n_ticks=60, board=BOARD, players=()):
    """A game in which everybody asks for a random move a tick, many of them invalid."""
    chance = random.Random(seed)
    n_cells = board.height * board.width
    orders = []
    for tick in range(n_ticks):
        for seat in range(board.n_seats):
            start = chance.randrange(-1, n_cells + 1)
            end = start + chance.choice((-board.width, board.width, -1, 1))
            orders.append(Order(tick, seat, start, end, chance.randrange(2)))
    return Replay(
        game_id=f"wandering-{seed}",
        rules=OFFICIAL,
        map=board,
        n_ticks=n_ticks,
        orders=tuple(orders),
        leaves=(Leave(20, 2),),
        players=players,
    )


def march():
    """Two players: A walks along the top row, and B leaves."""
    board = GivenMap(
        height=4,
        width=4,
        generals=(0, 15),
        mountains=(5,),
        swamps=(6,),
        cities=(9,),
        city_armies=(40,),
    )
    return Replay(
        game_id="march",
        rules=OFFICIAL,
        map=board,
        n_ticks=100,
        orders=(Order(4, 0, 0, 1, 0), Order(4, 0, 1, 2, 0), Order(6, 1, 15, 11, 1)),
        leaves=(Leave(7, 1),),
        players=("Ann", ""),
    )  # fmt: skip


_TICKS = st.integers(0, 500)
_INT32 = st.integers(-(2**31), 2**31 - 1)


@st.composite
def replays(draw):
    """Any replay that the model allows, playable or not."""
    height, width, n_seats = (
        draw(st.integers(4, 9)),
        draw(st.integers(4, 9)),
        draw(st.integers(2, 8)),
    )
    cells = st.integers(0, height * width - 1)
    if draw(st.booleans()):
        placed = draw(st.lists(cells, min_size=n_seats, max_size=n_seats, unique=True))
        cities = tuple(draw(st.lists(cells, max_size=4)))
        board = GivenMap(
            height=height,
            width=width,
            generals=tuple(placed),
            mountains=tuple(set(draw(st.lists(cells, max_size=4))) - set(placed)),
            cities=cities,
            city_armies=tuple(draw(st.lists(_INT32, min_size=len(cities), max_size=len(cities)))),
            teams=draw(st.none() | st.just(tuple(range(n_seats)))),
        )
    elif draw(st.booleans()):
        board = OfficialMap(
            n_seats=n_seats,
            seed=draw(st.integers(0, 2**64 - 1)),
            game_number=draw(st.integers(0, 2**64 - 1)),
            pad=draw(st.booleans()),
        )
    elif draw(st.booleans()):
        numbers = st.integers(0, 2**64 - 1)
        board = ToyMap(
            height=height,
            width=width,
            n_seats=n_seats,
            seed=draw(numbers),
            game_number=draw(numbers),
        )
    else:
        numbers = st.integers(0, 2**64 - 1)
        board = GeneratedMap(
            height=height,
            width=width,
            n_seats=n_seats,
            seed=draw(numbers),
            game_number=draw(numbers),
            mountains=draw(st.integers(0, 1000)),
            cities=draw(st.integers(0, 50)),
        )
    seats = st.integers(0, n_seats - 1)
    orders = draw(st.lists(st.builds(Order, _TICKS, seats, _INT32, _INT32, st.integers(0, 1))))
    leaves = draw(st.lists(st.builds(Leave, _TICKS, seats), max_size=5))
    n_hashes = draw(st.integers(0, 5))
    names = st.text(max_size=12)
    return Replay(
        game_id=draw(names),
        rules=Rules.of(
            draw(st.sampled_from((rules.official(), rules.simple(), rules.of_replay(5))))
        ),
        map=board,
        n_ticks=draw(st.integers(n_hashes, 600)),
        max_ticks=draw(st.integers(0, 600)),
        orders=tuple(sorted(orders, key=lambda order: order.tick)),
        leaves=tuple(sorted(leaves, key=lambda leave: leave.tick)),
        hashes=draw(st.binary(min_size=6 * n_hashes, max_size=6 * n_hashes)),
        final_hash=draw(st.sampled_from((b"", b"sixsix"))),
        players=draw(st.just(()) | st.tuples(*[names] * n_seats)),
    )
