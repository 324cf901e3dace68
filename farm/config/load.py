"""From the files in `conf/` and overrides to one `FarmConfig`, through Hydra's compose API.

    overrides ─ screened ─ Hydra ─ plain data ─ screened ─ msgspec ─ FarmConfig
                (grammar,          (interpolations         (strict types
                 keys, options)     resolved)               and bounds)

`compose` also tells where each value came from, `compose_config` leaves that out and takes half the
time: a running farm reloads by it.

DictConfig ends in this file. Whatever is wrong raises `ConfigError` with the dotted key, or with
file and line where a file cannot be read. Hydra's state is global to the process, so one lock
serialises compositions, and another user's Hydra is put back afterwards.
"""

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from msgspec import Struct
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from farm.config import overrides as override_rules
from farm.config.convert import to_config
from farm.config.fields import Value, field_index, fields, pick
from farm.config.schema import FarmConfig
from farm.errors import ConfigError

PRIMARY = "config"
COMMAND_LINE = "command line"
SCHEMA_DEFAULT = "schema default"
HYDRA_VERSION_BASE = "1.3"
_UNUSED = (
    "env",
    "help",
    "hydra_help",
    "hydra_logging",
    "job_logging",
    "launcher",
    "output",
    "sweeper",
)
"""Hydra's own groups, for programs that it runs: left out, a composition takes a quarter less."""

_PACKAGE = Path(__file__).resolve().parent.parent
_ONE_AT_A_TIME = threading.Lock()


class Composed(Struct, frozen=True):
    """A config, and how it came about."""

    config: FarmConfig
    origins: dict[str, str]
    """Where the value of each key came from: `command line`, `schema default`, or a file: relative
    to the packaged folder, such as `env/prod.yaml`, absolute when it is another folder's."""
    choices: dict[str, str]
    """The option taken from each group."""
    options: dict[str, tuple[str, ...]]
    """The options each group has."""
    overrides: tuple[str, ...]
    """What the caller laid over the files."""


def conf_dir() -> Path:
    """The packaged config: inside the package when installed, beside it in a checkout."""
    for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf"):
        if (folder / f"{PRIMARY}.yaml").is_file():
            return folder
    raise ConfigError("", f"no conf/{PRIMARY}.yaml in or beside {_PACKAGE}; install farm again")


def compose(overrides: Sequence[str] = (), *, folders: Sequence[Path] = ()) -> Composed:
    """Compose the config; every value has its type and range, `check` holds them together.

    Args:
        overrides: in Hydra's grammar, such as `worker.count=4`, `match.seats=[expander,random]`,
            `env=prod`.
        folders: where to look for files, the first that has one wins; one of them, usually the
            last, has a config.yaml. The packaged folder alone if empty.

    Raises:
        ConfigError: anything wrong in overrides or files.
    """
    lines = list(overrides)
    with _config_errors(folders):
        places = _places(folders)
        options = _options(places)
        override_rules.screen(lines, options)
    with _config_errors(places), _hydra(places) as loader:
        wanted = _for_hydra(lines, places)
        tree = _tree(wanted)
        defaults = loader.compute_defaults_list(PRIMARY, wanted, RunMode.RUN)
        origins = _file_origins(places, defaults.defaults)
    origins |= _override_origins(defaults.config_overrides)
    for field in fields():
        if not _holds(tree, field.key):
            origins[field.key] = SCHEMA_DEFAULT
    return Composed(
        config=to_config(tree, origins),
        origins=origins,
        choices={
            group: choice
            for group, choice in sorted(defaults.overrides.known_choices.items())
            if group in options and choice is not None
        },
        options=options,
        overrides=tuple(lines),
    )


def compose_config(overrides: Sequence[str] = (), *, folders: Sequence[Path] = ()) -> FarmConfig:
    """The config of `compose` alone.

    Raises:
        ConfigError: anything wrong in overrides or files.
    """
    lines = list(overrides)
    with _config_errors(folders):
        places = _places(folders)
        override_rules.screen(lines, _options(places))
    with _config_errors(places), _hydra(places):
        tree = _tree(_for_hydra(lines, places))
    try:
        return to_config(tree)
    except ConfigError:
        return compose(lines, folders=folders).config  # whose error says where the value came from


def _places(folders: Sequence[Path]) -> list[Path]:
    """The folders, looked at; one without a config.yaml adds to those behind it.

    Raises:
        ConfigError: one is not there or not readable, holds a file that nothing would read, or none
            has the file that a composition begins with.
    """
    places = [folder.resolve() for folder in folders] or [conf_dir()]
    for place in places:
        if not place.is_dir():
            raise ConfigError("", f"there is no folder {place}")
        _refuse_gaps(place)
        strays = sorted(file.name for file in _files(place, "*.yaml") if file.stem != PRIMARY)
        if strays:
            raise ConfigError(
                "",
                f"{place}/{strays[0]} would not be read: values stand in {PRIMARY}.yaml, which "
                f"begins as a copy of {conf_dir()}/{PRIMARY}.yaml, or in a group, such as "
                "match/mine.yaml",
            )
    if not any((place / f"{PRIMARY}.yaml").is_file() for place in places):
        raise ConfigError("", f"{_names(places)}: no {PRIMARY}.yaml; add {conf_dir()} behind it")
    return places


def _refuse_gaps(place: Path) -> None:
    """What cannot be read would else count as absent, and the files behind it hold in its stead.

    Raises:
        ConfigError: a folder that may not be read, or a symlink that leads nowhere.
    """
    entries = _files(place, "*")
    for folder in (place, *(entry for entry in entries if entry.is_dir())):
        if not os.access(folder, os.R_OK | os.X_OK):
            raise ConfigError("", f"{folder}: this user may not read it; chmod a+rx {folder}")
    for file in sorted([*entries, *_files(place, "*/*.yaml")]):
        if file.is_symlink() and not file.exists():
            raise ConfigError("", f"{file}: a symlink to {file.readlink()}, which is not there")


def _files(place: Path, pattern: str) -> list[Path]:
    """The files of a folder but hidden ones.

    Editors lock theirs by `.#name.yaml`, a configuration manager has versions in `..data`.
    """
    return [
        file
        for file in place.glob(pattern)
        if not any(part.startswith(".") for part in file.relative_to(place).parts)
    ]


def _for_hydra(lines: Sequence[str], places: Sequence[Path]) -> list[str]:
    """The overrides as Hydra takes them; any searchpath makes it look at that of `_hydra`."""
    return [
        *override_rules.for_hydra(lines),
        *(f"~hydra/{group}" for group in _UNUSED),
        *(["hydra.searchpath=[]"] if len(places) > 1 else []),
    ]


def _tree(wanted: list[str]) -> Value:
    """What files and overrides come to, as plain data."""
    composed = hydra_compose(PRIMARY, overrides=wanted)
    return cast("Value", OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))


@contextmanager
def _hydra(places: Sequence[Path]) -> Iterator[ConfigLoader]:
    """Hydra on the first folder that has a config.yaml, between those before and behind it."""
    main = next(n for n, place in enumerate(places) if (place / f"{PRIMARY}.yaml").is_file())
    with _ONE_AT_A_TIME:
        others = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(
                config_dir=str(places[main]), job_name="farm", version_base=HYDRA_VERSION_BASE
            ):
                loader = GlobalHydra.instance().config_loader()
                for n, place in enumerate(places):
                    if n != main:
                        anchor = "main" if n < main else "schema"  # which is the last
                        loader.get_search_path().prepend("farm", f"file://{place}", anchor)
                yield loader
        finally:
            GlobalHydra.instance().hydra = others


def _options(places: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """The groups, which are the sub-folders, and the options of each, which are its files."""
    names: dict[str, set[str]] = {}
    for file in (file for place in places for file in _files(place, "*/*.yaml")):
        names.setdefault(file.parent.name, set()).add(file.stem)
    return {group: tuple(sorted(names[group])) for group in sorted(names)}


def _file_origins(places: Sequence[Path], defaults: Sequence[ResultDefault]) -> dict[str, str]:
    """Which file set each key last: files in the order in which Hydra laid them over each other."""
    origins: dict[str, str] = {}
    for default in defaults:
        name = f"{default.config_path}.yaml"
        place = next((place for place in places if (place / name).is_file()), None)
        if place is None:  # one of Hydra's own
            continue
        content = cast("Value", OmegaConf.to_container(OmegaConf.load(place / name)))
        if isinstance(content, dict):
            content.pop("defaults", None)  # what Hydra reads, not a key
        shown = name if place == places[-1] else str(place / name)
        for key in _leaves(content, default.package or ""):
            origins[key] = shown
    return origins


def _override_origins(overrides: Sequence[Override]) -> dict[str, str]:
    return {
        key: COMMAND_LINE
        for override in overrides
        if not override.is_delete() and not override.is_hydra_override()
        for key in _leaves(cast("Value", override.value()), override.key_or_group)
    }


def _leaves(tree: Value, prefix: str) -> Iterator[str]:
    """Dotted keys of all that is no mapping, and of mappings that the schema takes whole."""
    if not isinstance(tree, dict) or prefix in field_index():
        yield prefix
        return
    for name, value in tree.items():
        yield from _leaves(value, f"{prefix}.{name}" if prefix else str(name))


def _holds(tree: Value, key: str) -> bool:
    try:
        pick(tree, key)
    except KeyError:
        return False
    return True


@contextmanager
def _config_errors(places: Sequence[Path]) -> Iterator[None]:
    """Everything that Hydra, OmegaConf and the YAML parser raise, as `ConfigError`."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=UserWarning, module=r"hydra\.")
            yield
    except yaml.YAMLError as error:
        raise ConfigError("", _yaml_text(error)) from error
    except MissingConfigException as error:
        raise _missing_option(error) from error
    except (OmegaConfBaseException, HydraException) as error:
        raise _composition_error(error, places) from error
    except RecursionError as error:
        raise ConfigError("", f"{_names(places)}: files or values that hold themselves") from error
    except (OSError, ValueError, TypeError, AttributeError, AssertionError, UserWarning) as error:
        # Hydra's answers to files that cannot be read, are no mapping, or have odd defaults lists.
        where = _unreadable(places) or f"{_names(places)}: {_first_line(error)}"
        raise ConfigError("", where) from error


def _names(places: Sequence[Path]) -> str:
    return ", ".join(map(str, places))


def _unreadable(places: Sequence[Path]) -> str | None:
    """The file that is to blame, which Hydra does not always tell, and why."""
    depths = ("*.yaml", "*/*.yaml")
    for file in sorted(
        file for place in places for depth in depths for file in _files(place, depth)
    ):
        try:
            content = OmegaConf.load(file)
        except yaml.YAMLError as error:
            return _yaml_text(error)
        except (OSError, ValueError, OmegaConfBaseException) as error:
            return f"{file}: {_first_line(error)}"
        if not OmegaConf.is_dict(content):
            return f"{file}: keys with values are wanted, not a list"
    return None


def _yaml_text(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a character that YAML does not allow
        name, place = getattr(error, "name", "a file"), getattr(error, "position", 0)
        return f"{name}: broken YAML: {_first_line(error)} at character {place}"
    problem = getattr(error, "problem", None) or _first_line(error)
    return f"{mark.name}:{mark.line + 1}:{mark.column + 1}: broken YAML: {problem}"


def _missing_option(error: MissingConfigException) -> ConfigError:
    group, _, name = (error.missing_cfg_file or "").partition("/")
    listed = f"; there are {', '.join(error.options)}" if error.options else ""
    return ConfigError(group if name else "", _first_line(error) + listed)


def _composition_error(error: BaseException, places: Sequence[Path]) -> ConfigError:
    """OmegaConf knows the key, Hydra wraps it and knows the file, neither always."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    key = cause.full_key if isinstance(cause, OmegaConfBaseException) else None
    told = [str(one).partition("\n")[0] for one in dict.fromkeys((error, cause))]
    reason = ": ".join(part for part in told if part) or type(cause).__name__
    return ConfigError(key or "", _unreadable(places) or reason)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
