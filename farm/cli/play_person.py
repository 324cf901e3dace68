"""What a person at a terminal has told a game, and what it has answered. Pure: no clock, no screen.

Moves are queued with the arrows while a cell is selected; what waits is what the game has accepted
and not yet made, and behind it what is on its way to it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from farm.cli.play_events import event_text
from farm.client import ActionResult, GameInfo, GameObservation, GameUpdate, Move, Phase
from farm.spec import tiles

KEYS: Final[Mapping[bytes, str]] = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"w": "up",
    b"s": "down",
    b"d": "right",
    b"a": "left",
    b" ": "select",
    b"z": "half",
    b"q": "clear",
    b"e": "undo",
    b"\n": "pass",
    b"\r": "pass",
    b".": "pass",
    b"h": "home",
    b"p": "pause",
    b"x": "surrender",
}
KEYS_HELP: Final = (
    "arrows/wasd move   space select   z half   q clear   e undo   enter pass   h home   "
    "p pause   x surrender   ctrl-c leave"
)
_STEPS: Final = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_KEPT_NEWS: Final = 4


@dataclass(frozen=True, slots=True)
class Send:
    """An action for the game."""

    moves: tuple[Move, ...] = ()
    clear: bool = False
    expected_tick: int | None = None


class Ask(NamedTuple):
    """Something else for the client to do: `pause`, `resume` or `surrender`."""

    what: str


Command: TypeAlias = Send | Ask


class Person:
    """One seat of one game, as the person at the terminal plays it.

    Attributes:
        update: the newest; None before the first.
        cursor: cell; None before there is a board.
        is_selected: whether the arrows move the army under the cursor instead of the cursor.
        is_half: whether the next move takes half.
        news: the last things to know, newest last.
        is_connected: whether the game is heard of.

    Args:
        info: the game.
        seat: of the person.
        is_owner: whether the person made the game, and may pause it.
    """

    def __init__(self, info: GameInfo, seat: int, *, is_owner: bool) -> None:
        self.info = info
        self.seat = seat
        self.is_owner = is_owner
        self.update: GameUpdate | None = None
        self.cursor: int | None = None
        self.is_selected = False
        self.is_half = False
        self.is_connected = True
        self.news: deque[str] = deque(maxlen=_KEPT_NEWS)
        self._accepted: list[Move] = []
        self._on_the_way: OrderedDict[str, Send] = OrderedDict()
        self._early: dict[str, ActionResult] = {}
        self._wants_out = False

    @property
    def seen(self) -> GameObservation | None:
        """The board, if there is one."""
        return self.update if isinstance(self.update, GameObservation) else None

    @property
    def waiting(self) -> list[Move]:
        """Moves that were not made yet, in order."""
        moves = self._accepted
        for send in self._on_the_way.values():
            moves = [*([] if send.clear else moves), *send.moves]
        return moves

    @property
    def is_over(self) -> bool:
        """Whether the game is."""
        return self.update is not None and self.update.phase.is_over

    def take(self, update: GameUpdate) -> None:
        """The game has moved on."""
        self.update = update
        if isinstance(update, GameObservation):
            if self.cursor is None:
                self.cursor = update.general if update.general is not None else 0
            self._keep(update.queued)
        for event in update.events:
            self.news.append(event_text(event, self.info))

    def sent(self, key: str, send: Send) -> None:
        """An action is on its way."""
        self._on_the_way[key] = send
        if (result := self._early.pop(key, None)) is not None:
            self.answered(result)

    def answered(self, result: ActionResult) -> None:
        """The game has accepted or refused it."""
        send = self._on_the_way.pop(result.key, None)
        if send is None:
            # It came before `sent` was called: the two are different tasks' work.
            self._early[result.key] = result
        elif result.error is not None:
            self.news.append(f"refused: {result.error.detail}")
            if send.moves and self.is_selected:
                # What was told after it began where this one would have ended.
                self.cursor = send.moves[0].start
                self.is_selected = False
        else:
            self._accepted = [*([] if send.clear else self._accepted), *send.moves]
            self._keep(result.queued)

    def press(self, key: str) -> Command | None:
        """Do what a key asks for; what is then to be sent."""
        wanted_out, self._wants_out = self._wants_out, False
        if key in _STEPS:
            return self._step(*_STEPS[key])
        if key == "surrender":
            if wanted_out:
                return Ask("surrender")
            self._wants_out = True
            self.news.append("x again gives the game up")
            return None
        actions: Mapping[str, Callable[[], Command | None]] = {
            "select": self._select,
            "half": self._halve,
            "clear": lambda: Send(clear=True),
            "pass": Send,
            "undo": self._undo,
            "home": self._go_home,
            "pause": self._pause,
        }
        return actions[key]()

    def _keep(self, n_queued: int) -> None:
        """Of what was accepted the game makes the first first."""
        self._accepted = self._accepted[-n_queued:] if n_queued else []

    def _step(self, rows: int, columns: int) -> Command | None:
        seen = self.seen
        if seen is None or self.cursor is None:
            return None
        row, column = divmod(self.cursor, seen.width)
        row, column = row + rows, column + columns
        if not (0 <= row < seen.height and 0 <= column < seen.width):
            return None
        start, end = self.cursor, row * seen.width + column
        if not self.is_selected:
            self.cursor = end
            return None
        if seen.terrain.flat[end] == tiles.MOUNTAIN:
            self.news.append("that is a mountain")
            return None
        self.cursor = end
        move = Move(start, end, half=self.is_half)
        self.is_half = False
        return Send((move,))

    def _select(self) -> None:
        self.is_selected = not self.is_selected
        self.is_half = False

    def _halve(self) -> None:
        self.is_half = not self.is_half

    def _undo(self) -> Command | None:
        """Forget the last move: all of them, and all but the last again, if no tick intervenes."""
        waiting = self.waiting
        if self._on_the_way or not waiting or self.update is None:
            self.news.append("there is nothing to undo" if not waiting else "one at a time")
            return None
        *rest, last = waiting
        if self.cursor == last.end:
            self.cursor = last.start
        return Send(tuple(rest), clear=True, expected_tick=self.update.tick)

    def _go_home(self) -> None:
        if self.seen is not None and self.seen.general is not None:
            self.cursor = self.seen.general
            self.is_selected = False

    def _pause(self) -> Command | None:
        if not self.is_owner:
            self.news.append("only who made the game pauses it")
            return None
        is_paused = self.update is not None and self.update.phase is Phase.PAUSED
        return Ask("resume" if is_paused else "pause")
