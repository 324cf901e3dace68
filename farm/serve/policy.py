"""What a group does to the rings while it is slower than the workers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from farm.errors import InvalidRequestError
from farm.rpc.v1 import experience_pb2
from farm.serve.drain import ALL_OF_THEM
from farm.shm.groups import GroupKind


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one group; the default holds the rings."""

    kind: GroupKind = GroupKind.LOSSLESS
    part: float = 0.0
    """Of the records that a `sample` group takes, above 0 and up to 1; 0 for the other kinds."""

    @property
    def holds(self) -> bool:
        """Whether the rings wait for the group, however slow it is."""
        return self.kind is GroupKind.LOSSLESS

    @property
    def sample(self) -> int:
        """So many of 2**32 records are for this group (`drain`)."""
        if self.kind is not GroupKind.SAMPLE:
            return ALL_OF_THEM
        return max(1, round(self.part * ALL_OF_THEM))

    def message(self) -> experience_pb2.GroupPolicy:
        """For the wire."""
        return experience_pb2.GroupPolicy(kind=self.kind.value, sample=self.part)

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.part:g}" if self.part else self.kind.value


def parse_policy(text: str) -> Policy:
    """A policy as the config has it: `lossless`, `latest` or `sample:0.1`, its pattern checked."""
    kind, _, part = text.partition(":")
    return Policy(GroupKind(kind), float(part) if part else 0.0)


def declared_policies(groups: Mapping[str, str]) -> dict[str, Policy]:
    """The groups of the config, by name."""
    return {name: parse_policy(text) for name, text in groups.items()}


def compile_policy(wanted: experience_pb2.GroupPolicy) -> Policy | None:
    """Check a policy; None where none is asked for.

    Raises:
        InvalidRequestError: there is no such kind, or the sample does not go with it.
    """
    if not wanted.kind:
        if wanted.sample:
            raise InvalidRequestError("policy.sample goes with policy.kind `sample` only")
        return None
    kinds = ", ".join(GroupKind)
    if wanted.kind not in list(GroupKind):
        raise InvalidRequestError(f"policy.kind {wanted.kind!r}; there are {kinds}")
    kind = GroupKind(wanted.kind)
    if kind is not GroupKind.SAMPLE:
        if wanted.sample:
            raise InvalidRequestError(f"policy.sample goes with `sample`, not with `{kind}`")
        return Policy(kind)
    if not 0 < wanted.sample <= 1:  # refuses what is no number, too
        raise InvalidRequestError(f"policy.sample {wanted.sample}; above 0 and up to 1 is possible")
    return Policy(kind, wanted.sample)
