"""The kernel that plays chunks of many games into a ring, and what drives it (farm.jit)."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64
from farm.engine.reset import reset_game
from farm.engine.state import OUTCOME, PLAYING, Game, Games, view
from farm.errors import CorruptDataError
from farm.jit import inline, kernel
from farm.policies.lineup import draw_lineup
from farm.replay.model import Replay
from farm.shm.atomics import fetch_add
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import PENDING, RingProducer, free_bytes, publish
from farm.shm.ring_layout import DATA_OFFSET
from farm.worker.chunk import NO_ROOM, drop_chunk, play_chunk, write_chunk
from farm.worker.cohorts import Cohorts
from farm.worker.plan import BLOCK, SAMPLE, Plan, Scratch
from farm.worker.recording import take_recorded
from farm.worker.tape import NO_SLOT, Tape, begin_recording, end_recording, record_chunk

# Words of `counts`: what one call did; what it dropped, the ring counts.
TICKS: Final = 0
EXPERIENCES: Final = 1
"""Published."""
RECORDS: Final = 2
"""Published."""
GAMES_STARTED: Final = 3
GAMES_FINISHED: Final = 4
CHUNKS: Final = 5
RECORDED: Final = 6
"""Games that ended on the tape."""
UNRECORDED: Final = 7
"""Games that were to be recorded, and had no slot of the tape."""
N_COUNTS: Final = 8

BATCH_NS: Final = 5_000_000
"""What a call should take: long against the 20 us it costs to enter one, short against a heartbeat
and against `serve.max_batch_wait_ms`."""


@kernel
def play_batch(
    games: Games,
    plan: Plan,
    scratch: Scratch,
    tape: Tape,
    control: NDArray[np.uint8],
    ring: NDArray[np.uint8],
    cursor: NDArray[np.int64],
    first: int,
    n_chunks: int,
    wall_time_ns: int,
    counts: NDArray[np.int64],
) -> int:
    """Play a chunk of each game in turn, until `n_chunks` are played or the ring is full.

    Of a plan that is not open, games in progress are played to their end and none begins; it may
    be that none is left, and then nothing is played.

    A chunk is written only if the ring has room for the largest records that it could make, so that
    none is ever half written. Without that room, BLOCK ends the batch; the other policies play on
    and drop the chunk by count, so that the games are the same under every policy. All records are
    published together at the end.

    Args:
        games: the worker's games.
        plan: settings, read.
        scratch: memory of the chunk in the making.
        tape: room for the games that are recorded.
        control: uint8[n], the control block; the next game number is taken from it atomically.
        ring: uint8[n], the worker's ring.
        cursor: int64[n], its producer's state.
        first: game to begin with.
        n_chunks: chunks to play at most.
        wall_time_ns: stamped on the records.
        counts: int64[N_COUNTS], set to what was done.

    Returns:
        Game to begin with the next time; NO_ROOM if a record did not fit where there was room for
        the largest: the ring is damaged, and nothing of this call is published.

    Writes:
        games, scratch, tape, control, ring, cursor, counts.
    """
    counts[:] = 0
    n_games = games.n_seats.size
    n_games_written = 0
    half_bytes = (ring.size - DATA_OFFSET) >> 1
    n_passed = 0
    g = first
    while counts[CHUNKS] < n_chunks and n_passed < n_games:
        is_vacant = games.status[g, OUTCOME] != PLAYING or games.n_seats[g] == 0
        if is_vacant and not plan.is_open:
            n_passed += 1
            g = (g + 1) % n_games
            continue
        n_passed = 0
        room_bytes = free_bytes(ring, cursor)
        has_room = room_bytes >= plan.chunk_bytes
        if plan.when_full == BLOCK and not has_room:
            break
        if is_vacant:
            number = np.uint64(fetch_add(control, NEXT_GAME_OFFSET, 1))
            reset_game(games, g, plan.seed, number, plan.settings)
            counts[GAMES_STARTED] += 1
            counts[UNRECORDED] += begin_recording(tape, g, number, plan.record_every)
        game = view(games, g)
        draw_lineup(plan.weights, plan.seed, games.game_number[g], scratch.codes)
        n_ticks = play_chunk(game, plan, scratch)
        is_over = game.status[OUTCOME] != PLAYING
        counts[RECORDED] += _record(tape, g, game, n_ticks, scratch, is_over)
        if has_room:
            is_sampled = plan.when_full == SAMPLE and room_bytes < half_bytes
            written = write_chunk(
                game,
                games.game_number[g],
                n_ticks,
                wall_time_ns,
                ring,
                cursor,
                plan,
                scratch,
                is_sampled,
            )
            if written == NO_ROOM:
                return NO_ROOM
            counts[EXPERIENCES] += written
            n_games_written += is_over
        else:
            drop_chunk(game, ring, cursor, scratch)
        counts[TICKS] += n_ticks
        counts[CHUNKS] += 1
        counts[GAMES_FINISHED] += is_over
        g = (g + 1) % n_games
    counts[RECORDS] = cursor[PENDING]
    if counts[RECORDS] > 0:
        publish(ring, cursor, n_games_written)
    return g


@inline
def _record(
    tape: Tape,
    g: int,
    game: Game,
    n_ticks: int,
    scratch: Scratch,
    is_over: bool,  # noqa: FBT001 - Numba has no keyword-only arguments
) -> bool:
    """Put the chunk of a recorded game on the tape; whether it was its last one."""
    slot = int64(tape.slot[g])
    if slot == NO_SLOT:
        return False
    record_chunk(tape, slot, game, n_ticks, scratch)
    if is_over:
        end_recording(tape, slot, game)
    return is_over


class Rollout:
    """Plays a worker's games in batches of about `BATCH_NS`.

    Attributes:
        counts: int64[N_COUNTS], what the last batch did.
        cohorts: its games, by the configs that they are played by.

    Args:
        plan: settings.
        scratch: memory made for the plan.
        n_games: games side by side.
        control: uint8[n], the control block.
        ring: the worker's ring.
    """

    def __init__(
        self,
        plan: Plan,
        scratch: Scratch,
        n_games: int,
        control: NDArray[np.uint8],
        ring: RingProducer,
    ) -> None:
        self.cohorts = Cohorts(plan, scratch, n_games)
        self._chunk_bytes = plan.chunk_bytes
        self._control = control
        self._ring = ring
        self._n_chunks = 1
        self.counts = np.zeros(N_COUNTS, np.int64)
        self._recorded: list[Replay] = []

    def take_recorded(self) -> list[Replay]:
        """The recorded games that have ended since the last call."""
        recorded, self._recorded = self._recorded, []
        return recorded

    def follow(self, plan: Plan, scratch: Scratch) -> None:
        """Go on by another plan, as `Cohorts.follow` has it."""
        self.cohorts.follow(plan, scratch)

    def poll(self, now_ns: int, wall_time_ns: int) -> int:
        """Play a batch; ticks played, 0 when the ring has no room for a chunk and is waited for.

        Args:
            now_ns: monotonic clock at the call.
            wall_time_ns: wall clock at the call, stamped on the records.

        Raises:
            CorruptDataError: the ring is damaged.
        """
        ring = self._ring
        cohort = self.cohorts.take_turn()
        self._chunk_bytes = cohort.plan.chunk_bytes
        cohort.next = play_batch(
            cohort.games,
            cohort.plan,
            cohort.scratch,
            cohort.tape,
            self._control,
            ring.mem,
            ring.cursor,
            cohort.next,
            self._n_chunks,
            wall_time_ns,
            self.counts,
        )
        if cohort.next == NO_ROOM:
            raise CorruptDataError(
                f"{ring.segment.name}: a record did not fit where there was room for the largest; "
                "its head was overwritten"
            )
        self._pace(time.monotonic_ns() - now_ns)
        if self.counts[RECORDED]:
            self._recorded.extend(take_recorded(cohort.tape, cohort.plan))
        return int(self.counts[TICKS])

    @property
    def room_bytes(self) -> int:
        """Ring bytes that have to be free for the chunk that found no room."""
        return self._chunk_bytes

    def _pace(self, took_ns: int) -> None:
        """Set the next batch's chunks by what the last ones took, at most doubling."""
        chunks = int(self.counts[CHUNKS])
        if chunks == self._n_chunks:
            wanted = chunks * BATCH_NS // max(took_ns, 1)
            self._n_chunks = max(1, min(wanted, 2 * chunks))
