"""Which lines of a log are wanted. Pure: the time is an argument."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from msgspec import Struct

from farm.errors import UsageError
from farm.telemetry.log import LEVELS
from farm.telemetry.reading import Entry, Event

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TS_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""Of `ts` in a log line."""


class Wanted(Struct, frozen=True):
    """What was asked for; empty means all."""

    roles: tuple[str, ...] = ()
    """`rollout`, or `rollout-0` for one of them."""
    events: tuple[str, ...] = ()
    """Names or patterns of the shell: `child_*`."""
    level: str = "debug"
    """The lowest."""
    since: datetime | None = None


class Filter:
    """Decides line by line, in their order.

    A foreign text has no role, name or level, and belongs to the time of the event before it. It is
    wanted unless roles or events are: with a level too, as it may be the dump of a crash.

    Args:
        wanted: what was asked for.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._threshold = LEVELS[wanted.level]
        self._since = wanted.since.strftime(_TS_FORMAT) if wanted.since else ""
        self._in_time = not self._since

    def passes(self, entry: Entry) -> bool:
        """Whether to show it."""
        wanted = self._wanted
        if not isinstance(entry, Event):
            return self._in_time and not (wanted.roles or wanted.events)
        self._in_time = entry.ts >= self._since
        return (
            self._in_time
            and LEVELS.get(entry.level, self._threshold) >= self._threshold
            and (not wanted.roles or not {entry.role, entry.child}.isdisjoint(wanted.roles))
            and (not wanted.events or any(fnmatchcase(entry.name, e) for e in wanted.events))
        )


def wanted_of(args: argparse.Namespace, now: datetime) -> Wanted:
    """What the command line asks for.

    Raises:
        UsageError: `--since` is no time.
    """
    since = None if args.since is None else _time(args.since, now)
    return Wanted(tuple(args.role), tuple(args.event), args.level, since)


def _time(text: str, now: datetime) -> datetime:
    """A time in UTC: so long before `now`, or a date with or without a time."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd])", text)
    try:
        if found:
            return now - timedelta(**{_UNITS[found[2]]: float(found[1])})
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text}: no time; give 90s, 10m, 2h or 1d, or 2026-01-31T12:30 (UTC, or with "
            "an offset such as +01:00)"
        ) from None
