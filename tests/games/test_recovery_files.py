"""Of the journals that a host left, each costs or saves its own game and no other."""

import pytest
from games.test_journal import act, begun

from farm.errors import GameError
from farm.games import recovery
from farm.games.journal import Journal, Played
from farm.games.journal_files import JournalFiles
from farm.games.recovery import Recovered, Recovery
from farm.replay.journal import Ended, decode, encode
from farm.telemetry.log import get_logger


class Taker:
    """A host that only notes what it takes."""

    def __init__(self, *, refuses=(), has_no_place_for=()):
        self.taken = {}
        self.dropped = []
        self._refuses, self._has_no_place_for = refuses, has_no_place_for

    def take_up(self, found):
        game_id = found.header.game_id
        self.taken[game_id] = found
        if game_id in self._refuses:
            raise ValueError("no game can do this")
        if game_id in self._has_no_place_for:
            raise GameError("LIMIT", "no place")

    def drop(self, game_id):
        self.dropped.append(game_id)
        del self.taken[game_id]


@pytest.fixture
def folder(tmp_path):
    """What a host left that died: games 7, 8 and 9 after three ticks each."""
    files = JournalFiles(tmp_path / "host-0", keep=10, max_bytes=1 << 20)
    written = begun(files, 7, 8, 9)
    for tick in range(3):
        for game_id in (7, 8, 9):
            act(written, game_id, tick, 0, (0, 1, 0))
        written.ticked(Played(game_id, tick, []) for game_id in (7, 8, 9))
    files.close()
    return files.folder


@pytest.fixture
def recover(folder):
    opened = []

    def run(taker):
        files = JournalFiles(folder, keep=10, max_bytes=1 << 20)
        opened.append(files)
        written = Journal(files)
        steps = []
        came = Recovery(files, written, taker, get_logger()).run(lambda *done: steps.append(done))
        return came, written, steps

    yield run
    for files in opened:
        files.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_every_game_is_taken_up_in_order_and_written_on(folder, recover):
    taker = Taker()
    came, written, steps = recover(taker)
    assert came == Recovered(n_games=3, n_ticks=9, n_ended=0, n_left=0, n_damaged=0)
    assert list(taker.taken) == [7, 8, 9]
    assert steps == [(0, 3), (1, 3), (2, 3)]
    assert written.ticked([Played(8, 3, [])]) == []
    assert decode((folder / "8.journal").read_bytes()).n_ticks == 4


def test_a_torn_end_is_cut_off_before_the_game_goes_on(folder, recover, capfd):
    whole = (folder / "8.journal").read_bytes()
    with (folder / "8.journal").open("ab") as file:
        file.write(b"\x20\x00\x00\x00torn")
    _, written, _ = recover(Taker())
    assert '"event":"journal_cut"' in "".join(capfd.readouterr())
    assert (folder / "8.journal").read_bytes() == whole
    written.ticked([Played(8, 3, [])])
    assert decode((folder / "8.journal").read_bytes()).n_ticks == 4


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"noise" + data, "not a journal"),
        (lambda data: data[:20], "no whole header"),
        (lambda data: data[:300] + data[301:], "is damaged, and whole ones follow"),
    ],
)
def test_a_damaged_journal_is_set_aside_with_the_reason(folder, recover, capfd, damage, words):
    path = folder / "8.journal"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    taker = Taker()
    came, _, _ = recover(taker)
    assert (came.n_games, came.n_damaged) == (2, 1)
    assert list(taker.taken) == [7, 9]
    assert (folder / "ended" / "8.damaged").read_bytes() == damaged
    assert names(folder) == ["7.journal", "9.journal"]
    output = "".join(capfd.readouterr())
    assert "journal_damaged" in output
    assert words in output


def test_a_journal_under_the_name_of_another_game_is_set_aside(folder, recover):
    (folder / "8.journal").rename(folder / "80.journal")
    came, _, _ = recover(Taker())
    assert (came.n_games, came.n_damaged) == (2, 1)
    assert (folder / "ended" / "80.damaged").exists()


def test_a_journal_that_says_what_no_game_can_do_is_set_aside(folder, recover):
    taker = Taker(refuses={7})
    came, _, _ = recover(taker)
    assert (came.n_games, came.n_damaged, taker.dropped) == (2, 1, [7])
    assert (folder / "ended" / "7.damaged").exists()


def test_a_game_without_a_place_waits_for_the_next_host(folder, recover, capfd):
    taker = Taker(has_no_place_for={9})
    came, _, _ = recover(taker)
    assert (came.n_games, came.n_left, taker.dropped) == (2, 1, [9])
    assert "game_not_taken_up" in "".join(capfd.readouterr())
    assert names(folder) == ["7.journal", "8.journal", "9.journal"]


def test_an_ended_game_that_was_not_moved_in_time_is_moved_now(folder, recover):
    files = JournalFiles(folder, keep=10, max_bytes=1 << 20)
    found = decode((folder / "7.journal").read_bytes())
    Journal(files).resume(found)
    files.append(7, encode(Ended(3, 4, b"sixsix", (), 5_000)))
    files.close()
    taker = Taker()
    came, _, _ = recover(taker)
    assert (came.n_games, came.n_ended) == (2, 1)
    assert 7 not in taker.taken
    assert (folder / "ended" / "7.journal").exists()


def test_many_journals_are_logged_on_the_way(recover, monkeypatch, capfd):
    monkeypatch.setattr(recovery, "LOGGED_EVERY", 2)
    recover(Taker())
    output = "".join(capfd.readouterr())
    assert output.count("games_taking_up") == 1
    assert '"done":2,"journals":3' in output


def test_an_empty_folder_is_no_trouble(tmp_path):
    files = JournalFiles(tmp_path / "host-1", keep=10, max_bytes=1 << 20)
    came = Recovery(files, Journal(files), Taker(), get_logger()).run(lambda *_: None)
    files.close()
    assert came == Recovered(0, 0, 0, 0, 0)
