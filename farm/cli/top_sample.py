"""What a farm says of itself at one moment, from its shared memory or from its discovery RPC.

Shared memory is read-only here and needs nobody's answer: it works on a farm whose processes hang,
and on what a killed one left behind.
"""

import contextlib
import time
from collections.abc import Mapping

import psutil
from msgspec import Struct

from farm.errors import SegmentAbsentError, SegmentError, SegmentNotReadyError, UnavailableError
from farm.shm.control import ChildSlot, ChildState, ControlBlock
from farm.shm.groups import (
    FIRST_HOST_RING,
    GroupKind,
    GroupsBlock,
    GroupSlot,
    attach_groups,
)
from farm.shm.lease import running_pid
from farm.shm.ring_layout import RingView, attach_ring, ring_indexes

NS_PER_S = 1_000_000_000
FIRST_RING = {"rollout": 0, "games": FIRST_HOST_RING}
"""The roles whose children have a ring, and which one the first of them has."""


class ChildSample(Struct, frozen=True):
    """One child at one moment."""

    name: str
    role: str
    state: str
    pid: int
    """0 while it has no process."""
    generation: int
    restarts: int
    heartbeat_age_s: float
    counters: Mapping[str, int]
    exit_reason: str = ""
    """How its last process ended; empty if none has."""
    ring_fill: float | None = None
    """Share of its ring that is filled, 0 to 1; None if it has no ring."""
    cpu_s: float | None = None
    """Processor time of its process; None where it cannot be seen."""
    rss_bytes: int | None = None
    """Resident memory of its process, shared pages included; None where it cannot be seen."""


class GroupSample(Struct, frozen=True):
    """One group of subscribers at one moment."""

    name: str
    policy: str
    """lossless, latest or sample:P."""
    declared: bool
    members: int
    leased_records: int
    """Handed to a member and not acknowledged."""
    lag_bytes: int
    """Published and not settled, in all rings."""
    last_ack_age_s: float | None
    """Since the last acknowledgement of any member; None if there was none."""


class HeldRing(Struct, frozen=True):
    """A ring that its worker waits for at one moment: it has no room, or is to be replaced."""

    worker: int
    fill: float
    """0 to 1."""
    group: str
    """The lossless group that is furthest behind in it; empty if there is none."""
    members: int
    last_ack_age_s: float | None
    """Since the last acknowledgement of any of them; None if there was none."""
    head: int | None = None
    """Byte position of its head; None where it cannot be seen."""
    full_s: float | None = None
    """How long it has stood still: as the farm says, or as two samples show."""
    advice: str = ""
    """What to change, if the farm says so."""
    is_ending: bool = False
    """It is to be replaced by one of another size (`ring.bytes`) once everything in it is taken."""


class FarmSample(Struct, frozen=True):
    """A farm at one moment."""

    at_ns: int
    """`time.monotonic_ns` of the reading."""
    instance: str
    running: bool
    state: str
    pid: int
    """Of the supervisor; 0 where it cannot be seen."""
    address: str
    """Of the experiences service; empty before it is bound."""
    uptime_s: float
    config_epoch: int
    seed: int
    children: tuple[ChildSample, ...]
    game_addresses: tuple[str, ...] = ()
    """Of the games hosts that have bound one."""
    groups: tuple[GroupSample, ...] = ()
    held: tuple[HeldRing, ...] = ()


def sample_instance(instance: str) -> FarmSample:
    """Read the shared memory of a farm on this machine, alive or dead.

    Raises:
        UnavailableError: there is none.
    """
    try:
        control = ControlBlock.attach(instance, readonly=True)
    except SegmentAbsentError:
        raise UnavailableError(
            f"no farm {instance!r} on this machine; start one with `farm up`, or name another "
            "with --instance"
        ) from None
    except SegmentNotReadyError:
        raise UnavailableError(f"the farm {instance!r} is just starting; try again") from None
    try:
        return _sample(control, running=running_pid(instance) is not None)
    finally:
        control.close()


def sample_address(address: str) -> FarmSample:
    """Ask a farm on any machine.

    Raises:
        UnavailableError: no farm answers at the address.
    """
    # gRPC takes longer to load than everything else here.
    from farm.client import NO_RETRY, Client  # noqa: PLC0415 - needed for this alone
    from farm.rpc.names import GAME_SERVICE  # noqa: PLC0415 - likewise

    with Client(address, retry=NO_RETRY) as client:
        info, stats = client.info(), client.stats()
    games = [name for name in info.endpoints if name.startswith(GAME_SERVICE)]
    fill = {ring.worker: ring.filled_bytes / ring.capacity_bytes for ring in stats.rings}
    return FarmSample(
        at_ns=time.monotonic_ns(),
        instance=info.instance,
        running=True,
        state="running",
        pid=0,
        address=address,
        game_addresses=tuple(info.endpoints[name] for name in sorted(games)),
        uptime_s=info.uptime_s,
        config_epoch=info.config_epoch,
        seed=info.seed,
        children=tuple(
            ChildSample(
                name=child.name,
                role=child.role,
                state=child.state,
                pid=child.pid,
                generation=child.generation,
                restarts=child.restarts,
                heartbeat_age_s=child.heartbeat_age_s,
                counters=child.counters,
                ring_fill=_remote_fill(child.name, fill),
            )
            for child in info.children
        ),
        groups=tuple(
            GroupSample(
                name=row.name,
                policy=row.policy,
                declared=row.declared,
                members=row.members,
                leased_records=row.leased_records,
                lag_bytes=row.lag_bytes,
                last_ack_age_s=row.last_ack_age_s,
            )
            for row in stats.groups
        ),
        held=tuple(
            HeldRing(
                worker=stall.worker,
                fill=stall.fill,
                group=stall.group,
                members=stall.members,
                last_ack_age_s=stall.last_ack_age_s,
                full_s=stall.full_s,
                advice=stall.advice,
            )
            for stall in stats.stalls
        ),
    )


def _sample(control: ControlBlock, *, running: bool) -> FarmSample:
    now_ns = time.monotonic_ns()
    groups, held = _groups(control.instance)
    return FarmSample(
        at_ns=now_ns,
        instance=control.instance,
        running=running,
        state=control.state.name.lower(),
        pid=control.pid,
        address=control.address,
        game_addresses=tuple(filter(None, control.game_addresses)),
        uptime_s=max(0, time.time_ns() - control.started_ns) / NS_PER_S,
        config_epoch=control.load_config()[0],
        seed=control.seed,
        children=tuple(
            _child(control.instance, slot, now_ns, running=running)
            for slot in control.children
            if slot.state is not ChildState.EMPTY
        ),
        groups=groups,
        held=held,
    )


def _groups(instance: str) -> tuple[tuple[GroupSample, ...], tuple[HeldRing, ...]]:
    """Every group, and the rings whose worker is parked, or gone until one of another size."""
    with contextlib.ExitStack() as stack:
        try:
            block = stack.enter_context(attach_groups(instance, readonly=True))
        except SegmentError:
            return (), ()
        views: dict[int, RingView] = {}
        for worker in ring_indexes(instance):
            with contextlib.suppress(SegmentError):
                segment = attach_ring(instance, worker, readonly=True)
                stack.callback(segment.close)
                views[worker] = RingView(segment)
        groups = tuple(_group(slot, views) for slot in block.slots())
        held = tuple(
            _held(block, worker, view)
            for worker, view in views.items()
            if view.parked or view.is_ending
        )
        return groups, held


def _group(slot: GroupSlot, views: Mapping[int, RingView]) -> GroupSample:
    return GroupSample(
        name=slot.name,
        policy=f"{slot.kind}:{slot.sample:g}" if slot.kind is GroupKind.SAMPLE else slot.kind,
        declared=slot.declared,
        members=slot.n_members,
        leased_records=slot.leased_records,
        lag_bytes=sum(
            max(0, view.tail - slot.settled(worker).position) for worker, view in views.items()
        ),
        last_ack_age_s=_ack_age_s(slot),
    )


def _held(block: GroupsBlock, worker: int, view: RingView) -> HeldRing:
    lossless = [slot for slot in block.slots() if slot.kind is GroupKind.LOSSLESS]
    holder = min(lossless, key=lambda slot: slot.settled(worker).position, default=None)
    return HeldRing(
        worker=worker,
        fill=view.used_bytes / view.capacity,
        group=holder.name if holder else "",
        members=holder.n_members if holder else 0,
        last_ack_age_s=_ack_age_s(holder) if holder else None,
        head=view.head,
        is_ending=view.is_ending,
    )


def _ack_age_s(slot: GroupSlot) -> float | None:
    # Of the wall clock, as it outlives processes; a step of it must not make an age negative.
    return max(0, time.time_ns() - slot.last_ack_ns) / NS_PER_S if slot.last_ack_ns else None


def _child(instance: str, slot: ChildSlot, now_ns: int, *, running: bool) -> ChildSample:
    # The pids of a dead farm may be others' by now.
    cpu_s, rss_bytes = _usage(slot.pid) if running and slot.pid else (None, None)
    return ChildSample(
        name=slot.name,
        role=slot.role,
        state=slot.state.name.lower(),
        pid=slot.pid,
        generation=slot.generation,
        restarts=slot.restarts,
        heartbeat_age_s=max(0, now_ns - slot.heartbeat_ns) / NS_PER_S,
        counters=slot.counters_dict(),
        exit_reason=slot.exit_reason,
        ring_fill=_ring_fill(instance, slot.role, slot.index),
        cpu_s=cpu_s,
        rss_bytes=rss_bytes,
    )


def _usage(pid: int) -> tuple[float | None, int | None]:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss
    return None, None


def _remote_fill(child: str, fill: Mapping[int, float]) -> float | None:
    role, _, index = child.rpartition("-")
    return fill.get(FIRST_RING[role] + int(index)) if role in FIRST_RING else None


def _ring_fill(instance: str, role: str, index: int) -> float | None:
    if role not in FIRST_RING:
        return None
    try:
        segment = attach_ring(instance, FIRST_RING[role] + index, readonly=True)
    except SegmentError:
        return None
    view = RingView(segment)
    fill = view.used_bytes / view.capacity
    segment.close()
    return fill
