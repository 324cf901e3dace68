"""Every metric there is: name, kind, labels, what it means, its unit and where it is read from.

Names are `farm_*` in base units; a counter's samples end in `_total`, an info's in `_info`. A
family that has no source in a farm is left out of its page, never made up.
"""

from enum import StrEnum

from msgspec import Struct

CONTROL = "control block"
SLOT = "the child's slot in the control block"
WORKER_SLOT = "the slot of the worker or games host in the control block"
HOST_SLOT = "the games host's slot in the control block"
SERVICE_SLOT = "the experiences service's slot in the control block"
RING = "the ring's segment"
GROUPS = "the groups segment"
PROC = "proc(5)"
ITSELF = "the metrics child"
RECORDS, EXPERIENCES = "records, each a trajectory of one seat", "experiences"
YES_NO = "1 yes, 0 no"

_BASE_UNITS = ("seconds", "bytes")


class Kind(StrEnum):
    """What a family's values are."""

    COUNTER = "counter"
    """Only grows, until its farm is started anew."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"
    """The value is 1, the labels are what it says."""


class Family(Struct, frozen=True):
    """One metric."""

    name: str
    """Without the suffix of its kind."""
    kind: Kind
    about: str
    """What it means."""
    measure: str
    """The unit, in words."""
    source: str
    """Where it is read."""
    labels: tuple[str, ...] = ()

    @property
    def sample(self) -> str:
        """Name of its samples; a histogram's have one more suffix."""
        suffix = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")
        return self.name + suffix

    @property
    def unit(self) -> str:
        """Base unit, which is then the end of the name; else empty."""
        last = self.name.rpartition("_")[2]
        return last if last in _BASE_UNITS else ""

    @property
    def help(self) -> str:
        """What a scraper is told."""
        return f"{self.about}. Unit: {self.measure}. Source: {self.source}."


def _counter(
    name: str, about: str, measure: str, source: str, labels: tuple[str, ...] = ()
) -> Family:
    return Family(name, Kind.COUNTER, about, measure, source, labels)


def _gauge(
    name: str, about: str, measure: str, source: str, labels: tuple[str, ...] = ()
) -> Family:
    return Family(name, Kind.GAUGE, about, measure, source, labels)


# The farm as a whole.
BUILD = Family(
    "farm_build",
    Kind.INFO,
    "Version of the farm, of its Python, and fingerprint of its spec",
    "always 1",
    ITSELF,
    ("version", "python", "spec"),
)
INSTANCE = Family(
    "farm_instance",
    Kind.INFO,
    "Name of the farm, and where its experiences are served",
    "always 1",
    CONTROL,
    ("farm", "address"),
)
STATE = _gauge("farm_state", "State of the farm", YES_NO, CONTROL, ("state",))
READY = _gauge(
    "farm_ready",
    "Whether the farm runs, serves, and every heartbeat is fresh, as /readyz",
    YES_NO,
    CONTROL,
)
UPTIME = _gauge("farm_uptime_seconds", "Time since the farm was started", "seconds", CONTROL)
CONFIG_EPOCH = _gauge(
    "farm_config_epoch", "Number of the config in force, one more with each change", "none", CONTROL
)
CONFIG_RELOADS = _counter(
    "farm_config_reloads",
    "Configs that the running farm was asked to take, and did or refused",
    "reloads",
    CONTROL,
    ("outcome",),
)
CONFIG_LAST_OK = _gauge(
    "farm_config_last_reload_successful",
    "Whether the last config was not refused; before the first: 1",
    YES_NO,
    CONTROL,
)
CONFIG_DURATION = _gauge(
    "farm_config_reload_duration_seconds",
    "Time from the last reload's beginning until every child at work had the config",
    "seconds",
    CONTROL,
)
CONFIG_RELOAD = Family(
    "farm_config_reload_seconds",
    Kind.HISTOGRAM,
    "Durations of all reloads, likewise; their number is the count",
    "seconds",
    CONTROL,
)
SEGMENT_BYTES = _gauge(
    "farm_segment_bytes",
    "Shared memory that a segment takes, header included",
    "bytes",
    "the files of shared memory",
    ("segment",),
)

# Children.
_CHILD = ("child", "role")
CHILD_STATE = _gauge("farm_child_state", "State of a child", YES_NO, SLOT, (*_CHILD, "state"))
CHILD_HEARTBEAT = _gauge(
    "farm_child_heartbeat_age_seconds",
    "Time since a child's working loop last came round; absent while it has no process",
    "seconds",
    SLOT,
    _CHILD,
)
CHILD_EPOCH = _gauge(
    "farm_child_config_epoch", "Number of the config that a child has applied", "none", SLOT, _CHILD
)
CHILD_RESTARTS = _counter(
    "farm_child_restarts",
    "Processes that replaced one before, by why that one ended",
    "restarts",
    SLOT,
    (*_CHILD, "reason"),
)
CHILD_CPU = _counter(
    "farm_child_cpu_seconds",
    "Processor time of a child's present process, user and system",
    "seconds",
    PROC,
    _CHILD,
)
CHILD_RSS = _gauge(
    "farm_child_resident_memory_bytes",
    "Resident memory of a child's process; shared memory that it has touched is in it",
    "bytes",
    PROC,
    _CHILD,
)
GAME_MEMORY = _gauge(
    "farm_game_memory_bytes",
    "Resident memory of a worker or games host, its code included, divided by the games that it "
    "has; absent without games",
    "bytes",
    "proc(5), worker.games, and the games host's slot in the control block",
    _CHILD,
)

# Workers and games hosts: what they play, and what they write into their rings.
_WORKER = ("worker",)
GAMES_STARTED = _counter("farm_games_started", "Games begun", "games", WORKER_SLOT, _WORKER)
GAMES_FINISHED = _counter("farm_games_finished", "Games ended", "games", WORKER_SLOT, _WORKER)
ENV_STEPS = _counter(
    "farm_environment_steps", "Ticks played, of all games", "ticks", WORKER_SLOT, _WORKER
)
PRODUCED_RECORDS = _counter(
    "farm_produced_records", "Records published in a ring", RECORDS, RING, _WORKER
)
PRODUCED_EXPERIENCES = _counter(
    "farm_produced_experiences", "Experiences published in a ring", EXPERIENCES, RING, _WORKER
)
DROPPED_RECORDS = _counter(
    "farm_dropped_records",
    "Records never published: the ring was full, ring.when_full sampled them out, or who made them "
    "died before",
    RECORDS,
    RING,
    (*_WORKER, "reason"),
)
DROPPED_EXPERIENCES = _counter(
    "farm_dropped_experiences",
    "Experiences in records never published, by the same reasons",
    EXPERIENCES,
    RING,
    (*_WORKER, "reason"),
)
BLOCKED = _counter(
    "farm_ring_blocked_seconds",
    "Time that a worker waited for room in its ring",
    "seconds",
    WORKER_SLOT,
    _WORKER,
)
RING_USED = _gauge(
    "farm_ring_used_bytes", "Published and not released, in a ring", "bytes", RING, _WORKER
)
RING_CAPACITY = _gauge(
    "farm_ring_capacity_bytes", "What a ring holds at most", "bytes", RING, _WORKER
)
RING_PARKED = _gauge(
    "farm_ring_parked", "Whether a worker sleeps until its ring has room", YES_NO, RING, _WORKER
)

# Games hosts: who plays there.
_HOST = ("child",)
GAMES_HOST = Family(
    "farm_games_host",
    Kind.INFO,
    "A games host, and where it serves; absent before it does",
    "always 1",
    CONTROL,
    (*_HOST, "address"),
)
GAMES_OPEN = _gauge(
    "farm_games_open", "Games in a lobby, running or paused", "games", HOST_SLOT, _HOST
)
SEATS_CONNECTED = _gauge(
    "farm_seats_connected", "Seats of these games whose agent is there", "seats", HOST_SLOT, _HOST
)
GAME_STREAMS = _gauge(
    "farm_game_streams", "Streams of a games host that are open", "streams", HOST_SLOT, _HOST
)
ACTIONS = _counter(
    "farm_actions",
    "Actions that agents asked for, accepted or rejected",
    "actions",
    HOST_SLOT,
    (*_HOST, "outcome"),
)
ACTION_LATENCY = Family(
    "farm_action_latency_seconds",
    Kind.HISTOGRAM,
    "Time from an action's arrival at its games host until it was acknowledged, in the journal",
    "seconds",
    HOST_SLOT,
    _HOST,
)
GAME_RPC_ERRORS = _counter(
    "farm_game_rpc_errors",
    "Calls to a games host that ended in an error",
    "calls",
    HOST_SLOT,
    _HOST,
)
GAME_RPC_HELD = _counter(
    "farm_game_rpc_held_seconds",
    "Time that messages of a games host waited for a limit of bytes a second, either way",
    "seconds",
    HOST_SLOT,
    (*_HOST, "direction"),
)

# The experiences service.
SERVED_RECORDS = _counter(
    "farm_served_records", "Records handed to clients, again or not", RECORDS, SERVICE_SLOT
)
SERVED_EXPERIENCES = _counter(
    "farm_served_experiences",
    "Experiences handed to clients, again or not",
    EXPERIENCES,
    SERVICE_SLOT,
)
SERVED_BATCH = Family(
    "farm_served_batch_bytes",
    Kind.HISTOGRAM,
    "Sizes of the messages handed to clients; their number is the count, all bytes served the sum",
    "bytes",
    SERVICE_SLOT,
)
ACKNOWLEDGED_RECORDS = _counter(
    "farm_acknowledged_records", "Records that clients were done with", RECORDS, SERVICE_SLOT
)
ACKNOWLEDGED_EXPERIENCES = _counter(
    "farm_acknowledged_experiences",
    "Experiences that clients were done with",
    EXPERIENCES,
    SERVICE_SLOT,
)
REDELIVERED_RECORDS = _counter(
    "farm_redelivered_records",
    "Records handed out again, as a client had them and went away",
    RECORDS,
    SERVICE_SLOT,
)
SKIPPED_RECORDS = _counter(
    "farm_skipped_records",
    "Records that passed an observing stream by, as it read too slowly",
    RECORDS,
    SERVICE_SLOT,
)
CORRUPT_RECORDS = _counter(
    "farm_corrupt_records", "Stretches of a ring that were no record", "stretches", SERVICE_SLOT
)
SUBSCRIPTIONS = _counter(
    "farm_subscriptions", "Subscriptions that were opened", "calls", SERVICE_SLOT
)
RPC_ERRORS = _counter("farm_rpc_errors", "Calls that ended in an error", "calls", SERVICE_SLOT)
RPC_REFUSED = _counter(
    "farm_rpc_refused",
    "Calls refused as their client was at a limit of its own, by the limit",
    "calls",
    SLOT,
    (*_CHILD, "limit"),
)
RPC_HELD = _counter(
    "farm_rpc_held_seconds",
    "Time that messages waited for a limit of bytes a second, of all streams and either way",
    "seconds",
    SERVICE_SLOT,
    ("direction",),
)
STREAMS = _gauge("farm_streams", "Streams that are open", "streams", SERVICE_SLOT)

# Groups of subscribers.
_GROUP = ("group",)
GROUP = Family(
    "farm_group",
    Kind.INFO,
    "A group, what it does to rings while it is slow, and whether the config declares it",
    "always 1",
    GROUPS,
    (*_GROUP, "kind", "declared"),
)
GROUP_MEMBERS = _gauge("farm_group_members", "Clients in a group", "clients", GROUPS, _GROUP)
GROUP_LAG = _gauge(
    "farm_group_lag_bytes",
    "Published in the rings and not settled by a group",
    "bytes",
    "the groups segment and the rings",
    _GROUP,
)
GROUP_LEASED = _gauge(
    "farm_group_leased_records",
    "Records that members of a group hold unacknowledged",
    RECORDS,
    GROUPS,
    _GROUP,
)
GROUP_ACK_AGE = _gauge(
    "farm_group_last_ack_age_seconds",
    "Time since a member of a group last acknowledged; absent if none has",
    "seconds",
    GROUPS,
    _GROUP,
)
GROUP_SETTLED_RECORDS = _counter(
    "farm_group_settled_records",
    "Records that a group is done with, and how: acknowledged, left out by a filter, passed over "
    "by the group's policy, or corrupt",
    RECORDS,
    GROUPS,
    (*_GROUP, "outcome"),
)
GROUP_SETTLED_EXPERIENCES = _counter(
    "farm_group_settled_experiences",
    "Experiences that a group is done with, and how",
    EXPERIENCES,
    GROUPS,
    (*_GROUP, "outcome"),
)

# This endpoint.
REQUESTS = _counter(
    "farm_metrics_requests", "Requests to this endpoint", "requests", ITSELF, ("outcome",)
)
UNREADABLE = _counter(
    "farm_metrics_unreadable",
    "Parts of the farm left out of a page, as they could not be read",
    "parts of a page",
    ITSELF,
    ("part",),
)

FAMILIES: tuple[Family, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Family)
)
"""All of them, in the order above, which is the order of a page."""
