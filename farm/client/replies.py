"""Answers of the farm as plain values, so that no protobuf message leaves this package."""

from collections.abc import Mapping
from dataclasses import dataclass

from farm.client.options import SAMPLE
from farm.rpc.v1 import experience_pb2


@dataclass(frozen=True, slots=True)
class ExperienceStats:
    """Statistics over some trajectories."""

    trajectories: int
    experiences: int
    games_finished: int
    """Games with at least one seat's last trajectory among those counted."""
    reward_mean: float
    """Of the reward of a trajectory, summed over its steps; 0 if there is none."""
    reward_min: float
    reward_max: float
    oldest_ns: int
    """When the oldest was made, in nanoseconds since the Unix epoch; 0 if there is none."""
    newest_ns: int


@dataclass(frozen=True, slots=True)
class RingStats:
    """One worker's ring."""

    worker: int
    capacity_bytes: int
    filled_bytes: int
    records: int
    """Records in the ring now."""
    blocked_s: float
    """How long its worker has waited for room, in all."""


@dataclass(frozen=True, slots=True)
class GroupStats:
    """One group of subscribers."""

    name: str
    policy: str
    """As `subscribe` takes it: lossless, latest or sample:P."""
    declared: bool
    """Named in the farm's config: never removed for being idle."""
    members: int
    leased_records: int
    """Handed to a member and not acknowledged."""
    acknowledged_records: int
    lag_bytes: int
    """Bytes of all rings that are published and not settled by this group."""
    last_ack_age_s: float | None
    """Since the last acknowledgement of any member; None if there was none."""


@dataclass(frozen=True, slots=True)
class Stall:
    """A ring that is full, and who holds it."""

    worker: int
    fill: float
    """0 to 1."""
    full_s: float
    """How long it has been full, in seconds."""
    group: str
    """The lossless group that is furthest behind in this ring."""
    members: int
    last_ack_age_s: float | None
    """Since the last acknowledgement of any of them; None if there was none."""
    advice: str
    """What to change, in words."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What the service has seen since it started."""

    total: ExperienceStats
    per_game: Mapping[int, ExperienceStats]
    per_seat: Mapping[int, ExperienceStats]
    dropped: Mapping[str, int]
    """Records produced and never delivered, by reason."""
    leased_records: int
    """Handed out and not acknowledged, by all groups."""
    acknowledged_records: int
    """By all groups."""
    rings: tuple[RingStats, ...]
    groups: tuple[GroupStats, ...]
    stalls: tuple[Stall, ...]
    """Rings that have been full for longer than `serve.stall_warn_s`."""


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One process of the farm."""

    name: str
    role: str
    state: str
    pid: int
    generation: int
    restarts: int
    heartbeat_age_s: float
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FarmInfo:
    """What a farm is and where its services are."""

    version: str
    spec_fingerprint: int
    instance: str
    config_epoch: int
    endpoints: Mapping[str, str]
    """Service name to address."""
    seed: int
    policies: tuple[str, ...]
    """Policies by seat."""
    uptime_s: float
    children: tuple[ChildInfo, ...]


def stats_request(game_ids: list[int], *, per_seat: bool) -> bytes:
    """A GetExperienceStatsRequest."""
    request = experience_pb2.GetExperienceStatsRequest(game_ids=game_ids, per_seat=per_seat)
    return request.SerializeToString()


def info_request() -> bytes:
    """A GetFarmInfoRequest."""
    return experience_pb2.GetFarmInfoRequest().SerializeToString()


def remove_group_request(group: str) -> bytes:
    """A RemoveGroupRequest."""
    return experience_pb2.RemoveGroupRequest(group=group).SerializeToString()


def parse_removed(message: bytes) -> int:
    """Read a RemoveGroupResponse: records that were not acknowledged."""
    return experience_pb2.RemoveGroupResponse.FromString(message).abandoned_records


def parse_stats(message: bytes) -> Stats:
    """Read a GetExperienceStatsResponse."""
    reply = experience_pb2.GetExperienceStatsResponse.FromString(message)
    return Stats(
        total=_experience_stats(reply.total),
        per_game={game: _experience_stats(row) for game, row in reply.per_game.items()},
        per_seat={seat: _experience_stats(row) for seat, row in reply.per_seat.items()},
        dropped=dict(reply.dropped),
        leased_records=reply.leased_records,
        acknowledged_records=reply.acknowledged_records,
        rings=tuple(
            RingStats(
                worker=ring.worker,
                capacity_bytes=ring.capacity_bytes,
                filled_bytes=ring.filled_bytes,
                records=ring.records,
                blocked_s=ring.blocked_s,
            )
            for ring in reply.rings
        ),
        groups=tuple(map(_group_stats, reply.groups)),
        stalls=tuple(map(_stall, reply.stalls)),
    )


def parse_info(message: bytes) -> FarmInfo:
    """Read a GetFarmInfoResponse."""
    reply = experience_pb2.GetFarmInfoResponse.FromString(message)
    return FarmInfo(
        version=reply.version,
        spec_fingerprint=reply.spec_fingerprint,
        instance=reply.instance,
        config_epoch=reply.config_epoch,
        endpoints=dict(reply.endpoints),
        seed=reply.seed,
        policies=tuple(reply.policies),
        uptime_s=reply.uptime_s,
        children=tuple(
            ChildInfo(
                name=child.name,
                role=child.role,
                state=child.state,
                pid=child.pid,
                generation=child.generation,
                restarts=child.restarts,
                heartbeat_age_s=child.heartbeat_age_s,
                counters=dict(child.counters),
            )
            for child in reply.children
        ),
    )


def _experience_stats(row: experience_pb2.ExperienceStats) -> ExperienceStats:
    return ExperienceStats(
        trajectories=row.trajectories,
        experiences=row.experiences,
        games_finished=row.games_finished,
        reward_mean=row.reward_mean,
        reward_min=row.reward_min,
        reward_max=row.reward_max,
        oldest_ns=row.oldest_ns,
        newest_ns=row.newest_ns,
    )


def _group_stats(row: experience_pb2.GroupStats) -> GroupStats:
    kind = row.policy.kind
    return GroupStats(
        name=row.name,
        policy=f"{kind}:{row.policy.sample:g}" if kind == SAMPLE else kind,
        declared=row.declared,
        members=row.members,
        leased_records=row.leased_records,
        acknowledged_records=row.acknowledged_records,
        lag_bytes=row.lag_bytes,
        last_ack_age_s=_age_s(row.last_ack_age_s),
    )


def _stall(row: experience_pb2.Stall) -> Stall:
    return Stall(
        worker=row.worker,
        fill=row.fill,
        full_s=row.full_s,
        group=row.group,
        members=row.members,
        last_ack_age_s=_age_s(row.last_ack_age_s),
        advice=row.advice,
    )


def _age_s(seconds: float) -> float | None:
    """On the wire there is no None: below 0 stands for it."""
    return seconds if seconds >= 0 else None
