"""Changes of files are noticed however they are made."""

import os

import pytest

from farm.config.watch import LOOK_NS, FileWatch


@pytest.fixture
def folder(tmp_path):
    """A folder of config as a configuration manager keeps it: symlinks into one that is swapped."""
    for version in ("v1", "v2"):
        (tmp_path / version / "match").mkdir(parents=True)
        (tmp_path / version / "config.yaml").write_text(f"# {version}\n")
        (tmp_path / version / "match" / "duel.yaml").write_text(f"# {version}\n")
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "data").symlink_to(tmp_path / "v1")
    (conf / "config.yaml").symlink_to("data/config.yaml")
    (conf / "match").symlink_to("data/match")
    return conf


class Looking:
    def __init__(self, *folders):
        self.watch = FileWatch(folders)
        self.now_ns = 0

    def __call__(self):
        self.now_ns += LOOK_NS
        return self.watch.poll(self.now_ns)


def write_in_place(folder):
    with (folder / "match" / "duel.yaml").open("a") as file:
        file.write("board: 9x9\n")


def replace(folder):
    new = folder / "config.yaml.new"
    new.write_text("# new\n")
    new.rename(folder / "config.yaml")


def swap(folder):
    new = folder / "data.new"
    new.symlink_to(folder.parent / "v2")
    new.rename(folder / "data")


def add(folder):
    (folder / "match" / "mine.yaml").write_text("# mine\n")


def remove(folder):
    (folder / "match" / "duel.yaml").unlink()


def touch_with_the_same_size(folder):
    path = folder / "match" / "duel.yaml"
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(5, 5))


def make_readable(folder):
    (folder / "match" / "duel.yaml").chmod(0o640)


@pytest.mark.parametrize(
    "change", [write_in_place, replace, swap, add, remove, touch_with_the_same_size, make_readable]
)
def test_a_change_is_noticed_once_when_it_is_done(folder, change):
    look = Looking(folder)
    assert not any(look() for _ in range(3))
    change(folder)
    assert [look() for _ in range(4)].count(True) == 1


def test_files_that_are_still_being_written_are_waited_for(folder):
    look = Looking(folder)
    look()
    for _ in range(5):
        write_in_place(folder)
        assert not look()
    assert look()


def test_between_two_looks_nothing_is_read(folder):
    look = Looking(folder)
    look()
    write_in_place(folder)
    assert not look.watch.poll(look.now_ns + 1)
    assert not look.watch.poll(look.now_ns + LOOK_NS)
    assert look.watch.poll(look.now_ns + 2 * LOOK_NS)


def test_a_folder_that_goes_away_and_comes_back_is_no_error(folder):
    look = Looking(folder)
    look()
    folder.rename(folder.parent / "away")
    assert [look() for _ in range(3)].count(True) == 1
    (folder.parent / "away").rename(folder)
    assert [look() for _ in range(3)].count(True) == 1
    assert not look()


def test_other_files_and_circles_of_symlinks_do_not_matter(folder):
    look = Looking(folder)
    look()
    (folder / "README").write_text("for people")
    (folder / "circle").symlink_to(folder)
    assert sum(look() for _ in range(3)) <= 1


def test_locks_of_editors_and_folders_of_versions_do_not_matter(folder):
    look = Looking(folder)
    look()
    (folder / "match" / ".#duel.yaml").write_text("a lock")
    (folder / "..v3").mkdir()
    (folder / "..v3" / "config.yaml").write_text("# v3")
    assert not any(look() for _ in range(3))
