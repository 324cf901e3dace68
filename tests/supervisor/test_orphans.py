"""As pid 1 of a container the supervisor has everybody's orphans, and leaves no zombie of them."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farm.supervisor import orphans

ROOT = Path(__file__).resolve().parents[2]
AS_SUBREAPER = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
IN_NAMESPACE = ["--pid", "--fork", "--kill-child", "--mount-proc"]


def may_unshare():
    """Whether this machine lets us make a pid namespace."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    trial = subprocess.run([unshare, *IN_NAMESPACE, "true"], capture_output=True, check=False)
    return trial.returncode == 0


def children_of(pid):
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in task.read_text().split()]


def test_an_ordinary_process_gets_no_orphans():
    assert not orphans.come_to_us()


@pytest.fixture
def subreaper():
    """Make this process one that orphans come to, for a test."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(36, 1, 0, 0, 0) == 0
    yield
    libc.prctl(36, 0, 0, 0, 0)


@pytest.mark.usefixtures("subreaper")
def test_orphans_are_reaped_and_children_with_an_owner_are_left_to_it(wait_until, is_alive):
    assert orphans.come_to_us()
    owned = subprocess.Popen([sys.executable, "-c", "exit(3)"])
    wait_until(lambda: not is_alive(owned.pid))
    assert orphans.reap({owned.pid}) == []
    assert owned.wait() == 3
    shell = "sleep 0.05 & echo $!"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
    orphan = int(done.stdout)
    wait_until(lambda: orphan in orphans.reap(()))
    assert not Path(f"/proc/{orphan}").exists()


def test_there_may_be_none():
    done = subprocess.run(
        [sys.executable, "-c", "from farm.supervisor import orphans; print(orphans.reap(()))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_supervisor_that_orphans_come_to_reaps_them(mini_farm, child):
    farm = mini_farm(child("a", "leaves_orphans"), wrapper=["-c", AS_SUBREAPER])
    left = farm.wait_for("orphans_left")["pids"]
    farm.wait_for("orphans_gone")
    assert sorted(line["orphan_pid"] for line in farm.events("orphan_reaped")) == sorted(left)
    assert farm.stop() == 0
    assert farm.events("child_exited", reason="exit code 0")


@pytest.mark.skipif(not may_unshare(), reason="this machine gives us no pid namespace")
def test_as_pid_1_it_reaps_orphans_drains_on_sigterm_and_ends_with_0(mini_farm, child):
    farm = mini_farm(child("a", "leaves_orphans"), within=["unshare", *IN_NAMESPACE])
    farm.wait_for("farm_ready")
    assert farm.events("farm_ready")[0]["pid"] == 1
    farm.wait_for("orphans_gone")
    (supervisor,) = children_of(farm.pid)
    os.kill(supervisor, 15)
    assert farm.wait() == 0
    assert farm.events("farm_stopping", reason="SIGTERM")
    assert farm.events("child_exited", phase="draining", reason="exit code 0")
