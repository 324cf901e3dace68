"""`farm bench NAME`: runs one bench and prints its figures as one JSON line."""

import argparse
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import msgspec

from farm.bench.registry import BENCHES
from farm.config.fields import closest
from farm.errors import EXIT_INTERNAL, EXIT_OK, UsageError

Figures: TypeAlias = Mapping[str, object]
Bench: TypeAlias = Callable[[float, Sequence[str]], Figures]

MUST_BE_ZERO = ("lost", "corrupt", "inexact")
"""Figures that make the command fail."""


def run(args: argparse.Namespace) -> int:
    """Run the bench that was named.

    Raises:
        UsageError: there is no such bench, or none was named.
    """
    if args.list:
        for name, info in BENCHES.items():
            print(f"{name:<16} {info.summary}")
        return EXIT_OK
    figures = load(args.name)(args.seconds, args.overrides)
    print(msgspec.json.encode(figures).decode(), flush=True)
    return EXIT_INTERNAL if any(figures.get(name) for name in MUST_BE_ZERO) else EXIT_OK


def load(name: str | None) -> Bench:
    """The function of a bench.

    Raises:
        UsageError: there is no such bench, or none was named.
    """
    listed = f"there are {', '.join(BENCHES)}"
    if name is None:
        raise UsageError(f"a bench must be named: {listed}")
    if name not in BENCHES:
        near = closest(name, list(BENCHES))
        hint = f"did you mean {near}? " if near else ""
        raise UsageError(f"no bench {name!r}; {hint}{listed}")
    module = importlib.import_module(BENCHES[name].module)
    return cast("Bench", module.run)
