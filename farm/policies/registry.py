"""The scripted policies by name, version and code; needs nothing but Python."""

from typing import Final, NamedTuple


class PolicyInfo(NamedTuple):
    """What is known of a policy without loading it."""

    name: str
    """As in `match.seats`."""
    version: int
    """Bumped whenever the policy plays differently."""
    code: int
    """What the compiled dispatch goes by."""
    summary: str


RANDOM: Final = 0
EXPANDER: Final = 1
HUNTER: Final = 2

POLICIES: Final = (
    PolicyInfo("random", 1, RANDOM, "uniform over legal actions; passes only when it must"),
    PolicyInfo("expander", 1, EXPANDER, "takes land and cities greedily, attacks what it sees"),
    PolicyInfo("hunter", 1, HUNTER, "scouts, gathers its army, goes for generals, guards its own"),
)

POLICY_NAMES: Final = tuple(policy.name for policy in POLICIES)


def policy_info(name: str) -> PolicyInfo:
    """The policy of that name.

    Raises:
        KeyError: there is none.
    """
    for policy in POLICIES:
        if policy.name == name:
            return policy
    raise KeyError(name)
