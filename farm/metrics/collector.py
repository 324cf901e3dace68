"""The collector: one page of samples from shared memory and /proc, with nobody's help.

    control block   state, children, the counters of workers, games hosts and the service
    rings           what was published and dropped, how full they are
    groups          how far each group has got
    /proc           processor time and memory of each process

Everything is read once and in passing, while others write: values of one page may be some
microseconds apart, and each by itself is whole.
"""

import platform
from collections.abc import Callable
from operator import attrgetter

from farm.config.schema import FarmConfig
from farm.metrics import families as f
from farm.metrics.exposition import Page
from farm.metrics.families import Family
from farm.metrics.health import NS_PER_S, readyz
from farm.metrics.processes import Usage, usage
from farm.metrics.segments import Segments
from farm.shm.control import ChildSlot, ChildState, ControlBlock, FarmState
from farm.shm.control_labels import HISTOGRAMS, RELOAD_US
from farm.shm.groups import Amount, GroupSlot, Settled, ring_label
from farm.shm.ring_layout import RingView
from farm.spec.fingerprint import spec_fingerprint
from farm.version import __version__

US_PER_S = 1_000_000
WORKER_ROLE = "rollout"
HOST_ROLE = "games"
SERVICE_ROLE = "experiences"
SUPERVISOR = "supervisor"
"""Child and role of the supervisor's own samples."""

_WORKER_COUNTERS = {
    "games_started": f.GAMES_STARTED,
    "games_finished": f.GAMES_FINISHED,
    "env_steps": f.ENV_STEPS,
}
_SERVICE_COUNTERS = {
    "served_records": f.SERVED_RECORDS,
    "served_experiences": f.SERVED_EXPERIENCES,
    "acknowledged_records": f.ACKNOWLEDGED_RECORDS,
    "acknowledged_experiences": f.ACKNOWLEDGED_EXPERIENCES,
    "redelivered_records": f.REDELIVERED_RECORDS,
    "skipped_records": f.SKIPPED_RECORDS,
    "corrupt_records": f.CORRUPT_RECORDS,
    "subscriptions": f.SUBSCRIPTIONS,
    "rpc_errors": f.RPC_ERRORS,
    "streams": f.STREAMS,
}
_HOST_COUNTERS = {
    "games_open": f.GAMES_OPEN,
    "seats_connected": f.SEATS_CONNECTED,
    "streams": f.GAME_STREAMS,
    "rpc_errors": f.GAME_RPC_ERRORS,
}
_REFUSED_COUNTERS = {
    "open_streams": "refused_streams",
    "calls_in_flight": "refused_calls",
    "calls_per_second": "refused_rate",
}
_HELD_COUNTERS = {"in": "held_in_ns", "out": "held_out_ns"}
_CHILD_STATES = {state: state.name.lower() for state in ChildState if state is not ChildState.EMPTY}
_OUTCOMES: dict[str, Callable[[Settled], Amount]] = {
    "acknowledged": attrgetter("acknowledged"),
    "filtered": attrgetter("filtered"),
    "passed": attrgetter("passed"),
    "corrupt": attrgetter("corrupt"),
}
_BATCH_HISTOGRAM, _LATENCY_HISTOGRAM = "served_batch_bytes", "action_latency_us"


class Collector:
    """Reads one farm.

    Args:
        control: its control block; read only.
        segments: its segments.
        config: the one in force, asked at each scrape.
    """

    def __init__(
        self, control: ControlBlock, segments: Segments, config: Callable[[], FarmConfig]
    ) -> None:
        self._control = control
        self._segments = segments
        self._config = config
        self._build = (__version__, platform.python_version(), f"{spec_fingerprint():016x}")

    def collect(self, now_ns: int, wall_ns: int, requests: dict[str, int]) -> Page:
        """One page.

        Args:
            now_ns: `time.monotonic_ns`.
            wall_ns: `time.time_ns`.
            requests: to the endpoint so far, by outcome.
        """
        page = Page()
        self._segments.refresh()
        self._add_farm(page, now_ns, wall_ns)
        children = [slot for slot in self._control.children if slot.state is not ChildState.EMPTY]
        n_games = self._config().worker.games
        for slot in children:
            _add_child(page, slot, now_ns, n_games)
        _add_usage(page, SUPERVISOR, SUPERVISOR, self._control.pid)
        for worker, view in self._segments.rings:
            with self._segments.reading(f"ring{worker}"):
                _add_ring(page, ring_label(worker), view)
        self._add_groups(page, wall_ns)
        for outcome, n in requests.items():
            page.add(f.REQUESTS, n, outcome)
        for role, n in self._segments.unreadable.items():
            page.add(f.UNREADABLE, n, role)
        return page

    def _add_farm(self, page: Page, now_ns: int, wall_ns: int) -> None:
        control = self._control
        page.add(f.BUILD, 1, *self._build)
        page.add(f.INSTANCE, 1, control.instance, control.address)
        for state in FarmState:
            page.add(f.STATE, int(state is control.state), state.name.lower())
        silence_s = self._config().supervisor.silence_s
        health = readyz(control.state, control.children, silence_s, now_ns)
        page.add(f.READY, int(health.ok))
        page.add(f.UPTIME, max(0, wall_ns - control.started_ns) / NS_PER_S)
        with self._segments.reading("config"):
            page.add(f.CONFIG_EPOCH, control.load_config()[0])
        page.add(f.CONFIG_RELOADS, control.reloads, "done")
        page.add(f.CONFIG_RELOADS, control.reloads_refused, "refused")
        page.add(f.CONFIG_LAST_OK, control.last_reload_ok)
        page.add(f.CONFIG_DURATION, control.reload_took_us / US_PER_S)
        reloads = control.reload_histogram()
        page.add_histogram(f.CONFIG_RELOAD, RELOAD_US, reloads, per_unit=US_PER_S)
        for host, address in enumerate(control.game_addresses):
            if address:
                page.add(f.GAMES_HOST, 1, f"{HOST_ROLE}-{host}", address)
        for role, file in self._segments.files.items():
            page.add(f.SEGMENT_BYTES, file.n_bytes, role)

    def _add_groups(self, page: Page, wall_ns: int) -> None:
        block = self._segments.groups
        if block is None:
            return
        tails = {worker: view.tail for worker, view in self._segments.rings}
        for slot in block.slots():
            with self._segments.reading("groups"):
                _add_group(page, slot, tails, wall_ns)


def _add_child(page: Page, slot: ChildSlot, now_ns: int, n_games: int) -> None:
    """A child's samples; `n_games` is what each worker plays at once."""
    name, role, pid, found = slot.name, slot.role, slot.pid, slot.state
    for state, text in _CHILD_STATES.items():
        page.add(f.CHILD_STATE, int(state is found), name, role, text)
    page.add(f.CHILD_EPOCH, slot.config_epoch, name, role)
    for reason, n in slot.restarts_by_reason().items():
        page.add(f.CHILD_RESTARTS, n, name, role, reason)
    if pid:
        age_s = max(0, now_ns - slot.heartbeat_ns) / NS_PER_S
        page.add(f.CHILD_HEARTBEAT, age_s, name, role)
        used = _add_usage(page, name, role, pid)
        n_played = {WORKER_ROLE: n_games, HOST_ROLE: slot.counter("games_open")}.get(role, 0)
        if used is not None and n_played:
            page.add(f.GAME_MEMORY, used.resident_bytes / n_played, name, role)
    if role == WORKER_ROLE:
        _add_counters(page, slot, _WORKER_COUNTERS, str(slot.index))
        page.add(f.BLOCKED, slot.counter("blocked_ns") / NS_PER_S, str(slot.index))
    elif role == HOST_ROLE:
        _add_host(page, slot, name)
    elif role == SERVICE_ROLE:
        _add_counters(page, slot, _SERVICE_COUNTERS)
        _add_refused(page, slot, name, role)
        for direction, counter in _HELD_COUNTERS.items():
            page.add(f.RPC_HELD, slot.counter(counter) / NS_PER_S, direction)
        page.add_histogram(
            f.SERVED_BATCH, HISTOGRAMS[_BATCH_HISTOGRAM], slot.histogram(_BATCH_HISTOGRAM)
        )


def _add_host(page: Page, slot: ChildSlot, name: str) -> None:
    # Its ring is called as it is.
    _add_counters(page, slot, _WORKER_COUNTERS, name)
    _add_counters(page, slot, _HOST_COUNTERS, name)
    _add_refused(page, slot, name, HOST_ROLE)
    for outcome in ("accepted", "rejected"):
        page.add(f.ACTIONS, slot.counter(f"actions_{outcome}"), name, outcome)
    for direction, counter in _HELD_COUNTERS.items():
        page.add(f.GAME_RPC_HELD, slot.counter(counter) / NS_PER_S, name, direction)
    page.add_histogram(
        f.ACTION_LATENCY,
        HISTOGRAMS[_LATENCY_HISTOGRAM],
        slot.histogram(_LATENCY_HISTOGRAM),
        name,
        per_unit=US_PER_S,
    )


def _add_usage(page: Page, name: str, role: str, pid: int) -> Usage | None:
    used = usage(pid)
    if used is not None:
        page.add(f.CHILD_CPU, used.cpu_s, name, role)
        page.add(f.CHILD_RSS, used.resident_bytes, name, role)
    return used


def _add_refused(page: Page, slot: ChildSlot, name: str, role: str) -> None:
    for limit, counter in _REFUSED_COUNTERS.items():
        page.add(f.RPC_REFUSED, slot.counter(counter), name, role, limit)


def _add_counters(page: Page, slot: ChildSlot, wanted: dict[str, Family], *labels: str) -> None:
    for counter, family in wanted.items():
        page.add(family, slot.counter(counter), *labels)


def _add_ring(page: Page, worker: str, view: RingView) -> None:
    saved = view.checkpoint()
    page.add(f.PRODUCED_RECORDS, saved.records, worker)
    page.add(f.PRODUCED_EXPERIENCES, saved.experiences, worker)
    dropped = {
        "ring_full": (saved.dropped_records, saved.dropped_experiences),
        "sampled": (saved.sampled_records, saved.sampled_experiences),
        "worker_died": (saved.aborted_records, saved.aborted_experiences),
    }
    for reason, (records, experiences) in dropped.items():
        page.add(f.DROPPED_RECORDS, records, worker, reason)
        page.add(f.DROPPED_EXPERIENCES, experiences, worker, reason)
    page.add(f.RING_USED, view.used_bytes, worker)
    page.add(f.RING_CAPACITY, view.capacity, worker)
    page.add(f.RING_PARKED, int(view.parked), worker)


def _add_group(page: Page, slot: GroupSlot, tails: dict[int, int], wall_ns: int) -> None:
    name = slot.name
    settled = {worker: slot.settled(worker) for worker in tails}
    # The tails were read before: the group may have got beyond one since.
    lag_bytes = sum(max(0, tail - settled[worker].position) for worker, tail in tails.items())
    page.add(f.GROUP, 1, name, str(slot.kind), "yes" if slot.declared else "no")
    page.add(f.GROUP_MEMBERS, slot.n_members, name)
    page.add(f.GROUP_LAG, lag_bytes, name)
    page.add(f.GROUP_LEASED, slot.leased_records, name)
    if slot.last_ack_ns:
        page.add(f.GROUP_ACK_AGE, max(0, wall_ns - slot.last_ack_ns) / NS_PER_S, name)
    for how, amount_of in _OUTCOMES.items():
        amounts = [amount_of(one) for one in settled.values()]
        page.add(f.GROUP_SETTLED_RECORDS, sum(one.records for one in amounts), name, how)
        page.add(f.GROUP_SETTLED_EXPERIENCES, sum(one.experiences for one in amounts), name, how)
