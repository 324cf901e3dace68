"""The groups there are: declared, made by a subscription, taken over, idle, removed.

A group is a name, a policy and a place in every ring. The place is in the groups segment
(farm.shm.groups), so that it outlives this service: what a group is done with is kept there before
any ring is released, and what is handed out before it leaves. Leases live here only; a service that
takes over hands out again, marked as such, what was handed out and not settled.

    declared in `serve.groups`   from the start of the service, never removed; not declared any
                                 more, it is as if a subscription had made it
    made by a subscription       until it is removed by RemoveGroup, or has had no member for
                                 `serve.group_idle_s`
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from farm.errors import ConflictError, NotFoundError
from farm.serve.leases import Group, Lease, Mark, Span, mark_of
from farm.serve.policy import Policy
from farm.serve.rings import Ring
from farm.shm.groups import MAX_GROUPS, GroupsBlock, GroupSlot, Released, Settled


class NamedGroup:
    """One group, and its part of the groups segment.

    Attributes:
        name: unique.
        policy: what it does to the rings.
        leases: what its members have.
        n_members: those there are now.
        idle_since_ns: when it began to have none.

    Args:
        slot: its part of the groups segment.
        rings: every ring.
        now_ns: it has been idle since, as far as this service knows.
    """

    def __init__(self, slot: GroupSlot, rings: Sequence[Ring], now_ns: int) -> None:
        self.name = slot.name
        self.policy = Policy(slot.kind, slot.sample)
        self.n_members = 0
        self.idle_since_ns = now_ns
        self._slot = slot
        self._rings = rings
        numbers = [ring.worker for ring in rings]
        self._kept = [slot.settled(number) for number in numbers]
        self.leases = Group(self._kept, [slot.handed(number) for number in numbers])
        slot.n_members = slot.leased_records = 0

    @property
    def declared(self) -> bool:
        """Whether the config declares it."""
        return self._slot.declared

    @property
    def last_ack_ns(self) -> int:
        """Wall clock of the last acknowledgement of any member; 0 if there was none."""
        return self._slot.last_ack_ns

    @property
    def acknowledged_records(self) -> int:
        """Of all rings, since the group was made; those behind something unsettled not yet."""
        return sum(kept.acknowledged.records for kept in self._kept)

    @property
    def lag_bytes(self) -> int:
        """Bytes of all rings that are published and not settled."""
        return sum(
            ring.tail.position - kept.position
            for ring, kept in zip(self._rings, self._kept, strict=True)
        )

    @property
    def lag_records(self) -> int:
        """The same in records."""
        return sum(
            ring.tail.records - kept.total.records
            for ring, kept in zip(self._rings, self._kept, strict=True)
        )

    @property
    def is_done(self) -> bool:
        """Whether everything that was published is settled."""
        return self.lag_bytes == 0

    def settled(self, index: int) -> Settled:
        """What it is done with in a ring, as of the last `keep`."""
        return self._kept[index]

    def add_ring(self, worker: int) -> None:
        """There is one more ring, behind the others."""
        self._kept.append(self._slot.settled(worker))
        self.leases.add_ring(self._kept[-1], self._slot.handed(worker))

    def join(self) -> int:
        """A member comes; its number."""
        self._count_member(1)
        return self.leases.join()

    def leave(self, number: int, now_ns: int) -> None:
        """A member goes; what it has goes to the others."""
        self.leases.leave(number)
        self._slot.leased_records = self.leases.leased_records
        self._count_member(-1)
        self.idle_since_ns = now_ns

    def lease(
        self, number: int, spans: Sequence[Span], *, n_bytes: int, counts: tuple[int, int, int]
    ) -> Lease:
        """Hand spans to a member, as one batch, and keep that they were handed out.

        Args:
            number: of the member.
            spans: what is in the batch.
            n_bytes: bytes of its entries.
            counts: records and experiences in it, and records that were handed out before.
        """
        lease = self.leases.lease(
            number,
            spans,
            n_bytes=n_bytes,
            records=counts[0],
            experiences=counts[1],
            redelivered_records=counts[2],
        )
        for index in {span.ring for span in spans}:
            self._slot.set_handed(self._rings[index].worker, self.leases.handed(index))
        self._slot.leased_records = self.leases.leased_records
        return lease

    def heard(self) -> None:
        """A member has acknowledged something."""
        self._slot.last_ack_ns = time.time_ns()
        self._slot.leased_records = self.leases.leased_records

    def has_half_of(self, index: int) -> bool:
        """Whether half of a ring or more is not settled: handed out, or still to be."""
        return self._rings[index].fills_half(mark_of(self.leases.settled(index)))

    def keep(self, index: int) -> Mark:
        """Keep what the group is done with in a ring, which may be released up to there.

        A group that does not hold rings goes on at the newest record before it has half of one
        wait for it: a worker parks when more than half is taken, not before. So it does before a
        ring that shall have another capacity has waited for it for long.
        """
        settled, ring = self.leases.settled(index), self._rings[index]
        if not self.policy.holds and (
            ring.fills_half(mark_of(settled))
            or (ring.is_overdue and settled.position != ring.tail.position)
        ):
            self.leases.pass_over(index, ring.tail)
            self._slot.leased_records = self.leases.leased_records
            settled = self.leases.settled(index)
        if settled is not self._kept[index]:
            self._slot.settle(ring.worker, settled)
            self._kept[index] = settled
        return mark_of(settled)

    def declare(self, policy: Policy | None) -> None:
        """The config declares the group with this policy; None: it does not, or not any more."""
        self._slot.declared = policy is not None
        if policy is not None and policy != self.policy:
            self._slot.set_policy(policy.kind, policy.part)
            self.policy = policy

    def forget(self) -> None:
        """The group is no more."""
        self._slot.release()

    def _count_member(self, change: int) -> None:
        self.n_members += change
        self._slot.n_members = self.n_members


class Groups:
    """The groups of one farm, by name.

    Args:
        block: the groups segment.
        rings: every ring.
        declared: those of the config, by name.
        now_ns: `time.monotonic_ns`.

    Raises:
        SegmentFullError: there is no room for what is declared.
    """

    def __init__(
        self,
        block: GroupsBlock,
        rings: Sequence[Ring],
        declared: Mapping[str, Policy],
        now_ns: int,
    ) -> None:
        self._block = block
        self._rings = rings
        self._by_name = {slot.name: NamedGroup(slot, rings, now_ns) for slot in block.slots()}
        for name, group in self._by_name.items():
            group.declare(declared.get(name))
        for name, policy in declared.items():
            if name not in self._by_name:
                self._make(name, policy, now_ns, declared=True)

    @property
    def run_id(self) -> int:
        """Names the lifetime of the rings."""
        return self._block.run_id

    def __iter__(self) -> Iterator[NamedGroup]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def obtain(self, name: str, policy: Policy | None, now_ns: int) -> NamedGroup:
        """The group of a name, made if it is not there.

        Args:
            name: of the group.
            policy: that it shall have; None takes what is there, and else a lossless one.
            now_ns: `time.monotonic_ns`.

        Raises:
            ConflictError: it is there with another policy, or there are too many groups.
        """
        group = self._by_name.get(name)
        if group is None:
            if len(self._by_name) >= MAX_GROUPS:
                raise ConflictError(
                    f"there are {MAX_GROUPS} groups already: {', '.join(sorted(self._by_name))}; "
                    f"remove one that nobody needs, or join one"
                )
            return self._make(name, policy or Policy(), now_ns, declared=False)
        if policy is not None and policy != group.policy:
            raise ConflictError(
                f"group {name} is {group.policy}, not {policy}; join it without a policy, choose "
                "another name, or remove it first"
            )
        return group

    def remove(self, name: str) -> int:
        """Forget a group; how many records it had not settled.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: it has members, or the config declares it.
        """
        group = self._by_name.get(name)
        if group is None:
            there = ", ".join(sorted(self._by_name)) or "none"
            raise NotFoundError(f"there is no group {name}; there are: {there}")
        if group.declared:
            raise ConflictError(f"group {name} is declared in serve.groups; take it out there")
        if group.n_members:
            raise ConflictError(f"group {name} has {group.n_members} members; end them first")
        for index in range(len(self._rings)):
            group.keep(index)
        del self._by_name[name]
        group.forget()
        return group.lag_records

    def idle(self, now_ns: int, idle_ns: int) -> list[str]:
        """Names of the groups that a subscription made and nobody has used for too long."""
        return [
            group.name
            for group in self
            if not group.declared
            and group.n_members == 0
            and now_ns - group.idle_since_ns >= idle_ns
        ]

    def _make(self, name: str, policy: Policy, now_ns: int, *, declared: bool) -> NamedGroup:
        starts = {ring.worker: Released(*ring.head) for ring in self._rings}
        slot = self._block.claim(
            name, policy.kind, sample=policy.part, declared=declared, starts=starts
        )
        group = self._by_name[name] = NamedGroup(slot, self._rings, now_ns)
        return group
