"""Plays a chunk of one game and writes a trajectory for each of its seats into the ring (farm.jit).

A chunk is at most T ticks of one game. Its trajectories begin and end with it (or with the seat's
death), so that nothing half-finished is kept between chunks: the scratch memory of one game serves
all games of a worker.

Rewards are those of engine/rewards.py by the weights of the plan; what a step changed is looked at
only where the weights ask for it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.memory import remembers, write_memory
from farm.engine.rewards import reward_of, take_stock
from farm.engine.rng import mix
from farm.engine.state import (
    OUTCOME,
    PLAYING,
    TERMINATED,
    TICK,
    TRUNCATED,
    Game,
    game_frame_bytes,
    score_start,
)
from farm.engine.step import step_game
from farm.jit import inline
from farm.policies.dispatch import choose
from farm.shm.memcpy import copy_bytes
from farm.shm.ring import RING_FULL, SAMPLED, drop, next_sequence, try_claim
from farm.spec.trajectory import CHECKSUM_PREFIX, RECORD_HEADER
from farm.worker import lz4, wire
from farm.worker.plan import Plan, Scratch

NO_TRAJECTORY: Final = -1
"""`n_steps` of a seat that was out of the game before the chunk."""

NO_ROOM: Final = -1
"""The ring had no room for a record."""

_PREFIX_BYTES: Final = CHECKSUM_PREFIX.itemsize
_HEADER_BYTES: Final = RECORD_HEADER.itemsize
_ZERO: Final = np.uint64(0)
_SALT: Final = np.uint64(0x52494E47)
"""Sets this choice of records apart from any other by worker and sequence."""


@inline
def play_chunk(game: Game, plan: Plan, scratch: Scratch) -> int:
    """Play until T ticks are over or the game is, with a trajectory for each living seat.

    Args:
        game: the game.
        plan: settings, read.
        scratch: in which the game's policies have been drawn.

    Returns:
        Ticks played.

    Writes:
        game, and in scratch everything about trajectories but the record.
    """
    frame_bytes = game_frame_bytes(game)
    _begin(game, frame_bytes, scratch)
    n_ticks = 0
    while n_ticks < plan.max_steps and game.status[OUTCOME] == PLAYING:
        for seat in range(game.n_seats):
            if game.alive[seat]:
                action, log_prob = choose(scratch.codes[seat], game, seat)
                scratch.actions[seat] = action
                scratch.action[seat, n_ticks] = action
                scratch.log_prob[seat, n_ticks] = log_prob
                if plan.shaped:
                    take_stock(game, seat, scratch.stock[seat])
        step_game(game, scratch.actions)
        for seat in range(game.n_seats):
            # The tick in which a player dies is the last one of its trajectory.
            played = game.alive[seat] or game.died_at[seat] == game.status[TICK] - 1
            if played and scratch.n_steps[seat] == n_ticks:
                _add_step(game, seat, frame_bytes, n_ticks, plan, scratch)
        n_ticks += 1
    if remembers(game):
        _add_memories(game, frame_bytes, scratch)
    return n_ticks


@inline
def _begin(game: Game, frame_bytes: int, scratch: Scratch) -> None:
    """Open a trajectory for every living seat, with its current frame as the key frame."""
    board = score_start(game)
    for seat in range(game.n_seats):
        if not game.alive[seat]:
            scratch.n_steps[seat] = NO_TRAJECTORY
            continue
        scratch.n_steps[seat] = 0
        frame = game.frames[seat, :frame_bytes]
        lz4.begin_block(scratch.block[seat])
        lz4.add_key_frame(scratch.out[seat], scratch.block[seat], frame, game.n_cells)
        for index in range(board, frame_bytes):
            scratch.score[seat, index - board] = frame[index]
        for word in range(game.n_words):
            game.dirty_army[seat, word] = _ZERO
            game.dirty_tile[seat, word] = _ZERO
        if remembers(game):
            write_memory(game, seat, scratch.memory[seat], scratch.memory16[seat])


@inline
def _add_memories(game: Game, frame_bytes: int, scratch: Scratch) -> None:
    """Add what each seat remembered when the chunk began."""
    for seat in range(game.n_seats):
        if scratch.n_steps[seat] != NO_TRAJECTORY:
            out, block = scratch.out[seat], scratch.block[seat]
            lz4.add_memory(out, block, scratch.memory[seat], game.n_cells, frame_bytes)


@inline
def _add_step(
    game: Game, seat: int, frame_bytes: int, step: int, plan: Plan, scratch: Scratch
) -> None:
    """Add what a tick led to; a seat that died in it gets no further step."""
    lz4.add_frame(
        scratch.out[seat],
        scratch.block[seat],
        game.frames[seat, :frame_bytes],
        scratch.score[seat],
        game.dirty_army[seat],
        game.dirty_tile[seat],
        game.n_cells,
        game.n_words,
    )
    stock = scratch.stock[seat]
    scratch.reward[seat, step] = reward_of(game, seat, plan.reward, plan.shaped, stock)
    scratch.n_steps[seat] += 1


@inline
def write_chunk(
    game: Game,
    game_number: np.uint64,
    n_ticks: int,
    wall_time_ns: int,
    ring: NDArray[np.uint8],
    cursor: NDArray[np.int64],
    plan: Plan,
    scratch: Scratch,
    is_sampled: bool,  # noqa: FBT001 - Numba has no keyword-only arguments
) -> int:
    """Claim a record for each trajectory of the chunk and fill it; the caller publishes.

    With `is_sampled`, only a part of them, `plan.sample_below`; the others are dropped by count.

    Returns:
        Experiences written, or NO_ROOM, which `plan.chunk_bytes` excludes.

    Writes:
        ring, cursor, scratch.
    """
    fields = scratch.fields
    fields[wire.GAME_ID] = game_number
    fields[wire.N_SEATS] = game.n_seats
    fields[wire.HEIGHT] = game.height
    fields[wire.WIDTH] = game.width
    fields[wire.FIRST_TICK] = game.status[TICK] - n_ticks
    fields[wire.WALL_TIME_NS] = wall_time_ns
    fields[wire.HAS_MEMORY] = remembers(game)
    n_experiences = 0
    for seat in range(game.n_seats):
        n_steps = scratch.n_steps[seat]
        if n_steps == NO_TRAJECTORY:
            continue
        if is_sampled and not _is_kept(fields[wire.WORKER], next_sequence(cursor), plan):
            drop(ring, cursor, SAMPLED, 1, n_steps)
            continue
        over = game.status[OUTCOME] == TERMINATED or not game.alive[seat]
        fields[wire.SEAT] = seat
        fields[wire.N_ALLIES] = _count_allies(game, seat)
        fields[wire.N_STEPS] = n_steps
        fields[wire.TERMINATED] = over
        fields[wire.TRUNCATED] = game.status[OUTCOME] == TRUNCATED and not over
        fields[wire.POLICY_VERSION] = plan.versions[scratch.codes[seat]]
        fields[wire.SEQUENCE] = next_sequence(cursor)
        if not _write_record(seat, n_steps, game_frame_bytes(game), ring, cursor, plan, scratch):
            return NO_ROOM
        n_experiences += n_steps
    return n_experiences


@inline
def drop_chunk(
    game: Game, ring: NDArray[np.uint8], cursor: NDArray[np.int64], scratch: Scratch
) -> None:
    """Count the trajectories of the chunk as dropped, for a ring without room.

    Writes:
        ring, cursor.
    """
    n_records = 0
    n_experiences = 0
    for seat in range(game.n_seats):
        if scratch.n_steps[seat] != NO_TRAJECTORY:
            n_records += 1
            n_experiences += scratch.n_steps[seat]
    drop(ring, cursor, RING_FULL, n_records, n_experiences)


@inline
def _is_kept(worker: np.uint64, sequence: int, plan: Plan) -> bool:
    """Whether a record is in the sample: the same for the same record, whenever it is asked."""
    return bool(mix(mix(worker ^ _SALT) ^ np.uint64(sequence)) < plan.sample_below)


@inline
def _write_record(
    seat: int,
    n_steps: int,
    frame_bytes: int,
    ring: NDArray[np.uint8],
    cursor: NDArray[np.int64],
    plan: Plan,
    scratch: Scratch,
) -> bool:
    """Close the block of a seat and put header and wire form into the ring."""
    _fill_columns(seat, n_steps, scratch)
    out = scratch.out[seat]
    n_payload = lz4.end_block(out, scratch.block[seat], scratch.columns, n_steps, frame_bytes)
    wire.fill_prefix(scratch.prefix, scratch.fields)
    checksum = wire.crc32(scratch.tables, scratch.prefix_bytes, _PREFIX_BYTES, _ZERO)
    checksum = wire.crc32(scratch.tables, out, n_payload, checksum)
    code = scratch.codes[seat]
    name = plan.names[code, : plan.name_bytes[code]]
    n_head = wire.write_head(scratch.head, scratch.fields, name, checksum, n_payload)
    n_message = n_head + n_payload + wire.tail_bytes(scratch.fields)
    at = try_claim(ring, cursor, _HEADER_BYTES + wire.entry_bytes(n_message), n_steps)
    if at < 0:
        return False
    wire.fill_header(scratch.header, scratch.fields, plan.hashes[code], scratch.reward[seat])
    copy_bytes(ring, at, scratch.header_bytes, 0, _HEADER_BYTES)
    fields = scratch.fields
    wire.write_entry(ring, at + _HEADER_BYTES, scratch.head, n_head, out, n_payload, fields)
    return True


@inline
def _fill_columns(seat: int, n_steps: int, scratch: Scratch) -> None:
    """Put reward, log-probability and action side by side, as the payload has them."""
    for step in range(n_steps):
        scratch.columns32[step] = scratch.reward[seat, step]
        scratch.columns32[n_steps + step] = scratch.log_prob[seat, step]
        scratch.columns16[4 * n_steps + step] = scratch.action[seat, step]


@inline
def _count_allies(game: Game, seat: int) -> int:
    allies = -1
    for other in range(game.n_seats):
        allies += game.side[other] == game.side[seat]
    return allies
