"""Who may sit on a seat: a policy, or a weighted mix of some, drawn anew for every game. Pure.

    expander                  always that one
    hunter:2|expander:1       two games of three the hunter, the third the expander
    hunter|expander           each as often as the other

A weight is a whole number, 1 to MAX_WEIGHT, and 1 where none is given.
"""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from farm.config.fields import closest

MAX_WEIGHT: Final = 1_000_000

_WEIGHT: Final = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)


class Share(NamedTuple):
    """One part of a mix."""

    policy: str
    weight: int
    """Draws it, of as many as the weights of its mix sum to."""


def parse_mix(text: str, policies: Collection[str]) -> tuple[Share, ...]:
    """The parts of a mix, in their order.

    Args:
        text: as above.
        policies: the names that there are.

    Raises:
        ValueError: says what is wrong, and what would be right.
    """
    shares: list[Share] = []
    for part in text.split("|"):
        name, colon, weight = part.partition(":")
        if name not in policies:
            known = sorted(policies)
            near = closest(name, known)
            hint = f"did you mean {near}? " if near else ""
            place = "" if name == text else f" in {text!r}"
            raise ValueError(f"no policy {name!r}{place}; {hint}there are {', '.join(known)}")
        if any(share.policy == name for share in shares):
            raise ValueError(f"{name} stands twice in {text!r}; add up its weights")
        if colon and not (_WEIGHT.fullmatch(weight) and int(weight) <= MAX_WEIGHT):
            raise ValueError(
                f"the weight {weight!r} of {name} in {text!r} is not a whole number from 1 to "
                f"{MAX_WEIGHT}, as in {name}:2"
            )
        shares.append(Share(name, int(weight) if colon else 1))
    return tuple(shares)
