"""Boards that everybody agrees on: a given one and its text, and how large official ones get.

The text of a board has a line for each row and cells apart by spaces, of equally many in each row:

    .      land               N7     land with a neutral army of 7
    M      mountain           C45    city with an army of 45
    S      swamp              S7     swamp with a neutral army of 7
    D      desert             D7     desert with a neutral army of 7
    G0     general of seat 0; seats count from 0 without a gap

Empty lines, and what follows a `#`, are left out.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from farm.spec.limits import MAX_SEATS, MAX_SIDE, MIN_SEATS, MIN_SIDE

MAX_CITY_ARMY: Final = 1_000_000
"""Bounds a neutral army in a text, far above any use and far below int32."""

_CELL: Final = re.compile(r"([.MSDNCG])(\d{0,7})")
_NUMBER: Final = {".": "no", "M": "no", "S": "any", "D": "any", "N": "a", "C": "a", "G": "a"}
"""Which codes carry a number: `no` never, `a` always, `any` as one likes."""


@dataclass(frozen=True, slots=True)
class Board:
    """A board by lists of cells (row * width + column)."""

    height: int
    width: int
    generals: Sequence[int]
    """Cell of each player's general."""
    mountains: Sequence[int] = ()
    cities: Sequence[int] = ()
    city_armies: Sequence[int] = ()
    """Beside `cities`."""
    swamps: Sequence[int] = ()
    deserts: Sequence[int] = ()
    neutrals: Sequence[int] = ()
    """Neutral cells with an army of their own."""
    neutral_armies: Sequence[int] = ()
    """Beside `neutrals`."""
    teams: Sequence[int] | None = None
    """For each player a number, equal for teammates."""


def parse_board(text: str) -> Board:
    """The board of a text in the format above; it has no teams.

    Raises:
        ValueError: the text is no such board; the message names line and cell.
    """
    rows = list(_rows(text))
    height, width = len(rows), len(rows[0][1]) if rows else 0
    if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE):
        raise ValueError(f"{height} rows of {width} cells; both are {MIN_SIDE} to {MAX_SIDE}")
    found: dict[str, list[tuple[int, int | None]]] = {code: [] for code in _NUMBER}
    for row, (line, cells) in enumerate(rows):
        if len(cells) != width:
            raise ValueError(f"line {line}: {len(cells)} cells, and {width} in the first row")
        for column, cell in enumerate(cells):
            code, number = _code(line, cell)
            found[code].append((row * width + column, number))
    cities = found["C"]
    neutrals = [
        (cell, number) for code in "NSD" for cell, number in found[code] if number is not None
    ]
    return Board(
        height=height,
        width=width,
        generals=_generals(found["G"]),
        mountains=tuple(cell for cell, _ in found["M"]),
        cities=tuple(cell for cell, _ in cities),
        city_armies=tuple(number or 0 for _, number in cities),
        swamps=tuple(cell for cell, _ in found["S"]),
        deserts=tuple(cell for cell, _ in found["D"]),
        neutrals=tuple(cell for cell, _ in neutrals),
        neutral_armies=tuple(number for _, number in neutrals),
    )


def board_text(board: Board) -> str:
    """The text of a board, from which `parse_board` makes the same one, but for its teams."""
    armies = dict(zip(board.neutrals, board.neutral_armies, strict=True))
    cells = {cell: f"N{army}" for cell, army in armies.items()}
    for code, those in (("S", board.swamps), ("D", board.deserts)):
        cells |= {cell: f"{code}{armies.get(cell, '')}" for cell in those}
    cells |= dict.fromkeys(board.mountains, "M")
    for cell, army in zip(board.cities, board.city_armies, strict=True):
        cells[cell] = f"C{army}"
    cells |= {cell: f"G{seat}" for seat, cell in enumerate(board.generals)}
    wide = max(map(len, cells.values()), default=1)
    rows = (
        " ".join(cells.get(first + column, ".").ljust(wide) for column in range(board.width))
        for first in range(0, board.height * board.width, board.width)
    )
    return "".join(f"{row.rstrip()}\n" for row in rows)


def least_side(n_seats: int, n_sides: int) -> float:
    """The shortest side of an official board before it is rounded, a multiple of a half.

    RULES.md, "Map generation": 16 + min(8, n), plus (n - 6) / 2 for n above 6, plus (s - 2) / 2
    with teams and s above 2.
    """
    side = 16.0 + min(8, n_seats) + max(0, n_seats - 6) / 2
    if n_sides < n_seats:
        side += max(0, n_sides - 2) / 2
    return side


def side_range(n_seats: int) -> float:
    """How much longer than the least a side of an official board can be, never quite reached."""
    return 4 + n_seats / 2


def max_board(n_seats: int, n_sides: int) -> tuple[int, int]:
    """Height and width of the largest official board for that many seats and sides."""
    side = math.ceil(least_side(n_seats, n_sides) + side_range(n_seats) - 0.5)
    return side, side


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that has any."""
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.partition("#")[0].split()
        if cells:
            yield number, cells


def _code(line: int, cell: str) -> tuple[str, int | None]:
    match = _CELL.fullmatch(cell)
    if match is None:
        raise ValueError(f"line {line}: cell {cell!r}; cells are {' '.join(_NUMBER)} and a number")
    code, digits = match.groups()
    wanted = _NUMBER[code]
    if (wanted == "a" and not digits) or (wanted == "no" and digits):
        raise ValueError(f"line {line}: cell {cell!r}; {code} takes {wanted} number")
    if not digits:
        return code, None
    if int(digits) > MAX_CITY_ARMY:
        raise ValueError(f"line {line}: cell {cell!r}; at most {MAX_CITY_ARMY:,}")
    return code, int(digits)


def _generals(found: Sequence[tuple[int, int | None]]) -> tuple[int, ...]:
    by_seat = sorted((number or 0, cell) for cell, number in found)
    seats = [seat for seat, _ in by_seat]
    if seats != list(range(len(seats))) or not MIN_SEATS <= len(seats) <= MAX_SEATS:
        raise ValueError(
            f"generals of seats {seats}; each seat from 0 on has one, {MIN_SEATS} to {MAX_SEATS}"
        )
    return tuple(cell for _, cell in by_seat)
