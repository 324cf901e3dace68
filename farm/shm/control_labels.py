"""What the numbers of the control block are called, and the buckets of its histograms.

The order is part of the layout (`control.CONTROL_LAYOUT`).
"""

from collections.abc import Mapping
from types import MappingProxyType

COUNTERS = (
    "env_steps",
    "experiences",
    "records",
    "games_started",
    "games_finished",
    "blocked_ns",
    "dropped_records",
    "dropped_experiences",
    "aborted_records",
    "served_records",
    "served_experiences",
    "served_bytes",
    "served_batches",
    "acknowledged_records",
    "acknowledged_experiences",
    "redelivered_records",
    "skipped_records",
    "streams",
    "rpc_errors",
    "corrupt_records",
    "subscriptions",
    "sampled_records",
    "actions_accepted",
    "actions_rejected",
    "games_open",
    "seats_connected",
    "refused_streams",
    "refused_calls",
    "refused_rate",
    "held_in_ns",
    "held_out_ns",
)
"""Labels of the counters of a slot, by position; at most 32."""

RESTART_REASONS = (
    "asked",
    "exit_code",
    "signal",
    "silent",
    "not_ready",
    "not_stopped",
    "no_process",
)
"""Why the process before a restart ended, by position: it was told to; by itself; by a signal that
was not the supervisor's; by the supervisor, as it was silent, not ready or not stopped in time; the
machine could not start it."""

HISTOGRAMS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "served_batch_bytes": tuple(1 << bits for bits in range(10, 25, 2)),
        "action_latency_us": (
            *(step * 10**power for power in range(2, 6) for step in (1, 2, 5)),
            1_000_000,
            10_000_000,
        ),
    }
)
"""Upper bounds of the buckets of each histogram, by place; one more has what is above the last.
At most 4, of at most 14 bounds."""

RELOAD_US = (
    *(step * 10**power for power in range(3, 6) for step in (1, 2, 5)),
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
)
"""Likewise, of the durations of reloads."""
