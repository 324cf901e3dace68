"""Compiled code: cached under a name that changes with any kernel, compiled once, never stale."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import farm
from farm import jit
from farm.jit import inline, kernel

PACKAGE = Path(farm.__file__).parent


@inline
def _double(value: int) -> int:
    return 2 * value


@kernel
def _quadruple(value: int) -> int:
    return _double(_double(value))


def test_an_inlined_part_works_from_kernels_and_from_python():
    assert _quadruple(5) == 20
    assert _double(5) == 10
    assert _quadruple(-3) == -12


def test_a_kernel_compiles_once_for_the_types_it_is_called_with():
    for value in range(5):
        _quadruple(value)
    assert len(_quadruple.signatures) == 1
    _quadruple(np.int64(7))
    assert len(_quadruple.signatures) == 1


def cache_dir_of(source_tree: Path, **environment: str) -> str:
    code = "import farm.jit; print(farm.jit.cache_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source_tree,
        env={"PATH": "", **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def source_tree(tmp_path):
    """A package of its own, with the files that matter to the digest."""
    copy = tmp_path / "tree" / "farm"
    for name in (
        "__init__.py",
        "cache.py",
        "jit.py",
        "spec/tiles.py",
        "engine/bits.py",
        "errors.py",
    ):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((PACKAGE / name).read_bytes())
    return copy.parent


def test_the_folder_changes_with_any_file_of_kernels_and_with_no_other(source_tree, tmp_path):
    environment = {"FARM_CACHE_DIR": str(tmp_path / "cache")}
    before = cache_dir_of(source_tree, **environment)
    assert before.startswith(environment["FARM_CACHE_DIR"])
    for name, changes in (("engine/bits.py", True), ("spec/tiles.py", True), ("errors.py", False)):
        path = source_tree / "farm" / name
        original = path.read_text()
        path.write_text(original + "\n# changed\n")
        assert (cache_dir_of(source_tree, **environment) != before) == changes, name
        path.write_text(original)
    assert cache_dir_of(source_tree, **environment) == before


def test_the_same_code_in_another_place_has_a_folder_of_its_own(source_tree, tmp_path):
    environment = {"FARM_CACHE_DIR": str(tmp_path / "cache")}
    before = cache_dir_of(source_tree, **environment)
    moved = source_tree.rename(tmp_path / "moved")
    assert cache_dir_of(moved, **environment) != before


def test_a_home_that_cannot_be_written_to_is_no_obstacle(source_tree, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    folder = cache_dir_of(source_tree, HOME=str(blocked), TMPDIR=str(tmp_path))
    assert folder.startswith(str(tmp_path))
    assert Path(folder).is_dir()


def test_a_folder_that_someone_else_could_fill_is_not_used(source_tree, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    planted = tmp_path / f"farm-cache-{os.getuid()}"
    planted.mkdir(mode=0o755)
    folder = Path(cache_dir_of(source_tree, HOME=str(blocked), TMPDIR=str(tmp_path)))
    assert planted not in folder.parents
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    planted.chmod(0o700)
    folder = Path(cache_dir_of(source_tree, HOME=str(blocked), TMPDIR=str(tmp_path)))
    assert planted in folder.parents


def test_only_the_newest_folders_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path))
    for number in range(jit.KEPT_CACHES + 3):
        (tmp_path / f"old{number}").mkdir()
    jit.mark_warm()
    assert (jit.cache_dir() / jit.WARM_MARKER).exists()
    assert len(list(tmp_path.iterdir())) == jit.KEPT_CACHES
