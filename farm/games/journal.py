"""What a host writes down of its games, before anybody is told of it.

One `write` an entry (journal_files.py has the files, farm.replay.journal the format). Whoever calls
does so after an action was checked and before it takes effect, and after a tick was played and
before anybody sees it: what was told is in the file, whatever becomes of the host.

A journal that cannot be written ends its game and no other: the error names the file and the
reason, and `abandon` puts what there is to the ended ones, so that no later host takes it up.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from farm.errors import FileAccessError, GameError
from farm.games.journal_files import JournalFiles
from farm.replay.journal import (
    MAX_FILE_BYTES,
    Connected,
    Ended,
    Entry,
    Header,
    Joined,
    Left,
    Move,
    Moved,
    Orders,
    Replaced,
    SeatMove,
    Ticked,
    encode,
)
from farm.replay.journal import Journal as Found
from farm.replay.model import MAX_ORDERS

_ACTION_BYTES: Final = 48
"""An action of one move, with a short key."""


class Played(NamedTuple):
    """A tick of one game, as the journal has it."""

    game_id: int
    tick: int
    """The counter before it."""
    orders: Sequence[SeatMove]
    """Of bots, and of seats whose actions are not acknowledged one by one."""


class _Room:
    """How much more of each seat a journal may hold, so that it stays one that can be read.

    Every seat has a share of its own, so that none can use up another's. Of what is left of it,
    an action a tick until the end of the game is kept free.
    """

    __slots__ = ("_max_ticks", "_n_bytes", "_n_orders", "_share_bytes", "_share_orders")

    def __init__(self, header: Header) -> None:
        n_seats = header.map.n_seats
        self._max_ticks = header.max_ticks
        self._share_orders = MAX_ORDERS // n_seats
        # The other half is for ticks: at most 50,000 with a move of each of 16 seats, 12 MB.
        self._share_bytes = MAX_FILE_BYTES // 2 // n_seats
        self._n_orders = [0] * n_seats
        self._n_bytes = [0] * n_seats

    def has(self, action: Orders, n_bytes: int) -> bool:
        """Whether there is room for an action, besides that of the ticks that are left."""
        seat, left = action.seat, max(self._max_ticks - action.tick, 1)
        n_orders = self._n_orders[seat] + len(action.moves) + action.clear
        n_bytes += self._n_bytes[seat]
        return (
            n_orders + left - 1 <= self._share_orders
            and n_bytes + _ACTION_BYTES * (left - 1) <= self._share_bytes
        )

    def take(self, action: Orders, n_bytes: int) -> None:
        """Count an action that is written."""
        self._n_orders[action.seat] += len(action.moves) + action.clear
        self._n_bytes[action.seat] += n_bytes

    def tick(self, orders: Sequence[SeatMove]) -> None:
        """Count the orders of a tick."""
        for order in orders:
            self._n_orders[order[0]] += 1


class Journal:
    """The journals of a host.

    Args:
        files: where they are.
    """

    def __init__(self, files: JournalFiles) -> None:
        self._files = files
        self._rooms: dict[int, _Room] = {}

    def __len__(self) -> int:
        """Games that are written."""
        return len(self._rooms)

    def create(self, header: Header) -> None:
        """Begin the journal of a game.

        Raises:
            FileAccessError: it cannot be written; there is no such game.
        """
        self._files.create(header.game_id, encode(header))
        self._rooms[header.game_id] = _Room(header)

    def resume(self, found: Found) -> None:
        """Go on with the journal of a game that was taken up from it.

        Raises:
            FileAccessError: it cannot be written.
        """
        header = found.header
        self._files.resume(header.game_id, found.n_bytes)
        self._rooms[header.game_id] = room = _Room(header)
        for entry in found.entries:
            if isinstance(entry, Orders):
                room.take(entry, len(encode(entry)))
            elif isinstance(entry, Ticked):
                room.tick(entry.orders)

    def joined(self, game_id: int, seat: int, name: str, token: bytes, *, key: str = "") -> None:
        """An agent takes a seat; `token` is the SHA-256 of the seat's.

        Raises:
            FileAccessError: it is not written.
        """
        self._append(game_id, Joined(seat, name, token, key))

    def accepted(
        self,
        game_id: int,
        tick: int,
        seat: int,
        moves: tuple[Move, ...],
        *,
        clear: bool,
        key: str,
        queued: int,
    ) -> None:
        """An action is accepted; the arguments are those of `farm.replay.journal.Orders`.

        Raises:
            GameError: LIMIT, the seat's share of the journal is used up.
            FileAccessError: it is not written.
        """
        action = Orders(tick, seat, int(clear), moves, key, queued)
        data = encode(action)
        room = self._rooms[game_id]
        if not room.has(action, len(data)):
            raise GameError(
                "LIMIT",
                f"seat {seat} has sent more than the journal of a game may hold of it; from the "
                "next tick on there is room for one move a tick",
                retry_after_s=1.0,
            )
        self._files.append(game_id, data)
        room.take(action, len(data))

    def ticked(self, played: Iterable[Played]) -> list[tuple[int, FileAccessError]]:
        """Ticks were played.

        Returns:
            Games whose tick is not written, and why: they cannot go on.
        """
        failed: list[tuple[int, FileAccessError]] = []
        append, rooms = self._files.append, self._rooms
        for game_id, tick, orders in played:
            try:
                append(game_id, encode(Ticked(tick, tuple(orders))))
            except FileAccessError as error:
                failed.append((game_id, error))
            rooms[game_id].tick(orders)
        return failed

    def left(self, game_id: int, tick: int, seat: int, cause: int) -> None:
        """A seat is out: SURRENDERED or ABSENT (farm.replay.journal).

        Raises:
            FileAccessError: it is not written.
        """
        self._append(game_id, Left(tick, seat, cause))

    def moved(self, game_id: int, tick: int, phase: int, wall_ns: int) -> None:
        """A game goes into another phase that is not an end.

        Raises:
            FileAccessError: it is not written.
        """
        self._append(game_id, Moved(tick, phase, wall_ns))

    def replaced(self, game_id: int, tick: int, seat: int, policy: str) -> None:
        """A policy plays for a seat, or no longer, if it is empty.

        Raises:
            FileAccessError: it is not written.
        """
        self._append(game_id, Replaced(tick, seat, policy))

    def connected(self, game_id: int, tick: int, seat: int, *, connected: bool) -> None:
        """The agent of a seat counts as gone, or is back.

        Raises:
            FileAccessError: it is not written.
        """
        self._append(game_id, Connected(tick, seat, int(connected)))

    def ended(self, game_id: int, end: Ended) -> None:
        """A game is over: its journal goes to the ended ones, or if no tick was played, away.

        Raises:
            FileAccessError: the end is not written, or the file is where it was; `abandon` it.
        """
        self._append(game_id, end)
        if end.tick:
            self._files.end(game_id)
        else:
            self._files.remove(game_id)
        del self._rooms[game_id]

    def abandon(self, game_id: int) -> None:
        """Put the journal of a game that failed to the ended ones, as it is.

        Raises:
            FileAccessError: it cannot be moved: the next host will take the game up.
        """
        del self._rooms[game_id]
        self._files.end(game_id)

    def _append(self, game_id: int, entry: Entry) -> None:
        self._files.append(game_id, encode(entry))
