"""Who reads the rings: groups, the streams beside them, and what that lets the rings release.

    there is a group     a ring is released up to the group that is furthest behind in it. A
                         lossless one holds it, also while it has no member: full rings park their
                         workers, and nothing is lost. The others go on at the newest record before
                         they hold more than half of it (groups.py)
    there is none        the rings follow the furthest stream; without streams they stay, and the
                         first reader gets what was produced before it came

A member that holds the rings and stays silent must not starve the others of its group: once a ring
is half full and another has nothing to take, what the silent one has goes to that one (`relieve`).

While the farm drains there is no such ring, and the silent one holds up the end instead: it loses
what it has all the same. Who has everything that is left is told so (`try_last_word`), as a client
that collects a list of so many would wait for the rest of it. Both hold as well while a worker
waits for all of its ring to be released, to come back with one of another capacity. Smaller rings
cut the credit of members that had half of larger ones: who has used that up is told so, too. So is
who has all of a full ring and stays silent, as what it collects may be more than that.

A stream never holds a ring. It starts at the oldest record while streams move the rings, and at the
newest once a group does: it is there to watch, and what the group has yet to take may be a lot.
"""

from collections.abc import Sequence
from typing import NamedTuple

from farm.rpc.names import DEFAULT_GROUP
from farm.serve.batch import Buffer, Limits
from farm.serve.credit import Credit
from farm.serve.filters import RecordFilter
from farm.serve.groups import Groups
from farm.serve.member import Member
from farm.serve.policy import Policy
from farm.serve.rings import Ring
from farm.serve.stream import Stream
from farm.shm.groups import SUBMITTED_RING

_EVERYTHING = RecordFilter()


class Opening(NamedTuple):
    """What a subscriber asks for, checked."""

    group: str = DEFAULT_GROUP
    policy: Policy | None = None
    """None: whatever the group has."""
    wanted: RecordFilter = _EVERYTHING
    credit_bytes: int = 0
    """0: as much as it may have."""


class Hub:
    """The readers of all rings.

    Attributes:
        rings: every ring.
        groups: those there are.
        members: of all groups, those there are now.
        streams: open ones.
        is_draining: nothing new comes into the rings, and the farm ends when they are empty.

    Args:
        rings: every ring; all readers share this list, and only the hub adds to it.
        groups: those there are.
    """

    def __init__(self, rings: list[Ring], groups: Groups) -> None:
        self.rings = rings
        self.groups = groups
        self.members: set[Member] = set()
        self.streams: set[Stream] = set()
        self.is_draining = False
        self._buffer = Buffer()
        self._capacity_bytes = self._sum_of_capacities()
        self._has_ending_rings = False
        self._full_rings: list[int] = []

    @property
    def leased_records(self) -> int:
        """Records handed out and not acknowledged, by all groups."""
        return sum(group.leases.leased_records for group in self.groups)

    @property
    def is_drained(self) -> bool:
        """Whether there is nothing left that a connected reader could take."""
        if self.members:
            return all(member.group.is_done for member in self.members)
        return all(stream.is_caught_up for stream in self.streams)

    def add_rings(self, rings: Sequence[Ring]) -> None:
        """There are more rings; every reader takes them from their first record on."""
        for ring in rings:
            self.rings.append(ring)
            for group in self.groups:
                group.add_ring(ring.worker)
            for stream in self.streams:
                stream.add_ring(ring.head)

    def join(self, opening: Opening, now_ns: int, *, limit_bytes: int) -> Member:
        """A subscriber comes.

        Args:
            opening: what it asks for.
            now_ns: `time.monotonic_ns`.
            limit_bytes: credit of any member, at most.

        Raises:
            ConflictError: the group has another policy, or cannot be made.
        """
        group = self.groups.obtain(opening.group, opening.policy, now_ns)
        n_before = group.n_members
        limit_bytes = min(limit_bytes, self._room_bytes(n_before))
        credit = Credit(min(opening.credit_bytes or limit_bytes, limit_bytes))
        member = Member(group, self.rings, credit, opening.wanted, self._buffer, n_before)
        self.members.add(member)
        return member

    def leave(self, member: Member, now_ns: int) -> None:
        """A subscriber goes; what it has goes to the others of its group."""
        self.members.remove(member)
        member.leave(now_ns)

    def relieve(self, member: Member, now_ns: int, limits: Limits) -> bool:
        """Let a member that has nothing to take have what silent ones hold; whether there was any.

        A member that acknowledges now and then keeps what it has, however slow it is.
        """
        if member.group.n_members == 1 or not self._is_waited_for:
            return False
        if member.is_silent(now_ns, limits) or not member.is_hungry(limits):
            return False
        silent = [
            other
            for other in self.members
            if other.group is member.group and other.is_silent(now_ns, limits)
        ]
        return sum(other.reclaim() for other in silent) > 0

    def try_last_word(self, member: Member, now_ns: int, limits: Limits) -> bytes | None:
        """A message for a member that is waited for and can have no more, once."""
        is_all = self.is_draining or self._has_ending_rings
        if not is_all and member.is_silent(now_ns, limits):
            is_all = any(map(member.group.has_half_of, self._full_rings))
        return member.try_last_word(limits, is_all=is_all)

    def follow_rings(self) -> None:
        """Go by the rings as a scan has found them: members hold what they may, no more."""
        self._has_ending_rings = any(ring.is_ending for ring in self.rings)
        self._full_rings = [index for index, ring in enumerate(self.rings) if ring.is_full]
        capacity_bytes = self._sum_of_capacities()
        if capacity_bytes != self._capacity_bytes:
            self._capacity_bytes = capacity_bytes
            for member in self.members:
                member.credit.fit(self._room_bytes(member.n_before))

    def open_stream(self, wanted: RecordFilter) -> Stream:
        """An observer comes."""
        starts = [ring.tail if len(self.groups) else ring.head for ring in self.rings]
        stream = Stream(self.rings, starts, wanted)
        self.streams.add(stream)
        return stream

    def close_stream(self, stream: Stream) -> None:
        """An observer goes."""
        self.streams.discard(stream)

    def release(self) -> int:
        """Let the rings release what nobody needs; records that thereby pass slow streams by."""
        for index, ring in enumerate(self.rings):
            if len(self.groups):
                ring.release(min(group.keep(index) for group in self.groups))
            elif self.streams:
                ring.release(max(stream.cursors[index] for stream in self.streams))
        return sum(stream.skip_released() for stream in self.streams)

    @property
    def _is_waited_for(self) -> bool:
        """Whether somebody waits for what members hold: a worker soon, or the end."""
        if self.is_draining or self._has_ending_rings:
            return True
        return any(ring.is_half_full for ring in self.rings)

    def _room_bytes(self, n_members: int) -> int:
        """What one more member of a group may hold at most: less, the more members it has.

        Members that could hold all of the rings together would wait for more while the rings, full,
        wait for them. Half of the rings and no more, as a ring is full before its last byte; and of
        those of workers, which are full together when they wait, as others may hold nothing.
        """
        return self._sum_of_capacities() // (2 * (n_members + 1))

    def _sum_of_capacities(self) -> int:
        rings = [ring for ring in self.rings if ring.worker < SUBMITTED_RING] or self.rings
        return sum(ring.view.capacity for ring in rings)
