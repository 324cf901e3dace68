"""A game as a person sees it on a terminal: board, scoreboard, news."""

from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from farm.cli.play_events import names_of
from farm.cli.play_person import KEYS_HELP, Person
from farm.cli.seat_colours import SEAT_COLOURS
from farm.client import GameInfo, GameObservation, Move
from farm.replay.characters import (
    FOG,
    LEGEND,
    MOUNTAIN,
    NEUTRAL,
    SEAT_LETTERS,
    cell_text,
    column_width,
    seat_name,
)
from farm.spec import tiles

_SCORES_WIDTH: Final = 32
"""Columns that the scoreboard and the space before it take, with names of usual length."""
_LINES: Final = 9
"""Lines above and below the board."""
_LEAST: Final = 5
"""Rows and columns of a board that are drawn at least, however small the terminal."""


def picture(person: Person, *, width: int, height: int, has_colours: bool) -> Group:
    """Everything that is shown.

    Args:
        person: who plays.
        width: columns of the terminal.
        height: its lines.
        has_colours: whether owners are told by colour instead of by letter.
    """
    lines: list[Text | Table] = [Text(_title(person), style="bold", no_wrap=True, overflow="crop")]
    seen = person.seen
    if seen is None:
        lines.append(Text(_waiting_room(person)))
    else:
        order = seats_in_view(person.info, seen.seat)
        cells = _texts(seen, order, has_colours=has_colours)
        column = column_width([text for _, text in cells])
        is_wide = width >= column * min(seen.width, _LEAST * 2) + _SCORES_WIDTH
        room = width - _SCORES_WIDTH if is_wide else width
        size = (max(_LEAST, room // column), max(_LEAST, height - _LINES))
        drawn = _board(person, seen, cells, column, size)
        if is_wide:
            body = Table.grid(padding=(0, 2))
            body.add_row(drawn, _scoreboard(person, seen, order))
            lines.append(body)
        else:
            lines += [_score_line(seen, order), drawn]
    lines += [Text(news, style="yellow", no_wrap=True, overflow="crop") for news in person.news]
    lines.append(Text(_state(person), no_wrap=True, overflow="crop"))
    lines.append(Text(KEYS_HELP, style="dim", no_wrap=True, overflow="ellipsis"))
    if not has_colours:
        lines.append(Text(LEGEND, style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


def seats_in_view(info: GameInfo, seat: int) -> list[int]:
    """Seats in the order of the owner codes: the one that looks, its teammates, its enemies."""
    team = {row.seat: row.team for row in info.seats}
    others = sorted(row.seat for row in info.seats if row.seat != seat)
    allies = [other for other in others if team[other] == team.get(seat)]
    return [seat, *allies, *(other for other in others if other not in allies)]


def _title(person: Person) -> str:
    update = person.update
    if update is None:
        return f"game {person.info.game_id}   connecting"
    pace = f"{person.info.tick_ms} ms a tick" if person.info.tick_ms else "lockstep"
    state = update.phase.name.lower() if person.is_connected else "connecting again"
    you = seat_name(person.seat, names_of(person.info))
    where = f"game {update.game_id}   turn {update.turn}   tick {update.tick}"
    return f"{where}   {state}   {pace}   you are {you}"


def _waiting_room(person: Person) -> str:
    n_open = sum(seat.kind == "open" for seat in person.info.seats)
    return (
        f"waiting for {n_open or 'the'} other player{'s' if n_open != 1 else ''}: "
        f"farm play --game {person.info.game_id} --agent expander"
    )


def _state(person: Person) -> str:
    """What the keys do now."""
    parts = []
    if person.is_selected:
        parts.append("the arrows move the army" + (", half of it" if person.is_half else ""))
    else:
        parts.append("the arrows move the cursor; space takes hold of an army")
    n_waiting = len(person.waiting)
    if n_waiting:
        parts.append(f"{n_waiting} move{'s' if n_waiting > 1 else ''} queued")
    if person.update is not None and person.update.to_move and not person.info.tick_ms:
        parts.append("it is your move")
    return "   ".join(parts)


def _texts(seen: GameObservation, order: list[int], *, has_colours: bool) -> list[tuple[int, str]]:
    """Owner (seat, or a code of characters.py) and text of each cell."""
    owners = {tiles.NEUTRAL: NEUTRAL, tiles.FOG: FOG}
    owners |= {tiles.SELF + place: seat for place, seat in enumerate(order)}
    made = []
    rows = zip(
        seen.owner.ravel().tolist(),
        seen.army.ravel().tolist(),
        seen.terrain.ravel().tolist(),
        strict=True,
    )
    for code, army, terrain in rows:
        owner = MOUNTAIN if terrain == tiles.MOUNTAIN else owners[code]
        text = cell_text(owner, army, terrain)
        made.append((owner, text.lstrip(SEAT_LETTERS) if has_colours else text))
    return made


def _board(
    person: Person,
    seen: GameObservation,
    cells: list[tuple[int, str]],
    column: int,
    size: tuple[int, int],
) -> Text:
    """The board, or the part of it around the cursor; queued moves stand behind their cells."""
    queued = {move.start: _arrow(move, seen.width) for move in person.waiting}
    cursor = person.cursor or 0
    first_column, last_column = _window(cursor % seen.width, seen.width, size[0])
    first_row, last_row = _window(cursor // seen.width, seen.height, size[1])
    brackets = "{}" if person.is_selected else "[]"
    drawn = Text(no_wrap=True, overflow="crop")
    for row in range(first_row, last_row):
        for place in range(first_column, last_column):
            cell = row * seen.width + place
            owner, text = cells[cell]
            is_here = cell == person.cursor
            mark = brackets[0] if is_here else ""
            style = "reverse bold" if is_here else _style(owner, text)
            drawn.append(f"{mark}{text}".rjust(column - 1), style=style)
            behind = brackets[1] if is_here else queued.get(cell, " ")
            drawn.append(behind, style="bold cyan" if cell in queued else style)
        drawn.append("\n")
    drawn.rstrip()
    return drawn


def _window(at: int, n_all: int, n_shown: int) -> tuple[int, int]:
    """Which of a row of cells are shown, so that one of them is near the middle."""
    first = max(0, min(at - n_shown // 2, n_all - n_shown))
    return first, min(n_all, first + n_shown)


def _arrow(move: Move, width: int) -> str:
    return {1: ">", -1: "<", width: "v", -width: "^"}.get(move.end - move.start, "?")


def _scoreboard(person: Person, seen: GameObservation, order: list[int]) -> Table:
    """Army and land of everybody."""
    names = names_of(person.info)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("player", no_wrap=True, overflow="ellipsis", max_width=_SCORES_WIDTH - 14)
    table.add_column("army", justify="right")
    table.add_column("land", justify="right")
    by_seat = sorted(zip(order, seen.scores, strict=True))
    for seat, score in by_seat:
        name = Text(f" {seat_name(seat, names)} ", style=f"bold white on {SEAT_COLOURS[seat]}")
        style = "" if score.alive else "strike dim"
        table.add_row(name, str(score.army), str(score.land), style=style)
    return table


def _score_line(seen: GameObservation, order: list[int]) -> Text:
    """Army and land of everybody who lives, for a terminal without room beside the board."""
    line = Text(no_wrap=True, overflow="crop")
    for seat, score in sorted(zip(order, seen.scores, strict=True)):
        if score.alive:
            text = f" {SEAT_LETTERS[seat]} {score.army}/{score.land} "
            line.append(text, style=f"bold white on {SEAT_COLOURS[seat]}")
    return line


def _style(owner: int, text: str) -> str:
    if owner >= 0:
        return f"bold white on {SEAT_COLOURS[owner]}"
    if owner == MOUNTAIN:
        return "bright_black"
    if owner == FOG:
        return "bright_black on grey11"
    return "yellow" if text[:1].isdigit() else "dim"
