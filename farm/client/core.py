"""The receiving side of a stream as a state machine: no socket, no asyncio, no clock.

    IDLE --open--> OPENING --first message--> STREAMING
     ^                |                           |
     +----------------+------disconnected---------+

Messages go in as bytes, trajectories come out in order, acknowledgements come out as bytes. The
sync and the asyncio face move the bytes and wait; everything that could be decided twice is decided
here.

At least once, and how: a batch is acknowledged after the reader is done with its last trajectory,
so that what a reader was working on when it died goes to another one. When only the connection
died, the farm delivers again what was not acknowledged; trajectories that this client has received
are then recognised by (worker, generation, sequence), counted and left out, so that a client in its
own lifetime meets each one once: over reconnects, over services that are replaced, and over farms
that are started again and go on with their rings.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from google.protobuf.message import DecodeError

from farm.client.decode import Trajectory
from farm.client.ledger import Seen, SequenceLedger
from farm.errors import CorruptDataError, LifecycleError, SpecMismatchError
from farm.rpc.v1 import experience_pb2
from farm.spec.fingerprint import spec_fingerprint


class State(Enum):
    """Where a stream stands."""

    IDLE = auto()
    OPENING = auto()
    STREAMING = auto()


@dataclass(frozen=True, slots=True)
class Received:
    """What a stream has brought so far, over all its connections."""

    trajectories: int = 0
    """Received, duplicates not counted."""
    experiences: int = 0
    """Their steps."""
    bytes: int = 0
    """Of all messages."""
    batches: int = 0
    """Messages with trajectories."""
    redelivered_batches: int = 0
    """Of them those handed out before, to this client or to another one."""
    duplicates: int = 0
    """Trajectories received before and left out."""
    unmarked_duplicates: int = 0
    """Of them those in batches not marked as handed out before: always 0, or the farm is broken."""
    missing: int = 0
    """Gaps in the sequences. For a sole subscriber a loss; others of the group have them else."""
    skipped: int = 0
    """Records that passed by because this client read too slowly (`stream` only)."""
    connections: int = 0
    """Connections that got as far as a first message."""


@dataclass(slots=True)
class _Delivery:
    """A batch that has arrived, and those of its trajectories that the reader has not taken."""

    connection: int
    batch_id: int
    n_bytes: int
    trajectories: deque[Trajectory]


class Inbox:
    """Receives the messages of one stream and hands out trajectories.

    Args:
        fingerprint: the spec that this client was built from.
    """

    def __init__(self, fingerprint: int | None = None) -> None:
        self._fingerprint = spec_fingerprint() if fingerprint is None else fingerprint
        self._state = State.IDLE
        self._connection = 0
        self._run_id = 0
        self._ledger = SequenceLedger()
        self._received = Received()
        self._credit_bytes = 0
        self._unacknowledged_bytes = 0
        self._is_drained = False
        self._waiting: deque[_Delivery] = deque()
        self._emptied: list[_Delivery] = []
        self._n_held = 0
        self._acks: list[int] = []

    @property
    def state(self) -> State:
        """Where the stream stands."""
        return self._state

    @property
    def received(self) -> Received:
        """The counts so far."""
        return self._received

    @property
    def seen(self) -> dict[int, Seen]:
        """Which sequences have arrived, by worker, since the rings were made."""
        return self._ledger.seen()

    @property
    def is_awaited(self) -> bool:
        """Whether the farm may send no more until something is acknowledged.

        More than half the credit is not, or the farm drains and has nothing else.
        """
        return self._is_drained or 0 < self._credit_bytes < 2 * self._unacknowledged_bytes

    def open(self) -> None:
        """A connection is being made."""
        self._move(State.IDLE, State.OPENING)

    def disconnected(self) -> None:
        """The connection is gone, and with it everything that was to be acknowledged on it.

        Trajectories that have arrived and were not taken yet stay, and still come out.
        """
        self._state = State.IDLE
        self._connection += 1
        self._acks.clear()
        self._unacknowledged_bytes = 0
        self._is_drained = False

    def receive(self, message: bytes) -> None:
        """Take in a message.

        Raises:
            CorruptDataError: it is no ExperienceBatch, or the first one does not start the stream.
            SpecMismatchError: the farm was built from another spec.
        """
        try:
            batch = experience_pb2.ExperienceBatch.FromString(message)
        except DecodeError as error:
            raise CorruptDataError(f"a message of {len(message)} bytes is no batch") from error
        if self._state is State.OPENING:
            self._start(batch)
        elif self._state is State.STREAMING:
            self._deliver(batch, len(message))
        else:
            raise LifecycleError(f"a message arrived while the stream was {self._state.name}")

    def try_next(self) -> Trajectory | None:
        """Hand out one trajectory that has arrived, in order."""
        # The path of every trajectory of a loop over them: half a microsecond, not one.
        if self._waiting and len(arrived := self._waiting[0].trajectories) > 1:
            self._n_held += 1
            return arrived.popleft()
        taken = self.try_take(1)
        return taken[0] if taken else None

    def try_take(self, n: int) -> list[Trajectory]:
        """Hand out up to `n` trajectories that have arrived, in order."""
        taken: list[Trajectory] = []
        while self._waiting:
            delivery = self._waiting[0]
            arrived = delivery.trajectories
            # Not held here any longer: a decoded trajectory is 30 times its size on the wire.
            taken += [arrived.popleft() for _ in range(min(n - len(taken), len(arrived)))]
            if arrived:
                break
            self._emptied.append(self._waiting.popleft())
        self._n_held += len(taken)
        if self._n_held == 0:
            # Batches of nothing but duplicates: nobody works on them.
            self.finish_taken()
        return taken

    def finish_taken(self) -> None:
        """The reader is done with everything it has taken: acknowledge what that completes."""
        self._n_held = 0
        if not self._emptied:
            return
        for delivery in self._emptied:
            if delivery.batch_id and delivery.connection == self._connection:
                self._acks.append(delivery.batch_id)
                self._unacknowledged_bytes -= delivery.n_bytes
        self._emptied.clear()

    def take_acks(self) -> bytes | None:
        """The acknowledgement to send now, if any."""
        if not self._acks or self._state is not State.STREAMING:
            return None
        ack = experience_pb2.Ack(batch_ids=self._acks)
        self._acks.clear()
        return experience_pb2.SubscribeRequest(ack=ack).SerializeToString()

    def _start(self, batch: experience_pb2.ExperienceBatch) -> None:
        if not batch.HasField("started"):
            raise CorruptDataError("the first message of the stream does not start it")
        started = batch.started
        if started.spec_fingerprint != self._fingerprint:
            raise SpecMismatchError(
                f"the farm has spec {started.spec_fingerprint:016x}, this client "
                f"{self._fingerprint:016x}; install the same version of farm on both sides"
            )
        if started.run_id != self._run_id:
            self._run_id = started.run_id
            self._ledger.restart()
        self._credit_bytes = started.credit_bytes
        self._count(connections=1)
        self._move(State.OPENING, State.STREAMING)

    def _deliver(self, batch: experience_pb2.ExperienceBatch, n_bytes: int) -> None:
        note = self._ledger.note
        arrived = batch.trajectories
        self._is_drained = batch.drained
        fresh = [m for m in arrived if note(m.worker, m.generation, m.sequence)]
        self._unacknowledged_bytes += n_bytes if batch.batch_id else 0
        self._waiting.append(
            _Delivery(self._connection, batch.batch_id, n_bytes, deque(map(Trajectory, fresh)))
        )
        self._count(
            trajectories=len(fresh),
            experiences=sum([m.n_steps for m in fresh]),
            bytes=n_bytes,
            batches=1 if arrived else 0,
            redelivered_batches=1 if batch.redelivered else 0,
            unmarked_duplicates=0 if batch.redelivered else len(arrived) - len(fresh),
            skipped=batch.skipped,
        )

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._received, name) for name in Received.__slots__}
        for name, n in more.items():
            counts[name] += n
        counts["duplicates"] = self._ledger.duplicates
        counts["missing"] = self._ledger.missing
        self._received = Received(**counts)

    def _move(self, source: State, target: State) -> None:
        if self._state is not source:
            raise LifecycleError(f"a stream that is {self._state.name} cannot become {target.name}")
        self._state = target
