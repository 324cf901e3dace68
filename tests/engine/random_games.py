"""Random boards, random players and their random orders.

Hypothesis draws (and shrinks) sizes, shares and seeds; the rest comes from seeded generators,
because its own random numbers lean to the extremes, which ends games before they begin.
"""

import random

from hypothesis import strategies as st

from farm.engine import rules
from farm.spec.limits import MIN_SIDE

MAX_SIDE = 9
"""Small boards are crowded: more captures, chains and trades a tick."""
MAX_PLAYERS = 12
LARGEST_SHARES = {
    "mountains": 0.25,
    "cities": 0.15,
    "swamps": 0.2,
    "deserts": 0.2,
    "neutrals": 0.2,
}
"""Of the cells that the ones before have left."""

GARBAGE_SHARE = 0.1
"""Share of orders that are drawn from anywhere, on the board or off it."""
STRIKE_SHARE = 0.3
"""Share of the others that go for a general when there is one beside an own cell."""
SURRENDER_SHARE = 0.004
"""Chance that a player leaves, each tick."""
PLOT_SHARE = 0.7
"""Chance of a plot in a tick in which one is possible."""
SLEEPERS = 0.05
"""Chance that a player never gives an order."""
SLEEPERS_WHERE_REMOVED = 0.4
"""The same where the rules remove such players."""
LULL_TICKS = 8
"""Length of the time, once in a game, in which nobody gives an order."""
TICKS = (80, 80, 80, 130)
"""Lengths of games: some past tick 121, when the rules may remove who has done nothing."""

VARIANTS = {
    "official": rules.official(),
    "official, again": rules.official(),
    "without trade": rules.rules_vector({rules.GENERAL_TRADE: 0}),
    "soon neutral": rules.rules_vector({rules.NEUTRALISE_AFTER: 3}),
    "soon over": rules.rules_vector({rules.IDLE_TICKS: 5, rules.LENGTH_TICKS: 60}),
    "inactivity": rules.rules_vector({rules.INACTIVITY: 1}),
    "growing cities": rules.rules_vector({rules.CITY_GROWTH_BELOW: 40, rules.LAND_PERIOD: 10}),
    # Generals no stronger than any cell: captures by the dozen, and chains of them.
    "weak generals": rules.rules_vector({rules.PRODUCTION_PERIOD: 40, rules.LAND_PERIOD: 5}),
    "alternating": rules.alternating(),
    "simple": rules.simple(),
}
SEEDS = st.integers(0, 2**32 - 1)


def vectors():
    """One of the variants."""
    return st.sampled_from(list(VARIANTS.values()))


@st.composite
def boards(draw):
    """A board of 2 to 12 players as the fields of the conformance data."""
    height = draw(st.integers(MIN_SIDE, MAX_SIDE))
    width = draw(st.integers(MIN_SIDE, MAX_SIDE))
    n_players = draw(st.integers(2, min(MAX_PLAYERS, height * width // 4)))
    seed = draw(SEEDS)
    shares = {name: draw(st.floats(0.0, largest)) for name, largest in LARGEST_SHARES.items()}
    has_teams = draw(st.booleans())
    return make_board(random.Random(seed), height, width, n_players, shares, has_teams)


def random_board(rng):
    """A board as `boards` draws them, from a generator alone."""
    height, width = (rng.randint(MIN_SIDE, MAX_SIDE) for _ in range(2))
    most = min(MAX_PLAYERS, height * width // 4)
    n_players = rng.choice((2, rng.randint(2, most), most))
    shares = {name: rng.uniform(0.0, largest) for name, largest in LARGEST_SHARES.items()}
    return make_board(rng, height, width, n_players, shares, rng.random() < 0.5)


def make_board(rng, height, width, n_players, shares, has_teams):
    cells = rng.sample(range(height * width), height * width)
    board = {"height": height, "width": width, "teams": None}
    board["generals"] = [cells.pop() for _ in range(n_players)]
    for name, share in shares.items():
        board[name] = [cells.pop() for _ in range(int(len(cells) * share))]
    for name, cells_name in (("city_armies", "cities"), ("neutral_armies", "neutrals")):
        board[name] = [rng.randrange(1, 9) for _ in board[cells_name]]
    if has_teams:
        board["teams"] = [1, 2, *(rng.randrange(1, 4) for _ in range(n_players - 2))]
    return board


class Crowd:
    """The players of one random game: what they order, and when they leave."""

    def __init__(self, rng, game):
        self.rng = rng
        self.game = game
        self.n_ticks = max(TICKS) if game.variant.inactivity else rng.choice(TICKS)
        share = SLEEPERS_WHERE_REMOVED if game.variant.inactivity else SLEEPERS
        self.sleepers = {player for player in game.players if rng.random() < share}
        self.lull_begins = rng.randrange(1, self.n_ticks)

    def orders(self):
        """A few orders of each player, those of a plot before the others."""
        if 0 <= self.game.tick - self.lull_begins < LULL_TICKS:
            return []
        orders = plots(self.rng, self.game) + random_orders(self.rng, self.game)
        return [order for order in orders if order[0] not in self.sleepers]

    def departures(self):
        """Players who leave in this tick."""
        return [player for player in self.game.players if self.rng.random() < SURRENDER_SHARE]


def plots(rng, game):
    """Orders of several players that chance alone hardly ever brings about in one tick."""
    kinds = [list(kind(game)) for kind in (circles, chains, trades, draws)]
    kinds = [found for found in kinds if found]
    return rng.choice(rng.choice(kinds)) if kinds and rng.random() < PLOT_SHARE else []


def circles(game):
    """Four players around a square of cells, each onto the next one's."""
    for cell in range(game.n_cells - game.width):
        if (cell + 1) % game.width:
            ring = (cell, cell + 1, cell + 1 + game.width, cell + game.width)
            owners = [game.owner[c] for c in ring]
            if min(owners) >= 0 and len(set(owners)) == len(ring) and all(strong(game, ring)):
                yield [
                    (owner, c, ring[(i + 1) % len(ring)], 0)
                    for i, (owner, c) in enumerate(zip(owners, ring, strict=True))
                ]


def chains(game):
    """One player takes a second one's general while a third takes the first one's."""
    for second in game.players:
        for first, start in takers(game, second):
            for third, other_start in takers(game, first):
                yield [
                    (first, start, game.generals[second], 0),
                    (third, other_start, game.generals[first], 0),
                ]


def trades(game):
    """Two players who take each other's general."""
    for one in game.players:
        for other, other_start in besiegers(game, one):
            for third, start in besiegers(game, other):
                move = (one, start, game.generals[other], 0)
                answer = (other, other_start, game.generals[one], 0)
                if third == one and min(game.surplus(move, answer), game.surplus(answer, move)) > 0:
                    yield [move, answer]


def takers(game, victim):
    """Enemies who can take a player's general, each with the cell to do it from."""
    defence = game.army[game.generals[victim]]
    return [(who, c) for who, c in besiegers(game, victim) if game.army[c] - 1 > defence]


def besiegers(game, victim):
    """Enemies with an army beside a player's general, each with its cell."""
    cell = game.generals[victim]
    return [
        (game.owner[c], c)
        for c in (neighbours(game, cell) if cell >= 0 else [])
        if game.owner[c] >= 0 and not game.friends(victim, game.owner[c]) and game.army[c] > 1
    ]


def draws(game):
    """An army onto an enemy's desert with as large a one: nothing is left to shrink there."""
    for cell in game.deserts:
        for start in neighbours(game, cell):
            one, other = game.owner[start], game.owner[cell]
            if one >= 0 and other >= 0 and not game.friends(one, other):
                sent = {game.army[start] - 1: 0, game.army[start] // 2: 1}
                if game.army[cell] in sent and game.army[start] > 1:
                    yield [(one, start, cell, sent[game.army[cell]])]


def strong(game, cells):
    return [game.army[cell] > 1 for cell in cells]


def neighbours(game, cell):
    row, column = divmod(cell, game.width)
    steps = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [r * game.width + c for r, c in steps if 0 <= r < game.height and 0 <= c < game.width]


def random_orders(rng, game):
    """A few orders of each player."""
    orders = []
    for player in game.players:
        own = [cell for cell in range(game.n_cells) if game.owner[cell] == player]
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
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
