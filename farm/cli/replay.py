"""`farm replay FILE...`: verifies, draws and converts recorded games, and writes them as text."""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from farm.cli.replay_show import print_still, show
from farm.errors import (
    EXIT_INTERNAL,
    EXIT_OK,
    FarmError,
    FileAccessError,
    ReplayError,
    UsageError,
)
from farm.replay.files import read_replays, write_bytes, write_replays
from farm.replay.model import Replay
from farm.replay.simulate import Verdict, verify, with_hashes
from farm.replay.text import playthrough, winner_text

_RECORDINGS: Final = (".journal", ".replay")
"""What is taken from a folder."""


class Game(NamedTuple):
    """A game of one of the files."""

    path: Path
    place: int
    """Its number in the file, from 0."""
    replay: Replay
    done_bytes: int
    """Bytes of all files read so far."""
    note: str
    """What else its file says of it."""


def run(args: argparse.Namespace) -> int:
    """Do what was asked with the games of the files.

    Raises:
        UsageError: options that do not go together, or no game of that name.
        FileAccessError: a file cannot be opened or written; --check says so and goes on.
        ReplayError: a file holds no game, or a bad one; likewise.
    """
    _check_options(args)
    args.files = [file for path in args.files for file in _files(path)]
    if args.show or args.tick is not None:
        return _show(args)
    if args.export_text:
        return _export(args)
    if args.import_:
        return _import(args)
    return _verify(args)


def _check_options(args: argparse.Namespace) -> None:
    modes = ("check", "show", "import_", "export_text")
    chosen = [mode for mode in modes if getattr(args, mode)]
    if len(chosen) > 1:
        names = " and ".join(f"--{mode.strip('_').replace('_', '-')}" for mode in chosen)
        raise UsageError(f"{names} do not go together: choose one")
    if args.import_ and not args.output:
        raise UsageError("--import needs the file to write: -o OUT.replay")
    if args.output and not (args.import_ or args.export_text):
        raise UsageError("-o goes with --import or --export-text")
    if args.add_hashes and not args.import_:
        raise UsageError("--add-hashes goes with --import")
    looks = args.show or args.export_text or args.tick is not None
    if args.seat is not None and not looks:
        raise UsageError("--seat goes with --show, --tick or --export-text")
    if args.tick is not None and (args.check or args.import_ or args.export_text):
        raise UsageError("--tick draws one still; it goes with --show only")


def _files(path: Path) -> list[Path]:
    """The file itself, or the recordings of a folder and the folders in it, by name."""
    if not path.is_dir():
        return [path]
    found = [file for file in path.rglob("*") if file.suffix in _RECORDINGS and file.is_file()]
    if not found:
        raise UsageError(f"{path}: no {' or '.join(_RECORDINGS)} files in this folder")
    return sorted(found)


def _games(
    args: argparse.Namespace, on_error: Callable[[FarmError], None] | None = None
) -> Iterator[Game]:
    """The games that were chosen, of all files.

    Args:
        args: the command's.
        on_error: told of a file whose rest cannot be read, and the next one follows; None raises.
    """
    found = False
    before = 0
    for path in args.files:
        try:
            for place, (replay, read_bytes, note) in enumerate(read_replays(path)):
                if args.game is None or args.game in {replay.game_id, str(place)}:
                    found = True
                    yield Game(path, place, replay, before + read_bytes, note)
        except (FileAccessError, ReplayError) as error:
            if on_error is None:
                raise
            found = True
            on_error(error)
        before += _n_bytes(path)
    if not found:
        raise UsageError(f"--game {args.game}: no game has this number, from 0, or id")


def _n_bytes(path: Path) -> int:
    """Size of a file; 0 of one that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _verify(args: argparse.Namespace) -> int:
    """A line for each game, or with --check for each that differs, and the sums.

    With --check a file that cannot be read is named and passed over.
    """
    sums, errors = Sums(), list[FarmError]()
    start_ns = time.monotonic_ns()
    with _progress() as progress:

        def note(error: FarmError) -> None:
            errors.append(error)
            print(f"farm: {error}", file=sys.stderr)

        total_bytes = sum(map(_n_bytes, args.files))
        task = progress.add_task("starting (a first run compiles the rules)", total=total_bytes)
        for game in _games(args, note if args.check else None):
            try:
                verdict = _verdict(game)
            except ReplayError as error:
                if not args.check:
                    raise
                note(error)
                continue
            sums.add(verdict)
            if not (args.check and verdict.agrees):
                progress.console.out(_line(game, verdict, with_path=len(args.files) > 1))
            progress.update(task, description=sums.short, completed=game.done_bytes)
    if args.check:
        unread = f"; {_count(len(errors), 'error')}, named above" if errors else ""
        print(f"{sums.line}, {(time.monotonic_ns() - start_ns) / 1e9:.1f} s{unread}")
    if sums.n_mismatches:
        return EXIT_INTERNAL
    return max((error.exit_code for error in errors), default=EXIT_OK)


def _verdict(game: Game) -> Verdict:
    """What comes of playing a game again.

    Raises:
        ReplayError: it cannot be played.
    """
    try:
        return verify(game.replay)
    except ValueError as error:
        raise ReplayError(game.path, f"game {game.replay.game_id}: {error}") from error


@dataclass(slots=True)
class Sums:
    """What came of all games."""

    n_games: int = 0
    n_ticks: int = 0
    n_hashes: int = 0
    n_bare: int = 0
    """Games without any hash."""
    n_mismatches: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count a game."""
        self.n_games += 1
        self.n_ticks += verdict.n_ticks
        self.n_hashes += verdict.n_hashes
        self.n_bare += verdict.n_hashes == 0
        self.n_mismatches += not verdict.agrees

    @property
    def short(self) -> str:
        """Beside the bar."""
        return f"games {self.n_games:,}, ticks {self.n_ticks:,}, mismatches {self.n_mismatches:,}"

    @property
    def line(self) -> str:
        """At the end."""
        bare = f" ({_count(self.n_bare, 'game')} without any)" if self.n_bare else ""
        return (
            f"{_count(self.n_games, 'game')}, {_count(self.n_ticks, 'tick')}, "
            f"{_count(self.n_hashes, 'hash', 'hashes')} compared{bare}, "
            f"{_count(self.n_mismatches, 'mismatch', 'mismatches')}"
        )


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def _progress() -> Progress:
    """On a terminal a bar below the lines; elsewhere only the lines."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(soft_wrap=True, highlight=False)
    return Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _line(game: Game, verdict: Verdict, *, with_path: bool) -> str:
    replay = game.replay
    parts = (
        f"{replay.game_id:<12}",
        f"{verdict.height}x{verdict.width}",
        f"{replay.map.n_seats:>2} seats",
        f"{verdict.n_ticks:>6,} ticks",
        winner_text(verdict.winners, replay.players, is_over=verdict.is_over),
        _agreement(replay, verdict),
        *((game.note,) if game.note else ()),
        *((f"in {game.path}",) if with_path else ()),
    )
    return "  ".join(parts)


def _agreement(replay: Replay, verdict: Verdict) -> str:
    if verdict.first_mismatch is not None:
        return (
            f"DIFFERS first after tick {verdict.first_mismatch} of {replay.n_ticks}: "
            f"{replay.hash_after(verdict.first_mismatch).hex()} was recorded"
        )
    return (
        f"{_count(verdict.n_hashes, 'hash', 'hashes')} agree"
        if verdict.n_hashes
        else "no hashes to compare"
    )


def _import(args: argparse.Namespace) -> int:
    replays = [
        with_hashes(game.replay) if args.add_hashes and not game.replay.hashes else game.replay
        for game in _games(args)
    ]
    n_bytes = write_replays(args.output, replays)
    print(f"{args.output}: {_count(len(replays), 'game')}, {n_bytes:,} bytes")
    return EXIT_OK


def _export(args: argparse.Namespace) -> int:
    game = _single(args)
    lines = playthrough(game.replay, every=args.every, seat=args.seat)
    if args.output:
        write_bytes(args.output, "\n".join([*lines, ""]).encode())
    else:
        for line in lines:
            print(line)
    return EXIT_OK


def _show(args: argparse.Namespace) -> int:
    game = _single(args)
    if args.tick is not None:
        print_still(game.replay, tick=args.tick, seat=args.seat)
    elif not sys.stdout.isatty():
        raise UsageError(
            "--show needs a terminal; --tick N prints one still, --export-text all of it"
        )
    else:
        show(game.replay, seat=args.seat, ticks_per_s=args.speed)
    return EXIT_OK


def _single(args: argparse.Namespace) -> Game:
    """The one game to look at: the first unless --game says another."""
    game = next(itertools.islice(_games(args), 1))
    n_seats = game.replay.map.n_seats
    if args.seat is not None and args.seat >= n_seats:
        raise UsageError(f"--seat {args.seat}: {game.replay.game_id} has seats 0 to {n_seats - 1}")
    return game
