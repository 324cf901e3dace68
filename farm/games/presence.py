"""Who is there: seats that go, come back, stay away, and what becomes of theirs.

An agent is there while it has a stream open, or has called within `games.quiet_s`. Once it counts
as gone its seat is kept for `games.reconnect_grace_s` of a game that runs; then the seat leaves, or
a policy plays on for it until it is back.
"""

from farm.config.schema import GamesConfig
from farm.engine.queues import forget_orders
from farm.games import kernels
from farm.games.events import Kind
from farm.games.game import HostedGame
from farm.games.lifecycle import Phase
from farm.games.register import Register
from farm.games.slots import NO_BOT
from farm.policies.registry import policy_info
from farm.replay.journal import ABSENT, SURRENDERED

NS_PER_S = 1_000_000_000
_SURRENDER = "surrender"


class Presence:
    """Looks after who is there.

    Attributes:
        config: in force; replaced when it changes.

    Args:
        register: the games.
        config: in force.
    """

    def __init__(self, register: Register, config: GamesConfig) -> None:
        self.config = config
        self._register = register

    def touch(self, game: HostedGame, seat: int, now_ns: int) -> None:
        """An agent has called, or has a stream: it is there."""
        held = game.seats[seat]
        held.seen_ns = now_ns
        if held.connected or not game.is_open:
            return
        if self._register.journal is not None:
            self._register.journal.connected(game.game_id, game.tick, seat, connected=True)
        held.connected = True
        if held.stand_in:
            self._give_back(game, seat)
        self._register.tell(game, Kind.PLAYER_RECONNECTED, seat=seat)

    def leave(self, game: HostedGame, seat: int, cause: int, now_ns: int, wall_ns: int) -> None:
        """A seat leaves its game, which may be over with it."""
        register = self._register
        if register.journal is not None:
            register.journal.left(game.game_id, game.tick, seat, cause)
        slots = register.slots
        forget_orders(slots.queues, game.row, seat)
        slots.clocks.written[game.row, seat] = 0
        kernels.leave(slots.games, game.row, seat)
        if slots.clocks.shows_all[game.row]:
            kernels.show_all(slots.games, slots.clocks, game.row)
        register.tell(game, Kind.PLAYER_ELIMINATED, seat=seat)
        if register.is_decided(game):
            register.end(game, Phase.ENDED, now_ns, wall_ns, "")
        else:
            self.hurry(game, now_ns)

    def surrender(self, game: HostedGame, seat: int, now_ns: int, wall_ns: int) -> None:
        """A seat leaves of its own accord."""
        self.leave(game, seat, SURRENDERED, now_ns, wall_ns)

    def hurry(self, game: HostedGame, now_ns: int) -> None:
        """Let a game in lockstep that waits for nobody go on."""
        clocks, row = self._register.slots.clocks, game.row
        n_seats = game.spec.n_seats
        agents = clocks.bot[row, :n_seats] == NO_BOT
        alive = self._register.slots.games.alive[row, :n_seats] > 0
        if clocks.runs[row] and not clocks.tick_ns[row] and not (agents & alive).any():
            clocks.due_ns[row] = now_ns

    def look(self, game: HostedGame, now_ns: int, wall_ns: int) -> None:
        """Note who has gone in an open game, and act for who stays away."""
        quiet_ns = int(self.config.quiet_s * NS_PER_S)
        grace_ns = int(self.config.reconnect_grace_s * NS_PER_S)
        for number, seat in enumerate(game.seats):
            if not seat.digest:
                continue
            if seat.connected:
                if not seat.n_streams and now_ns - seat.seen_ns > quiet_ns:
                    self._lose(game, number, now_ns)
            elif (
                game.phase is Phase.RUNNING
                and not seat.stand_in
                and now_ns - max(seat.gone_ns, game.since_ns) > grace_ns
                and game.is_alive(number)
            ):
                self._act_for(game, number, now_ns, wall_ns)
                if game.is_over:
                    return

    def _lose(self, game: HostedGame, seat: int, now_ns: int) -> None:
        if self._register.journal is not None:
            self._register.journal.connected(game.game_id, game.tick, seat, connected=False)
        game.seats[seat].connected = False
        game.seats[seat].gone_ns = now_ns
        self._register.tell(game, Kind.PLAYER_DISCONNECTED, seat=seat)

    def _act_for(self, game: HostedGame, seat: int, now_ns: int, wall_ns: int) -> None:
        policy = self.config.absent
        if policy == _SURRENDER:
            self.leave(game, seat, ABSENT, now_ns, wall_ns)
            return
        register, clocks = self._register, self._register.slots.clocks
        if register.journal is not None:
            if game.queued(seat):
                register.journal.accepted(
                    game.game_id, game.tick, seat, (), clear=True, key="", queued=0
                )
            register.journal.replaced(game.game_id, game.tick, seat, policy)
        forget_orders(register.slots.queues, game.row, seat)
        clocks.written[game.row, seat] = 0
        clocks.bot[game.row, seat] = policy_info(policy).code
        game.seats[seat].stand_in = policy
        register.tell(game, Kind.PLAYER_REPLACED, seat=seat, text=policy)
        self.hurry(game, now_ns)

    def _give_back(self, game: HostedGame, seat: int) -> None:
        if self._register.journal is not None:
            self._register.journal.replaced(game.game_id, game.tick, seat, "")
        self._register.slots.clocks.bot[game.row, seat] = NO_BOT
        game.seats[seat].stand_in = ""
