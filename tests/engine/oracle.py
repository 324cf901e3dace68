"""The rules in plain Python, written from the rules' text alone: slow, obvious, and shared by no kernel.

`Oracle` holds one game as lists; `step` plays a tick from each player's queue of orders.
"""

import hashlib
from collections import deque

NEUTRAL, MOUNTAIN = -1, -2


class Oracle:
    def __init__(
        self,
        width,
        height,
        generals,
        mountains=(),
        cities=(),
        city_armies=(),
        swamps=(),
        deserts=(),
        neutrals=(),
        neutral_armies=(),
        teams=None,
        *,
        order="official",
        trade=True,
        city_growth_below=0,
        neutralise_after=50,
    ):
        n_cells = width * height
        self.width, self.height = width, height
        self.owner = [NEUTRAL] * n_cells
        self.army = [0] * n_cells
        self.cities = set(cities)
        self.swamps, self.deserts = set(swamps), set(deserts)
        for cell in mountains:
            self.owner[cell] = MOUNTAIN
        for cell, army in (*zip(neutrals, neutral_armies), *zip(cities, city_armies)):
            self.army[cell] = army
        self.generals = list(generals)
        for player, cell in enumerate(generals):
            self.owner[cell], self.army[cell] = player, 1
        self.n = len(generals)
        self.teams = list(teams) if teams else list(range(self.n))
        self.alive = [True] * self.n
        self.queues = [deque() for _ in range(self.n)]
        self.neutral_at = [None] * self.n
        self.tick = 0
        self.last_move = -1
        self.over = False
        self.order, self.trade = order, trade
        self.city_growth_below = city_growth_below
        self.neutralise_after = neutralise_after

    # Orders

    def friends(self, player, owner):
        return owner >= 0 and self.teams[owner] == self.teams[player]

    def valid(self, player, start, end):
        n_cells = self.width * self.height
        if not (0 <= start < n_cells and 0 <= end < n_cells) or not self.alive[player]:
            return False
        (r1, c1), (r2, c2) = divmod(start, self.width), divmod(end, self.width)
        if abs(r1 - r2) + abs(c1 - c2) != 1:
            return False
        if self.owner[start] != player or self.owner[end] == MOUNTAIN:
            return False
        onto_teammate = self.owner[end] != player and self.friends(player, self.owner[end])
        return self.army[start] > 1 or (self.army[start] == 1 and onto_teammate)

    def select(self):
        players = range(self.n) if self.tick % 2 == 0 else range(self.n - 1, -1, -1)
        moves = []
        for player in players:
            queue = self.queues[player]
            while queue:
                start, end, half = queue.popleft()
                if self.valid(player, start, end):
                    moves.append((player, start, end, half))
                    break
        return moves

    def arrange(self, moves):
        if self.order != "official":
            return moves

        def key(move):
            player, start, end, _ = move
            friendly = self.friends(player, self.owner[end])
            return (not friendly, end in self.generals, -self.army[start])

        left = sorted(moves, key=key)
        ordered = []
        while left:
            for move in left:
                blocked = any(
                    other is not move
                    and other[2] == move[1]
                    and not (move[2] == other[1])
                    for other in left
                )
                if not blocked:
                    break
            else:
                move = left[0]
            left.remove(move)
            ordered.append(move)
        return ordered

    # Moves

    def sent(self, start, half):
        army = self.army[start]
        return army // 2 if half else army - 1

    def run(self, moves):
        used = set()
        for i, move in enumerate(moves):
            player, start, end, half = move
            if i in used or not self.valid(player, start, end):
                continue
            self.last_move = self.tick
            if self.trade:
                partner = self.partner(moves, i, used)
                if partner is not None:
                    used.add(partner)
                    self.swap(move, moves[partner])
                    continue
            self.attack(player, start, end, self.sent(start, half))

    def partner(self, moves, i, used):
        player, start, end, half = moves[i]
        for j in range(i + 1, len(moves)):
            other, start2, end2, half2 = moves[j]
            if j in used or self.friends(player, other):
                continue
            if self.generals[other] != end or self.generals[player] != end2:
                continue
            if not self.valid(other, start2, end2):
                continue
            if self.sent(start, half) > self.defence(end, start2, half2) and self.sent(
                start2, half2
            ) > self.defence(end2, start, half):
                return j
        return None

    def defence(self, cell, start, half):
        return self.army[cell] - (self.sent(start, half) if start == cell else 0)

    def swap(self, move, other):
        p, start, end, half = move
        q, start2, end2, half2 = other
        p_wins = self.sent(start, half) - self.defence(end, start2, half2)
        q_wins = self.sent(start2, half2) - self.defence(end2, start, half)
        kept, kept2 = self.army[start] - self.sent(start, half), self.army[start2] - self.sent(
            start2, half2
        )
        self.army[start], self.army[start2] = kept, kept2
        for cell, owner in enumerate(self.owner):
            if owner in (p, q):
                self.owner[cell] = q if owner == p else p
                self.army[cell] = (self.army[cell] + 1) // 2
        self.army[end], self.army[end2] = p_wins, q_wins
        self.generals[p], self.generals[q] = end, end2

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
                self.kill(owner, player, end)

    def kill(self, victim, captor, general):
        self.alive[victim] = False
        self.neutral_at[victim] = None
        self.queues[victim].clear()
        self.generals[victim] = -1
        self.cities.add(general)
        for cell, owner in enumerate(self.owner):
            if owner == victim:
                self.owner[cell] = captor
                self.army[cell] = (self.army[cell] + 1) // 2

    # Leaving

    def surrender(self, player):
        if self.alive[player]:
            self.alive[player] = False
            self.queues[player].clear()
            if self.neutralise_after:
                self.neutral_at[player] = self.tick + self.neutralise_after

    def neutralise(self, player):
        heirs = [
            p for p in range(self.n) if self.alive[p] and self.teams[p] == self.teams[player]
        ]
        for cell, owner in enumerate(self.owner):
            if owner == player:
                self.owner[cell] = heirs[0] if heirs else NEUTRAL
        if self.generals[player] >= 0:
            self.cities.add(self.generals[player])
        self.generals[player] = -1
        self.neutral_at[player] = None

    # A tick

    def step(self):
        self.run(self.arrange(self.select()))
        self.tick += 1
        self.grow()
        for player in range(self.n):
            if self.neutral_at[player] == self.tick:
                self.neutralise(player)
        self.over = len({self.teams[p] for p in range(self.n) if self.alive[p]}) <= 1

    def grow(self):
        if self.tick % 2 == 0:
            for cell in (*(g for g in self.generals if g >= 0), *self.cities):
                if self.owner[cell] >= 0 or (
                    cell in self.cities and self.army[cell] < self.city_growth_below
                ):
                    self.army[cell] += 1
            self.decay(self.swamps)
        if self.tick % 50 == 0:
            for cell, owner in enumerate(self.owner):
                if owner >= 0:
                    self.army[cell] += 1
            self.decay(self.deserts)

    def decay(self, cells):
        for cell in cells:
            if self.owner[cell] >= 0:
                self.army[cell] -= 1
                if self.army[cell] <= 0:
                    self.owner[cell], self.army[cell] = NEUTRAL, 0

    # What is shown

    def digest(self):
        return digest(self.owner, self.army, self.generals)

    def visible(self, player):
        """Cells in sight of a player."""
        seen = set()
        for cell, owner in enumerate(self.owner):
            if self.friends(player, owner):
                row, column = divmod(cell, self.width)
                for r in range(max(row - 1, 0), min(row + 2, self.height)):
                    for c in range(max(column - 1, 0), min(column + 2, self.width)):
                        seen.add(r * self.width + c)
        return seen


def digest(owner, army, generals):
    text = "|".join(",".join(map(str, numbers)) for numbers in (owner, army, generals))
    return hashlib.md5(text.encode()).hexdigest()[:12]
