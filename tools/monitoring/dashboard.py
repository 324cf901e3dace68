#!/usr/bin/env python3
"""Write farm.json, the Grafana dashboard, from the panels below.

    python tools/monitoring/dashboard.py

Change a panel here and run it; the tests compare the file with what this makes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("farm.json")
COLUMNS = 24
WIDTH, HEIGHT, STAT_HEIGHT = 8, 8, 4
SCHEMA_VERSION = 39
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
FARM = 'job="farm",instance=~"$instance"'


@dataclass(frozen=True)
class Query:
    """An expression, in which FARM stands for the farms that were chosen, and its legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """A panel; `unit` is one of Grafana's ids."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    about: str = ""
    kind: str = "timeseries"
    width: int = WIDTH


def one(title: str, unit: str, expr: str, legend: str = "", **more: Any) -> Panel:
    """A panel of one query."""
    return Panel(title, unit, (Query(expr, legend),), **more)


def rate(name: str, *by: str) -> str:
    """A second's worth of a counter, summed by some labels beside the farm."""
    labels = ", ".join(("instance", *by))
    return f"sum by ({labels}) (rate({name}{{FARM}}[$__rate_interval]))"


def stat(title: str, unit: str, expr: str, legend: str = "") -> Panel:
    """A number."""
    return one(title, unit, expr, legend, kind="stat", width=4)


SECTIONS = {
    "Throughput": (
        stat("Ready", "bool_yes_no", "min(farm_ready{FARM})"),
        stat("Up for", "s", "min(farm_uptime_seconds{FARM})"),
        stat("Produced", "ops", "sum(rate(farm_produced_experiences_total{FARM}[5m]))"),
        stat("Served", "ops", "sum(rate(farm_served_experiences_total{FARM}[5m]))"),
        stat("Lost records, 24 h", "short", "sum(increase(farm_dropped_records_total{FARM}[24h]))"),
        stat("Restarts, 24 h", "short", "sum(increase(farm_child_restarts_total{FARM}[24h]))"),
        Panel(
            "Experiences a second",
            "ops",
            (
                Query(rate("farm_produced_experiences_total"), "{{instance}} produced"),
                Query(rate("farm_served_experiences_total"), "{{instance}} served"),
                Query(rate("farm_acknowledged_experiences_total"), "{{instance}} acknowledged"),
            ),
            "Served counts an experience once for each group that takes it.",
        ),
        one(
            "Environment steps a second, by worker",
            "ops",
            rate("farm_environment_steps_total", "worker"),
            "{{instance}} {{worker}}",
        ),
        Panel(
            "Games a second",
            "ops",
            (
                Query(rate("farm_games_started_total"), "{{instance}} started"),
                Query(rate("farm_games_finished_total"), "{{instance}} finished"),
            ),
        ),
    ),
    "Delivery": (
        one("Bytes served", "Bps", rate("farm_served_batch_bytes_sum"), "{{instance}}"),
        Panel(
            "Size of a message",
            "bytes",
            tuple(
                Query(
                    f"histogram_quantile({share}, {rate('farm_served_batch_bytes_bucket', 'le')})",
                    f"{{{{instance}}}} p{percent}",
                )
                for share, percent in ((0.5, 50), (0.95, 95))
            ),
        ),
        one("Messages a second", "ops", rate("farm_served_batch_bytes_count"), "{{instance}}"),
        one(
            "Lag of a group",
            "bytes",
            "farm_group_lag_bytes{FARM} * on (job, instance, group) group_left (kind) "
            "farm_group_info{FARM}",
            "{{instance}} {{group}} ({{kind}})",
            about="Published in the rings and not settled. A lossless group that lags holds them.",
        ),
        one(
            "Since the last acknowledgement",
            "s",
            "farm_group_last_ack_age_seconds{FARM}",
            "{{instance}} {{group}}",
        ),
        Panel(
            "Members, and what they hold",
            "short",
            (
                Query("farm_group_members{FARM}", "{{instance}} {{group}} members"),
                Query("farm_group_leased_records{FARM}", "{{instance}} {{group}} leased records"),
            ),
        ),
        one(
            "Records settled a second",
            "ops",
            rate("farm_group_settled_records_total", "group", "outcome"),
            "{{instance}} {{group}} {{outcome}}",
        ),
        Panel(
            "Records that went wrong a second",
            "ops",
            (
                Query(rate("farm_dropped_records_total", "reason"), "{{instance}} {{reason}}"),
                Query(rate("farm_corrupt_records_total"), "{{instance}} corrupt"),
                Query(rate("farm_redelivered_records_total"), "{{instance}} redelivered"),
                Query(rate("farm_skipped_records_total"), "{{instance}} skipped by a stream"),
            ),
        ),
        Panel(
            "Streams and errors",
            "short",
            (
                Query("farm_streams{FARM}", "{{instance}} streams"),
                Query(rate("farm_subscriptions_total"), "{{instance}} subscriptions a second"),
                Query(rate("farm_rpc_errors_total"), "{{instance}} errors a second"),
            ),
        ),
        Panel(
            "Clients at their limits",
            "short",
            (
                Query(rate("farm_rpc_refused_total", "limit"), "{{instance}} refused by {{limit}}"),
                Query(
                    rate("farm_rpc_held_seconds_total", "direction"),
                    "{{instance}} messages held back on their way {{direction}}",
                ),
                Query(
                    rate("farm_game_rpc_held_seconds_total", "direction"),
                    "{{instance}} those of games hosts, {{direction}}",
                ),
            ),
        ),
    ),
    "Rings": (
        one(
            "Fill",
            "percentunit",
            "farm_ring_used_bytes{FARM} / farm_ring_capacity_bytes{FARM}",
            "{{instance}} {{worker}}",
        ),
        one(
            "Share of the time that a worker waits for room",
            "percentunit",
            rate("farm_ring_blocked_seconds_total", "worker"),
            "{{instance}} {{worker}}",
        ),
        one(
            "Records a second, by ring",
            "ops",
            rate("farm_produced_records_total", "worker"),
            "{{instance}} {{worker}}",
        ),
        one(
            "Experiences never published a second",
            "ops",
            rate("farm_dropped_experiences_total", "worker", "reason"),
            "{{instance}} {{worker}} {{reason}}",
        ),
        one(
            "Parked workers", "short", "sum by (instance) (farm_ring_parked{FARM})", "{{instance}}"
        ),
    ),
    "Games": (
        Panel(
            "Open games and connected seats",
            "short",
            (
                Query("farm_games_open{FARM}", "{{instance}} {{child}} games"),
                Query("farm_seats_connected{FARM}", "{{instance}} {{child}} seats"),
                Query("farm_game_streams{FARM}", "{{instance}} {{child}} streams"),
            ),
            "Of the games hosts, where remote agents and people play.",
        ),
        Panel(
            "Actions a second",
            "ops",
            (Query(rate("farm_actions_total", "outcome"), "{{instance}} {{outcome}}"),),
            "A rejected action changes nothing in its game.",
        ),
        Panel(
            "From an action's arrival to its acknowledgement",
            "s",
            tuple(
                Query(
                    f"histogram_quantile({share}, "
                    f"{rate('farm_action_latency_seconds_bucket', 'le')})",
                    f"{{{{instance}}}} p{percent}",
                )
                for share, percent in ((0.5, 50), (0.95, 95), (0.99, 99))
            ),
            "The journal has it by then.",
        ),
        Panel(
            "Calls of agents",
            "ops",
            (
                Query(rate("farm_action_latency_seconds_count"), "{{instance}} acknowledged"),
                Query(rate("farm_game_rpc_errors_total"), "{{instance}} errors"),
            ),
        ),
        one(
            "Mean time to acknowledge an action",
            "s",
            f"{rate('farm_action_latency_seconds_sum')} "
            f"/ {rate('farm_action_latency_seconds_count')}",
            "{{instance}}",
        ),
        Panel(
            "Memory by game",
            "bytes",
            (
                Query(
                    "farm_game_memory_bytes{FARM} * on (job, instance, child) "
                    "group_left (address) farm_games_host_info{FARM}",
                    "{{instance}} {{child}} at {{address}}",
                ),
                Query(
                    "farm_game_memory_bytes{FARM} unless on (job, instance, child) "
                    "farm_games_host_info{FARM}",
                    "{{instance}} {{child}}",
                ),
            ),
            "All that a process has, its own code included: with few games, most of it.",
        ),
    ),
    "Children": (
        one(
            "Age of heartbeats",
            "s",
            "farm_child_heartbeat_age_seconds{FARM}",
            "{{instance}} {{child}}",
        ),
        one(
            "Children by state",
            "short",
            "sum by (instance, state) (farm_child_state{FARM})",
            "{{instance}} {{state}}",
        ),
        one(
            "Restarts, 5 minutes",
            "short",
            "sum by (instance, child, reason) (increase(farm_child_restarts_total{FARM}[5m])) > 0",
            "{{instance}} {{child}} {{reason}}",
        ),
        Panel(
            "Config epoch",
            "none",
            (
                Query("farm_config_epoch{FARM}", "{{instance}} in force"),
                Query("farm_child_config_epoch{FARM}", "{{instance}} {{child}}"),
            ),
            "A child that is behind has not applied the config in force.",
        ),
        Panel(
            "Reloads",
            "short",
            (
                Query(
                    "sum by (instance, outcome) (increase(farm_config_reloads_total{FARM}[5m]))",
                    "{{instance}} {{outcome}}, 5 minutes",
                ),
                Query(
                    "farm_config_last_reload_successful{FARM}",
                    "{{instance}} the last was taken (1) or refused (0)",
                ),
            ),
            "A refused config changes nothing; the log says what is wrong with it.",
        ),
        one(
            "Duration of the last reload",
            "s",
            "farm_config_reload_duration_seconds{FARM}",
            "{{instance}}",
        ),
        Panel(
            "Durations of reloads, the last hour",
            "s",
            (
                Query(
                    "histogram_quantile(0.95, sum by (instance, le) "
                    "(increase(farm_config_reload_seconds_bucket{FARM}[1h])))",
                    "{{instance}} p95",
                ),
                Query(
                    "sum by (instance) (increase(farm_config_reload_seconds_sum{FARM}[1h])) "
                    "/ sum by (instance) (increase(farm_config_reload_seconds_count{FARM}[1h]))",
                    "{{instance}} mean",
                ),
            ),
        ),
        one(
            "State of the farm",
            "short",
            "farm_state{FARM} == 1",
            "{{instance}} {{state}}",
        ),
        one(
            "Versions",
            "none",
            "farm_build_info{FARM} * on (job, instance) group_left (farm, address) "
            "farm_instance_info{FARM}",
            "{{instance}} {{farm}} {{version}}, Python {{python}}, spec {{spec}}, {{address}}",
        ),
    ),
    "Resources": (
        one(
            "Processors in use",
            "short",
            rate("farm_child_cpu_seconds_total", "child"),
            "{{instance}} {{child}}",
        ),
        one(
            "Resident memory",
            "bytes",
            "farm_child_resident_memory_bytes{FARM}",
            "{{instance}} {{child}}",
            about="Shared memory that a process has touched is in it, once for each process.",
        ),
        one(
            "Shared memory",
            "bytes",
            "sum by (instance, segment) (farm_segment_bytes{FARM})",
            "{{instance}} {{segment}}",
        ),
        one(
            "Requests to the endpoint a second",
            "reqps",
            rate("farm_metrics_requests_total", "outcome"),
            "{{instance}} {{outcome}}",
        ),
        one(
            "Duration of a scrape",
            "s",
            "scrape_duration_seconds{FARM}",
            "{{instance}}",
        ),
        one(
            "Parts that could not be read, a second",
            "ops",
            rate("farm_metrics_unreadable_total", "part"),
            "{{instance}} {{part}}",
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "farm",
        "title": "Farm",
        "description": "A generals.io experience farm: what it produces, delivers and uses.",
        "tags": ["farm"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [_datasource(), _instance()]},
        "panels": _placed(),
    }


def _placed() -> list[dict[str, Any]]:
    """Rows and panels, left to right and top to bottom."""
    panels: list[dict[str, Any]] = []
    x = y = line_height = 0

    def place(width: int, height: int) -> dict[str, int]:
        nonlocal x, y, line_height
        if x + width > COLUMNS:
            x, y, line_height = 0, y + line_height, 0
        position = {"x": x, "y": y, "w": width, "h": height}
        x, line_height = x + width, max(line_height, height)
        return position

    for title, section in SECTIONS.items():
        x = COLUMNS
        row = {"type": "row", "title": title, "collapsed": False, "panels": []}
        panels.append({"id": len(panels) + 1, **row, "gridPos": place(COLUMNS, 1)})
        for panel in section:
            height = STAT_HEIGHT if panel.kind == "stat" else HEIGHT
            position = place(panel.width, height)
            panels.append({"id": len(panels) + 1, **_panel(panel), "gridPos": position})
    return panels


def _panel(panel: Panel) -> dict[str, Any]:
    options: dict[str, Any] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": query.expr.replace("{FARM}", "{" + FARM + "}"),
                "legendFormat": query.legend,
                "range": panel.kind != "stat",
                "instant": panel.kind == "stat",
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }


def _instance() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Farm",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": 'label_values(farm_ready{job="farm"}, instance)', "refId": "instance"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def text() -> str:
    """What the file holds."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
    print(f"{TARGET}: {sum(panel['type'] != 'row' for panel in _placed())} panels")
