"""The experiences of hosted games, into the ring of their host: one trajectory a seat and chunk.

A chunk is at most T = `worker.steps` ticks of one game, as a rollout worker has it: its
trajectories begin together, one for each living seat, and end with it, with the seat's death, with
the game, or when somebody else takes the seat over. Step k is what the seat saw before the tick,
what it did (a pass, if nothing was asked of it or could be done), what that was worth, and what it
saw then. The tick in which a seat dies is the last of its trajectory; of one that surrendered, the
tick after that.

    terminated   the rules ended the game, or the seat's part in it
    truncated    the game reached its last tick, or was called off

What a game has not filled a chunk with when its host dies is lost with the host: nothing of it was
ever claimed. No game waits for a trainer: what finds no room in the ring is dropped, by count.
Log-probabilities are 0, as nobody tells them, and there is no memory (`worker.memory`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import lz4.block
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from farm.engine.state import OUTCOME, PLAYING, TERMINATED, TICK, Games
from farm.rpc.v1 import experience_pb2
from farm.serve.record import seal
from farm.shm.control import ChildSlot
from farm.shm.ring import (
    ABORTED_RECORDS,
    DROPPED_EXPERIENCES,
    DROPPED_RECORDS,
    PENDING,
    RING_FULL,
    RingProducer,
    drop,
    next_sequence,
)
from farm.spec.observation import frame_bytes

_MIRRORED = {
    "dropped_records": DROPPED_RECORDS,
    "dropped_experiences": DROPPED_EXPERIENCES,
    "aborted_records": ABORTED_RECORDS,
}
"""Counters that are the ring's own, over all generations, by their words in the cursor."""


class Player(NamedTuple):
    """Who holds a seat."""

    policy: str
    """Name of the agent, or of the scripted policy."""
    version: int = 0
    """Of the scripted policy; 0 of an agent."""


class About(Struct, frozen=True):
    """What does not change in a game."""

    game_id: int
    height: int
    width: int
    n_allies: tuple[int, ...]
    """By seat."""


class Sources(NamedTuple):
    """Where a game in progress is: views of its row, which the host keeps current."""

    frames: NDArray[np.uint8]
    """uint8[seats, frame_bytes]: what each seat sees; of a game without fog, the clear frames."""
    actions: NDArray[np.int32]
    """int32[seats]: what each living seat did in the last tick, as an index (spec.actions)."""
    rewards: NDArray[np.float32]
    """float32[seats]: what that was worth."""
    alive: NDArray[np.uint8]
    """uint8[seats]."""
    status: NDArray[np.int32]
    """int32[N_STATUS] (engine.state)."""


def about_of(games: Games, row: int, game_id: int) -> About:
    """What does not change in the game of a row."""
    sides = games.side[row, : games.n_seats[row]].tolist()
    return About(
        game_id,
        int(games.height[row]),
        int(games.width[row]),
        tuple(sides.count(side) - 1 for side in sides),
    )


def sources_of(
    games: Games,
    row: int,
    *,
    actions: NDArray[np.int32],
    rewards: NDArray[np.float32],
    frames: NDArray[np.uint8] | None = None,
) -> Sources:
    """Where the game of a row is.

    Args:
        games: the batch.
        row: of the game.
        actions: int32[n_games, n_seats], kept current by the host.
        rewards: float32[n_games, n_seats], likewise.
        frames: uint8[n_games, n_seats, at least frame_bytes] of games without fog, likewise; None
            takes what the seats see.
    """
    n_seats = int(games.n_seats[row])
    size = frame_bytes(int(games.height[row] * games.width[row]), n_seats)
    seen = games.frames if frames is None else frames
    return Sources(
        seen[row, :n_seats, :size],
        actions[row, :n_seats],
        rewards[row, :n_seats],
        games.alive[row, :n_seats],
        games.status[row],
    )


class Recorder:
    """Records the games of one host.

    Attributes:
        steps: T, of chunks that begin from now on.
        config_epoch: of the config in force, stamped on trajectories.

    Args:
        producer: of the host's ring.
        slot: of the host in the control block; its counters of records are written.
        ring: index of the ring.
        generation: incarnation of the host.
        steps: T.
        config_epoch: of the config in force.
        published: called after something was published.
        wall_ns: the wall clock.
    """

    def __init__(
        self,
        producer: RingProducer,
        slot: ChildSlot,
        *,
        ring: int,
        generation: int,
        steps: int,
        config_epoch: int,
        published: Callable[[], None],
        wall_ns: Callable[[], int],
    ) -> None:
        self.steps = steps
        self.config_epoch = config_epoch
        self._producer = producer
        self._slot = slot
        self._ring = ring
        self._generation = generation
        self._published = published
        self._wall_ns = wall_ns
        self._open: dict[int, _Recording] = {}
        self._records = self._experiences = self._games = 0
        self._mirror()

    def begin(self, about: About, sources: Sources, players: Sequence[Player]) -> None:
        """Record a game from its present tick on, of which the frames are those in `sources`."""
        self._open[about.game_id] = _Recording(about, sources, players, self.steps)

    def ticked(self, game_id: int) -> None:
        """Take in a tick that was just played of a game; nothing happens if it is not recorded."""
        game = self._open.get(game_id)
        if game is None:
            return
        game.add_step()
        if game.n_steps == game.max_steps:
            self._write(game, game.open_seats)
            game.begin_chunk(self.steps)
        elif game.has_deaths():
            self._write(game, game.take_dead())

    def replaced(self, game_id: int, seat: int, player: Player) -> None:
        """Somebody else plays a seat from now on: no trajectory is of two."""
        game = self._open.get(game_id)
        if game is None:
            return
        if game.n_steps:
            self._write(game, game.open_seats)
            game.begin_chunk(self.steps)
        game.players[seat] = player

    def ended(self, game_id: int) -> None:
        """A game is over, or called off: what is left of it is written."""
        game = self._open.pop(game_id, None)
        if game is None:
            return
        if game.n_steps:
            self._write(game, game.open_seats, is_last=True)
        self._games += 1

    def abandon(self, game_id: int) -> None:
        """Let go of a game, whatever of it is not written yet."""
        self._open.pop(game_id, None)

    def publish(self) -> int:
        """Make everything visible that was written since the last call; how many records."""
        producer, n_records = self._producer, self._records
        if int(producer.cursor[PENDING]):
            producer.publish(n_games=self._games)
            self._slot.add("records", n_records)
            self._slot.add("experiences", self._experiences)
            self._records = self._experiences = self._games = 0
            self._published()
        self._mirror()
        return n_records

    def _write(self, game: "_Recording", seats: Iterable[int], *, is_last: bool = False) -> None:
        for seat in seats:
            reward = game.rewards[seat, : game.n_steps]
            trajectory = game.trajectory(seat, is_last=is_last)
            trajectory.config_epoch = self.config_epoch
            trajectory.wall_time_ns = self._wall_ns()
            record = seal(
                trajectory,
                reward,
                ring=self._ring,
                generation=self._generation,
                sequence=int(next_sequence(self._producer.cursor)),
            )
            self._put(record, game.n_steps)

    def _put(self, record: bytes, n_steps: int) -> None:
        producer = self._producer
        try:
            place = producer.try_claim(len(record), n_steps)
        except ValueError:  # larger than half of the ring, as after a change of `worker.steps`
            place = None
        if place is None:
            drop(producer.mem, producer.cursor, RING_FULL, 1, n_steps)
            return
        place[:] = record
        self._records += 1
        self._experiences += n_steps

    def _mirror(self) -> None:
        for counter, word in _MIRRORED.items():
            self._slot.set(counter, int(self._producer.cursor[word]))


class _Recording:
    """The chunk in the making of one game.

    Attributes:
        players: by seat.
        open_seats: with a trajectory in this chunk.
        rewards: float32[seats, T].
        n_steps: ticks of the chunk so far.
        max_steps: T.
    """

    __slots__ = (
        "_about",
        "_actions",
        "_alive",
        "_first_tick",
        "_frames",
        "_sources",
        "max_steps",
        "n_steps",
        "open_seats",
        "players",
        "rewards",
    )

    def __init__(
        self, about: About, sources: Sources, players: Sequence[Player], max_steps: int
    ) -> None:
        self._about = about
        self._sources = sources
        self.players = list(players)
        self.max_steps = 0
        self.begin_chunk(max_steps)

    def begin_chunk(self, max_steps: int) -> None:
        """Open a trajectory for every living seat, at the present tick."""
        sources = self._sources
        n_seats, frame_bytes = sources.frames.shape
        if max_steps != self.max_steps:
            self.max_steps = max_steps
            self._frames = np.empty((n_seats, max_steps + 1, frame_bytes), np.uint8)
            self._actions = np.empty((n_seats, max_steps), np.uint16)
            self.rewards = np.empty((n_seats, max_steps), np.float32)
        self._frames[:, 0] = sources.frames
        self._first_tick = int(sources.status[TICK])
        self._alive = sources.alive.tobytes()
        self.open_seats = [seat for seat in range(n_seats) if self._alive[seat]]
        self.n_steps = 0

    def add_step(self) -> None:
        """Take in a tick."""
        sources, step = self._sources, self.n_steps
        self._actions[:, step] = sources.actions
        self.rewards[:, step] = sources.rewards
        step += 1
        self._frames[:, step] = sources.frames
        self.n_steps = step

    def has_deaths(self) -> bool:
        """Whether somebody died since the chunk began, or since `take_dead`."""
        return self._sources.alive.tobytes() != self._alive

    def take_dead(self) -> list[int]:
        """The seats that died, which get no further step."""
        self._alive = self._sources.alive.tobytes()
        dead = [seat for seat in self.open_seats if not self._alive[seat]]
        self.open_seats = [seat for seat in self.open_seats if self._alive[seat]]
        return dead

    def trajectory(self, seat: int, *, is_last: bool) -> experience_pb2.Trajectory:
        """The trajectory of a seat, without its name, epoch and time.

        Args:
            seat: an open one, or one that has just died.
            is_last: whether no tick follows, whatever the status says.
        """
        about, sources, player = self._about, self._sources, self.players[seat]
        outcome = sources.status[OUTCOME]
        terminated = bool(outcome == TERMINATED or not sources.alive[seat])
        return experience_pb2.Trajectory(
            game_id=about.game_id,
            seat=seat,
            n_seats=len(self.players),
            n_allies=about.n_allies[seat],
            height=about.height,
            width=about.width,
            first_tick=self._first_tick,
            n_steps=self.n_steps,
            terminated=terminated,
            truncated=bool(outcome != PLAYING or is_last) and not terminated,
            policy=player.policy,
            policy_version=player.version,
            payload=self._payload(seat),
        )

    def _payload(self, seat: int) -> bytes:
        """Frames and columns (spec.trajectory) as an LZ4 block."""
        n_steps = self.n_steps
        columns = (
            self._frames[seat, : n_steps + 1].data,
            self.rewards[seat, :n_steps].data,
            bytes(4 * n_steps),
            self._actions[seat, :n_steps].data,
        )
        block: bytes = lz4.block.compress(b"".join(columns), store_size=False)
        return block
