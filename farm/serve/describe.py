"""What the service says of the farm: statistics and discovery, as messages."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import NamedTuple

from google.protobuf.message import Message

from farm.config.schema import FarmConfig
from farm.rpc.names import EXPERIENCE_SERVICE, GAME_SERVICE, METRICS_ENDPOINT
from farm.rpc.v1 import experience_pb2
from farm.serve.groups import NamedGroup
from farm.serve.hub import Hub
from farm.serve.stats import Statistics, StatsRow
from farm.serve.upkeep import Upkeep, last_ack_age_s
from farm.shm.control import ChildSlot, ChildState, ControlBlock
from farm.spec.fingerprint import spec_fingerprint
from farm.supervisor.specs import ROLLOUT_ROLE
from farm.version import __version__

_NS_PER_S = 1e9
DROP_REASONS: Mapping[str, str] = {
    "ring_full": "dropped_records",
    "sampled": "sampled_records",
    "worker_died": "aborted_records",
    "corrupt": "corrupt_records",
}
"""Reason on the wire: counter that holds it, in whatever child has it."""


class LiveConfig(NamedTuple):
    """The config in force, and its epoch."""

    epoch: int
    config: FarmConfig


class Describer:
    """Puts replies together.

    Attributes:
        live: the config in force; replaced when it changes.

    Args:
        control: the farm's control block.
        live: the config in force.
        hub: the readers and rings.
        statistics: of every record seen.
        upkeep: knows of stalls.
    """

    def __init__(
        self,
        control: ControlBlock,
        live: LiveConfig,
        hub: Hub,
        statistics: Statistics,
        upkeep: Upkeep,
    ) -> None:
        self.live = live
        self._control = control
        self._hub = hub
        self._statistics = statistics
        self._upkeep = upkeep

    def started(self, credit_bytes: int) -> bytes:
        """The first message of a stream."""
        started = experience_pb2.StreamStarted(
            spec_fingerprint=spec_fingerprint(),
            instance=self._control.instance,
            config_epoch=self.live.epoch,
            credit_bytes=credit_bytes,
            run_id=self._hub.groups.run_id,
        )
        return experience_pb2.ExperienceBatch(started=started).SerializeToString()

    def stats(self, game_ids: list[int], *, per_seat: bool) -> Message:
        """The reply to GetExperienceStats.

        Raises:
            NotFoundError: a game is not among the kept ones.
        """
        reply = experience_pb2.GetExperienceStatsResponse(
            total=_row(self._statistics.total()),
            leased_records=self._hub.leased_records,
            dropped=self._dropped(),
            rings=self._rings(),
            groups=[_group(group) for group in self._hub.groups],
            stalls=[experience_pb2.Stall(**asdict(stall)) for stall in self._upkeep.stalls],
        )
        for game_id, row in self._statistics.per_game(game_ids).items():
            reply.per_game[game_id].CopyFrom(_row(row))
        if per_seat:
            for seat, row in self._statistics.per_seat().items():
                reply.per_seat[seat].CopyFrom(_row(row))
        reply.acknowledged_records = sum(
            slot.counter("acknowledged_records") for slot in self._control.children
        )
        return reply

    def info(self) -> Message:
        """The reply to GetFarmInfo."""
        now_ns = time.monotonic_ns()
        return experience_pb2.GetFarmInfoResponse(
            version=__version__,
            spec_fingerprint=spec_fingerprint(),
            instance=self._control.instance,
            config_epoch=self.live.epoch,
            endpoints=self._endpoints(),
            seed=self._control.seed,
            policies=self.live.config.match.seats,
            uptime_s=(time.time_ns() - self._control.started_ns) / _NS_PER_S,
            children=[
                _child(slot, now_ns)
                for slot in self._control.children
                if slot.state is not ChildState.EMPTY
            ],
        )

    def _endpoints(self) -> dict[str, str]:
        found = {
            EXPERIENCE_SERVICE: self._control.address,
            METRICS_ENDPOINT: self._control.metrics_address,
        }
        for host, address in enumerate(self._control.game_addresses):
            found[f"{GAME_SERVICE}/{host}" if host else GAME_SERVICE] = address
        return {name: address for name, address in found.items() if address}

    def _dropped(self) -> dict[str, int]:
        slots = self._control.children
        counts = {
            reason: sum(slot.counter(counter) for slot in slots)
            for reason, counter in DROP_REASONS.items()
        }
        return {reason: n for reason, n in counts.items() if n}

    def _rings(self) -> list[experience_pb2.RingStats]:
        blocked_ns = {
            slot.index: slot.counter("blocked_ns")
            for slot in self._control.children
            if slot.role == ROLLOUT_ROLE
        }
        return [
            experience_pb2.RingStats(
                worker=ring.worker,
                capacity_bytes=ring.view.capacity,
                filled_bytes=ring.view.used_bytes,
                records=ring.tail.records - ring.head.records,
                blocked_s=blocked_ns.get(ring.worker, 0) / _NS_PER_S,
            )
            for ring in self._hub.rings
        ]


def _row(row: StatsRow) -> experience_pb2.ExperienceStats:
    return experience_pb2.ExperienceStats(
        trajectories=row.trajectories,
        experiences=row.experiences,
        games_finished=row.games_finished,
        reward_mean=row.reward_mean,
        reward_min=row.reward_min,
        reward_max=row.reward_max,
        oldest_ns=row.oldest_ns,
        newest_ns=row.newest_ns,
    )


def _group(group: NamedGroup) -> experience_pb2.GroupStats:
    return experience_pb2.GroupStats(
        name=group.name,
        policy=group.policy.message(),
        declared=group.declared,
        members=group.n_members,
        leased_records=group.leases.leased_records,
        acknowledged_records=group.acknowledged_records,
        lag_bytes=group.lag_bytes,
        last_ack_age_s=last_ack_age_s(group),
    )


def _child(slot: ChildSlot, now_ns: int) -> experience_pb2.ChildInfo:
    return experience_pb2.ChildInfo(
        name=slot.name,
        role=slot.role,
        state=slot.state.name.lower(),
        pid=slot.pid,
        generation=slot.generation,
        restarts=slot.restarts,
        heartbeat_age_s=max(0, now_ns - slot.heartbeat_ns) / _NS_PER_S,
        counters=slot.counters_dict(),
    )
