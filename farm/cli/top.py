"""`farm top`: every child of a farm, live, once, or as JSON lines."""

import argparse
import contextlib
import functools
import sys
import time
from collections.abc import Callable

import msgspec
from rich.console import Console
from rich.live import Live

from farm.cli.top_sample import FarmSample, sample_address, sample_instance
from farm.cli.top_table import FarmRows, carry, render, rows
from farm.errors import EXIT_OK, UnavailableError

REFRESH_S = 1.0
ONCE_S = 0.5
"""Rates of a single picture are taken over this long."""

Sampler = Callable[[], FarmSample]


def run(args: argparse.Namespace) -> int:
    """Show a farm until Ctrl-C, or until it ends.

    Raises:
        UnavailableError: there is no such farm.
    """
    if args.address:
        sampler: Sampler = functools.partial(sample_address, args.address)
    else:
        sampler = functools.partial(sample_instance, args.instance)
    first = sampler()
    if args.once or not (args.json or sys.stdout.isatty()):
        _once(sampler, first, as_json=args.json)
        return EXIT_OK
    with contextlib.suppress(KeyboardInterrupt):
        if args.json:
            _follow(sampler, first, _print_json)
        else:
            with Live(render(rows(first, None)), auto_refresh=False, screen=True) as live:
                _follow(sampler, first, lambda farm: live.update(render(farm), refresh=True))
    return EXIT_OK


def _once(sampler: Sampler, first: FarmSample, *, as_json: bool) -> None:
    now, before = first, None
    if first.running:
        time.sleep(ONCE_S)
        with contextlib.suppress(UnavailableError):  # it ended meanwhile: the first will do
            now, before = carry(sampler(), first), first
    farm = rows(now, before)
    if as_json:
        _print_json(farm)
    else:
        Console(width=None if sys.stdout.isatty() else 200, soft_wrap=True).print(render(farm))


def _follow(sampler: Sampler, first: FarmSample, show: Callable[[FarmRows], None]) -> None:
    """A picture a second, until the farm is gone."""
    before = first
    while True:
        time.sleep(REFRESH_S)
        try:
            now = carry(sampler(), before)
        except UnavailableError:
            return
        show(rows(now, before))
        before = now


def _print_json(farm: FarmRows) -> None:
    print(msgspec.json.encode(farm).decode(), flush=True)
