"""Taking up the games of a host that is gone, from their journals.

Every game that had not ended is played again, up to its last whole entry, and goes on from there in
the same file. A journal that cannot be read, or says what no game can do, is set aside; one whose
game finds no place now stays where it is, for the next host. Either costs its own game alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from farm.errors import FarmError
from farm.games.journal import Journal
from farm.games.journal_files import JournalFiles
from farm.replay import journal
from farm.telemetry.log import Logger

LOGGED_EVERY: Final = 100
"""Journals between two lines that say how far it is."""


class Host(Protocol):
    """Who takes the games."""

    def take_up(self, found: journal.Journal) -> None:
        """Set up a game and play it again as its journal says.

        Raises:
            ValueError: it says what no game can do.
            FarmError: this host has no place for the game.
        """
        ...

    def drop(self, game_id: int) -> None:
        """Let go of a game, as far as it was taken up."""
        ...


class Recovered(NamedTuple):
    """What came of the journals."""

    n_games: int
    """Taken up."""
    n_ticks: int
    """Played again for them."""
    n_ended: int
    """Found to have ended: only the move to the ended ones was missing."""
    n_left: int
    """Left where they are, without a place."""
    n_damaged: int
    """Set aside."""


class Recovery:
    """Takes up the games of a folder, one a step.

    Args:
        files: the journals.
        written: goes on with those of the games that are taken up.
        host: takes them.
        log: told of each journal that is set aside.
    """

    def __init__(self, files: JournalFiles, written: Journal, host: Host, log: Logger) -> None:
        self._files = files
        self._written = written
        self._host = host
        self._log = log
        self._n_games = self._n_ticks = self._n_ended = self._n_left = self._n_damaged = 0

    def run(self, on_progress: Callable[[int, int], None]) -> Recovered:
        """Take up every game.

        Args:
            on_progress: called before each with the number of those done and of all.

        Raises:
            FileAccessError: a journal can neither be read nor set aside.
        """
        paths = self._files.unfinished()
        for done, path in enumerate(paths):
            on_progress(done, len(paths))
            if done and done % LOGGED_EVERY == 0:
                self._log.info("games_taking_up", done=done, journals=len(paths))
            self._take(path)
        return Recovered(self._n_games, self._n_ticks, self._n_ended, self._n_left, self._n_damaged)

    def _take(self, path: Path) -> None:
        try:
            found = _read(path)
        except (OSError, ValueError) as error:
            self._set_aside(path, error)
            return
        if found.end is not None:
            self._files.put_away(path)
            self._n_ended += 1
            return
        game_id = found.header.game_id
        try:
            self._host.take_up(found)
            self._written.resume(found)
        except ValueError as error:
            self._host.drop(game_id)
            self._set_aside(path, error)
            return
        except FarmError as error:
            self._host.drop(game_id)
            self._log.error("game_not_taken_up", file=str(path), error=str(error))
            self._n_left += 1
            return
        if found.cut_bytes:
            self._log.warning("journal_cut", file=str(path), bytes=found.cut_bytes)
        self._n_games += 1
        self._n_ticks += found.n_ticks

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = self._files.set_aside(path)
        self._log.error("journal_damaged", file=str(aside), error=str(error))
        self._n_damaged += 1


def _read(path: Path) -> journal.Journal:
    with path.open("rb") as file:
        data = file.read(journal.MAX_FILE_BYTES + 1)
    found = journal.decode(data)
    if str(found.header.game_id) != path.stem:
        raise ValueError(f"it is of game {found.header.game_id}")
    return found
