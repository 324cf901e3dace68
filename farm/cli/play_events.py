"""What happened in a game, in words."""

from typing import Final

from farm.client import EventKind, GameEvent, GameInfo
from farm.replay.characters import seat_name

_TEXTS: Final = {
    EventKind.PLAYER_JOINED: "{who} joins",
    EventKind.GAME_STARTED: "the game begins",
    EventKind.GAME_PAUSED: "the game is paused",
    EventKind.GAME_RESUMED: "the game goes on",
    EventKind.PLAYER_DISCONNECTED: "{who} has lost the connection",
    EventKind.PLAYER_RECONNECTED: "{who} is back",
    EventKind.PLAYER_REPLACED: "a bot plays on for {who}",
    EventKind.GENERAL_CAPTURED: "{by} takes the general of {who}",
    EventKind.CITY_CAPTURED: "{by} takes a city",
    EventKind.GAME_ENDED: "{winners} after {turns} turns",
    EventKind.GAME_CANCELLED: "the game is called off {text}",
    EventKind.GAME_FAILED: "the game ended by a fault of its host {text}",
}


def event_text(event: GameEvent, info: GameInfo) -> str:
    """One line about an event."""
    names = names_of(info)
    who, by = (
        "somebody" if seat is None else seat_name(seat, names) for seat in (event.seat, event.by)
    )
    if event.kind is EventKind.PLAYER_ELIMINATED:
        return f"{who} is out" if event.by is None else f"{who} is out, taken by {by}"
    if event.kind not in _TEXTS:
        return event.text or event.kind.name.lower().replace("_", " ")
    line = _TEXTS[event.kind].format(
        who=who,
        by=by,
        winners=winners_text(event.winners, info),
        turns=event.n_turns,
        text=event.text,
    )
    return line.rstrip()


def winners_text(winners: tuple[int, ...], info: GameInfo) -> str:
    """Who won."""
    names = names_of(info)
    who = " and ".join(seat_name(seat, names) for seat in winners)
    return f"{who} {'win' if len(winners) > 1 else 'wins'}" if who else "nobody wins"


def names_of(info: GameInfo) -> tuple[str, ...]:
    """The players' names by seat."""
    return tuple(seat.name for seat in info.seats)
