import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from farm.supervisor.spawn import ChildProcess, child_environment, exit_reason

ROOT = str(Path(__file__).resolve().parents[2])


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "exit code 0"),
        (78, "exit code 78"),
        (-9, "SIGKILL"),
        (-6, "SIGABRT"),
        (-40, "signal 40"),
    ],
)
def test_the_end_of_a_process_is_told_in_words(returncode, words):
    assert exit_reason(returncode) == words


def test_a_source_tree_is_put_first_on_the_path_of_a_child():
    environment = child_environment({"PYTHONPATH": f"/elsewhere{os.pathsep}", "HOME": "/h"})
    assert environment["PYTHONPATH"] == f"{ROOT}{os.pathsep}/elsewhere"
    assert environment["HOME"] == "/h"


def test_an_installed_package_leaves_the_environment_alone(monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda _name: ROOT)
    assert child_environment({"PYTHONPATH": "/elsewhere"})["PYTHONPATH"] == "/elsewhere"


def test_numpy_starts_no_threads_in_a_child_unless_the_operator_says_so():
    assert child_environment({})["OPENBLAS_NUM_THREADS"] == "1"
    assert child_environment({"OPENBLAS_NUM_THREADS": "4"})["OPENBLAS_NUM_THREADS"] == "4"


def test_a_process_is_signalled_awaited_and_reaped_through_its_descriptor(wait_until):
    popen = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = ChildProcess(popen)
    assert process.try_reap() is None
    process.send(signal.SIGKILL)
    assert wait_until(process.try_reap) == -signal.SIGKILL
    process.send(signal.SIGTERM)  # nobody is there any more
    process.close()
    process.close()
    popen.stdin.close()
