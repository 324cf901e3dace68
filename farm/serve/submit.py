"""Trajectories that were collected elsewhere: looked at, numbered anew, put into their own ring.

Whoever sends them is not trusted: a trajectory is taken only if a client of this farm could decode
it and every number in it is possible. From the ring on it is like any other; `worker` says where it
came from (farm.shm.groups.SUBMITTED_RING), and its sequence is the ring's.

The producer is this service's own process, so that room comes from nobody but itself: whoever waits
for some looks again every `LOOK_S`.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Iterable

import lz4.block
import numpy as np
from numpy.typing import NDArray

from farm.errors import CorruptDataError, NoRoomError, StoppingError
from farm.rpc.checksum import checksum_of
from farm.rpc.v1 import experience_pb2
from farm.serve.record import seal
from farm.shm.groups import SUBMITTED_RING
from farm.shm.ring import RingProducer, next_sequence
from farm.spec.actions import pass_action
from farm.spec.limits import MAX_SEATS, MAX_SIDE, MAX_STEPS, MIN_SEATS, MIN_SIDE
from farm.spec.trajectory import STEP_BYTES, payload_bytes

MAX_REJECTIONS = 100
"""Rejections that a response spells out; the others are only counted."""
LOOK_S = 0.01
"""Pause before somebody who waits for room looks again."""
SLICE = 16
"""Trajectories taken before others get their turn: about a millisecond."""
MAX_NAME_BYTES = 32

_MAX_GAME_ID = (1 << 63) - 1
_MAX_TICK = (1 << 32) - 1


class Tally:
    """What became of the trajectories of one call.

    Attributes:
        response: so far.
    """

    def __init__(self) -> None:
        self.response = experience_pb2.SubmitResponse()

    @property
    def n_seen(self) -> int:
        """Trajectories so far: the number of the next one."""
        return self.response.accepted_records + self.response.rejected_records

    def accept(self, n_experiences: int) -> None:
        """The next one is in the ring."""
        self.response.accepted_records += 1
        self.response.accepted_experiences += n_experiences

    def reject(self, reason: str) -> None:
        """The next one is not."""
        if len(self.response.rejections) < MAX_REJECTIONS:
            self.response.rejections.add(index=self.n_seen, reason=reason)
        self.response.rejected_records += 1


class Intake:
    """Takes trajectories in.

    Args:
        producer: of the ring for them.
        generation: incarnation of this service.
        published: called after something was put into the ring.
    """

    def __init__(
        self, producer: RingProducer, generation: int, published: Callable[[], None]
    ) -> None:
        self._producer = producer
        self._generation = generation
        self._published = published
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Take nothing more: the farm stops."""
        self._closed.set()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed.is_set()

    async def until_closed(self) -> None:
        """Wait until nothing more is taken."""
        await self._closed.wait()

    async def take(
        self, trajectories: Iterable[experience_pb2.Trajectory], tally: Tally, timeout_s: float
    ) -> None:
        """Put those that are sound into the ring, waiting for room where there is none.

        Raises:
            NoRoomError: there was none for `timeout_s`.
            StoppingError: the farm stops.
        """
        try:
            for number, trajectory in enumerate(trajectories):
                if number % SLICE == 0:
                    self._publish()
                    await asyncio.sleep(0)
                try:
                    reward = examine(trajectory)
                except CorruptDataError as error:
                    tally.reject(str(error))
                else:
                    await self._put(trajectory, reward, tally, timeout_s)
        finally:
            self._publish()

    async def _put(
        self,
        trajectory: experience_pb2.Trajectory,
        reward: NDArray[np.float32],
        tally: Tally,
        timeout_s: float,
    ) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._closed.is_set():
                raise StoppingError("the farm is stopping")
            # Numbered again after each wait: others may have been quicker.
            record = seal(
                trajectory,
                reward,
                ring=SUBMITTED_RING,
                generation=self._generation,
                sequence=int(next_sequence(self._producer.cursor)),
            )
            try:
                place = self._producer.try_claim(len(record), trajectory.n_steps)
            except ValueError:
                tally.reject(f"a record of {len(record)} bytes is larger than half of its ring")
                return
            if place is not None:
                place[:] = record
                tally.accept(trajectory.n_steps)
                return
            self._publish()
            if time.monotonic() > deadline_s:
                raise NoRoomError(
                    f"the ring for submitted trajectories has been full for {timeout_s} s: nobody "
                    f"drains it; {tally.response.accepted_records} were taken, go on behind them"
                )
            await asyncio.sleep(LOOK_S)

    def _publish(self) -> None:
        self._producer.publish()
        self._published()


def examine(trajectory: experience_pb2.Trajectory) -> NDArray[np.float32]:
    """Look at a trajectory as a client will, and at what a client takes for granted.

    Returns:
        float32[n_steps]: its rewards.

    Raises:
        CorruptDataError: what is wrong with it.
    """
    trajectory.DiscardUnknownFields()
    for problem in _impossible(trajectory):
        raise CorruptDataError(problem)
    try:
        found = checksum_of(trajectory)
    except struct.error as error:
        raise CorruptDataError(f"a field is out of bounds: {error}") from error
    if found != trajectory.checksum:
        raise CorruptDataError(
            f"checksum {trajectory.checksum:#010x}, its bytes have {found:#010x}"
        )
    n_cells, n_steps = trajectory.height * trajectory.width, trajectory.n_steps
    n_bytes = payload_bytes(n_cells, trajectory.n_seats, n_steps, memory=trajectory.has_memory)
    raw = _decompressed(trajectory.payload, n_bytes)
    columns = len(raw) - STEP_BYTES * n_steps
    reward = np.frombuffer(raw, np.float32, n_steps, columns)
    log_prob = np.frombuffer(raw, np.float32, n_steps, columns + 4 * n_steps)
    action = np.frombuffer(raw, np.uint16, n_steps, columns + 8 * n_steps)
    if not (np.isfinite(reward).all() and np.isfinite(log_prob).all()):
        raise CorruptDataError("a reward or log-probability is no finite number")
    if action.max() > pass_action(n_cells):
        raise CorruptDataError(f"action {action.max()} of a board of {n_cells} cells")
    return reward


def _impossible(trajectory: experience_pb2.Trajectory) -> Iterable[str]:
    """What no trajectory can have."""
    sides = (trajectory.height, trajectory.width)
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
        yield f"a board of {sides[0]}x{sides[1]}; sides are {MIN_SIDE} to {MAX_SIDE}"
    if not MIN_SEATS <= trajectory.n_seats <= MAX_SEATS:
        yield f"{trajectory.n_seats} seats; a game has {MIN_SEATS} to {MAX_SEATS}"
    if max(trajectory.seat, trajectory.n_allies) >= trajectory.n_seats:
        whose = f"seat {trajectory.seat} with {trajectory.n_allies} allies"
        yield f"{whose}, of {trajectory.n_seats} seats"
    if not 0 < trajectory.n_steps <= MAX_STEPS:
        yield f"{trajectory.n_steps} steps; 1 to {MAX_STEPS} are possible"
    if trajectory.first_tick + trajectory.n_steps > _MAX_TICK:
        yield f"no game lasts until tick {trajectory.first_tick}"
    if trajectory.game_id > _MAX_GAME_ID:
        yield "no game has a number of 2**63 or above"
    if len(trajectory.policy.encode()) > MAX_NAME_BYTES:
        yield f"a policy's name has at most {MAX_NAME_BYTES} bytes"


def _decompressed(payload: bytes, n_bytes: int) -> bytes:
    """A payload that has to come to `n_bytes`, and is given room for no more."""
    try:
        raw: bytes = lz4.block.decompress(payload, uncompressed_size=n_bytes)
    except lz4.block.LZ4BlockError as error:
        raise CorruptDataError(f"its payload is no LZ4 block of {n_bytes} bytes") from error
    if len(raw) != n_bytes:
        raise CorruptDataError(f"{len(raw)} bytes of payload where {n_bytes} are due")
    return raw
