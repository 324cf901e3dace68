"""The README's two commands, typed as they stand there in a fresh clone."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEWCOMER_S = 120
"""What a newcomer is promised, from the clone to the first figures."""


def commands():
    section = (ROOT / "README.md").read_text().split("## Two commands", 1)[1].split("\n## ", 1)[0]
    return [block.strip() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


def test_there_are_two_commands_and_ci_runs_them():
    install_and_run, test = commands()
    assert "\n" not in install_and_run + test
    assert install_and_run.endswith("farm up --tail")
    assert test.endswith("pytest")
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone, without a cache of kernels."""
    home = tmp_path_factory.mktemp("newcomer")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(home / "farm")], check=True)
    return home / "farm"


def environment(clone):
    return {**os.environ, "HOME": str(clone.parent), "FARM_CACHE_DIR": str(clone.parent / "cache")}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_command_shows_experiences_arriving(clone, wait_until):
    install_and_run, _ = commands()
    own = "serve.address=127.0.0.1:0 telemetry.metrics_address=null instance=newcomer"
    process = subprocess.Popen(
        ["bash", "-c", f"{install_and_run} {own}"],
        cwd=clone,
        env=environment(clone),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        lines = []

        def has_arrived():
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
            line = json.loads(lines[-1]) if lines[-1].startswith("{") else {}
            return line.get("experiences_per_s", 0) > 0 and line["lost"] == 0

        wait_until(has_arrived, timeout_s=5 * NEWCOMER_S, what="the first experiences")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, "".join(lines) + rest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_second_command_installs_what_the_tests_need_and_runs_them(clone):
    _, test = commands()
    done = subprocess.run(
        ["bash", "-c", test],
        cwd=clone,
        # All of them would be this test again: those of two packages stand for them.
        env={**environment(clone), "PYTEST_ADDOPTS": "tests/spec tests/rpc"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed|\.\s+\[100%\]", done.stdout)
