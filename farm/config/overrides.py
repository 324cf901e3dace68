"""Overrides, looked at before Hydra sees them.

Hydra takes more than a farm's config has use for (sweeps, packages, additions that slip past a
schema) and words its refusals for its own users. Here each override is parsed by Hydra's grammar
and held against the schema and the groups, so that an error names the key and what would be right.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from farm.config.convert import show, unknown_keys
from farm.config.fields import Value, closest, field_index, sections, unknown_key
from farm.errors import ConfigError

GRAMMAR = "write key=value, a list as key=[a,b], an option as group=name, null for nothing"


def screen(overrides: Sequence[str], options: Mapping[str, Sequence[str]]) -> None:
    """Refuse what cannot be applied.

    Args:
        overrides: as given by the user.
        options: the options of each group.

    Raises:
        ConfigError: the first override that is wrong.
    """
    parser = OverridesParser.create()
    for text in overrides:
        override = _parse(parser, text)
        key = override.key_or_group
        if override.package is not None:
            raise ConfigError(key, f"a group has one place here: write {key}=name, not {text!r}")
        if override.is_sweep_override():
            raise ConfigError(key, f"{text!r} holds several values; a list is written {key}=[a,b]")
        if override.is_hydra_override():
            raise ConfigError(key, "Hydra's own settings have no effect on a farm; leave it out")
        if key in options:
            _screen_option(override, options[key])
        elif key not in field_index() and key not in sections():
            raise ConfigError(key, unknown_key(key))
        if key in sections():
            for stranger in unknown_keys(cast("Value", override.value()), prefix=f"{key}."):
                raise ConfigError(stranger, unknown_key(stranger))


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """The same overrides, values of keys by `++`: they hold whether or not a file has the key.

    Hydra would else refuse a key that the chosen files leave to the schema, and hold the names of a
    mapping against those that a file has; so it adds them to those.
    """
    return [
        _by_force(text) if _key_of(text) in field_index() or _is_laid_over(text) else text
        for text in overrides
    ]


def combined(before: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Overrides and later ones on top; of those for one key, the last.

    Values laid over a section, as in `match={cities:0}`, leave the option in place that was chosen.
    """
    by_key: dict[str, str] = {}
    for text in (*before, *more):
        key = f"{_key_of(text)}={{}}" if _is_laid_over(text) else _key_of(text)
        by_key.pop(key, None)
        by_key[key] = text
    return tuple(by_key.values())


def _is_laid_over(text: str) -> bool:
    return _key_of(text) in sections() and text.partition("=")[2].lstrip().startswith("{")


def _by_force(text: str) -> str:
    return text if text.startswith("~") else f"++{text.lstrip('+')}"


def _key_of(text: str) -> str:
    return text.partition("=")[0].strip().lstrip("+~").strip()


def _parse(parser: OverridesParser, text: str) -> Override:
    key = _key_of(text)
    try:
        override = parser.parse_override(text)
    except HydraException as error:
        detail = str(error).partition("\n")[0]
        raise ConfigError(key, f"cannot read {text!r} ({detail}); {GRAMMAR}") from error
    if not override.key_or_group:
        raise ConfigError("", f"no key in {text!r}; {GRAMMAR}")
    if override.is_delete() and override.value() is not None:
        raise ConfigError(key, f"write ~{key} to take its default, not {text!r}")
    return override


def _screen_option(override: Override, options: Sequence[str]) -> None:
    group, value = override.key_or_group, override.value()
    if isinstance(value, dict) or override.is_delete():
        return  # values laid over the group; the group left out, so that the schema's defaults hold
    listed = f"its options are {', '.join(options)}"
    if not isinstance(value, str):
        raise ConfigError(group, f"one option is wanted, got {show(value)}; {listed}")
    if value not in options:
        near = closest(value, options)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(group, f"no option {value!r}{hint} ({listed})")
    if override.is_add() or override.is_force_add():
        raise ConfigError(group, f"an option is chosen already; write {group}={value}")
