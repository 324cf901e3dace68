"""A replay on a terminal: the board in colours, played at a speed or by keys."""

import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from farm.cli.keyboard import keyboard, meanings
from farm.cli.seat_colours import SEAT_COLOURS
from farm.engine.state import MOUNTAIN_OWNER
from farm.replay.characters import LEGEND, SEAT_LETTERS, column_width, seat_name
from farm.replay.look import FOG_OWNER, Look, cell_texts, look
from farm.replay.model import Replay
from farm.replay.simulate import Playback
from farm.replay.text import due_text, end_text

KEYS_HELP: Final = "space pause   → ← tick   + - speed   f seat   home end   q quit"
MIN_SPEED, MAX_SPEED = 0.25, 256.0

_NS_PER_S: Final = 1_000_000_000
_LONGEST_WAIT_S: Final = 0.1
_SCORES_WIDTH: Final = 30
"""Columns that the scoreboard and the space before it take, with names of usual length."""
_SEQUENCES: Final = {
    b"\x1b[C": "next",
    b"\x1b[D": "back",
    b"\x1b[H": "start",
    b"\x1b[F": "end",
    b" ": "pause",
    b"n": "next",
    b"p": "back",
    b"0": "start",
    b"$": "end",
    b"+": "faster",
    b"=": "faster",
    b"-": "slower",
    b"f": "seat",
    b"q": "quit",
}


class Viewer:
    """What is shown: a tick, a seat, a speed. A duty cycle: no clock, no terminal.

    Args:
        replay: the game.
        seat: who looks; None sees everything.
        ticks_per_s: speed.
    """

    def __init__(self, replay: Replay, *, seat: int | None, ticks_per_s: float) -> None:
        self.playback = Playback(replay)
        self.seat = seat
        self.ticks_per_s = ticks_per_s
        self.is_paused = False
        self.wants_out = False
        self._due_ns: int | None = None

    @property
    def is_at_end(self) -> bool:
        """Whether the last tick is shown."""
        return not self.playback.has_more

    def press(self, key: str) -> None:
        """Do what a key asks for."""
        match key:
            case "pause":
                self.is_paused = not self.is_paused
            case "next" | "back":
                self.is_paused = True
                self.seek(self.playback.tick + (1 if key == "next" else -1))
            case "start" | "end":
                self.is_paused = True
                self.seek(0 if key == "start" else self.playback.replay.n_ticks)
            case "faster":
                self.ticks_per_s = min(self.ticks_per_s * 2, MAX_SPEED)
            case "slower":
                self.ticks_per_s = max(self.ticks_per_s / 2, MIN_SPEED)
            case "seat":
                following = 0 if self.seat is None else self.seat + 1
                self.seat = following if following < self.playback.n_seats else None
            case "quit":
                self.wants_out = True

    def seek(self, tick: int) -> None:
        """Go to a tick, or as near as the recording does."""
        if tick < self.playback.tick:
            self.playback = Playback(self.playback.replay)
        while self.playback.tick < tick and self.playback.has_more:
            self.playback.step()

    def poll(self, now_ns: int) -> int:
        """Play the ticks that are due.

        Returns:
            Ticks played.
        """
        if self._due_ns is None or self.is_paused:
            self._due_ns = now_ns + round(_NS_PER_S / self.ticks_per_s)
            return 0
        n_due = 0
        while self._due_ns <= now_ns and self.playback.has_more:
            self.playback.step()
            self._due_ns += round(_NS_PER_S / self.ticks_per_s)
            n_due += 1
        return n_due

    def wait_s(self, now_ns: int) -> float:
        """How long nothing is due; bounded."""
        if self._due_ns is None or self.is_paused or self.is_at_end:
            return _LONGEST_WAIT_S
        return min(max((self._due_ns - now_ns) / _NS_PER_S, 0.0), _LONGEST_WAIT_S)


def show(replay: Replay, *, seat: int | None, ticks_per_s: float) -> None:
    """Play a replay on the terminal until its end or `q`; without a keyboard until its end."""
    viewer = _open(replay, seat=seat, ticks_per_s=ticks_per_s)
    with keyboard() as keys_fd, Live(auto_refresh=False, screen=True) as live:
        shown = None
        while not viewer.wants_out:
            viewer.poll(time.monotonic_ns())
            state = (viewer.playback.tick, viewer.seat, viewer.is_paused, viewer.ticks_per_s)
            if state != shown:
                drawn = picture(viewer, keys=keys_fd is not None, width=_room(live.console))
                live.update(drawn, refresh=True)
                shown = state
            if keys_fd is None and viewer.is_at_end:
                break
            for key in _keys(keys_fd, viewer.wait_s(time.monotonic_ns())):
                viewer.press(key)
    Console(highlight=False).print(end_text(viewer.playback))


def print_still(replay: Replay, *, tick: int, seat: int | None) -> None:
    """Print the board at a tick, or at the end of a shorter recording."""
    viewer = _open(replay, seat=seat, ticks_per_s=1.0)
    viewer.seek(tick)
    wide = None if sys.stdout.isatty() else 1_000
    console = Console(width=wide, highlight=False)
    console.print(picture(viewer, keys=False, width=_room(console)))


def picture(viewer: Viewer, *, keys: bool, width: int | None = None) -> Group:
    """Title, what comes next, and below them, where a low terminal cuts, board and scoreboard.

    Args:
        viewer: what to show.
        keys: whether to say which keys there are.
        width: columns of a terminal with colours, for which a wide board is drawn closer.
    """
    playback = viewer.playback
    view = look(playback, viewer.seat)
    players = playback.replay.players
    seen_by = "all-seeing" if viewer.seat is None else f"seen by {seat_name(viewer.seat, players)}"
    title = f"{playback.replay.game_id}   tick {view.tick} of {playback.replay.n_ticks}   {seen_by}"
    room = None if width is None else width - _SCORES_WIDTH
    cells = board(view, width=room)
    if room is not None and len(cells.plain.splitlines()[0]) > room:
        body: Group | Table = Group(score_line(view), cells)
    else:
        body = Table.grid(padding=(0, 3))
        body.add_row(cells, scoreboard(view, players))
    following = due_text(playback) if playback.has_more else end_text(playback)
    lines = [Text(title, style="bold"), Text(following)]
    if keys:
        pace = "paused" if viewer.is_paused else f"{viewer.ticks_per_s:g} ticks/s"
        lines.append(Text(f"{KEYS_HELP}   {pace}", style="dim"))
    return Group(*lines, body, Text(LEGEND, style="dim"))


def board(view: Look, *, width: int | None = None) -> Text:
    """The board: owners by letter and by colour; by colour alone where `width` is too narrow."""
    texts = cell_texts(view)
    column = column_width(texts)
    if width is not None and column * view.width > width:
        texts = [text.lstrip(SEAT_LETTERS) for text in texts]
        column = max(map(len, texts))
    drawn = Text(no_wrap=True, overflow="crop")
    for cell, text in enumerate(texts):
        if cell and cell % view.width == 0:
            drawn.append("\n")
        drawn.append(text.rjust(column), style=_style(int(view.owner[cell]), text))
    return drawn


def scoreboard(view: Look, players: tuple[str, ...]) -> Table:
    """Army and land of everybody."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("seat", no_wrap=True)
    table.add_column("army", justify="right")
    table.add_column("land", justify="right")
    for seat, score in enumerate(view.scores):
        name = Text(f" {seat_name(seat, players)} ", style=f"bold white on {SEAT_COLOURS[seat]}")
        table.add_row(name, str(score.army), str(score.land), style="" if score.alive else "strike")
    return table


def score_line(view: Look) -> Text:
    """Army and land of everybody who lives, for a board that leaves no room beside it."""
    line = Text(no_wrap=True, overflow="crop")
    for seat, score in enumerate(view.scores):
        if score.alive:
            text = f" {SEAT_LETTERS[seat]} {score.army}/{score.land} "
            line.append(text, style=f"bold white on {SEAT_COLOURS[seat]}")
    return line


def _open(replay: Replay, *, seat: int | None, ticks_per_s: float) -> Viewer:
    """A viewer whose kernels are compiled, saying so on a terminal meanwhile."""
    words = "setting up the game (a first run compiles the rules, which takes a minute)"
    with Console(stderr=True).status(words):
        viewer = Viewer(replay, seat=seat, ticks_per_s=ticks_per_s)
        viewer.seek(1)
        viewer.seek(0)
    return viewer


def _room(console: Console) -> int | None:
    """Columns of a terminal with colours; None where owners need their letters."""
    return console.width if console.is_terminal and console.color_system else None


def _style(owner: int, text: str) -> str:
    if owner >= 0:
        return f"bold white on {SEAT_COLOURS[owner]}"
    if owner == MOUNTAIN_OWNER:
        return "bright_black"
    if owner == FOG_OWNER:
        return "bright_black on grey11"
    return "yellow" if text[:1].isdigit() else "dim"


def _keys(keys_fd: int | None, wait_s: float) -> Iterator[str]:
    """The keys pressed within a time."""
    if keys_fd is None:
        time.sleep(wait_s)
        return
    ready, _, _ = select.select([keys_fd], [], [], wait_s)
    pressed = os.read(keys_fd, 64) if ready else b""
    yield from meanings(pressed, _SEQUENCES)
