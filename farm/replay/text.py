"""A game as text: what was asked for and how the board then looked, to be read and compared."""

from collections.abc import Iterator, Sequence

from farm.replay.characters import LEGEND, column_width, seat_name
from farm.replay.characters import SEAT_LETTERS as LETTERS
from farm.replay.look import Look, cell_texts, look
from farm.replay.model import FORGET, Leave, Order, Replay
from farm.replay.simulate import Playback


def playthrough(replay: Replay, *, every: int = 1, seat: int | None = None) -> Iterator[str]:
    """The lines of a game.

    Args:
        replay: the game.
        every: ticks between two boards; the first and the last are always drawn.
        seat: who looks; None sees everything. Orders are those of all players either way.

    Raises:
        ValueError: the engine cannot set this game up.
    """
    playback = Playback(replay)
    seen_by = "all" if seat is None else f"seat {LETTERS[seat]}"
    yield f"game {replay.game_id}"
    size = f"{playback.height}x{playback.width}, {playback.n_seats} seats"
    yield f"board {size}, seen by {seen_by}"
    yield LEGEND
    yield from _state(look(playback, seat))
    while playback.has_more:
        events = due_text(playback)
        playback.step()
        drawn = playback.tick % every == 0 or not playback.has_more
        if events or drawn:
            yield ""
            yield f"tick {playback.tick - 1}: {events or 'nothing'}"
        if drawn:
            yield from _state(look(playback, seat))
    yield ""
    yield end_text(playback)


def board_lines(view: Look) -> list[str]:
    """The board, a line for each row."""
    texts = cell_texts(view)
    width = column_width(texts)
    rows = (texts[start : start + view.width] for start in range(0, len(texts), view.width))
    return ["".join(text.rjust(width) for text in row) for row in rows]


def score_line(view: Look) -> str:
    """Army and land of everybody."""
    return "  ".join(
        f"{LETTERS[seat]} {score.army}/{score.land}{'' if score.alive else ' out'}"
        for seat, score in enumerate(view.scores)
    )


def due_text(playback: Playback) -> str:
    """What players ask for before the next tick, start and end as cells; `/2` is half the army.

    `forgets` stands where a player takes back what waits.
    """
    return "  ".join(
        [
            *(_order_text(order) for order in playback.orders_due()),
            *_leave_texts(playback, playback.leaves_due()),
        ]
    )


def end_text(playback: Playback) -> str:
    """How the recording ends."""
    winner = winner_text(playback.winners, playback.replay.players, is_over=playback.is_over)
    return f"{winner} after {playback.tick} ticks"


def winner_text(winners: Sequence[int], players: Sequence[str], *, is_over: bool) -> str:
    """Who won, in words."""
    if winners:
        return f"{', '.join(seat_name(seat, players) for seat in winners)} won"
    return "nobody won" if is_over else "unfinished"


def _state(view: Look) -> Iterator[str]:
    yield f"after {view.tick}: {score_line(view)}"
    yield from board_lines(view)


def _order_text(order: Order) -> str:
    if order.start == FORGET:
        return f"{LETTERS[order.seat]} forgets"
    return f"{LETTERS[order.seat]} {order.start}>{order.end}{'/2' if order.half else ''}"


def _leave_texts(playback: Playback, leaves: list[Leave]) -> Iterator[str]:
    gone = {seat for seat in range(playback.n_seats) if not playback.games.alive[0, seat]}
    for leave in leaves:
        if leave.seat not in gone:
            yield f"{LETTERS[leave.seat]} leaves"
        elif not playback.replay.rules.neutralise_after:
            yield f"{LETTERS[leave.seat]} is neutralised"
        gone.add(leave.seat)
