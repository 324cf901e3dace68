"""Handing in trajectories that were collected elsewhere: what is sent, and what came of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from farm.client.decode import Trajectory
from farm.errors import UsageError
from farm.rpc import names
from farm.rpc.v1 import experience_pb2
from farm.spec.fingerprint import spec_fingerprint

BATCH_BYTES: Final = names.MAX_REQUEST_BYTES // 4
"""Trajectories are sent together up to about this much: gRPC charges by the message."""
LARGEST_BYTES: Final = names.MAX_REQUEST_BYTES - 64
"""The longest trajectory that fits a message, alone and with what stands around it."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A trajectory that the farm did not take."""

    index: int
    """Its number among those handed in, from 0."""
    reason: str
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What the farm took of the trajectories handed in."""

    accepted_records: int
    accepted_experiences: int
    """Steps in them."""
    rejected_records: int
    rejections: tuple[Rejection, ...]
    """The first 100 of them."""


class Submission:
    """The messages of one call, made as they are sent.

    Args:
        trajectories: taken one by one.
        fingerprint: of the spec that this client was built from.
    """

    def __init__(self, trajectories: Iterable[Trajectory], fingerprint: int | None = None) -> None:
        self._trajectories = trajectories
        self._fingerprint = spec_fingerprint() if fingerprint is None else fingerprint
        self._failure: Exception | None = None

    def messages(self) -> Iterator[bytes]:
        """`open`, then batches. Ends early where the trajectories raise; `outcome` says so."""
        opening = experience_pb2.SubmitOpen(spec_fingerprint=self._fingerprint)
        yield experience_pb2.SubmitRequest(open=opening).SerializeToString()
        try:
            yield from self._batches()
        except Exception as error:  # noqa: BLE001 - gRPC's thread would only log it
            self._failure = error

    def outcome(self, reply: bytes) -> Submitted:
        """What came of it.

        Raises:
            UsageError: a trajectory is too long to be sent; those before it were.
            Exception: whatever the iteration over the trajectories raised.
        """
        if self._failure is not None:
            raise self._failure
        response = experience_pb2.SubmitResponse.FromString(reply)
        return Submitted(
            accepted_records=response.accepted_records,
            accepted_experiences=response.accepted_experiences,
            rejected_records=response.rejected_records,
            rejections=tuple(Rejection(row.index, row.reason) for row in response.rejections),
        )

    def _batches(self) -> Iterator[bytes]:
        batch = experience_pb2.SubmitBatch()
        n_bytes = 0
        for trajectory in self._trajectories:
            wire = trajectory.wire()
            if len(wire) > LARGEST_BYTES:
                raise UsageError(
                    f"{trajectory!r} takes {len(wire)} bytes and a message {LARGEST_BYTES}: hand "
                    "in shorter ones"
                )
            if n_bytes and n_bytes + len(wire) > BATCH_BYTES:
                yield experience_pb2.SubmitRequest(batch=batch).SerializeToString()
                batch, n_bytes = experience_pb2.SubmitBatch(), 0
            batch.trajectories.add().MergeFromString(wire)
            n_bytes += len(wire)
        if n_bytes:
            yield experience_pb2.SubmitRequest(batch=batch).SerializeToString()
