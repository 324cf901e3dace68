"""Which rules a game has reached: the oracle again, counting what happens in it."""

from collections import Counter

from engine.oracle import NEUTRAL, OFFICIAL, Oracle

COMMON = frozenset(
    {
        "an order that is not valid is dropped and the next one taken",
        "orders wait for a later tick",
        "moves are selected from the last seat to the first",
        "half of an army moves",
        "a move is lost with its start",
        "an army meets one as large",
        "a neutral city is taken",
        "an army of one joins a teammate",
        "a teammate's cell is taken",
        "a teammate's general is joined and stays",
        "a general is captured",
        "a general is captured of a player whose team plays on",
        "captures chain",
        "a player leaves",
        "a player is neutralised, and the land goes to nobody",
        "a player is neutralised, and the land goes to a teammate",
        "one who left is captured before being neutral",
        "a swamp is lost",
        "a desert is lost",
        "all land grows",
        "one side is left",
    }
)
"""What happens under any rules."""
SORTED = frozenset(
    {
        "a move onto own or a teammate's cell goes before an attack",
        "a move onto a general goes last in its class",
        "a larger army goes first",
        "equal moves go by turns",
        "a move waits for one that ends on its start",
        "a head-on pair does not wait",
        "moves wait for each other in a circle",
    }
)
"""What happens under the official order."""
TRADING = frozenset(
    {
        "generals are traded",
        "generals are traded, with an army that left one of them",
        "a trade fails: one of the two is too weak",
        "generals are traded in a game of teams",
    }
)
CITIES = frozenset(
    {
        "a general becomes a city out of a side's sight",
        "such a city is discovered",
    }
)
LIMITED = frozenset({"nobody has moved for too long", "the game has lasted too long"})
INACTIVE = frozenset({"a player who did nothing is removed", "one who did nothing stays: contact"})
GROWING = frozenset({"a neutral city grows"})


def reachable(name):
    """What should happen in games of a variant of `random_games.VARIANTS`."""
    more = {
        "without trade": SORTED | CITIES,
        "soon over": SORTED | TRADING | CITIES | LIMITED,
        "inactivity": SORTED | TRADING | CITIES | INACTIVE,
        "growing cities": SORTED | TRADING | CITIES | GROWING,
        "alternating": TRADING | CITIES,
        "simple": frozenset(),
    }
    # Games that are over soon, or in which many sleep, hardly ever come to these.
    ends_first = {event for event in COMMON if "neutral" in event and "city" not in event}
    less = {
        "simple": {"moves are selected from the last seat to the first"},
        "soon over": ends_first | {"generals are traded in a game of teams", "captures chain"},
        "inactivity": {"moves wait for each other in a circle", "captures chain"},
    }
    return (COMMON | more.get(name, SORTED | TRADING | CITIES)) - less.get(name, set())


class CountingOracle(Oracle):
    """An oracle that counts what happens; it plays as the plain one."""

    def __init__(self, board, variant):
        self.events = Counter()
        self.captors = set()
        self.running = False
        super().__init__(board, variant)

    def select(self):
        waiting = [len(queue) for queue in self.queues]
        moves = super().select()
        for player, *_ in moves:
            if waiting[player] - len(self.queues[player]) > 1:
                self.events["an order that is not valid is dropped and the next one taken"] += 1
            self.events["orders wait for a later tick"] += bool(self.queues[player])
        if len(moves) > 1 and moves[0][0] > moves[1][0]:
            self.events["moves are selected from the last seat to the first"] += 1
        return moves

    def arrange(self, moves):
        ordered = super().arrange(moves)
        if self.variant.order == OFFICIAL:
            self.count_order(moves, ordered)
        return ordered

    def count_order(self, moves, ordered):
        remaining = list(ordered)
        for move in ordered:
            blocked = [self.blocked(other, remaining) for other in remaining]
            if all(blocked):
                self.events["moves wait for each other in a circle"] += 1
            elif any(blocked):
                self.events["a move waits for one that ends on its start"] += 1
            remaining.remove(move)
        for i, first in enumerate(ordered):
            for second in ordered[i + 1 :]:
                self.count_pair(first, second, moves)

    def count_pair(self, first, second, moves):
        ends = {move[2] for move in moves}
        if first[1] == second[2] and second[1] == first[2]:
            self.events["a head-on pair does not wait"] += 1
        if first[1] in ends or second[1] in ends:
            return
        one, other = (
            (not self.friends(m[0], self.owner[m[2]]), m[2] in self.generals, -self.army[m[1]])
            for m in (first, second)
        )
        reasons = (
            "a move onto own or a teammate's cell goes before an attack",
            "a move onto a general goes last in its class",
            "a larger army goes first",
        )
        for name, mine, theirs in zip(reasons, one, other, strict=True):
            if mine != theirs:
                # Only what turns the order of selection around proves anything.
                self.events[name] += moves.index(first) > moves.index(second)
                return
        self.events["equal moves go by turns"] += 1

    def valid(self, player, start, end):
        is_valid = super().valid(player, start, end)
        if self.running and not is_valid and self.owner[start] != player:
            self.events["a move is lost with its start"] += 1
        return is_valid

    def run(self, moves):
        self.captors.clear()
        before = set(self.cities)
        self.running = True
        super().run(moves)
        self.running = False
        self.count_hidden(before)

    def trade_partner(self, moves, i):
        partner = super().trade_partner(moves, i)
        player, _, end, _ = moves[i]
        if partner is None and any(
            self.generals[other] == end
            and self.generals[player] == other_end
            and not self.friends(player, other)
            and self.valid(other, start, other_end)
            for other, start, other_end, _ in moves[i + 1 :]
        ):
            self.events["a trade fails: one of the two is too weak"] += 1
        return partner

    def trade(self, move, other):
        self.events["generals are traded"] += 1
        if move[1] == other[2] or other[1] == move[2]:
            self.events["generals are traded, with an army that left one of them"] += 1
        if len(set(self.teams)) < self.n:
            self.events["generals are traded in a game of teams"] += 1
        super().trade(move, other)

    def attack(self, player, start, end, sent):
        owner, army = self.owner[end], self.army[end]
        if sent == 0:
            self.events["an army of one joins a teammate"] += 1
        if sent and sent != self.army[start] - 1:
            self.events["half of an army moves"] += 1
        if owner != player and self.friends(player, owner):
            is_general = self.generals[owner] == end
            what = "general is joined and stays" if is_general else "cell is taken"
            self.events[f"a teammate's {what}"] += 1
        elif owner != player and army == sent:
            self.events["an army meets one as large"] += 1
        elif owner == NEUTRAL and end in self.cities and army < sent:
            self.events["a neutral city is taken"] += 1
        super().attack(player, start, end, sent)

    def capture(self, victim, captor):
        self.events["a general is captured"] += 1
        if not self.alive[victim]:
            self.events["one who left is captured before being neutral"] += 1
        if victim in self.captors:
            self.events["captures chain"] += 1
        if any(self.alive[p] and p != victim and self.friends(victim, p) for p in self.players):
            self.events["a general is captured of a player whose team plays on"] += 1
        self.captors.add(captor)
        super().capture(victim, captor)

    def leave(self, player):
        self.events["a player leaves"] += self.alive[player]
        super().leave(player)

    def neutralise(self, player):
        has_heir = any(self.alive[p] and self.friends(player, p) for p in self.players)
        whom = "a teammate" if has_heir else "nobody"
        self.events[f"a player is neutralised, and the land goes to {whom}"] += 1
        super().neutralise(player)

    def apply_limits(self):
        alive = sum(self.alive)
        due = self.variant.inactivity and self.tick == (71 if self.n == 2 else 121)
        idlers = [p for p in self.players if due and self.alive[p] and not self.moved[p]]
        if any(not self.may_be_removed(p) for p in idlers):
            self.events["one who did nothing stays: contact"] += 1
        idle = self.tick - (self.last_move + 1) >= self.variant.idle_ticks
        super().apply_limits()
        if sum(self.alive) < alive:
            if any(not self.alive[p] for p in idlers):
                self.events["a player who did nothing is removed"] += 1
            elif idle:
                self.events["nobody has moved for too long"] += 1
            else:
                self.events["the game has lasted too long"] += 1

    def step(self):
        known = [set(seen) for seen in self.discovered]
        hidden = [self.cities - self.first_cities - seen for seen in known]
        super().step()
        for player in self.players:
            if hidden[player] & self.discovered[player]:
                self.events["such a city is discovered"] += 1
        self.events["one side is left"] += self.over

    def count_hidden(self, cities_before):
        for cell in self.cities - cities_before:
            if any(cell not in self.visible(p) for p in self.players if self.alive[p]):
                self.events["a general becomes a city out of a side's sight"] += 1

    def grow(self):
        lost = [cell for cell in self.swamps | self.deserts if self.owner[cell] >= 0]
        cities = {cell: self.army[cell] for cell in self.cities if self.owner[cell] == NEUTRAL}
        super().grow()
        self.events["all land grows"] += self.tick % self.variant.land_period == 0
        self.events["a neutral city grows"] += any(
            self.army[cell] > army for cell, army in cities.items()
        )
        for cell in lost:
            if self.owner[cell] == NEUTRAL:
                self.events[f"a {'swamp' if cell in self.swamps else 'desert'} is lost"] += 1
