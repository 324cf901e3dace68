"""One hosted game: what it is to be, who sits there, what happened, and its board while it has one.

The host changes it; everybody else reads. While the game is open its board is in a row of the
slots; when it is over the last of it is copied, and the row is free for another.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farm.games.events import Event
from farm.games.lifecycle import OPEN, PLAYED, Phase
from farm.games.seats import Seat
from farm.games.slots import NO_BOT, Slots
from farm.games.spec import GameSpec, size_of
from farm.spec import tiles
from farm.spec.observation import frame_bytes

MAX_EVENTS: Final = 10_000
"""Of one game that are kept; the first ones are forgotten. Far above what games have."""
_NS_PER_MS: Final = 1_000_000


class Board(NamedTuple):
    """A board and its players, for who may see everything; views or copies of their arrays."""

    owner: NDArray[np.int8]
    """int8[n_cells]."""
    army: NDArray[np.int32]
    """int32[n_cells]."""
    terrain: NDArray[np.uint8]
    """uint8[n_cells]."""
    general: NDArray[np.int32]
    """int32[n_seats]."""
    total_army: NDArray[np.int32]
    """int32[n_seats]."""
    land: NDArray[np.int32]
    """int32[n_seats]."""
    alive: NDArray[np.uint8]
    """uint8[n_seats]."""
    frames: NDArray[np.uint8]
    """uint8[n_seats, frame_bytes]."""

    def copy(self) -> "Board":
        """The same, apart from the slots."""
        return Board(
            self.owner.copy(),
            self.army.copy(),
            self.terrain.copy(),
            self.general.copy(),
            self.total_army.copy(),
            self.land.copy(),
            self.alive.copy(),
            self.frames.copy(),
        )

    def cities_of(self, seat: int) -> int:
        """Cities of a seat."""
        return int(((self.owner == seat) & (self.terrain == tiles.CITY)).sum())


class HostedGame:
    """A game of a host.

    Attributes:
        game_id: within the farm.
        spec: with its seed.
        phase: see lifecycle.
        seats: by number.
        row: its slot; -1 once it is over.
        tick: ticks played.
        winners: seats of the side that won an ended game.
        events: the last ones.
        last_event: sequence of the newest.
        caller: who created it.
        owner_digest, spectator_digest: SHA-256 of these tokens; empty without spectators.
        key_digest, key_salt: of the key that it was created with (creations.py); empty without.
        created_ns, started_ns, ended_ns: wall clock; 0 for not yet.
        resumed_ns: wall clock of when it last began to run; of games taken up alone.
        since_ns: monotonic time of the last change of phase.
        is_resuming: it was taken up from its journal, and its agents are not all back.
        n_allies: of each seat.

    Args:
        game_id: within the farm.
        spec: with its seed.
        slots: where its board is.
        row: its slot.
    """

    def __init__(self, game_id: int, spec: GameSpec, slots: Slots, row: int) -> None:
        self.game_id = game_id
        self.spec = spec
        self.phase = Phase.LOBBY
        self.seats = [Seat(spec.bots.get(seat, "")) for seat in range(spec.n_seats)]
        self.row = row
        self.tick = 0
        self.winners: tuple[int, ...] = ()
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.last_event = 0
        self.caller = ""
        self.owner_digest = self.spectator_digest = self.key_digest = b""
        self.key_salt = ""
        self.created_ns = self.started_ns = self.resumed_ns = self.ended_ns = 0
        self.since_ns = 0
        self.is_resuming = False
        self.running_ns = 0
        """Monotonic, up to `since_ns`."""
        self.height, self.width = size_of(spec)
        teams = spec.teams or tuple(range(spec.n_seats))
        self.n_allies = [teams.count(team) - 1 for team in teams]
        self.sides = list(teams)
        self._slots = slots
        self._last: Board | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.phase in OPEN

    @property
    def is_over(self) -> bool:
        """Whether it is."""
        return self.phase not in OPEN

    @property
    def is_played(self) -> bool:
        """Whether actions are taken."""
        return self.phase in PLAYED

    @property
    def has_board(self) -> bool:
        """Whether it began."""
        return self.started_ns > 0

    @property
    def n_cells(self) -> int:
        """Of the board."""
        return self.height * self.width

    @property
    def frame_bytes(self) -> int:
        """Of what a seat sees."""
        return frame_bytes(self.n_cells, self.spec.n_seats)

    @property
    def board(self) -> Board:
        """The board of a game that has begun: views, good until the next tick."""
        if self._last is not None:
            return self._last
        games, row, n, s = self._slots.games, self.row, self.n_cells, self.spec.n_seats
        return Board(
            games.owner[row, :n],
            games.army[row, :n],
            games.terrain[row, :n],
            games.general[row, :s],
            games.total_army[row, :s],
            games.land[row, :s],
            games.alive[row, :s],
            self._slots.frames(row)[:s, : self.frame_bytes],
        )

    def frame(self, seat: int) -> NDArray[np.uint8]:
        """uint8[frame_bytes]: what a seat sees, a copy."""
        if self._last is not None:
            last: NDArray[np.uint8] = self._last.frames[seat]
            return last
        frame: NDArray[np.uint8] = self._slots.frames(self.row)[seat, : self.frame_bytes].copy()
        return frame

    def is_alive(self, seat: int) -> bool:
        """Whether a seat of a game that has begun lives."""
        return bool(self.board.alive[seat])

    def queued(self, seat: int) -> int:
        """Moves of a seat that wait."""
        return 0 if self.row < 0 else int(self._slots.queues.n_orders[self.row, seat])

    def is_awaited(self, seat: int) -> bool:
        """Whether the game runs and waits for a seat: it lives, and nothing of it waits."""
        if self.phase is not Phase.RUNNING:
            return False
        clocks, row = self._slots.clocks, self.row
        return bool(
            self._slots.games.alive[row, seat]
            and clocks.bot[row, seat] == NO_BOT
            and not clocks.acted[row, seat]
            and not self._slots.queues.n_orders[row, seat]
        )

    def duration_ms(self, now_ns: int) -> int:
        """Since the start, without pauses."""
        ran_ns = self.running_ns
        if self.phase is Phase.RUNNING:
            ran_ns += now_ns - self.since_ns
        return ran_ns // _NS_PER_MS

    def events_after(self, sequence: int) -> Iterator[Event]:
        """The kept events above a sequence, in their order."""
        n_new = min(self.last_event - sequence, len(self.events))
        for at in range(len(self.events) - max(n_new, 0), len(self.events)):
            yield self.events[at]

    def seat_of(self, digest: bytes) -> int | None:
        """The seat of a token; every seat is compared, whichever it is."""
        found = None
        for number, seat in enumerate(self.seats):
            if seat.has_token(digest):
                found = number
        return found

    @property
    def last_bytes(self) -> int:
        """Of the board that is kept of a game that is over."""
        return 0 if self._last is None else sum(array.nbytes for array in self._last)

    def keep_last(self) -> None:
        """Copy what is kept of the board, as the row is given back."""
        if self.has_board:
            self._last = self.board.copy()
