"""Ways to run a command: as a user does, a process of its own, and within the test's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import farm
from farm.cli.main import main

ROOT = Path(farm.__file__).resolve().parents[1]


@pytest.fixture
def run_here(capsys):
    """The same within this process, which is faster."""

    def run(*args):
        capsys.readouterr()
        code = main(list(args))
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(args, code, captured.out, captured.err)

    return run


@pytest.fixture
def run_farm():
    def run(*args, **options):
        return subprocess.run(
            [sys.executable, "-m", "farm.cli.main", *args],
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    return run
