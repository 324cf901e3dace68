"""How large the boards of a match can be, and the board of a map file."""

from pathlib import Path

from farm.config.schema import MatchConfig
from farm.errors import ConfigError
from farm.spec.boards import Board, max_board, parse_board
from farm.spec.limits import MAX_CELLS

MAX_MAP_BYTES = 16 * MAX_CELLS
"""Bounds what is read of a map file: sixteen characters a cell of the largest board."""


def largest_board(match: MatchConfig) -> tuple[int, int]:
    """Height and width of the largest board that games of a match are played on.

    Raises:
        ConfigError: the map file of a fixed map cannot be read.
    """
    if match.map == "official":
        return max_board(match.n_seats, match.n_sides)
    if match.map == "fixed":
        board = read_map(match)
        return board.height, board.width
    return match.size


def largest_cells(match: MatchConfig) -> int:
    """Cells of that board.

    Raises:
        ConfigError: likewise.
    """
    height, width = largest_board(match)
    return height * width


def read_map(match: MatchConfig) -> Board:
    """The board of `match.map_file`.

    Raises:
        ConfigError: there is none, or it holds no board.
    """
    if match.map_file is None:
        raise ConfigError("match.map_file", "match.map=fixed needs the file of a map")
    try:
        with Path(match.map_file).open(encoding="ascii") as file:
            text = file.read(MAX_MAP_BYTES + 1)
        board = parse_board(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError("match.map_file", f"{match.map_file}: {reason}") from error
    if len(text) > MAX_MAP_BYTES:
        raise ConfigError("match.map_file", f"{match.map_file}: above {MAX_MAP_BYTES:,} bytes")
    return board
