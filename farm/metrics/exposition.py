"""A page of samples as text: Prometheus' own format (0.0.4) and OpenMetrics 1.0.0. Pure.

The two differ in the lines about a family and in the last line; samples are the same. The start of
a sample's line never changes, so it is made once and kept: a page is mostly joining strings.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

from farm.metrics.families import FAMILIES, Family, Kind
from farm.shm.control import Histogram

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

MAX_KEPT_HEADS = 1 << 16
"""Starts of lines that are kept; groups and workers come and go, so there is an end to it."""

Labels: TypeAlias = tuple[str, ...]
Number: TypeAlias = int | float


class Page:
    """The samples of one scrape, by family."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Labels, Number]]] = {one.name: [] for one in FAMILIES}
        self._histograms: dict[str, tuple[Sequence[int], Histogram]] = {}

    def add(self, family: Family, value: Number, *labels: str) -> None:
        """One sample: the values of its labels, in the order of the family's."""
        self._rows[family.name].append((labels, value))

    def add_histogram(self, family: Family, bounds: Sequence[int], seen: Histogram) -> None:
        """A histogram without labels: the upper bounds of its buckets, and what was counted."""
        self._histograms[family.name] = (bounds, seen)

    def rows(self, family: Family) -> Sequence[tuple[Labels, Number]]:
        """The samples of a family that is no histogram."""
        return self._rows[family.name]

    def histogram(self, family: Family) -> tuple[Sequence[int], Histogram] | None:
        """Bounds and counts of a histogram."""
        return self._histograms.get(family.name)


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
            found = page.histogram(family)
            return [] if found is None else _histogram_lines(family.name, *found)
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
    named = zip(family.labels, labels, strict=True)
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in named)
    return f"{family.sample}{{{pairs}}} "


def _histogram_lines(name: str, bounds: Sequence[int], seen: Histogram) -> list[str]:
    """Buckets count what is in them and below, as scrapers want it."""
    upper = [*(f"{float(bound)!r}" for bound in bounds), "+Inf"]
    counts = list(accumulate(seen.counts))
    lines = [
        f'{name}_bucket{{le="{bound}"}} {count}\n'
        for bound, count in zip(upper, counts, strict=True)
    ]
    return [*lines, f"{name}_count {counts[-1]}\n", f"{name}_sum {seen.total}\n"]


def _about(family: Family, openmetrics: bool) -> str:  # noqa: FBT001 - of this module alone
    if not openmetrics:
        kind = Kind.GAUGE if family.kind is Kind.INFO else family.kind
        return f"# HELP {family.sample} {family.help}\n# TYPE {family.sample} {kind}\n"
    unit = f"# UNIT {family.name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {family.name} {family.kind}\n{unit}# HELP {family.name} {family.help}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
