"""Random boards and random orders.

Hypothesis draws (and shrinks) sizes, shares and seeds; the rest comes from seeded generators,
because its own random numbers lean to the extremes, which ends games before they begin.
"""

import random

from hypothesis import strategies as st

from farm.engine import rules
from farm.spec.limits import MIN_SIDE

MAX_SIDE = 9
"""Small boards are crowded: more captures, chains and trades a tick."""

GARBAGE_SHARE = 0.1
"""Share of orders that are drawn from anywhere, on the board or off it."""
STRIKE_SHARE = 0.5
"""Share of the others that go for a general when there is one beside an own cell."""
SURRENDER_SHARE = 0.004
"""Chance that a player leaves, each tick."""

VARIANTS = st.sampled_from(
    (
        rules.official(),
        rules.official(),
        rules.rules_vector({rules.GENERAL_TRADE: 0}),
        rules.rules_vector({rules.NEUTRALISE_AFTER: 3}),
        rules.rules_vector({rules.IDLE_TICKS: 5, rules.LENGTH_TICKS: 60}),
        rules.rules_vector({rules.INACTIVITY: 1}),
        rules.rules_vector({rules.CITY_GROWTH_BELOW: 40, rules.LAND_PERIOD: 10}),
        rules.alternating(),
        rules.simple(),
    )
)


SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def boards(draw):
    """A board of 2 to 12 players as the fields of the conformance data."""
    height = draw(st.integers(MIN_SIDE, MAX_SIDE))
    width = draw(st.integers(MIN_SIDE, MAX_SIDE))
    n_players = draw(st.integers(2, min(12, height * width // 4)))
    rng = random.Random(draw(SEEDS))
    cells = rng.sample(range(height * width), height * width)

    def take(largest_share):
        share = draw(st.floats(0.0, largest_share))
        return [cells.pop() for _ in range(int(len(cells) * share))]

    board = {
        "height": height,
        "width": width,
        "generals": [cells.pop() for _ in range(n_players)],
        "mountains": take(0.25),
        "cities": take(0.15),
        "swamps": take(0.2),
        "deserts": take(0.2),
        "neutrals": take(0.2),
        "teams": None,
    }
    for name, cells_name in (("city_armies", "cities"), ("neutral_armies", "neutrals")):
        board[name] = [rng.randrange(1, 9) for _ in board[cells_name]]
    if draw(st.booleans()):
        board["teams"] = [1, 2, *(rng.randrange(1, 4) for _ in range(n_players - 2))]
    return board


def random_orders(rng, game):
    """A few orders of each player: mostly strong cells onto neighbours, at times anything."""
    orders = []
    for player in game.players:
        own = [cell for cell in range(game.n_cells) if game.owner[cell] == player]
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            strikes = [(c, g) for c in own for g in game.generals if near(game, c, g)]
            if rng.random() < GARBAGE_SHARE or not own:
                start, end = (rng.randrange(-3, game.n_cells + 3) for _ in range(2))
            elif strikes and rng.random() < STRIKE_SHARE:
                start, end = rng.choice(strikes)
            else:
                tried = rng.sample(own, min(3, len(own)))
                start = max(tried, key=lambda cell: game.army[cell])
                end = start + rng.choice((-game.width, game.width, -1, 1))
            orders.append((player, start, end, rng.randrange(2)))
    return orders


def near(game, cell, other):
    """Whether two cells are neighbours, or about to look so across an edge."""
    return other >= 0 and abs(cell - other) in (1, game.width)


def random_departures(rng, game):
    """Players who leave in this tick."""
    return [player for player in game.players if rng.random() < SURRENDER_SHARE]
