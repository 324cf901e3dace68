"""What happens on a stream, for its span: one span however long it lives, and few events.

A handler asks for its `trail()` and tells it what it does. Where nobody traces, that is NO_TRAIL,
which does nothing: a batch costs one empty call. Counts become an event at the first, second,
fourth, eighth … of their kind, so that a stream of a month has as many events as its span may have.
"""

from contextvars import ContextVar
from typing import Final

from farm.telemetry.tracing import Attributes, Span


class Trail:
    """Of a stream that nobody traces."""

    def opened(self, attributes: Attributes) -> None:
        """The stream is open, on these terms."""

    def batch(self, n_bytes: int, records: int, experiences: int, redelivered: int) -> None:
        """A message with records is made, some of which may have been handed out before."""

    def acknowledged(self, records: int, experiences: int) -> None:
        """The client is done with a batch or more."""

    def happened(self, name: str, attributes: Attributes) -> None:
        """Anything else, that happens a few times in a stream."""

    def ended(self, reason: str) -> None:
        """The stream is over."""


NO_TRAIL: Final = Trail()


class SpanTrail(Trail):
    """Of a stream with a span.

    Args:
        span: recording; not ended here.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._n_batches = self._n_acks = self._n_redelivering = 0
        self._totals: dict[str, int] = {}

    def opened(self, attributes: Attributes) -> None:
        """Note the terms."""
        self._span.add_event("opened", attributes)

    def batch(self, n_bytes: int, records: int, experiences: int, redelivered: int) -> None:
        """Count, and note it now and then."""
        self._n_batches += 1
        self._add("farm.bytes", n_bytes)
        self._add("farm.records", records)
        self._add("farm.experiences", experiences)
        if is_told(self._n_batches):
            self._note("batch", "farm.batches", self._n_batches)
        if redelivered:
            self._n_redelivering += 1
            self._add("farm.redelivered_records", redelivered)
            if is_told(self._n_redelivering):
                self._note("redelivered", "farm.redelivered_batches", self._n_redelivering)

    def acknowledged(self, records: int, experiences: int) -> None:
        """Count, and note it now and then."""
        self._n_acks += 1
        self._add("farm.acknowledged_records", records)
        self._add("farm.acknowledged_experiences", experiences)
        if is_told(self._n_acks):
            self._note("acknowledged", "farm.acknowledgements", self._n_acks)

    def happened(self, name: str, attributes: Attributes) -> None:
        """Note it."""
        self._span.add_event(name, attributes)

    def ended(self, reason: str) -> None:
        """Note the reason, and the counts as attributes of the span."""
        self._span.add_event("ended", {"reason": reason, **self._totals})
        for key, total in self._totals.items():
            self._span.set_attribute(key, total)

    def _add(self, key: str, n: int) -> None:
        self._totals[key] = self._totals.get(key, 0) + n

    def _note(self, name: str, key: str, number: int) -> None:
        self._totals[key] = number
        self._span.add_event(name, dict(self._totals))


def is_told(number: int) -> bool:
    """Whether the event with this number, from 1, is one that is told: a power of two."""
    return number & (number - 1) == 0


_trail: ContextVar[Trail] = ContextVar("trail", default=NO_TRAIL)


def set_trail(made: Trail) -> None:
    """Say what takes the notes of the call that the current task serves, as an interceptor."""
    _trail.set(made)


def trail() -> Trail:
    """What takes the notes of the call that the current task serves."""
    return _trail.get()
