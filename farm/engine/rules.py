"""Variants of the rules as data: a vector of numbers that the kernels read (farm.jit).

The official rules are those of the replay core that the game's makers opened; replays of older
versions and the simplified variant are other values of the same vector, never other code.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ORDER: Final = 0
"""Order of execution: `ORDER_OFFICIAL`, `ORDER_ALTERNATING` or `ORDER_BY_SEAT`."""
GENERAL_TRADE: Final = 1
"""1: two players who take each other's general in one tick swap lands and live."""
CITY_GROWTH_BELOW: Final = 2
"""Neutral cities with a smaller army than this grow by 1 every production tick; 0 for none."""
PRODUCTION_PERIOD: Final = 3
"""Ticks between two +1 of generals and cities."""
LAND_PERIOD: Final = 4
"""Ticks between two +1 of every owned cell."""
START_ARMY: Final = 5
"""Army of a general at the start."""
CITY_ARMY_LOW: Final = 6
CITY_ARMY_HIGH: Final = 7
"""Armies of generated cities, both ends included."""
CAPTURE_HALVES: Final = 8
"""1: armies taken with a general are halved, rounded up."""
GENERAL_BECOMES_CITY: Final = 9
"""1: a captured general's cell is a city from then on."""
NEUTRALISE_AFTER: Final = 10
"""Ticks from a player's leaving until its cells go to a teammate or become neutral.

0 where a replay says when.
"""
INACTIVITY: Final = 11
"""1: a player who does nothing is removed early."""
IDLE_TICKS: Final = 12
"""Ticks without any move after which only the strongest stays."""
LENGTH_TICKS: Final = 13
"""Ticks after which only the strongest stays."""
N_RULES: Final = 14

NAMES: Final = (
    "order",
    "general_trade",
    "city_growth_below",
    "production_period",
    "land_period",
    "start_army",
    "city_army_low",
    "city_army_high",
    "capture_halves",
    "general_becomes_city",
    "neutralise_after",
    "inactivity",
    "idle_ticks",
    "length_ticks",
)
"""The rules by index, as the farm's `rules` config and recorded games name them."""

ORDER_OFFICIAL: Final = 0
ORDER_ALTERNATING: Final = 1
ORDER_BY_SEAT: Final = 2
ORDERS: Final = ("official", "alternating", "by_seat")
"""The orders of execution by code."""
_FLAGS: Final = (GENERAL_TRADE, CAPTURE_HALVES, GENERAL_BECOMES_CITY, INACTIVITY)
_PERIODS: Final = (PRODUCTION_PERIOD, LAND_PERIOD)

_LARGEST: Final = 2**31 - 1

# Replay versions from which a rule is as it is today (the README beside the recorded games).
_FIRST_SORTED: Final = 15
_FIRST_TRADING: Final = 16
_FIRST_WITH_STILL_CITIES: Final = 6

_OFFICIAL: Final = {
    ORDER: ORDER_OFFICIAL,
    GENERAL_TRADE: 1,
    CITY_GROWTH_BELOW: 0,
    PRODUCTION_PERIOD: 2,
    LAND_PERIOD: 50,
    START_ARMY: 1,
    CITY_ARMY_LOW: 40,
    CITY_ARMY_HIGH: 50,
    CAPTURE_HALVES: 1,
    GENERAL_BECOMES_CITY: 1,
    NEUTRALISE_AFTER: 50,
    INACTIVITY: 0,
    IDLE_TICKS: 2_000,
    LENGTH_TICKS: 50_000,
}
_SIMPLE: Final = {
    ORDER: ORDER_BY_SEAT,
    GENERAL_TRADE: 0,
    PRODUCTION_PERIOD: 1,
    LAND_PERIOD: 25,
    START_ARMY: 2,
    CITY_ARMY_LOW: 40,
    CITY_ARMY_HIGH: 40,
    CAPTURE_HALVES: 0,
    GENERAL_BECOMES_CITY: 0,
}


def rules_vector(changes: dict[int, int] | None = None) -> NDArray[np.int32]:
    """The official rules with `changes` (index to value) applied: int32[N_RULES]."""
    values = _OFFICIAL | (changes or {})
    return np.array([values[i] for i in range(N_RULES)], dtype=np.int32)


def official() -> NDArray[np.int32]:
    """The rules of today's official game: int32[N_RULES]."""
    return rules_vector()


def alternating() -> NDArray[np.int32]:
    """Order of execution by base priority alone, as before replay version 15: int32[N_RULES]."""
    return rules_vector({ORDER: ORDER_ALTERNATING})


def simple() -> NDArray[np.int32]:
    """The simplified variant, one move a turn and a tick a turn: int32[N_RULES]."""
    return rules_vector(_SIMPLE)


VARIANTS: Final = {"official": official, "alternating": alternating, "simple": simple}
"""The variants that have a name."""


def variant(name: str) -> NDArray[np.int32]:
    """The rules of a variant by its name: int32[N_RULES].

    Raises:
        ValueError: there is none of that name.
    """
    if name not in VARIANTS:
        raise ValueError(f"rules: no variant {name!r}; there are {', '.join(VARIANTS)}")
    return VARIANTS[name]()


def of_names(values: Mapping[str, int | str]) -> NDArray[np.int32]:
    """The rules from a value for each of `NAMES`, as the `rules` config has them: int32[N_RULES].

    Args:
        values: numbers, flags, and one of `ORDERS` for the order.

    Raises:
        ValueError: a name is missing or unknown, or a value is out of its bounds.
    """
    if set(values) != set(NAMES):
        wrong = ", ".join(sorted(set(values) ^ set(NAMES)))
        raise ValueError(f"rules: missing or unknown: {wrong}")
    if values["order"] not in ORDERS:
        raise ValueError(f"rules: no order {values['order']!r}; there are {', '.join(ORDERS)}")
    codes = dict(values) | {"order": ORDERS.index(str(values["order"]))}
    return checked([int(codes[name]) for name in NAMES])


def checked(vector: Sequence[int] | NDArray[np.int32]) -> NDArray[np.int32]:
    """A copy of a vector with which a game can be played: int32[N_RULES].

    Raises:
        ValueError: it has another length, or a value is out of its bounds.
    """
    values = np.array(vector)
    if values.shape != (N_RULES,) or values.dtype.kind not in "iu":
        raise ValueError(f"rules: {vector!r} is no vector of {N_RULES} integers")
    for index, value in enumerate(values.tolist()):
        low = 1 if index in _PERIODS else 0
        high = 1 if index in _FLAGS else len(ORDERS) - 1 if index == ORDER else _LARGEST
        if not low <= value <= high:
            raise ValueError(f"rules: {NAMES[index]} is {value}; it must be {low} to {high}")
    if values[CITY_ARMY_LOW] > values[CITY_ARMY_HIGH]:
        bounds = f"{values[CITY_ARMY_LOW]} is above city_army_high {values[CITY_ARMY_HIGH]}"
        raise ValueError(f"rules: city_army_low {bounds}")
    return values.astype(np.int32)


def of_replay(replay_version: int) -> NDArray[np.int32]:
    """The rules under which a replay of that version was recorded: int32[N_RULES]."""
    return rules_vector(
        {
            ORDER: ORDER_OFFICIAL if replay_version >= _FIRST_SORTED else ORDER_ALTERNATING,
            GENERAL_TRADE: int(replay_version >= _FIRST_TRADING),
            CITY_GROWTH_BELOW: 0 if replay_version >= _FIRST_WITH_STILL_CITIES else 40,
            NEUTRALISE_AFTER: 0,
        }
    )
