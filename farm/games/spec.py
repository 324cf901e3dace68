"""What a game is to be: checked, and everything that the engine sets it up from."""

from collections.abc import Mapping
from typing import Final
from unicodedata import category

from msgspec import Struct, structs

from farm.config.schema import GamesConfig
from farm.engine.rules import VARIANTS, variant
from farm.engine.settings import HEIGHT, TICKS, WIDTH, Settings, named_settings
from farm.errors import GameError
from farm.policies.registry import POLICY_NAMES
from farm.replay.boards import map_of
from farm.replay.model import AnyMap
from farm.spec.boards import Board, max_board, parse_board
from farm.spec.limits import MIN_SEATS, MIN_SIDE, TICKS_PER_TURN

MAX_NAME: Final = 64
"""Characters of a game's name."""
MAX_KEY: Final = 64
"""Characters of an idempotency key."""
MAX_BOARD_TEXT: Final = 64 << 10
"""Characters of a board as text: the largest has 4096 cells of up to 8."""
MIN_TICK_MS: Final = 10
MAX_TICK_MS: Final = 600_000
MAX_TURNS: Final = 25_000
MAX_MOUNTAINS: Final = 0.35
MAX_SEED: Final = 1 << 64
_TEAM_LOW, _TEAM_HIGH = 0, 127
_UNREADABLE: Final = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories: control characters, escape among them, and breaks of lines."""
KINDS: Final = ("uniform", "official", "toy", "fixed")


class GameSpec(Struct, frozen=True, kw_only=True):
    """A game as its creator wants it; `check` says whether it can be had."""

    n_seats: int
    kind: str
    """Of the map: one of KINDS."""
    name: str = ""
    height: int = 0
    """Of a uniform or toy map."""
    width: int = 0
    mountains: float = 0.2
    cities: int = 10
    board: str = ""
    """Of a fixed map, as text."""
    teams: tuple[int, ...] = ()
    """Empty: everybody alone."""
    no_fog: bool = False
    rules: str = "official"
    seed: int | None = None
    """None: drawn when the game is made."""
    tick_ms: int = 0
    """0: lockstep."""
    collect: bool = False
    bots: Mapping[int, str] = {}
    """Policy by seat."""
    spectators: bool = False
    max_turns: int = 0
    """0 takes `games.max_turns`."""


def check(spec: GameSpec, config: GamesConfig) -> GameSpec:
    """The spec with what it leaves open filled in but for the seed.

    Raises:
        GameError: BAD_REQUEST, no game can be so; the message names the field.
    """
    _demand(len(spec.name) <= MAX_NAME, f"name: at most {MAX_NAME} characters")
    check_name(spec.name)
    _check_seats(spec, config)
    _check_map(spec, config)
    timed = MIN_TICK_MS <= spec.tick_ms <= MAX_TICK_MS
    _demand(
        spec.tick_ms == 0 or timed,
        f"tick_ms: {spec.tick_ms}; 0 for lockstep, or {MIN_TICK_MS} to {MAX_TICK_MS:,}",
    )
    _demand(spec.rules in VARIANTS, f"rules: {spec.rules[:40]!r} is none of {', '.join(VARIANTS)}")
    _demand(spec.max_turns <= MAX_TURNS, f"max_turns: at most {MAX_TURNS:,}")
    checked = structs.replace(spec, max_turns=spec.max_turns or config.max_turns)
    try:
        made = settings_of(checked)
    except ValueError as error:
        raise GameError("BAD_REQUEST", f"map: {error}") from None
    height, width = int(made.numbers[HEIGHT]), int(made.numbers[WIDTH])
    _demand(
        max(height, width) <= config.max_side,
        f"height, width: {height}x{width}, and games.max_side is {config.max_side}",
    )
    return checked


def settings_of(spec: GameSpec) -> Settings:
    """What the engine sets the game up from.

    Raises:
        ValueError: there is no such map.
    """
    return named_settings(
        spec.kind,
        spec.n_seats,
        size=(spec.height, spec.width),
        mountains=spec.mountains,
        cities=spec.cities,
        pad=True,
        board=_board(spec) if spec.kind == "fixed" else None,
        max_ticks=TICKS_PER_TURN * spec.max_turns,
        teams=spec.teams or None,
        rules=variant(spec.rules),
    )


def check_name(name: str) -> None:
    """Raise GameError BAD_REQUEST if a name would do more on a terminal than be read there."""
    _demand(
        not any(category(character) in _UNREADABLE for character in name),
        f"name: {name[:40]!r} has control characters",
    )


def replay_map(spec: GameSpec) -> AnyMap:
    """The map as a replay has it; the spec has a seed."""
    return map_of(settings_of(spec), spec.seed or 0, 0)


def max_ticks(spec: GameSpec) -> int:
    """Tick at which the game is truncated."""
    return int(settings_of(spec).numbers[TICKS])


def size_of(spec: GameSpec) -> tuple[int, int]:
    """Height and width of the board."""
    if spec.kind == "official":
        return max_board(spec.n_seats, len(set(spec.teams)) or spec.n_seats)
    if spec.kind == "fixed":
        board = _board(spec)
        return board.height, board.width
    return spec.height, spec.width


def _check_seats(spec: GameSpec, config: GamesConfig) -> None:
    n_seats = spec.n_seats
    _demand(
        MIN_SEATS <= n_seats <= config.max_seats,
        f"n_seats: {n_seats}; {MIN_SEATS} to {config.max_seats} (games.max_seats)",
    )
    _demand(
        len(spec.teams) in {0, n_seats}, f"teams: {len(spec.teams)} numbers for {n_seats} seats"
    )
    _demand(
        not spec.teams or len(set(spec.teams)) > 1,
        "teams: all seats are in one; a game has at least two sides",
    )
    _demand(
        all(_TEAM_LOW <= team <= _TEAM_HIGH for team in spec.teams),
        f"teams: numbers are {_TEAM_LOW} to {_TEAM_HIGH}",
    )
    for seat, policy in spec.bots.items():
        _demand(0 <= seat < n_seats, f"bots: seat {seat} in a game of {n_seats} seats")
        _demand(
            policy in POLICY_NAMES,
            f"bots: {policy[:40]!r} is none of {', '.join(POLICY_NAMES)}",
        )


def _check_map(spec: GameSpec, config: GamesConfig) -> None:
    if spec.kind == "fixed":
        _check_board(spec)
    elif spec.kind in {"uniform", "toy"}:
        for field, cells in (("height", spec.height), ("width", spec.width)):
            _demand(
                MIN_SIDE <= cells <= config.max_side,
                f"{field}: {cells}; {MIN_SIDE} to {config.max_side} (games.max_side)",
            )
    if spec.kind == "uniform":
        _demand(
            0 <= spec.mountains <= MAX_MOUNTAINS,
            f"mountains: {spec.mountains}; a share of 0 to {MAX_MOUNTAINS}",
        )
        n_cells = spec.height * spec.width
        _demand(spec.cities <= n_cells, f"cities: {spec.cities} on a board of {n_cells} cells")


def _check_board(spec: GameSpec) -> None:
    _demand(len(spec.board) <= MAX_BOARD_TEXT, f"board: at most {MAX_BOARD_TEXT:,} characters")
    try:
        board = _board(spec)
    except ValueError as error:
        raise GameError("BAD_REQUEST", f"board: {error}") from None
    _demand(
        len(board.generals) == spec.n_seats,
        f"board: {len(board.generals)} generals for {spec.n_seats} seats",
    )


def _board(spec: GameSpec) -> Board:
    return parse_board(spec.board)


def _demand(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise GameError("BAD_REQUEST", message)
