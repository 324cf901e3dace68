"""Recordings of a farm, copied by the command of its unit to the S3 that moto plays, and back.

Not exercised: AWS itself, its roles, and the timer.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd" / "farm-recordings.service"
START = (
    "match=tiny",
    "worker.count=1",
    "worker.games=16",
    "worker.record_every=500",
    "ring.bytes=1048576",
    "ring.when_full=drop_newest",
    "serve.address=127.0.0.1:0",
    "telemetry.metrics_address=127.0.0.1:0",
)

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def run(command, env, **values):
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False, **values
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(env):
    listed = run(["aws", "s3", "ls", "--recursive", "s3://games"], env)
    return {line.split()[3]: line.split()[0:2] for line in listed.splitlines()}


def test_what_a_farm_records_is_in_the_bucket_once_and_can_be_verified(aws, instance, tmp_path):
    state = tmp_path / "state"
    farm = [sys.executable, "-m", "farm.cli.main"]
    up = [*farm, "up", "--seconds", "5", f"instance={instance}", *START]
    run(up, {**os.environ, "STATE_DIRECTORY": str(state)})
    recorded = {str(path.relative_to(state)) for path in state.rglob("*.replay")}
    assert recorded
    unfinished = state / instance / "host-0"
    (unfinished / "ended").mkdir(parents=True)
    (unfinished / "17.journal").write_bytes(b"still played")
    (unfinished / "ended" / "16.journal").write_bytes(b"ended")
    (unfinished / "ended" / ".15.journal.tmp").write_bytes(b"half of")
    run(["aws", "s3", "mb", "s3://games"], aws)

    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    command = command.replace("${FARM_RECORDINGS}", "s3://games/machine-1")
    command = shlex.split(command.replace("/var/lib/farm", str(state)))
    run(command, aws, cwd=tmp_path)
    first = copied(aws)
    expected = {*recorded, f"{instance}/host-0/ended/16.journal"}
    assert set(first) == {f"machine-1/{path}" for path in expected}
    run(command, aws, cwd=tmp_path)
    assert copied(aws) == first

    back = tmp_path / "back"
    run(["aws", "s3", "sync", "s3://games", str(back), "--exclude", "*.journal"], aws)
    checked = run([*farm, "replay", "--check", str(back)], {**os.environ})
    assert checked.startswith(f"{len(recorded)} games, ")
    assert ", 0 mismatches" in checked
