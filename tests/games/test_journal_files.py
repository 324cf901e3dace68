"""Journals as files: whole entries or none, few open at once, none kept beyond measure."""

import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from farm.errors import FileAccessError
from farm.games.journal_files import JournalFiles
from farm.replay.journal import HEAD


@pytest.fixture
def opened(tmp_path):
    """Makes files in a folder of their own, and closes them in the end."""
    made = []

    def make(*, keep=10, max_bytes=1 << 20, max_open=None):
        files = JournalFiles(tmp_path / "host-0", keep=keep, max_bytes=max_bytes, max_open=max_open)
        made.append(files)
        return files

    yield make
    for files in made:
        files.close()


def held():
    """Journals that this process has open."""
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(fd.readlink()))
        except FileNotFoundError:
            continue
    return sum(link.endswith(".journal") for link in links)


def data(files, game_id):
    return (files.folder / f"{game_id}.journal").read_bytes()


def test_entries_are_in_the_file_as_soon_as_they_are_added(opened):
    files = opened()
    files.create(7, b"header")
    assert data(files, 7) == HEAD + b"header"
    files.append(7, b"one")
    files.append(7, b"two")
    assert data(files, 7) == HEAD + b"headeronetwo"
    assert files.n_bytes(7) == len(data(files, 7))


def test_journals_are_for_their_owner_alone(opened):
    files = opened()
    files.create(7, b"header")
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert (files.folder / "ended").stat().st_mode & 0o777 == 0o700
    assert (files.folder / "7.journal").stat().st_mode & 0o777 == 0o600


def test_a_game_that_is_over_goes_to_those_that_are_kept_and_the_oldest_of_them_go(opened):
    files = opened(keep=2)
    for game_id in (7, 8, 9):
        files.create(game_id, b"header")
        files.end(game_id)
    assert files.unfinished() == []
    assert sorted(path.name for path in (files.folder / "ended").iterdir()) == [
        "8.journal",
        "9.journal",
    ]
    files.limit(keep=0, max_bytes=0)
    assert list((files.folder / "ended").iterdir()) == []
    assert held() == 0


def test_a_game_not_worth_keeping_leaves_nothing(opened):
    files = opened()
    files.create(7, b"header")
    files.remove(7)
    assert [path.name for path in files.folder.iterdir()] == ["ended"]


def test_the_next_host_goes_on_behind_the_last_whole_entry(opened):
    first = opened()
    for game_id in (10, 9):
        first.create(game_id, b"header")
        first.append(game_id, b"whole torn")
    (first.folder / "notes.journal").write_bytes(b"of somebody else")
    first.close()
    files = opened()
    assert [path.name for path in files.unfinished()] == ["9.journal", "10.journal"]
    files.resume(9, len(HEAD) + len(b"headerwhole"))
    files.append(9, b" again")
    assert data(files, 9) == HEAD + b"headerwhole again"


def test_a_folder_is_one_hosts_alone(opened):
    first = opened()
    with pytest.raises(FileAccessError, match="another games host"):
        opened()
    first.close()
    opened()


def test_more_games_than_may_be_open_are_closed_and_opened_in_turn(opened):
    files = opened(max_open=3)
    for game_id in range(10):
        files.create(game_id, b"header")
    for number in range(5):
        for game_id in range(10):
            files.append(game_id, b"%d" % number)
            assert held() <= 3
    for game_id in range(10):
        assert data(files, game_id) == HEAD + b"header01234"
        files.end(game_id)
    assert held() == 0


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(opened):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        opened()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, max(hard, 256))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def full_disk(n_bytes):
    """Bounds the size of files, which ends a write as a full disk does: what fits is written.

    Over before the test is: a report that goes to a file is bounded too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_does_not_fit_is_taken_back_and_names_file_and_reason(opened):
    files = opened()
    files.create(7, b"header")
    files.create(8, b"header")
    files.append(7, bytes(200))
    before = data(files, 7)
    with full_disk(250), pytest.raises(FileAccessError, match=r"7\.journal: File too large"):
        files.append(7, bytes(100))
    assert data(files, 7) == before
    files.append(8, b"fits")
    assert data(files, 8) == HEAD + b"headerfits"
    files.end(7)
    assert (files.folder / "ended" / "7.journal").read_bytes() == before


def test_a_game_whose_journal_cannot_begin_leaves_nothing(opened):
    files = opened()
    with full_disk(10), pytest.raises(FileAccessError, match=r"7\.journal: File too large"):
        files.create(7, b"header")
    assert files.unfinished() == []
    assert held() == 0


def test_a_game_id_is_given_to_one_journal_only(opened):
    files = opened()
    (files.folder / "7.journal").write_bytes(b"an older one")
    with pytest.raises(FileAccessError, match="File exists"):
        files.create(7, b"header")
    assert (files.folder / "7.journal").read_bytes() == b"an older one"


def test_a_journal_that_cannot_be_read_is_kept_by_another_name(opened):
    files = opened(keep=1)
    path = files.folder / "7.journal"
    path.write_bytes(b"noise")
    aside = files.set_aside(path)
    assert aside.name == "7.damaged"
    assert aside.read_bytes() == b"noise"
    assert files.unfinished() == []
    assert files.n_kept == 1


def test_a_folder_that_is_taken_away_costs_games_not_the_host(opened):
    files = opened()
    files.create(7, b"header")
    files.folder.rename(files.folder.with_name("moved"))
    files.append(7, b"still open")
    with pytest.raises(FileAccessError, match="No such file"):
        files.end(7)
    with pytest.raises(FileAccessError, match="No such file"):
        files.create(8, b"header")
