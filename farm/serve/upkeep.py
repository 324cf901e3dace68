"""What the service looks after a few times a second: groups that nobody uses, rings that stand."""

import time
from dataclasses import asdict

from farm.serve.groups import NamedGroup
from farm.serve.hub import Hub
from farm.serve.rings import Ring
from farm.serve.stall import Holder, Look, Stall, StallWatch
from farm.telemetry.log import Logger

LOOK_NS = 200_000_000
_NS_PER_S = 1e9


class Upkeep:
    """Removes idle groups and reports stalls.

    Args:
        hub: the readers and rings.
        log: gets the lines.
    """

    def __init__(self, hub: Hub, log: Logger) -> None:
        self._hub = hub
        self._log = log
        self._watch = StallWatch()
        self._next_ns = 0

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """Rings that have been full for longer than `serve.stall_warn_s`."""
        return self._watch.stalls

    def poll(self, now_ns: int, *, idle_ns: int, warn_ns: int) -> None:
        """Look, if it is time."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + LOOK_NS
        for name in self._hub.groups.idle(now_ns, idle_ns):
            abandoned = self._hub.groups.remove(name)
            self._log.warning(
                "group_removed",
                group=name,
                reason="no member for serve.group_idle_s",
                abandoned_records=abandoned,
            )
        looks = [self._look(index, ring) for index, ring in enumerate(self._hub.rings)]
        for event, stall in self._watch.look(now_ns, looks, warn_ns):
            say = self._log.warning if event == "ring_stalled" else self._log.info
            told = asdict(stall) | {"ring": stall.worker}
            del told["worker"]  # in a line of the log, that is who speaks
            if stall.last_ack_age_s < 0:
                told["last_ack_age_s"] = None
            say(event, **told)

    def _look(self, index: int, ring: Ring) -> Look:
        holding = [group for group in self._hub.groups if group.policy.holds]
        last = min(holding, key=lambda group: group.settled(index).position, default=None)
        return Look(
            worker=ring.worker,
            is_full=ring.is_full,
            fill=ring.view.used_bytes / ring.view.capacity,
            holder=_holder(last) if last else None,
        )


def last_ack_age_s(group: NamedGroup) -> float:
    """Seconds since a member of the group last acknowledged something; -1 if none ever did."""
    if not group.last_ack_ns:
        return -1.0
    return max(0.0, (time.time_ns() - group.last_ack_ns) / _NS_PER_S)


def _holder(group: NamedGroup) -> Holder:
    return Holder(group.name, group.declared, group.n_members, last_ack_age_s(group))
