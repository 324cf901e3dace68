"""The Containerfile, as far as it goes without a registry to fetch its base image from.

Exercised: its command as pid 1 of a real pid namespace, with a whole farm, its health check against
that farm and against none. Not exercised: running it in an engine. Building the image is in
test_image.py, that pid 1 reaps orphans in tests/supervisor/test_orphans.py.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "tools" / "deploy" / "Containerfile").read_text()
IN_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
FIRST_START_S = 540.0


def may_unshare():
    if shutil.which("unshare") is None:
        return False
    trial = subprocess.run([*IN_NAMESPACE, "true"], capture_output=True, check=False)
    return trial.returncode == 0


def instruction(name):
    """The words of an instruction in its exec form, of the last stage."""
    joined = TEXT.replace("\\\n", " ")
    (words,) = re.findall(rf"^{name} .*?(\[.*\])$|^{name} (\[.*\])$", joined, re.MULTILINE)
    return json.loads("".join(words))


def healthcheck(address):
    command = instruction("HEALTHCHECK")
    program = command[-1].replace("127.0.0.1:50051", address)
    assert command[0] == "python"
    assert program != command[-1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    return done.returncode


def test_it_runs_as_an_ordinary_user_and_stops_with_sigterm():
    last_stage = TEXT.rpartition("\nFROM ")[2]
    assert "\nUSER farm\n" in last_stage
    assert "\nSTOPSIGNAL SIGTERM\n" in last_stage
    assert instruction("ENTRYPOINT") == ["farm"]


def test_its_command_is_a_config_that_is_fine():
    _, *overrides = instruction("CMD")
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", "config", "--check", *overrides],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_nobody_who_answers_is_not_healthy():
    assert healthcheck("127.0.0.1:1") != 0


@pytest.mark.timeout(600)
@pytest.mark.skipif(not may_unshare(), reason="this machine gives us no pid namespace")
def test_as_pid_1_a_farm_serves_is_healthy_and_drains_on_sigterm(start_process, instance):
    command, *overrides = instruction("CMD")
    own = [f"instance={instance}", "serve.address=127.0.0.1:0", "ring=small"]
    farm = start_process(["-m", "farm.cli.main", command, *overrides, *own], within=IN_NAMESPACE)
    ready = farm.wait_for("farm_ready", timeout_s=FIRST_START_S)
    assert ready["pid"] == 1
    assert healthcheck(ready["address"]) == 0
    children = Path(f"/proc/{farm.pid}/task/{farm.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    assert farm.wait() == 0
    assert farm.events("child_exited", phase="draining", reason="exit code 0")
    assert farm.events("experiences_stopped")
