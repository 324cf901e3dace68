"""A stream's filter, checked and in the form that `drain` takes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from farm.errors import InvalidRequestError
from farm.rpc.names import MAX_FILTER_VALUES
from farm.rpc.v1 import experience_pb2
from farm.spec.limits import MAX_SEATS, TICKS_PER_TURN
from farm.spec.trajectory import policy_hash

_MAX_TICK = (1 << 32) - 1
_MAX_GAME_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records pass; the default lets all pass."""

    game_ids: NDArray[np.int64] = field(default_factory=lambda: _sorted(()))
    """Sorted; empty: any."""
    seats: int = 0
    """Bit s: seat s; 0: any."""
    min_last_tick: int = 0
    policies: NDArray[np.int64] = field(default_factory=lambda: _sorted(()))
    """Sorted hashes of names; empty: any."""


def compile_filter(wanted: experience_pb2.Filter) -> RecordFilter:
    """Check a filter and put it in the kernel's form.

    Raises:
        InvalidRequestError: a list is too long, or no seat, game or turn has such a number.
    """
    for name in ("game_ids", "seats", "policies"):
        n_values = len(getattr(wanted, name))
        if n_values > MAX_FILTER_VALUES:
            raise InvalidRequestError(
                f"filter.{name} has {n_values} values; at most {MAX_FILTER_VALUES} are allowed"
            )
    seats = 0
    for seat in wanted.seats:
        if seat >= MAX_SEATS:
            raise InvalidRequestError(f"filter.seats: seat {seat}; seats are 0 to {MAX_SEATS - 1}")
        seats |= 1 << seat
    if max(wanted.game_ids, default=0) > _MAX_GAME_ID:
        raise InvalidRequestError("filter.game_ids: no game has a number of 2**63 or above")
    if wanted.min_turn * TICKS_PER_TURN > _MAX_TICK:
        raise InvalidRequestError(f"filter.min_turn: no game lasts {wanted.min_turn} turns")
    return RecordFilter(
        game_ids=_sorted(wanted.game_ids),
        seats=seats,
        min_last_tick=wanted.min_turn * TICKS_PER_TURN,
        policies=_sorted(map(policy_hash, wanted.policies)),
    )


def _sorted(values: Iterable[int]) -> NDArray[np.int64]:
    return np.unique(np.fromiter(values, dtype=np.int64))
