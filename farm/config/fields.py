"""The keys of the config, read off the schema: type, bounds, default, reload class and help text.

Everything that talks about a key (`farm config`, errors, the reload planner, tests against drift)
takes it from here, so that the schema is the only place where a key is described.
"""

import ast
import difflib
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import msgspec
from msgspec import Struct
from msgspec import inspect as schema_info

from farm.config import schema
from farm.config.schema import FarmConfig, Reload

Value: TypeAlias = str | int | float | bool | list["Value"] | dict[str, "Value"] | None
"""What a key can hold, as plain data."""


class Field(Struct, frozen=True):
    """One key of the config."""

    key: str
    """Dotted path, such as `match.board`."""
    type_text: str
    """Type and bounds in words, such as `int, 1 to 64`."""
    default: Value
    """The schema's own default; the files in `conf/` may say otherwise."""
    reload: Reload
    """When a change applies."""
    doc: str
    """The docstring under the field, on one line."""


@functools.cache
def fields() -> tuple[Field, ...]:
    """Every key, in the order of the schema."""
    return tuple(_walk(FarmConfig, prefix=""))


@functools.cache
def field_index() -> Mapping[str, Field]:
    """The fields by key."""
    return {field.key: field for field in fields()}


@functools.cache
def sections() -> frozenset[str]:
    """Dotted paths that hold keys rather than a value, such as `match`."""
    paths = (field.key.split(".")[:-1] for field in fields())
    return frozenset(".".join(path[:n]) for path in paths for n in range(1, len(path) + 1))


def flatten(config: FarmConfig) -> dict[str, Value]:
    """The values of a config by key, as plain data, in the order of the schema."""
    tree = _plain(config)
    return {field.key: pick(tree, field.key) for field in fields()}


def pick(tree: Value, key: str) -> Value:
    """The value under a dotted key.

    Raises:
        KeyError: the tree has no such key.
    """
    for name in key.split("."):
        if not isinstance(tree, dict):
            raise KeyError(key)
        tree = tree[name]
    return tree


def unknown_key(key: str, origin: str | None = None) -> str:
    """Why a key that the schema lacks is refused, with the nearest that it has."""
    near = suggest(key)
    hint = f"did you mean {near}?" if near else "`farm config --keys` lists all"
    return f"no such key{f' ({origin})' if origin else ''}; {hint}"


def suggest(key: str) -> str | None:
    """The key that was probably meant: the same last name elsewhere, or a close spelling."""
    known = [*field_index(), *sorted(sections())]
    section, _, last = key.rpartition(".")
    same_name = [candidate for candidate in known if candidate.rpartition(".")[2] == last]
    if len(same_name) == 1:
        return same_name[0]
    if section in sections():  # a section that is right would make all of its keys look close
        names = [one.removeprefix(f"{section}.") for one in known if one.startswith(f"{section}.")]
        near = closest(last, names)
        return f"{section}.{near}" if near else None
    return closest(key, known)


def closest(word: str, known: Sequence[str]) -> str | None:
    """The known word that is spelled most like this one, if any comes near."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None


def _walk(section: type[Struct], prefix: str) -> Iterator[Field]:
    docs = _docs()[section.__name__]
    info = schema_info.type_info(section)
    assert isinstance(info, schema_info.StructType)
    for entry in info.fields:
        key = f"{prefix}{entry.name}"
        if isinstance(entry.type, schema_info.StructType):
            yield from _walk(entry.type.cls, prefix=f"{key}.")
            continue
        assert isinstance(entry.type, schema_info.Metadata), f"{key} has no reload class"
        yield Field(
            key=key,
            type_text=_type_text(entry.type.type),
            default=_plain(_default(entry)),
            reload=(entry.type.extra or {})["reload"],
            doc=docs[entry.name],
        )


def _default(entry: schema_info.Field) -> object:
    """The value of a field that nobody sets; of a mapping, a fresh one is made each time."""
    if entry.default is not msgspec.NODEFAULT:
        return entry.default
    assert entry.default_factory is not msgspec.NODEFAULT, f"{entry.name} has no default"
    return entry.default_factory()


def _plain(value: object) -> Value:
    return cast("Value", msgspec.json.decode(msgspec.json.encode(value)))


def _type_text(kind: schema_info.Type) -> str:
    if isinstance(kind, schema_info.Metadata):
        text = _type_text(kind.type)
    elif isinstance(kind, schema_info.IntType | schema_info.FloatType):
        text = _SIMPLE[type(kind)] + _range_text(kind)
    elif isinstance(kind, schema_info.LiteralType):
        text = " | ".join(map(str, kind.values))
    elif isinstance(kind, schema_info.UnionType):
        text = " or ".join(_type_text(part) for part in kind.types)
    elif isinstance(kind, schema_info.DictType):
        text = f"mapping of {_type_text(kind.key_type)} to {_type_text(kind.value_type)}"
    elif isinstance(kind, schema_info.VarTupleType):
        text = f"list of {_type_text(kind.item_type)}"
    else:
        text = _SIMPLE[type(kind)]
    return text


_SIMPLE: dict[type[schema_info.Type], str] = {
    schema_info.IntType: "int",
    schema_info.FloatType: "number",
    schema_info.BoolType: "true or false",
    schema_info.StrType: "text",
    schema_info.NoneType: "null",
}


def _range_text(kind: schema_info.IntType | schema_info.FloatType) -> str:
    low, above, high = kind.ge, kind.gt, kind.le
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    if above is not None and high is not None:
        return f", above {above:,} and at most {high:,}"
    if low is not None:
        return f", {low:,} or more"
    return ""


@functools.cache
def _docs() -> dict[str, dict[str, str]]:
    """The docstring under each field, by class and field; only the source has it."""
    tree = ast.parse(inspect.getsource(schema))
    return {node.name: _field_docs(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _field_docs(section: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for node, follower in zip(section.body, section.body[1:], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(follower, ast.Expr) and isinstance(follower.value, ast.Constant):
            docs[node.target.id] = " ".join(str(follower.value.value).split())
    return docs
