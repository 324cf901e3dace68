"""Answers of the farm as plain values, so that no protobuf message leaves this package."""

from collections.abc import Mapping
from dataclasses import dataclass

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
class Stats:
    """What the service has seen since it started."""

    total: ExperienceStats
    per_game: Mapping[int, ExperienceStats]
    per_seat: Mapping[int, ExperienceStats]
    dropped: Mapping[str, int]
    """Records produced and never delivered, by reason."""
    leased_records: int
    acknowledged_records: int
    rings: tuple[RingStats, ...]


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
