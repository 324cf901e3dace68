"""The games of a host by id and by row, and what every change of them has in common.

In this order: the journal, the game, the bus. What cannot be written did not happen; a game whose
journal cannot be written any more fails, and no other.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from farm.engine.rules import variant
from farm.engine.state import OUTCOME, TERMINATED, WINNER
from farm.errors import FileAccessError, GameError
from farm.games.bus import EventBus
from farm.games.events import EVERYBODY, Event, Kind
from farm.games.game import HostedGame
from farm.games.journal import Journal
from farm.games.lifecycle import Phase, checked
from farm.games.shares import Shares
from farm.games.slots import Slots
from farm.games.spec import GameSpec, max_ticks, replay_map
from farm.games.statistics import Statistics
from farm.replay.digest import digest_bytes
from farm.replay.journal import Ended, Header
from farm.replay.model import Rules
from farm.spec.limits import TICKS_PER_TURN

MAX_KEPT: Final = 4096
"""Games that are over and can still be asked about; of more the first are forgotten early."""
MAX_KEPT_BYTES: Final = 1 << 28
"""That the boards of those may take, likewise: a quarter of a gigabyte, 1,200 of the largest."""

OnFault = Callable[[HostedGame | None, BaseException], None]
"""Told of a fault of the host's own: of the game that it ended, or of None, where it ended none."""


class Register:
    """The games.

    Attributes:
        slots: where the boards are.
        bus: told of everything.
        journal: None keeps none.
        report: told of faults.
        statistics: of the players.
        shares: what each client has had of the host's time.
        by_id: games that can be asked about, by id, which only grows.
        by_row: games by slot.
        n_open: games that are not over.
        n_started, n_finished: since the host began.

    Args:
        slots: where the boards are.
        bus: told of everything.
        journal: None keeps none.
        on_fault: told of faults.
    """

    def __init__(
        self, slots: Slots, bus: EventBus, journal: Journal | None, on_fault: OnFault
    ) -> None:
        self.slots = slots
        self.bus = bus
        self.journal = journal
        self.statistics = Statistics(slots)
        self.shares = Shares(slots.n_slots)
        self.by_id: dict[int, HostedGame] = {}
        self.by_row: list[HostedGame | None] = [None] * slots.n_slots
        self.n_open = self.n_started = self.n_finished = 0
        self._over: deque[HostedGame] = deque()
        self._over_bytes = 0
        self.report = on_fault

    def find(self, game_id: int) -> HostedGame:
        """A game.

        Raises:
            GameError: UNKNOWN_GAME.
        """
        game = self.by_id.get(game_id)
        if game is None:
            raise GameError("UNKNOWN_GAME", f"there is no game {game_id}, or it has expired")
        return game

    def open_games(self) -> Iterator[HostedGame]:
        """The games that are not over."""
        return (game for game in self.by_row if game is not None)

    def add(self, game: HostedGame) -> None:
        """Take a new game in.

        Raises:
            FileAccessError: its journal cannot be begun.
        """
        if self.journal is not None:
            self.journal.create(header_of(game))
        self.place(game)

    def place(self, game: HostedGame) -> None:
        """Know a game by its id and its row."""
        self.by_id[game.game_id] = game
        self.by_row[game.row] = game
        self.shares.enter(game.row, game.caller)
        self.n_open += 1

    def remove(self, game: HostedGame) -> None:
        """Know a game no more, as if it had never been there."""
        del self.by_id[game.game_id]
        self.by_row[game.row] = None
        self.shares.leave(game.row)
        self.slots.give_back(game.row)
        self.n_open -= 1

    def tell(
        self,
        game: HostedGame,
        kind: Kind,
        *,
        seat: int | None = None,
        by: int | None = None,
        cell: int | None = None,
        seen_by: int = EVERYBODY,
        text: str = "",
        n_turns: int = 0,
        duration_ms: int = 0,
    ) -> None:
        """Something happened in a game."""
        game.last_event += 1
        event = Event(
            game.last_event,
            kind,
            game.tick,
            seat,
            by,
            cell,
            game.winners if kind is Kind.GAME_ENDED else (),
            n_turns,
            duration_ms,
            text,
            seen_by,
        )
        game.events.append(event)
        self.bus.tell(game, event)

    def move(self, game: HostedGame, phase: Phase, now_ns: int) -> None:
        """Bring a game into another phase; the time that it ran is counted."""
        before = game.phase
        game.phase = checked(before, phase)
        if before is Phase.RUNNING:
            game.running_ns += now_ns - game.since_ns
        game.since_ns = now_ns

    def is_decided(self, game: HostedGame) -> bool:
        """Whether the rules, or its last tick, have ended the game of a row."""
        return bool(self.slots.games.status[game.row, OUTCOME])

    def end(self, game: HostedGame, phase: Phase, now_ns: int, wall_ns: int, text: str) -> None:
        """A game is over: its end is written and told, and its row is free."""
        if phase is Phase.ENDED:
            game.winners = self._winners(game)
        self._write_end(game, phase, wall_ns, text)
        self.move(game, phase, now_ns)
        game.ended_ns = wall_ns
        self.slots.clocks.runs[game.row] = 0
        kind = {
            Phase.ENDED: Kind.GAME_ENDED,
            Phase.CANCELLED: Kind.GAME_CANCELLED,
            Phase.ERROR: Kind.GAME_FAILED,
        }[phase]
        try:
            self.tell(
                game,
                kind,
                text=text,
                n_turns=-(-game.tick // TICKS_PER_TURN) if phase is Phase.ENDED else 0,
                duration_ms=game.duration_ms(now_ns) if phase is Phase.ENDED else 0,
            )
        finally:
            self._give_back(game)

    def fail(self, game: HostedGame, error: BaseException, now_ns: int, wall_ns: int) -> None:
        """A fault of the host's own in one game: it is over, and the others go on."""
        self.report(game, error)
        if game.is_open:
            try:
                self.end(game, Phase.ERROR, now_ns, wall_ns, _told_of(error))
            except Exception as second:  # noqa: BLE001 - who listens cannot keep it from its end
                self.report(game, second)

    def forget(self, now_ns: int, keep_ns: int) -> None:
        """Drop games that have been over for so long, and those that are too many."""
        while self._over and (
            now_ns - self._over[0].since_ns > keep_ns
            or len(self._over) > MAX_KEPT
            or self._over_bytes > MAX_KEPT_BYTES
        ):
            game = self._over.popleft()
            self._over_bytes -= game.last_bytes
            self.statistics.forget(game)
            self.by_id.pop(game.game_id, None)

    def _winners(self, game: HostedGame) -> tuple[int, ...]:
        games, row = self.slots.games, game.row
        status = games.status[row]
        if status[OUTCOME] != TERMINATED or status[WINNER] < 0:
            return ()
        sides = games.side[row, : game.spec.n_seats].tolist()
        return tuple(seat for seat, side in enumerate(sides) if side == status[WINNER])

    def _write_end(self, game: HostedGame, phase: Phase, wall_ns: int, text: str) -> None:
        if self.journal is None:
            return
        digest = b""
        if game.has_board:
            board = game.board
            digest = digest_bytes(board.owner, board.army, board.general)
        end = Ended(game.tick, int(phase), digest, game.winners, wall_ns, text[:1000])
        try:
            self.journal.ended(game.game_id, end)
        except FileAccessError as error:
            self.report(game, error)
            try:
                self.journal.abandon(game.game_id)
            except (FileAccessError, KeyError) as second:
                self.report(game, second)

    def _give_back(self, game: HostedGame) -> None:
        game.keep_last()
        self.statistics.keep(game)
        row, game.row = game.row, -1
        self.by_row[row] = None
        self.shares.leave(row)
        self.slots.give_back(row)
        self.n_open -= 1
        self.n_finished += 1
        self._over.append(game)
        self._over_bytes += game.last_bytes


def _told_of(error: BaseException) -> str:
    """What players are told of a fault: its kind and no path; the log has the whole."""
    cause = error.__cause__
    if isinstance(error, FileAccessError) and isinstance(cause, OSError):
        return f"its journal cannot be written: {cause.strerror or type(cause).__name__}"
    return "an error of the host's own"


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What the header of a journal says beside the game: enough to be its host again."""

    spec: GameSpec
    owner_digest: bytes
    spectator_digest: bytes
    caller: str
    key_digest: bytes = b""
    """Of the key that the game was created with; empty also in journals of hosts that kept none."""
    key_salt: str = ""


def header_of(game: HostedGame) -> Header:
    """How the journal of a game begins."""
    spec = game.spec
    kept = Kept(
        spec,
        game.owner_digest,
        game.spectator_digest,
        game.caller,
        game.key_digest,
        game.key_salt,
    )
    return Header(
        game_id=game.game_id,
        name=spec.name,
        rules=Rules.of(variant(spec.rules)),
        map=replay_map(spec),
        max_ticks=max_ticks(spec),
        players=tuple(seat.policy for seat in game.seats),
        created_ns=game.created_ns,
        host=msgspec.msgpack.encode(kept),
    )
