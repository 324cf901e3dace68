"""Who reads the rings: the group, the streams beside it, and what that lets the rings release.

    nobody has subscribed yet    the rings follow the furthest stream; without streams they stay,
                                 and the first reader gets what was produced before it came
    a member has subscribed      the group holds the rings from then on, also while it has no
                                 member: full rings park their workers, and nothing is lost

A member that holds the rings and stays silent must not starve the others: once a ring is half full
and another member has nothing to take, what the silent one has goes to that one (`relieve`).

A stream never holds a ring. It starts at the oldest record while streams move the rings, and at the
newest once a group does: it is there to watch, and what the group has yet to take may be a lot.
"""

from collections.abc import Sequence

from farm.serve.batch import Buffer, Limits
from farm.serve.credit import Credit
from farm.serve.filters import RecordFilter
from farm.serve.leases import Group
from farm.serve.member import Member
from farm.serve.rings import Ring
from farm.serve.stream import Stream


class Hub:
    """The readers of all rings.

    Attributes:
        rings: every ring.
        group: None until its first member.
        members: of the group, those there are now.
        streams: open ones.

    Args:
        rings: every ring.
        has_group: whether a group held the rings before, under an earlier service.
    """

    def __init__(self, rings: Sequence[Ring], *, has_group: bool = False) -> None:
        self.rings = rings
        self.group: Group | None = self._new_group() if has_group else None
        self.members: set[Member] = set()
        self.streams: set[Stream] = set()
        self._buffer = Buffer()

    @property
    def leased_records(self) -> int:
        """Records handed out and not acknowledged."""
        return self.group.leased_records if self.group else 0

    @property
    def room_bytes(self) -> int:
        """What one more member may hold at most: less of the rings, the more members there are.

        Members that could hold all of the rings together would wait for more while the rings, full,
        wait for them. Half of the rings and no more, as a ring is full before its last byte.
        """
        capacity_bytes = sum(ring.view.capacity for ring in self.rings)
        return capacity_bytes // (2 * (len(self.members) + 1))

    @property
    def is_drained(self) -> bool:
        """Whether there is nothing left that a connected reader could take."""
        if self.members:
            return all(ring.head.position >= ring.tail.position for ring in self.rings)
        return all(stream.is_caught_up for stream in self.streams)

    def join(self, credit_bytes: int) -> Member:
        """A subscriber comes."""
        if self.group is None:
            self.group = self._new_group()
        member = Member(self.group, self.rings, Credit(credit_bytes), self._buffer)
        self.members.add(member)
        return member

    def leave(self, member: Member) -> None:
        """A subscriber goes; what it has goes to the others."""
        self.members.remove(member)
        member.leave()

    def relieve(self, member: Member, now_ns: int, limits: Limits) -> bool:
        """Let a member that has nothing to take have what silent ones hold; whether there was any.

        A member that acknowledges now and then keeps what it has, however slow it is.
        """
        if len(self.members) == 1 or not any(ring.is_half_full for ring in self.rings):
            return False
        if member.is_silent(now_ns, limits) or not member.is_hungry(limits):
            return False
        silent = [other for other in self.members if other.is_silent(now_ns, limits)]
        return sum(other.reclaim() for other in silent) > 0

    def open_stream(self, wanted: RecordFilter) -> Stream:
        """An observer comes."""
        starts = [ring.tail if self.group else ring.head for ring in self.rings]
        stream = Stream(self.rings, starts, wanted)
        self.streams.add(stream)
        return stream

    def close_stream(self, stream: Stream) -> None:
        """An observer goes."""
        self.streams.discard(stream)

    def release(self) -> int:
        """Let the rings release what nobody needs; records that thereby pass slow streams by."""
        for index, ring in enumerate(self.rings):
            if self.group is not None:
                ring.release(self.group.release_mark(index))
            elif self.streams:
                ring.release(max(stream.cursors[index] for stream in self.streams))
        return sum(stream.skip_released() for stream in self.streams)

    def _new_group(self) -> Group:
        return Group([ring.head for ring in self.rings])
