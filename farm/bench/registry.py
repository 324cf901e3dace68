"""The benches by name: what each joins, and the module that runs it.

Each module has `run(seconds: float, overrides: Sequence[str]) -> dict[str, object]`, the figures by
name. It may say how it goes on standard error; standard output is the command's.
"""

from typing import Final, NamedTuple


class BenchInfo(NamedTuple):
    """What is known of a bench without loading it."""

    module: str
    summary: str


BENCHES: Final = {
    "engine": BenchInfo(
        "farm.bench.engine",
        "environment steps a second on one core, by board, seats and batch",
    ),
    "step_time": BenchInfo(
        "farm.bench.step_time",
        "where the time of an environment step goes: policies, moves, copies, resets",
    ),
    "envs": BenchInfo(
        "farm.bench.envs",
        "steps a second of the Gymnasium vector environment",
    ),
    "win_rates": BenchInfo(
        "farm.bench.win_rates",
        "duels between every two policies, with intervals; worker.games of each pair",
    ),
    "ring_1p1c": BenchInfo(
        "farm.bench.ring",
        "records a second through one ring between two processes",
    ),
    "metrics_scrape": BenchInfo(
        "farm.bench.scrape",
        "milliseconds of one scrape of a farm of 64 workers",
    ),
    "log_line": BenchInfo(
        "farm.bench.log_line",
        "nanoseconds of one line of the log, beside the standard library's",
    ),
    "reload": BenchInfo(
        "farm.bench.reload",
        "milliseconds until every child of a farm at full speed has taken a changed config",
    ),
    "farm_to_client": BenchInfo(
        "farm.bench.farm_to_client",
        "experiences a second from workers to a client that checks every one",
    ),
    "play_many": BenchInfo(
        "farm.bench.play_many",
        "environment steps a second of one learner that drives hosted games over PlayMany",
    ),
    "fan_out": BenchInfo(
        "farm.bench.fan_out",
        "the same to 1, 2 and 4 groups, to 1, 2 and 4 members, and beside blocked groups",
    ),
}
