"""What a new config would change in a running farm, and when. Pure: nothing is applied here.

live      children take it from the control block
restart   the children that it concerns are replaced
boot      refused: the farm has to be started again
"""

from collections.abc import Iterator

from msgspec import Struct

from farm.config.convert import show
from farm.config.fields import Value, fields, flatten
from farm.config.schema import FarmConfig, Reload
from farm.errors import ConfigError


class Change(Struct, frozen=True):
    """One key that gets another value."""

    key: str
    """Dotted path."""
    old: Value
    """In force until then."""
    new: Value
    when: Reload
    """`live` or `restart`; a plan has no `boot`."""


class ReloadPlan(Struct, frozen=True):
    """Everything that a reload changes, in the order of the schema; nothing for the same config."""

    changes: tuple[Change, ...] = ()

    def restarts(self, section: str) -> bool:
        """Whether children of which the settings are in a section have to be replaced."""
        return any(
            change.when == "restart" and change.key.startswith(f"{section}.")
            for change in self.changes
        )


def plan_reload(old: FarmConfig, new: FarmConfig) -> ReloadPlan:
    """What has to be done to get from one config to another, both checked.

    Raises:
        ConfigError: a field changes that a running farm cannot change; names the first.
    """
    changes = tuple(_changes(old, new))
    for change in changes:
        if change.when == "boot":
            raise ConfigError(
                change.key,
                f"cannot become {show(change.new)} in a running farm: {show(change.old)} stays in "
                "force; start the farm again to change it",
            )
    return ReloadPlan(changes)


def _changes(old: FarmConfig, new: FarmConfig) -> Iterator[Change]:
    before, after = flatten(old), flatten(new)
    for field in fields():
        if before[field.key] != after[field.key]:
            yield Change(field.key, before[field.key], after[field.key], field.reload)
