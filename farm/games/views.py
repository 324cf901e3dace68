"""What a game looks like to one who may see it, as messages.

A seat sees its frame, its own queue and the events that the rules show it; the scoreboard is all it
learns of enemies. A spectator (`viewer` None) sees everything. Nothing here changes a game.
"""

from collections.abc import Sequence

from farm.games.events import Event
from farm.games.game import HostedGame
from farm.games.lifecycle import Phase
from farm.rpc.v1 import games_pb2


def info(game: HostedGame) -> games_pb2.GameInfo:
    """What anybody may know who may list games."""
    spec = game.spec
    return games_pb2.GameInfo(
        game_id=game.game_id,
        name=spec.name,
        phase=int(game.phase),
        tick=game.tick,
        height=game.height,
        width=game.width,
        seats=[_seat(game, seat) for seat in range(spec.n_seats)],
        tick_ms=spec.tick_ms,
        rules=spec.rules,
        no_fog=spec.no_fog,
        spectators=spec.spectators,
        created_ns=game.created_ns,
        started_ns=game.started_ns,
        winners=game.winners,
    )


def header(game: HostedGame, viewer: int | None) -> games_pb2.GameUpdate:
    """An update without view and events."""
    update = games_pb2.GameUpdate(
        game_id=game.game_id, tick=game.tick, phase=int(game.phase), winners=game.winners
    )
    if viewer is not None and game.has_board:
        update.queued = game.queued(viewer)
        update.to_move = game.is_awaited(viewer)
    return update


def whole(game: HostedGame, viewer: int | None) -> games_pb2.GameUpdate:
    """An update with the whole view, if the game has begun."""
    update = header(game, viewer)
    if game.has_board:
        if viewer is None:
            update.full.CopyFrom(full_state(game))
        else:
            update.observation.CopyFrom(observation(game, viewer))
    return update


def observation(game: HostedGame, seat: int) -> games_pb2.Observation:
    """What a seat sees, whole."""
    return games_pb2.Observation(
        seat=seat,
        n_seats=game.spec.n_seats,
        n_allies=game.n_allies(seat),
        height=game.height,
        width=game.width,
        frame=game.frame(seat).tobytes(),
    )


def full_state(game: HostedGame) -> games_pb2.FullState:
    """Everything on the board."""
    board = game.board()
    return games_pb2.FullState(
        height=game.height,
        width=game.width,
        owner=board.owner.tobytes(),
        army=board.army.tobytes(),
        terrain=board.terrain.tobytes(),
        scores=[
            games_pb2.Score(seat=seat, army=army, land=land, alive=alive)
            for seat, (army, land, alive) in enumerate(board.scores)
        ],
    )


def events_of(
    game: HostedGame, viewer: int | None, after: int
) -> list[games_pb2.Event]:
    """The events with a sequence above `after` that a viewer may see, in their order."""
    if game.last_event <= after:
        return []
    return [
        _event(event)
        for event in game.events_after(after)
        if viewer is None or event.seen_by >> viewer & 1
    ]
