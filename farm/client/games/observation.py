"""What a client sees of a game: a seat's observation, a spectator's board, or neither yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from farm.client.games.moves import Move, index_of, move_of
from farm.client.games.values import GameEvent, Phase
from farm.spec import tiles
from farm.spec.actions import DOWN, LEFT, RIGHT, UP, legal_mask, pass_action
from farm.spec.limits import TICKS_PER_TURN


class Score(NamedTuple):
    """A line of the scoreboard, which everybody sees."""

    army: int
    land: int
    """Cells."""
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GameUpdate:
    """Where a game stands, and what happened since the update before. Of a lobby that is all."""

    game_id: int
    tick: int
    """Half-moves of the rules since the start."""
    phase: Phase
    events: tuple[GameEvent, ...] = ()
    """Since the update before, in order, each once."""
    to_move: bool = False
    """The game runs and waits for this seat: it lives, and nothing of it waits."""
    queued: int = 0
    """Moves of this seat that wait."""
    winners: tuple[int, ...] = ()
    """Of an ended game: seats of the side that won; none if nobody did."""

    @property
    def turn(self) -> int:
        """Turns since the start: two ticks each."""
        return self.tick // TICKS_PER_TURN

    def since(self, after_event: int) -> Self:
        """The same with the events behind one, of which each question brings all that are kept."""
        return replace(self, events=tuple(e for e in self.events if e.sequence > after_event))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GameObservation(GameUpdate):
    """What one seat sees.

    Cells are row * width + column. Owners are relative: 1 is this seat, then its teammates, then
    its enemies, each by seat order; 0 is neutral, 31 out of sight. Arrays are of this observation
    alone and may be kept; they are read-only.
    """

    seat: int
    n_seats: int
    n_allies: int
    """Teammates, this seat not counted."""
    height: int
    width: int
    frame: np.void
    """frame_dtype(height, width, n_seats): army, tile, total_army, total_land, alive."""
    _legal: list[NDArray[np.bool]] = field(default_factory=list, repr=False)

    @property
    def n_cells(self) -> int:
        """Cells of the board."""
        return self.height * self.width

    @property
    def army(self) -> NDArray[np.uint16]:
        """uint16[height, width]: armies in sight, up to 65,535; 0 in fog."""
        return self.frame["army"]  # type: ignore[no-any-return]

    @property
    def owner(self) -> NDArray[np.uint8]:
        """uint8[height, width]: whose each cell is, by the codes above."""
        return self.frame["tile"] & np.uint8(tiles.OWNER_MASK)  # type: ignore[no-any-return]

    @property
    def terrain(self) -> NDArray[np.uint8]:
        """uint8[height, width]: terrain codes of farm.spec.tiles."""
        return self.frame["tile"] >> np.uint8(tiles.OWNER_BITS)  # type: ignore[no-any-return]

    @property
    def own(self) -> NDArray[np.bool]:
        """bool[height, width]: this seat's cells."""
        return _mask(self.owner == tiles.SELF)

    @property
    def allied(self) -> NDArray[np.bool]:
        """bool[height, width]: cells of its teammates."""
        owner = self.owner
        return _mask((owner > tiles.SELF) & (owner <= tiles.SELF + self.n_allies))

    @property
    def enemy(self) -> NDArray[np.bool]:
        """bool[height, width]: cells of enemies in sight."""
        owner = self.owner
        return _mask((owner > tiles.SELF + self.n_allies) & (owner != tiles.FOG))

    @property
    def fog(self) -> NDArray[np.bool]:
        """bool[height, width]: cells out of sight."""
        return _mask(self.owner == tiles.FOG)

    @property
    def mountain(self) -> NDArray[np.bool]:
        """bool[height, width]: mountains in sight."""
        return _mask(self.terrain == tiles.MOUNTAIN)

    @property
    def city(self) -> NDArray[np.bool]:
        """bool[height, width]: cities in sight, whosever they are."""
        return _mask(self.terrain == tiles.CITY)

    @property
    def general(self) -> int | None:
        """Cell of this seat's general; None once it is out."""
        return next(iter(_cells(self.own & (self.terrain == tiles.GENERAL))), None)

    @property
    def own_cells(self) -> list[int]:
        """This seat's cells."""
        return _cells(self.own)

    @property
    def enemy_cells(self) -> list[int]:
        """Cells of enemies in sight."""
        return _cells(self.enemy)

    @property
    def enemy_generals(self) -> list[int]:
        """Cells of enemies' generals in sight."""
        return _cells(self.enemy & (self.terrain == tiles.GENERAL))

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scoreboard in the order of the owners: this seat, teammates, enemies."""
        rows = zip(
            self.frame["total_army"], self.frame["total_land"], self.frame["alive"], strict=True
        )
        return tuple(Score(int(army), int(land), bool(alive)) for army, land, alive in rows)

    @property
    def is_alive(self) -> bool:
        """Whether this seat is in the game."""
        return bool(self.frame["alive"][0])

    @property
    def legal_mask(self) -> NDArray[np.bool]:
        """bool[8 * n_cells + 1]: which actions the rules would carry out; made when asked for."""
        if not self._legal:
            mask = legal_mask(self.frame["tile"], self.frame["army"], self.n_allies)
            mask.flags.writeable = False
            self._legal.append(mask)
        return self._legal[0]

    @property
    def passing(self) -> int:
        """Index of the action that does nothing."""
        return pass_action(self.n_cells)

    def moves(self, *, halves: bool = False) -> list[Move]:
        """The legal moves, by start, then up, down, left, right.

        Args:
            halves: whether those with half of the army are among them.
        """
        indices = np.flatnonzero(self.legal_mask[:-1])
        wanted = indices if halves else indices[indices % 2 == 0]
        made = (move_of(int(index), self.height, self.width) for index in wanted)
        return [move for move in made if move is not None]

    def is_legal(self, move: Move) -> bool:
        """Whether the rules would carry out a move now.

        Raises:
            UsageError: its cells are not side by side on the board.
        """
        return bool(self.legal_mask[index_of(move, self.height, self.width)])

    def army_at(self, cell: int) -> int:
        """Army of a cell; 0 in fog."""
        return int(self.army.flat[cell])

    def owner_of(self, cell: int) -> int:
        """Whose a cell is, by the codes above."""
        return int(self.frame["tile"].flat[cell]) & tiles.OWNER_MASK

    def neighbours(self, cell: int) -> list[int]:
        """The cells beside one, mountains too: up, down, left, right as far as the board goes."""
        return list(_beside(cell, self.height, self.width))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GameBoard(GameUpdate):
    """What a spectator sees: everything."""

    height: int
    width: int
    owner: NDArray[np.int8]
    """int8[height, width]: seat, -1 neutral, -2 mountain."""
    army: NDArray[np.int32]
    """int32[height, width]."""
    terrain: NDArray[np.uint8]
    """uint8[height, width]: terrain codes of farm.spec.tiles."""
    scores: tuple[Score, ...]
    """By seat."""


def _mask(mask: NDArray[np.bool]) -> NDArray[np.bool]:
    """A comparison of arrays, of which NumPy's types say that it may be anything."""
    return mask


def _cells(mask: NDArray[np.bool]) -> list[int]:
    return np.flatnonzero(mask).tolist()


def _beside(cell: int, height: int, width: int) -> Iterator[int]:
    row, column = divmod(cell, width)
    steps = {
        UP: row > 0,
        DOWN: row < height - 1,
        LEFT: column > 0,
        RIGHT: column < width - 1,
    }
    for direction, step in ((UP, -width), (DOWN, width), (LEFT, -1), (RIGHT, 1)):
        if steps[direction]:
            yield cell + step
