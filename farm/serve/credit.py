"""Credit: how many bytes a member of a group may hold unacknowledged. Pure."""

_SMALLEST_SHARE = 4
"""A batch waits until at least this part of a small credit is free: no dribble of tiny messages."""


class Credit:
    """The credit of one member, and how long it has been used up.

    Attributes:
        limit_bytes: bytes that may be outstanding. One batch may exceed it when nothing else is
            out: a single trajectory can be larger than a small credit.
        granted_bytes: the limit that it began with, and that its client was told.
        outstanding_bytes: bytes handed out and not acknowledged.
    """

    __slots__ = ("_blocked_since_ns", "granted_bytes", "limit_bytes", "outstanding_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = self.granted_bytes = limit_bytes
        self.outstanding_bytes = 0
        self._blocked_since_ns: int | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the limit is below what was granted."""
        return self.limit_bytes < self.granted_bytes

    def fit(self, most_bytes: int) -> None:
        """Go by this limit, or by what was granted if that is less; what is out stays out."""
        self.limit_bytes = min(self.granted_bytes, most_bytes)

    def room_bytes(self, min_batch_bytes: int) -> int:
        """Bytes the next batch may have; 0 if it is not worth sending one yet.

        Args:
            min_batch_bytes: size below which a batch waits, if the credit is large enough for it.
        """
        room = self.limit_bytes - self.outstanding_bytes
        worth = max(1, min(min_batch_bytes, self.limit_bytes // _SMALLEST_SHARE))
        return room if room >= worth else 0

    def take(self, n_bytes: int) -> None:
        """A batch goes out."""
        self.outstanding_bytes += n_bytes
        self._blocked_since_ns = None

    def give_back(self, n_bytes: int) -> None:
        """A batch was acknowledged."""
        if n_bytes > self.outstanding_bytes:
            raise ValueError(f"{n_bytes} bytes back of {self.outstanding_bytes} outstanding")
        self.outstanding_bytes -= n_bytes
        self._blocked_since_ns = None

    def blocked_ns(self, now_ns: int) -> int:
        """How long there was something to send and no room; call it whenever that is so."""
        if self._blocked_since_ns is None:
            self._blocked_since_ns = now_ns
        return now_ns - self._blocked_since_ns
