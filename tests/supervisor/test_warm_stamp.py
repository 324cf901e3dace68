import os
import subprocess
import sys

import pytest

from farm import jit
from farm.supervisor import warm_stamp


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path))
    return tmp_path


def fill(cache, name):
    """What a warm-up leaves."""
    (cache / name).mkdir()
    (cache / name / "warm").touch()


def test_a_machine_is_cold_before_the_first_start():
    assert not warm_stamp.is_warm()


def test_it_is_warm_after_a_start_that_went_well(cache):
    fill(cache, "digest")
    warm_stamp.store()
    assert warm_stamp.is_warm()


def test_without_a_filled_folder_nothing_is_stamped(cache):
    warm_stamp.store()
    assert list(cache.iterdir()) == []


def test_it_is_cold_again_when_the_compiled_kernels_are_gone(cache):
    fill(cache, "digest")
    warm_stamp.store()
    (cache / "digest" / "warm").unlink()
    assert not warm_stamp.is_warm()


def test_another_build_has_another_stamp(cache, monkeypatch):
    fill(cache, "digest")
    warm_stamp.store()
    monkeypatch.setattr(warm_stamp, "_PACKAGE", warm_stamp._PACKAGE / "spec")
    assert not warm_stamp.is_warm()


def test_the_stamp_names_the_folder_that_was_filled_last(cache):
    for age, name in enumerate(["newest", "older", "oldest"]):
        fill(cache, name)
        os.utime(cache / name / "warm", (1000 - age, 1000 - age))
    warm_stamp.store()
    (stamp,) = cache.glob("started-*")
    assert stamp.read_text().split() == ["newest", "warm-up"]


def test_a_farm_without_games_hosts_leaves_their_kernels_cold(cache):
    fill(cache, "digest")
    warm_stamp.store()
    assert not warm_stamp.is_warm("warm-up-games")
    warm_stamp.store(["warm-up", "warm-up-games"])
    assert warm_stamp.is_warm("warm-up-games")
    assert warm_stamp.is_warm()


def test_an_empty_stamp_is_none(cache):
    fill(cache, "digest")
    warm_stamp.store()
    (stamp,) = cache.glob("started-*")
    stamp.write_text("")
    assert not warm_stamp.is_warm()


def test_stamps_of_old_builds_do_not_pile_up(cache):
    fill(cache, "digest")
    for age in range(20):
        stamp = cache / f"started-{age:016x}"
        stamp.touch()
        os.utime(stamp, (age, age))
    warm_stamp.store()
    assert len(list(cache.glob("started-*"))) == warm_stamp.KEPT_STAMPS
    assert warm_stamp.is_warm()


def test_the_cache_root_is_the_one_that_kernels_use(monkeypatch, tmp_path):
    monkeypatch.delenv("FARM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert not warm_stamp.is_warm()
    jit.mark_warm()
    warm_stamp.store()
    assert warm_stamp.is_warm()
    assert jit.cache_dir().parent == tmp_path / "xdg" / "farm"


def test_a_service_without_a_home_is_warm_from_the_temporary_folder(monkeypatch, tmp_path):
    for name in ("FARM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")  # not even root can make it
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # where the answer is kept
    subprocess.run(
        [sys.executable, "-c", "from farm import jit; jit.mark_warm()"], check=True, timeout=60
    )
    warm_stamp.store()
    assert warm_stamp.is_warm()
    assert list(tmp_path.glob("farm-cache-*/started-*"))
