"""Messages of a games host, made by hand: frames of a small board and what changes in them."""

import numpy as np

from farm.rpc.v1 import games_pb2
from farm.spec import frame_bytes, frame_dtype, tiles
from farm.spec.observation import score_offset

HEIGHT, WIDTH, SEATS = 4, 5, 2
N_CELLS = HEIGHT * WIDTH
GAME = 7


def tile(owner=tiles.NEUTRAL, terrain=tiles.PLAIN):
    return terrain << tiles.OWNER_BITS | owner


def frame(cells=None, *, armies=(10, 10), alive=(1, 1)):
    """A frame in fog but for these cells: `{cell: (owner, terrain, army)}`, and its own general."""
    made = np.zeros(1, frame_dtype(HEIGHT, WIDTH, SEATS))
    made["tile"][0].flat = tile(tiles.FOG)
    for cell, (owner, terrain, army) in (cells or OPEN).items():
        made["tile"][0].flat[cell] = tile(owner, terrain)
        made["army"][0].flat[cell] = army
    made["total_army"] = armies
    made["total_land"] = 1
    made["alive"] = alive
    assert len(made.tobytes()) == frame_bytes(N_CELLS, SEATS)
    return made[0]


OPEN = {
    6: (tiles.SELF, tiles.GENERAL, 5),
    **dict.fromkeys((0, 1, 2, 5, 7, 10, 11, 12), (tiles.NEUTRAL, tiles.PLAIN, 0)),
}
"""The general of seat 0 on cell 6, free land around it."""


def observation(seen=None, *, seat=0, n_allies=0):
    seen = frame() if seen is None else seen
    return games_pb2.Observation(
        seat=seat,
        n_seats=SEATS,
        n_allies=n_allies,
        height=HEIGHT,
        width=WIDTH,
        frame=seen.tobytes(),
    )


def update(tick=0, *, view=None, game=GAME, phase=games_pb2.PHASE_RUNNING, **fields):
    made = games_pb2.GameUpdate(game_id=game, tick=tick, phase=phase, **fields)
    if isinstance(view, games_pb2.Observation):
        made.observation.CopyFrom(view)
    elif isinstance(view, games_pb2.Delta):
        made.delta.CopyFrom(view)
    elif view is not None:
        made.full.CopyFrom(view)
    return made


def delta(before, after):
    """What turns one frame into another."""
    is_other = (before["tile"] != after["tile"]) | (before["army"] != after["army"])
    cells = np.flatnonzero(is_other)
    offset = score_offset(N_CELLS)
    scores = after.tobytes()[offset:]
    return games_pb2.Delta(
        cells=cells.astype("<u2").tobytes(),
        army=after["army"].ravel()[cells].astype("<u2").tobytes(),
        tile=after["tile"].ravel()[cells].astype("u1").tobytes(),
        scores=b"" if scores == before.tobytes()[offset:] else scores,
    )


def event(sequence, kind=games_pb2.GAME_STARTED, **fields):
    return games_pb2.Event(sequence=sequence, kind=kind, **fields)


def refused(reason, **fields):
    return games_pb2.ErrorDetail(reason=reason, game_id=GAME, message="no", **fields)
