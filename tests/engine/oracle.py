"""The rules in plain Python, written from their text alone: slow, obvious, and sharing no kernel.

A game is lists of owners and armies; `step` plays a tick from each player's queue of orders.
"""

import hashlib
from collections import deque
from dataclasses import dataclass

from farm.engine import rules
from farm.spec import tiles

NEUTRAL, MOUNTAIN = -1, -2
OFFICIAL, ALTERNATING, BY_SEAT = "official", "alternating", "by seat"


@dataclass(frozen=True)
class Variant:
    order: str = OFFICIAL
    trade: bool = True
    city_growth_below: int = 0
    production_period: int = 2
    land_period: int = 50
    start_army: int = 1
    halves: bool = True
    becomes_city: bool = True
    neutralise_after: int = 50
    inactivity: bool = False
    idle_ticks: int = 2000
    length_ticks: int = 50000

    @classmethod
    def of(cls, vector):
        """The variant that a vector of the engine's rules means."""
        orders = {
            rules.ORDER_OFFICIAL: OFFICIAL,
            rules.ORDER_ALTERNATING: ALTERNATING,
            rules.ORDER_BY_SEAT: BY_SEAT,
        }
        return cls(
            order=orders[int(vector[rules.ORDER])],
            trade=bool(vector[rules.GENERAL_TRADE]),
            city_growth_below=int(vector[rules.CITY_GROWTH_BELOW]),
            production_period=int(vector[rules.PRODUCTION_PERIOD]),
            land_period=int(vector[rules.LAND_PERIOD]),
            start_army=int(vector[rules.START_ARMY]),
            halves=bool(vector[rules.CAPTURE_HALVES]),
            becomes_city=bool(vector[rules.GENERAL_BECOMES_CITY]),
            neutralise_after=int(vector[rules.NEUTRALISE_AFTER]),
            inactivity=bool(vector[rules.INACTIVITY]),
            idle_ticks=int(vector[rules.IDLE_TICKS]),
            length_ticks=int(vector[rules.LENGTH_TICKS]),
        )


class Oracle:
    """One game on a board given by the fields of the conformance data."""

    def __init__(self, board, variant):
        self.variant = variant
        self.width, self.height = board["width"], board["height"]
        self.n_cells = self.width * self.height
        self.owner = [NEUTRAL] * self.n_cells
        self.army = [0] * self.n_cells
        self.cities = set(board["cities"])
        self.first_cities = frozenset(self.cities)
        self.former_generals = set()
        self.swamps, self.deserts = set(board["swamps"]), set(board["deserts"])
        for cell in board["mountains"]:
            self.owner[cell] = MOUNTAIN
        for cells, armies in (("neutrals", "neutral_armies"), ("cities", "city_armies")):
            for cell, army in zip(board[cells], board[armies], strict=True):
                self.army[cell] = army
        self.generals = list(board["generals"])
        for player, cell in enumerate(self.generals):
            self.owner[cell], self.army[cell] = player, variant.start_army
        self.n = len(self.generals)
        self.players = range(self.n)
        self.teams = list(board["teams"] or self.players)
        self.alive = [True] * self.n
        self.queues = [deque() for _ in self.players]
        self.neutral_at = [None] * self.n
        self.moved = [False] * self.n
        self.killer = [None] * self.n
        self.tick = 0
        self.last_move = -1
        self.discovered = [set() for _ in self.players]

    # Steps 1 to 3: orders, selection, order of execution

    def enqueue(self, player, start, end, half):
        self.queues[player].append((start, end, half))

    def friends(self, player, owner):
        return owner >= 0 and self.teams[owner] == self.teams[player]

    def valid(self, player, start, end):
        if not (0 <= start < self.n_cells and 0 <= end < self.n_cells) or not self.alive[player]:
            return False
        (row, column), (end_row, end_column) = (divmod(c, self.width) for c in (start, end))
        if abs(row - end_row) + abs(column - end_column) != 1:
            return False
        if self.owner[start] != player or self.owner[end] == MOUNTAIN:
            return False
        onto_teammate = self.owner[end] != player and self.friends(player, self.owner[end])
        return self.army[start] > 1 or (self.army[start] == 1 and onto_teammate)

    def select(self):
        descending = self.tick % 2 == 1 and self.variant.order != BY_SEAT
        moves = []
        for player in reversed(self.players) if descending else self.players:
            queue = self.queues[player]
            while queue:
                start, end, half = queue.popleft()
                if self.valid(player, start, end):
                    moves.append((player, start, end, half))
                    break
        return moves

    def arrange(self, moves):
        if self.variant.order != OFFICIAL:
            return moves

        def key(move):
            player, start, end, _ = move
            friendly = self.friends(player, self.owner[end])
            return (not friendly, end in self.generals, -self.army[start])

        remaining = sorted(moves, key=key)
        ordered = []
        while remaining:
            free = [move for move in remaining if not self.blocked(move, remaining)]
            move = (free or remaining)[0]
            remaining.remove(move)
            ordered.append(move)
        return ordered

    @staticmethod
    def blocked(move, remaining):
        _, start, end, _ = move
        return any(other != move and other[2] == start and other[1] != end for other in remaining)

    # Step 4: execution

    def sent(self, start, half):
        return self.army[start] // 2 if half else self.army[start] - 1

    def run(self, moves):
        used = set()
        for i, (player, start, end, half) in enumerate(moves):
            if i in used or not self.valid(player, start, end):
                continue
            self.last_move = self.tick
            self.moved[player] = True
            partner = self.trade_partner(moves, i) if self.variant.trade else None
            if partner is None:
                self.attack(player, start, end, self.sent(start, half))
            else:
                used.add(partner)
                self.moved[moves[partner][0]] = True
                self.trade(moves[i], moves[partner])

    def trade_partner(self, moves, i):
        player, _, end, _ = moves[i]
        for j in range(i + 1, len(moves)):
            other, other_start, other_end, _ = moves[j]
            onto_each_other = self.generals[other] == end and self.generals[player] == other_end
            if not onto_each_other or self.friends(player, other):
                continue
            if not self.valid(other, other_start, other_end):
                continue
            if self.surplus(moves[i], moves[j]) > 0 and self.surplus(moves[j], moves[i]) > 0:
                return j
        return None

    def surplus(self, move, other):
        """What is left of a move on its end, where another move has left before it."""
        _, start, end, half = move
        _, other_start, _, other_half = other
        defence = self.army[end] - (self.sent(end, other_half) if other_start == end else 0)
        return self.sent(start, half) - defence

    def trade(self, move, other):
        (one, start, end, half), (two, other_start, other_end, other_half) = move, other
        won, other_won = self.surplus(move, other), self.surplus(other, move)
        kept = self.army[start] - self.sent(start, half)
        other_kept = self.army[other_start] - self.sent(other_start, other_half)
        self.army[start], self.army[other_start] = kept, other_kept
        for cell, owner in enumerate(self.owner):
            if owner in (one, two):
                self.owner[cell] = two if owner == one else one
                self.army[cell] = (self.army[cell] + 1) // 2
        self.army[end], self.army[other_end] = won, other_won
        self.generals[one], self.generals[two] = end, other_end

    def attack(self, player, start, end, sent):
        owner = self.owner[end]
        self.army[start] -= sent
        if self.friends(player, owner):
            self.army[end] += sent
            if self.generals[owner] != end:
                self.owner[end] = player
        elif self.army[end] >= sent:
            self.army[end] -= sent
        else:
            self.army[end] = sent - self.army[end]
            self.owner[end] = player
            if owner >= 0 and self.generals[owner] == end:
                self.capture(owner, player)

    def capture(self, victim, captor):
        if self.alive[victim]:
            self.killer[victim] = captor
        self.alive[victim] = False
        self.neutral_at[victim] = None
        self.queues[victim].clear()
        self.lose_general(victim)
        for cell, owner in enumerate(self.owner):
            if owner == victim:
                self.owner[cell] = captor
                if self.variant.halves:
                    self.army[cell] = (self.army[cell] + 1) // 2

    def lose_general(self, player):
        cell = self.generals[player]
        if cell >= 0:
            (self.cities if self.variant.becomes_city else self.former_generals).add(cell)
            self.generals[player] = -1

    # Leaving

    def leave(self, player):
        if self.alive[player]:
            self.alive[player] = False
            self.queues[player].clear()
            if self.variant.neutralise_after:
                self.neutral_at[player] = self.tick + self.variant.neutralise_after

    def neutralise(self, player):
        heirs = [p for p in self.players if self.alive[p] and self.friends(player, p)]
        for cell, owner in enumerate(self.owner):
            if owner == player:
                self.owner[cell] = heirs[0] if heirs else NEUTRAL
        self.lose_general(player)
        self.neutral_at[player] = None

    def apply_limits(self):
        if self.variant.inactivity and self.tick == (71 if self.n == 2 else 121):
            for player in self.players:
                if not self.moved[player] and self.may_be_removed(player):
                    self.leave(player)
        idle = self.tick - (self.last_move + 1) >= self.variant.idle_ticks
        if idle or self.tick > self.variant.length_ticks:
            living = [p for p in self.players if self.alive[p]]
            strongest = max(living, key=lambda p: (self.score(p), -p), default=None)
            for player in living:
                if player != strongest:
                    self.leave(player)

    def may_be_removed(self, player):
        own = [cell for cell in range(self.n_cells) if self.owner[cell] == player]
        seen = {self.owner[cell] for cell in self.visible(player)}
        contact = any(owner >= 0 and not self.friends(player, owner) for owner in seen)
        return len(own) < 11 and not contact and not self.cities.intersection(own)

    # A tick

    def step(self):
        self.run(self.arrange(self.select()))
        self.tick += 1
        self.grow()
        for player in self.players:
            if self.neutral_at[player] == self.tick:
                self.neutralise(player)
        self.apply_limits()
        for player in self.players:
            self.discovered[player] |= self.visible(player) & self.cities

    def grow(self):
        if self.tick % self.variant.production_period == 0:
            for cell in {*self.generals, *self.cities, *self.former_generals} - {-1}:
                grows_alone = cell in self.cities and self.army[cell] < (
                    self.variant.city_growth_below
                )
                self.army[cell] += self.owner[cell] >= 0 or grows_alone
            self.decay(self.swamps)
        if self.tick % self.variant.land_period == 0:
            for cell, owner in enumerate(self.owner):
                self.army[cell] += owner >= 0
            self.decay(self.deserts)

    def decay(self, cells):
        for cell in cells:
            if self.owner[cell] >= 0:
                self.army[cell] -= 1
                if self.army[cell] <= 0:
                    self.owner[cell], self.army[cell] = NEUTRAL, 0

    @property
    def over(self):
        return len({self.teams[p] for p in self.players if self.alive[p]}) <= 1

    # What is shown

    def digest(self):
        return digest(self.owner, self.army, self.generals)

    def score(self, player):
        armies = [self.army[cell] for cell in range(self.n_cells) if self.owner[cell] == player]
        return sum(armies), len(armies)

    def visible(self, player):
        seen = set()
        for cell, owner in enumerate(self.owner):
            if self.friends(player, owner):
                row, column = divmod(cell, self.width)
                for r in range(max(row - 1, 0), min(row + 2, self.height)):
                    for c in range(max(column - 1, 0), min(column + 2, self.width)):
                        seen.add(r * self.width + c)
        return seen

    def view_order(self, player):
        """The players as the frame ranks them: itself, teammates, enemies."""
        return sorted(self.players, key=lambda p: (p != player, not self.friends(player, p), p))

    def observe(self, player):
        """Armies and tile codes as the player is shown them."""
        seen = self.visible(player)
        place = {p: k for k, p in enumerate(self.view_order(player))}
        armies = [army if cell in seen else 0 for cell, army in enumerate(self.army)]
        codes = []
        for cell, owner in enumerate(self.owner):
            if cell in seen:
                relative = tiles.SELF + place[owner] if owner >= 0 else tiles.NEUTRAL
                codes.append(self.terrain(cell) << tiles.OWNER_BITS | relative)
            else:
                codes.append(self.fog(player, cell) << tiles.OWNER_BITS | tiles.FOG)
        return armies, codes

    def terrain(self, cell):
        if self.owner[cell] == MOUNTAIN:
            return tiles.MOUNTAIN
        if cell in self.generals or cell in self.former_generals:
            return tiles.GENERAL
        if cell in self.cities:
            return tiles.CITY
        return tiles.SWAMP if cell in self.swamps else tiles.DESERT * (cell in self.deserts)

    def fog(self, player, cell):
        terrain = self.terrain(cell)
        known_city = terrain == tiles.CITY and (
            cell in self.first_cities or cell in self.discovered[player]
        )
        if terrain == tiles.MOUNTAIN or known_city:
            return tiles.OBSTACLE
        return tiles.SWAMP if terrain == tiles.SWAMP else tiles.PLAIN


def digest(owner, army, generals):
    """The conformance data's hash of a state."""
    text = "|".join(",".join(map(str, numbers)) for numbers in (owner, army, generals))
    return hashlib.md5(text.encode()).hexdigest()[:12]
