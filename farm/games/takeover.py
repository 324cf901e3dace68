"""Games of a host that is gone, played again from their journals until they are as they were.

The entries of a journal are the changes of a game in their order: each has its effect once more, by
the same kernels, and tells the same events with the same numbers. Bots choose again, from the same
random streams, so that they remember what they did; what they chose is what the journal says, also
if a policy of another version would choose otherwise now. While this lasts no clock runs and nobody
listens to the bus.

Of connections nothing is left: every agent counts as gone, from the moment of `settle` on. The
clock of a game waits for its agents until all are back, or `games.reconnect_grace_s` are over.
"""

import msgspec

from farm.config.schema import GamesConfig
from farm.games.events import Kind
from farm.games.game import HostedGame
from farm.games.host import Host
from farm.games.lifecycle import Phase
from farm.games.presence import NS_PER_S
from farm.games.register import Kept
from farm.games.scripts import Steps
from farm.games.seats import Accepted
from farm.replay.journal import (
    Connected,
    Entry,
    Header,
    Joined,
    Journal,
    Left,
    Moved,
    Orders,
    Replaced,
    Ticked,
)


class Takeover:
    """Puts games from journals into a host.

    Args:
        host: which has none of them; its journal is not written meanwhile.
        config: in force.
    """

    def __init__(self, host: Host, config: GamesConfig) -> None:
        self._host = host
        self._config = config
        self._register = host.register
        self._taken: list[HostedGame] = []

    @property
    def last_id(self) -> int:
        """The highest id of a game that was taken up; 0 if none was."""
        return max((game.game_id for game in self._taken), default=0)

    def take_up(self, found: Journal) -> None:
        """Set up a game and play it again as its journal says.

        Raises:
            ValueError: it says what no game can do.
            GameError: LIMIT, there is no place for the game.
        """
        game = self._set_up(found.header)
        self._taken.append(game)
        steps = Steps()
        for entry in found.entries:
            match entry:
                case Orders():
                    _demand_board(game)
                    steps.act(entry)
                    seat, answer = game.seats[entry.seat], Accepted(entry.tick, entry.queued)
                    seat.remember(entry.key, answer)
                case Ticked():
                    _demand_board(game)
                    steps.tick(entry)
                case _:
                    self._play(game, steps)
                    self._repeat(game, entry)
        self._play(game, steps)

    def drop(self, game_id: int) -> None:
        """Let go of a game, as far as it was taken up."""
        if self._taken and self._taken[-1].game_id == game_id:
            self._register.remove(self._taken.pop())

    def settle(self, now_ns: int, wall_ns: int) -> None:
        """All are taken up, and their journals go on: so do they."""
        for game in self._taken:
            self._host.creations.note(game)
            self._disconnect(game, now_ns)
            game.since_ns = now_ns
            if game.has_board and self._register.is_decided(game):
                # Its host died between the last tick and the end.
                self._register.end(game, Phase.ENDED, now_ns, wall_ns, "")
            elif game.phase is Phase.RUNNING:
                game.running_ns += max(wall_ns - game.resumed_ns, 0)
                self._wait_for_agents(game, now_ns)

    def _set_up(self, header: Header) -> HostedGame:
        try:
            kept = msgspec.msgpack.decode(header.host, type=Kept)
        except msgspec.DecodeError as error:
            raise ValueError(f"what its host kept cannot be read: {error}") from error
        spec = kept.spec
        slots = self._register.slots
        row = slots.take()
        try:
            game = HostedGame(header.game_id, spec, slots, row)
            _check_size(game, self._config)
        except BaseException:
            slots.give_back(row)
            raise
        game.caller, game.created_ns = kept.caller, header.created_ns
        game.owner_digest, game.spectator_digest = kept.owner_digest, kept.spectator_digest
        game.key_digest, game.key_salt = kept.key_digest, kept.key_salt
        self._register.place(game)
        self._register.tell(game, Kind.GAME_CREATED)
        return game

    def _play(self, game: HostedGame, steps: Steps) -> None:
        if len(steps):
            self._host.turns.play_again(game, steps.take(game.row))

    def _repeat(self, game: HostedGame, entry: Entry) -> None:
        """Let an entry that is neither an action nor a tick have its effect once more."""
        register, presence = self._register, self._host.presence
        match entry:
            case Joined():
                seat = game.seats[entry.seat]
                is_new = seat.is_free
                if not is_new and (not entry.key or entry.key != seat.join_key):
                    raise ValueError(f"seat {entry.seat} is taken twice")
                seat.hold(entry.name, entry.token, entry.key)
                if is_new:
                    register.tell(game, Kind.PLAYER_JOINED, seat=entry.seat, text=entry.name)
            case Moved():
                self._move(game, entry)
            case Left():
                _demand_board(game)
                presence.remove(game, entry.seat)
            case Replaced():
                _demand_board(game)
                self._replace(game, entry)
            case Connected():
                game.seats[entry.seat].connected = bool(entry.connected)
                kind = Kind.PLAYER_RECONNECTED if entry.connected else Kind.PLAYER_DISCONNECTED
                register.tell(game, kind, seat=entry.seat)

    def _move(self, game: HostedGame, entry: Moved) -> None:
        before, phase = game.phase, Phase(entry.phase)
        self._register.move(game, phase, 0)
        if before is Phase.LOBBY:
            self._host.lay_out(game)
            game.started_ns = game.resumed_ns = entry.wall_ns
            self._register.tell(game, Kind.GAME_STARTED)
        elif phase is Phase.PAUSED:
            game.running_ns += max(entry.wall_ns - game.resumed_ns, 0)
            self._register.tell(game, Kind.GAME_PAUSED)
        else:
            game.resumed_ns = entry.wall_ns
            self._register.tell(game, Kind.GAME_RESUMED)

    def _replace(self, game: HostedGame, entry: Replaced) -> None:
        try:
            self._host.presence.stand_in(game, entry.seat, entry.policy)
        except KeyError:
            raise ValueError(f"there is no policy {entry.policy!r}") from None
        if entry.policy:
            self._register.tell(game, Kind.PLAYER_REPLACED, seat=entry.seat, text=entry.policy)

    def _disconnect(self, game: HostedGame, now_ns: int) -> None:
        """Whoever was there is gone."""
        for number, seat in enumerate(game.seats):
            seat.seen_ns = seat.gone_ns = now_ns
            if seat.digest and seat.connected:
                self._host.presence.lose(game, number, now_ns)

    def _wait_for_agents(self, game: HostedGame, now_ns: int) -> None:
        clocks, row = self._register.slots.clocks, game.row
        clocks.runs[row] = 1
        clocks.asked_ns[row] = now_ns
        grace_ns = int(self._config.reconnect_grace_s * NS_PER_S)
        game.is_resuming = any(seat.digest for seat in game.seats)
        if game.is_resuming:
            patience_ns = 0 if clocks.tick_ns[row] else int(self._config.act_timeout_s * NS_PER_S)
            clocks.due_ns[row] = now_ns + max(grace_ns, patience_ns)
        else:
            clocks.due_ns[row] = now_ns


def _check_size(game: HostedGame, config: GamesConfig) -> None:
    fits = max(game.height, game.width) <= config.max_side
    if not fits or game.spec.n_seats > config.max_seats:
        raise ValueError("it is larger than games.max_side and games.max_seats allow")


def _demand_board(game: HostedGame) -> None:
    if not game.has_board:
        raise ValueError("it goes on before it has begun")
