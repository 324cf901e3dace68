"""`farm config`: what a config comes to, where each value came from, and what can be set.

The text is YAML, so that it can be kept as a file; origins and reload classes are its comments.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from farm.config.check import check
from farm.config.fields import Field, Value, fields, flatten
from farm.config.load import COMMAND_LINE, Composed, compose, conf_dir
from farm.config.memory import shared_memory_bytes
from farm.config.schema import FarmConfig
from farm.errors import UnavailableError
from farm.policies.registry import POLICY_NAMES
from farm.shm.control import ControlBlock
from farm.shm.lease import running_pid


def run(args: argparse.Namespace) -> int:
    """Print what was asked for; a config that is wrong raises ConfigError after it is shown."""
    if args.keys:
        _print(keys_json() if args.json else "\n".join(keys_text()))
        return 0
    if args.running:
        epoch, config = _running(args.instance)
        _print(running_json(epoch, config) if args.json else "\n".join(running_text(epoch, config)))
        return 0
    composed = compose(args.overrides, folders=config_folders(args.config_dir))
    if args.check:
        check(composed.config, policies=POLICY_NAMES)
        shared = shared_memory_bytes(composed.config)
        _print(
            config_json(composed)
            if args.json
            else f"config is fine; {shared:,} bytes of shared memory"
        )
        return 0
    _print(config_json(composed) if args.json else "\n".join(config_text(composed)))
    check(composed.config, policies=POLICY_NAMES)
    return 0


def config_folders(folders: Sequence[Path]) -> list[Path]:
    """Where the files of a config are: folders of the user's, and behind them the packaged one."""
    return [*folders, conf_dir()] if folders else []


def config_text(composed: Composed) -> Iterator[str]:
    """YAML with a comment at each value: when a change applies, and where the value came from."""
    yield f"# {conf_dir()}, {shared_memory_bytes(composed.config):,} bytes of shared memory"
    yield "# Groups, the option taken of each, and the others (`group=option`):"
    for group, names in composed.options.items():
        chosen = composed.choices.get(group, "none")
        others = ", ".join(name for name in names if name != chosen)
        yield f"#   {group:<12} {chosen:<12} {others}"
    yield ""
    values = flatten(composed.config)
    lines = {field.key: _value_line(field, values[field.key]) for field in _in_order()}
    yield from _lines(lines, composed.origins)


def running_text(epoch: int, config: FarmConfig) -> Iterator[str]:
    """What a farm has in force, as YAML with the reload class of each value as its comment."""
    yield f"# in force in farm {config.instance}, epoch {epoch}"
    values = flatten(config)
    yield from _lines({field.key: _value_line(field, values[field.key]) for field in _in_order()})


def running_json(epoch: int, config: FarmConfig) -> str:
    """The same for programs."""
    return msgspec.json.encode({"epoch": epoch, "config": config}).decode()


def _running(instance: str) -> tuple[int, FarmConfig]:
    """Epoch and config of a running farm.

    Raises:
        UnavailableError: there is no such farm.
    """
    if running_pid(instance) is None:
        raise UnavailableError(f"there is no farm {instance!r}; `farm up instance={instance}`")
    control = ControlBlock.attach(instance, readonly=True)
    try:
        epoch, blob = control.load_config()
        return epoch, msgspec.json.decode(blob, type=FarmConfig)
    finally:
        control.close()


def config_json(composed: Composed) -> str:
    """The same for programs."""
    return msgspec.json.encode(
        {
            "config": composed.config,
            "origins": {key: composed.origins[key] for key in flatten(composed.config)},
            "choices": composed.choices,
            "options": composed.options,
            "shared_memory_bytes": shared_memory_bytes(composed.config),
        }
    ).decode()


def keys_text() -> Iterator[str]:
    """Every key with its default, meaning, type and reload class."""
    for field in _in_order():
        yield f"{field.key}={yaml_text(field.default, comma=',')}"
        yield f"    {field.doc}"
        yield f"    {field.type_text}; {field.reload}"


def keys_json() -> str:
    """The same for programs."""
    return msgspec.json.encode(list(_in_order())).decode()


def yaml_text(value: Value, *, comma: str = ", ") -> str:
    """A value on one line of YAML; text without quotes where it reads back as the same text."""
    if isinstance(value, list):
        return f"[{comma.join(map(yaml_text, value))}]"
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _lines(lines: Mapping[str, str], origins: Mapping[str, str] | None = None) -> Iterator[str]:
    """Under their sections, with reload class and origin, if it is known."""
    width = max(map(len, lines.values())) + 2
    section = ""
    for field in _in_order():
        place = field.key.rpartition(".")[0]
        if place != section:
            section = place
            yield f"{place}:"
        comment = f"{field.reload:<8} {origins[field.key]}" if origins else field.reload
        yield f"{lines[field.key]:<{width}}# {comment}"


def _is_plain(text: str) -> bool:
    try:
        # In a list, which is where most letters have a meaning.
        return bool(yaml.safe_load(f"[{text}]") == [text])
    except yaml.YAMLError:
        return False


def _in_order() -> list[Field]:
    """Keys without a section first, as YAML wants it."""
    return sorted(fields(), key=lambda field: "." in field.key)


def _value_line(field: Field, value: Value) -> str:
    indent = "  " * field.key.count(".")
    return f"{indent}{field.key.rpartition('.')[2]}: {yaml_text(value)}"


def _print(text: str) -> None:
    """Plain text to files and pipes, with comments dimmed and overrides marked on a terminal."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        print(text)
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal has use for it
    from rich.text import Text  # noqa: PLC0415 - likewise

    console = Console(soft_wrap=True, highlight=False)
    for line in text.splitlines():
        value, mark, comment = line.partition("#")
        style = "yellow" if comment.endswith(COMMAND_LINE) else "dim"
        console.print(Text.assemble(value, (mark + comment, style)))
