"""A page of samples as text: Prometheus' own format (0.0.4) and OpenMetrics 1.0.0. Pure.

The two differ in the lines about a family and in the last line; samples are the same. The start of
a sample's line never changes, so it is made once and kept: a page is mostly joining strings.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from farm.metrics.families import FAMILIES, Family, Kind
from farm.shm.control import Histogram

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

MAX_KEPT_HEADS = 1 << 16
"""Starts of lines that are kept; groups and workers come and go, so there is an end to it."""

Labels: TypeAlias = tuple[str, ...]
Number: TypeAlias = int | float


class Counted(NamedTuple):
    """A histogram as it was read."""

    bounds: Sequence[int]
    """Upper, of its buckets."""
    seen: Histogram
    per_unit: int
    """So many of the unit of bounds and sum make one of the family's."""


class Page:
    """The samples of one scrape, by family."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Labels, Number]]] = {one.name: [] for one in FAMILIES}
        self._histograms: dict[str, list[tuple[Labels, Counted]]] = {}

    def add(self, family: Family, value: Number, *labels: str) -> None:
        """One sample: the values of its labels, in the order of the family's."""
        self._rows[family.name].append((labels, value))

    def add_histogram(
        self,
        family: Family,
        bounds: Sequence[int],
        seen: Histogram,
        *labels: str,
        per_unit: int = 1,
    ) -> None:
        """A histogram: the upper bounds of its buckets, what was counted, and its labels.

        Bounds and sum are of a unit of which `per_unit` make one of the family's.
        """
        counted = Counted(bounds, seen, per_unit)
        self._histograms.setdefault(family.name, []).append((labels, counted))

    def rows(self, family: Family) -> Sequence[tuple[Labels, Number]]:
        """The samples of a family that is no histogram."""
        return self._rows[family.name]

    def histograms(self, family: Family) -> Sequence[tuple[Labels, Counted]]:
        """The histograms of a family."""
        return self._histograms.get(family.name, ())


class Writer:
    """Writes pages; keeps the starts of lines from one to the next."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, Labels], str] = {}
        self._about = {
            openmetrics: {family.name: _about(family, openmetrics) for family in FAMILIES}
            for openmetrics in (False, True)
        }

    def write(self, page: Page, *, openmetrics: bool) -> bytes:
        """The whole text; families without samples are left out."""
        about = self._about[openmetrics]
        parts: list[str] = []
        for family in FAMILIES:
            lines = self._lines(family, page)
            if lines:
                parts += [about[family.name], *lines]
        parts.append("# EOF\n" if openmetrics else "")
        return "".join(parts).encode()

    def _lines(self, family: Family, page: Page) -> list[str]:
        if family.kind is Kind.HISTOGRAM:
            found = page.histograms(family)
            return [line for labels, seen in found for line in _lines(family, labels, seen)]
        return [f"{self._head(family, labels)}{value!r}\n" for labels, value in page.rows(family)]

    def _head(self, family: Family, labels: Labels) -> str:
        key = (family.name, labels)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= MAX_KEPT_HEADS:
                self._heads.clear()
            head = self._heads[key] = _head(family, labels)
        return head


def _head(family: Family, labels: Labels) -> str:
    """`name{label="value"} `, ready for its number."""
    if not labels:
        return f"{family.sample} "
    return f"{family.sample}{{{_pairs(family, labels)}}} "


def _pairs(family: Family, labels: Labels) -> str:
    named = zip(family.labels, labels, strict=True)
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in named)


def _lines(family: Family, labels: Labels, counted: Counted) -> list[str]:
    """A histogram: its buckets count what is in them and below, as scrapers want it."""
    name, pairs = family.name, _pairs(family, labels)
    own, more = (f"{{{pairs}}}", f"{pairs},") if labels else ("", "")
    upper = [*(f"{bound / counted.per_unit!r}" for bound in counted.bounds), "+Inf"]
    counts = list(accumulate(counted.seen.counts))
    total = counted.seen.total
    lines = [
        f'{name}_bucket{{{more}le="{bound}"}} {count}\n'
        for bound, count in zip(upper, counts, strict=True)
    ]
    summed = total if counted.per_unit == 1 else total / counted.per_unit
    return [*lines, f"{name}_count{own} {counts[-1]}\n", f"{name}_sum{own} {summed!r}\n"]


def _about(family: Family, openmetrics: bool) -> str:  # noqa: FBT001 - of this module alone
    if not openmetrics:
        kind = Kind.GAUGE if family.kind is Kind.INFO else family.kind
        return f"# HELP {family.sample} {family.help}\n# TYPE {family.sample} {kind}\n"
    unit = f"# UNIT {family.name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {family.name} {family.kind}\n{unit}# HELP {family.name} {family.help}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
