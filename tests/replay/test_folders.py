"""Where recordings are kept, and that no more of them are kept than asked for."""

import os
from pathlib import Path

import pytest

from farm.errors import FileAccessError
from farm.replay.folders import Kept, make_private, state_folder


def put(folder, name, n_bytes, *, age_s=0):
    path = folder / name
    path.write_bytes(bytes(n_bytes))
    os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("configured", "environ", "folder"),
    [
        ("/var/games", {"STATE_DIRECTORY": "/var/lib/farm"}, "/var/games/blue"),
        (None, {"STATE_DIRECTORY": "/var/lib/farm", "XDG_STATE_HOME": "/x"}, "/var/lib/farm/blue"),
        (None, {"STATE_DIRECTORY": "/var/lib/farm:/other"}, "/var/lib/farm/blue"),
        (None, {"XDG_STATE_HOME": "/home/ann/state"}, "/home/ann/state/farm/blue"),
    ],
)
def test_the_state_folder_is_the_first_that_is_named(configured, environ, folder):
    assert state_folder(configured, "blue", environ) == Path(folder)


def test_without_any_name_it_is_in_the_home_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert state_folder(None, "blue", {}) == Path("/home/ann/.local/state/farm/blue")


def test_a_folder_is_for_its_owner_alone(tmp_path):
    folder = make_private(tmp_path / "farm" / "blue")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert make_private(folder) == folder


def test_a_folder_that_cannot_be_made_is_refused_with_what_to_set(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "blue"):
        with pytest.raises(FileAccessError, match=r"taken.*: .*; set games\.journal_dir"):
            make_private(folder)


def test_the_oldest_files_go_when_there_are_too_many(tmp_path):
    for age in range(4):
        put(tmp_path, f"{age}.journal", 10, age_s=age)
    kept = Kept(tmp_path, keep=3, max_bytes=1_000)
    assert names(tmp_path) == ["0.journal", "1.journal", "2.journal"]
    put(tmp_path, "new.journal", 10)
    kept.add("new.journal", 10)
    assert names(tmp_path) == ["0.journal", "1.journal", "new.journal"]
    assert (len(kept), kept.n_bytes) == (3, 30)


def test_the_oldest_files_go_when_they_take_too_much(tmp_path):
    kept = Kept(tmp_path, keep=100, max_bytes=100)
    for number in range(5):
        put(tmp_path, str(number), 40)
        kept.add(str(number), 40)
    assert names(tmp_path) == ["3", "4"]
    kept.limit(keep=100, max_bytes=40)
    assert names(tmp_path) == ["4"]
    kept.limit(keep=0, max_bytes=40)
    assert names(tmp_path) == []
    assert (len(kept), kept.n_bytes) == (0, 0)


def test_a_folder_is_read_once_and_never_again(tmp_path, monkeypatch):
    kept = Kept(tmp_path, keep=2, max_bytes=1_000)
    monkeypatch.setattr(os, "scandir", None)
    monkeypatch.setattr(os, "listdir", None)
    for number in range(50):
        put(tmp_path, str(number), 1)
        kept.add(str(number), 1)
    assert len(kept) == 2


def test_a_file_that_somebody_else_removed_is_no_trouble(tmp_path):
    kept = Kept(tmp_path, keep=2, max_bytes=1_000)
    put(tmp_path, "here", 1)
    for name in ("gone", "here", "lost"):
        kept.add(name, 1)
    assert names(tmp_path) == ["here"]
