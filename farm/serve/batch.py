"""Messages to clients: entries copied out of rings, and what is said about them behind."""

from typing import NamedTuple

import numpy as np

from farm.config.schema import ServeConfig
from farm.rpc.v1 import experience_pb2

_TRAILER_BYTES = 64
"""Room for the fields behind the trajectories: three varints at most."""
LAST_WORD = experience_pb2.ExperienceBatch(drained=True).SerializeToString()
"""To whom has everything that it can have, and is waited for."""
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


class Limits(NamedTuple):
    """The live part of the config that a batch depends on."""

    min_batch_bytes: int
    max_batch_bytes: int
    max_wait_ns: int
    client_timeout_ns: int
    lease_ns: int
    credit_bytes: int

    @classmethod
    def of(cls, config: ServeConfig) -> "Limits":
        """From the config."""
        return cls(
            min_batch_bytes=config.min_batch_bytes,
            max_batch_bytes=config.max_batch_bytes,
            max_wait_ns=int(config.max_batch_wait_ms * _NS_PER_MS),
            client_timeout_ns=int(config.client_timeout_s * _NS_PER_S),
            lease_ns=int(config.lease_s * _NS_PER_S),
            credit_bytes=config.credit_bytes,
        )


class Buffer:
    """Room for one message.

    Attributes:
        data: uint8[...], for kernels.
        n_bytes: filled with entries so far.
    """

    def __init__(self) -> None:
        self.data = np.empty(0, dtype=np.uint8)
        self.n_bytes = 0

    def reserve(self, n_bytes: int) -> None:
        """Make room for `n_bytes` of entries in all; what is there stays."""
        if len(self.data) < n_bytes + _TRAILER_BYTES:
            grown = np.empty(n_bytes + _TRAILER_BYTES, dtype=np.uint8)
            grown[: self.n_bytes] = self.data[: self.n_bytes]
            self.data = grown

    def finish(self, *, batch_id: int = 0, redelivered: bool = False, skipped: int = 0) -> bytes:
        """The message; the buffer is empty afterwards.

        Entries are a serialised ExperienceBatch already; more fields may follow in any order.
        """
        trailer = experience_pb2.ExperienceBatch(
            batch_id=batch_id, redelivered=redelivered, skipped=skipped
        ).SerializeToString()
        end = self.n_bytes + len(trailer)
        self.data[self.n_bytes : end] = np.frombuffer(trailer, dtype=np.uint8)
        self.n_bytes = 0
        return self.data[:end].tobytes()


class Patience:
    """How long a reader has had something, but too little for a batch."""

    __slots__ = ("_since_ns",)

    def __init__(self) -> None:
        self._since_ns: int | None = None

    def is_over(self, now_ns: int, max_wait_ns: int) -> bool:
        """Whether to send what is there; the wait starts with the first call."""
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns - self._since_ns >= max_wait_ns

    def reset(self) -> None:
        """There is nothing to send, or it was sent."""
        self._since_ns = None
