"""What a game looks like to one who may see it, as messages.

A seat sees its frame, its own queue and the events that the rules show it; the scoreboard is all it
learns of enemies. A spectator (`viewer` None) sees everything. Nothing here changes a game.
"""

from farm.games.events import Event
from farm.games.game import HostedGame
from farm.games.lifecycle import Phase
from farm.games.statistics import PlayerStatistics
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
    if viewer is not None:
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
        n_allies=game.n_allies[seat],
        height=game.height,
        width=game.width,
        frame=game.frame(seat).tobytes(),
    )


def full_state(game: HostedGame) -> games_pb2.FullState:
    """Everything on the board."""
    board = game.board
    scores = zip(board.total_army.tolist(), board.land.tolist(), board.alive.tolist(), strict=True)
    return games_pb2.FullState(
        height=game.height,
        width=game.width,
        owner=board.owner.tobytes(),
        army=board.army.tobytes(),
        terrain=board.terrain.tobytes(),
        scores=[
            games_pb2.Score(seat=seat, army=army, land=land, alive=bool(alive))
            for seat, (army, land, alive) in enumerate(scores)
        ],
    )


def events_of(game: HostedGame, viewer: int | None, after: int) -> list[games_pb2.Event]:
    """The events with a sequence above `after` that a viewer may see, in their order."""
    if game.last_event <= after:
        return []
    return [
        _event(event)
        for event in game.events_after(after)
        if viewer is None or event.seen_by >> viewer & 1
    ]


def stats(
    game: HostedGame,
    counted: list[PlayerStatistics],
    viewers: frozenset[int],
    now_ns: int,
) -> games_pb2.GameStats:
    """What is counted of a game.

    Args:
        game: the game.
        counted: by seat.
        viewers: seats of which everything may be told while the game runs.
        now_ns: monotonic.
    """
    reply = games_pb2.GameStats(
        game=info(game), duration_ms=game.duration_ms(now_ns), ended_ns=game.ended_ns
    )
    if game.phase is Phase.ENDED and game.spec.seed is not None:
        reply.seed = game.spec.seed
    for seat, found in enumerate(counted):
        player = _player(game, seat)
        if game.is_over or seat in viewers:
            _add_secrets(player, game, seat, found)
        reply.players.append(player)
    return reply


def _player(game: HostedGame, seat: int) -> games_pb2.PlayerStats:
    """What the scoreboard and the events tell of a player."""
    player = games_pb2.PlayerStats(
        seat=seat, name=game.seats[seat].name, kills=game.seats[seat].kills
    )
    if game.has_board:
        board = game.board
        player.army = int(board.total_army[seat])
        player.land = int(board.land[seat])
        player.alive = bool(board.alive[seat])
    return player


def _add_secrets(
    player: games_pb2.PlayerStats, game: HostedGame, seat: int, found: PlayerStatistics
) -> None:
    """What enemies learn only when the game is over."""
    if game.has_board:
        player.cities = game.board.cities_of(seat)
    player.actions_accepted = found.accepted
    player.actions_rejected.update(found.rejected)
    player.act_mean_ms = found.act_mean_ms
    player.act_max_ms = found.act_max_ms


def _seat(game: HostedGame, seat: int) -> games_pb2.SeatInfo:
    held = game.seats[seat]
    return games_pb2.SeatInfo(
        seat=seat,
        kind=held.kind,
        name=held.name,
        team=game.sides[seat],
        alive=not game.has_board or game.is_alive(seat),
        connected=held.connected,
    )


def _event(event: Event) -> games_pb2.Event:
    return games_pb2.Event(
        sequence=event.sequence,
        kind=int(event.kind),
        tick=event.tick,
        seat=event.seat,
        by=event.by,
        cell=event.cell,
        winners=event.winners,
        n_turns=event.n_turns,
        duration_ms=event.duration_ms,
        text=event.text,
    )
