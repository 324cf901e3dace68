"""Plain data to `FarmConfig`: strict, with errors that name key, value and origin."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from farm.config.fields import Value, field_index, pick, sections, unknown_key
from farm.config.schema import FarmConfig
from farm.errors import ConfigError

_AT = re.compile(r" - at (`key` in )?`\$\.?(?P<path>[^`]*)`$")


def to_config(tree: Value, origins: Mapping[str, str] | None = None) -> FarmConfig:
    """Convert what YAML or JSON held.

    Args:
        tree: nested mappings as the schema has them; keys that are missing take their defaults.
        origins: where the value of each key came from, for errors.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    known = origins or {}
    for key in unknown_keys(tree):
        raise ConfigError(key, unknown_key(key, known.get(key)))
    try:
        return msgspec.convert(tree, FarmConfig, strict=True)
    except msgspec.ValidationError as error:
        raise _wrong_value(error, tree, known) from error


def unknown_keys(tree: Value, prefix: str = "") -> Iterator[str]:
    """Dotted keys under `prefix` (empty, or ending in a dot) that the schema lacks."""
    if not isinstance(tree, dict):
        return
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if key in sections():
            yield from unknown_keys(value, prefix=f"{key}.")
        elif key not in field_index():
            yield key


def show(value: object) -> str:
    """A value as an error quotes it: text in quotes, the rest as YAML writes it."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def _wrong_value(
    error: msgspec.ValidationError, tree: Value, origins: Mapping[str, str]
) -> ConfigError:
    found = _AT.search(str(error))
    key, _, item = (found["path"] if found else "").partition("[")
    where = _from(origins.get(key))
    field = field_index().get(key)
    if field is None:
        return ConfigError(
            key, f"keys with values are wanted, got {show(pick(tree, key) if key else tree)}{where}"
        )
    value = pick(tree, key)
    if item and isinstance(value, list):
        value = value[int(item.partition("]")[0])]
        where = f" as item {item.partition(']')[0]}{where}"
    text = f"got {show(value)}{where}; it takes {field.type_text}. {field.doc}"
    if field.type_text == "text" and isinstance(value, int | float):
        text += f" Quote it to make it text: {key}=\"'{value}'\""
    return ConfigError(key, text)


def _from(origin: str | None) -> str:
    return f" from {origin}" if origin else ""
