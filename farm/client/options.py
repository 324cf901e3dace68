"""What a stream can be asked for, the same for both faces."""

from collections.abc import Sequence
from typing import TypedDict

from farm.errors import UsageError
from farm.rpc.v1 import experience_pb2

SAMPLE = "sample"
KINDS = ("lossless", "latest", SAMPLE)
"""Kinds of group policy; see GroupPolicy of the proto."""


class Wanted(TypedDict, total=False):
    """Which trajectories a stream wants; what is left out, or empty, lets any pass."""

    game_ids: Sequence[int]
    """Only these games."""
    seats: Sequence[int]
    """Only these seats, 0-based."""
    min_turn: int
    """Only trajectories that reach this turn (two ticks)."""
    policies: Sequence[str]
    """Only of these players: names of policies that acted."""


class SubscribeOptions(Wanted, total=False):
    """How to join a group.

    What a filter leaves out is passed over for the whole group: its members should ask for the
    same.
    """

    group: str
    """Name of the group, up to 32 of a-z, 0-9, - and _; made if it is not there. Members of a group
    share the trajectories, groups each see all of them. Left out: "default"."""
    policy: str
    """What the group does when it is slower than the workers: `lossless` holds the rings, so that
    the workers wait; `latest` goes on at the newest; `sample:0.1` takes a tenth of all. Left out:
    lossless for a new group, else whatever the group has."""
    credit_bytes: int
    """Bytes to hold unacknowledged at most, as far as the farm's config and rings allow; left out
    or 0 takes all of that."""


def filter_of(wanted: Wanted) -> experience_pb2.Filter:
    """The filter, as a message."""
    return experience_pb2.Filter(
        game_ids=wanted.get("game_ids", ()),
        seats=wanted.get("seats", ()),
        min_turn=wanted.get("min_turn", 0),
        policies=wanted.get("policies", ()),
    )


def group_policy(text: str) -> experience_pb2.GroupPolicy | None:
    """`lossless`, `latest` or `sample:P`, as a message; None for whatever the group has.

    Raises:
        UsageError: it is none of these.
    """
    if not text:
        return None
    kind, colon, part = text.partition(":")
    try:
        sample = float(part) if colon else 0.0
    except ValueError:
        sample = -1.0
    is_part = 0.0 < sample <= 1.0
    if kind not in KINDS or is_part != (kind == SAMPLE) or (colon and kind != SAMPLE):
        raise UsageError(
            f"no group policy {text!r}: lossless, latest, or sample:P with P above 0 and up to 1, "
            "such as sample:0.1"
        )
    return experience_pb2.GroupPolicy(kind=kind, sample=sample)
