"""tools/install.sh below a folder of the test, which is all that it may touch there."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "install.sh"
PLACES = {
    "farm.service": "etc/systemd/system/farm.service",
    "farm@.service": "etc/systemd/system/farm@.service",
    "farm-recordings.service": "etc/systemd/system/farm-recordings.service",
    "farm-recordings.timer": "etc/systemd/system/farm-recordings.timer",
    "farm.sysusers": "etc/sysusers.d/farm.conf",
    "farm.tmpfiles": "etc/tmpfiles.d/farm.conf",
}


def make_wheel(folder, text="one"):
    """A wheel with a `farm` command that prints `text`, in place of the real one."""
    name = "farm-0.1.0"
    wheel = folder / f"{name}-py3-none-any.whl"
    files = {
        "farm_stand_in.py": f"def main(): print({text!r})\n",
        f"{name}.dist-info/METADATA": "Metadata-Version: 2.1\nName: farm\nVersion: 0.1.0\n",
        f"{name}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{name}.dist-info/entry_points.txt": "[console_scripts]\nfarm = farm_stand_in:main\n",
    }
    record = f"{name}.dist-info/RECORD"
    files[record] = "".join(f"{path},,\n" for path in [*files, record])
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def install(*args, script=SCRIPT, **env):
    return subprocess.run(
        ["bash", str(script), *map(str, args)],
        env={**os.environ, "PYTHON": sys.executable, "PIP_NO_INDEX": "1", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def test_it_puts_everything_in_place_and_changes_nothing_the_second_time(tmp_path, root):
    wheel = make_wheel(tmp_path)
    first = install("--wheel", wheel, "--root", root)
    assert first.returncode == 0, first.stderr
    program = root / "opt/farm/bin/farm"
    assert subprocess.check_output([program], text=True) == "one\n"
    for name, place in PLACES.items():
        assert (root / place).read_bytes() == (ROOT / "systemd" / name).read_bytes()
    assert "\nFARM_OVERRIDES=\n" in (root / "etc/farm/farm.env").read_text()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    second = install("--wheel", wheel, "--root", root)
    assert second.returncode == 0
    assert "nothing has changed" in second.stdout
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before


def test_a_new_wheel_of_the_same_version_replaces_the_old_one_and_keeps_the_settings(
    tmp_path, root
):
    overrides = "worker.count=3 match.seats=[random,random]"
    install("--wheel", make_wheel(tmp_path), "--root", root, "--overrides", overrides)
    env = root / "etc/farm/farm.env"
    env.write_text(f"NO_COLOR=1\n{env.read_text()}")
    again = install("--wheel", make_wheel(tmp_path, "two"), "--root", root)
    assert again.returncode == 0, again.stderr
    assert subprocess.check_output([root / "opt/farm/bin/farm"], text=True) == "two\n"
    text = env.read_text()
    assert f"\nFARM_OVERRIDES={overrides}\n" in text
    install("--wheel", make_wheel(tmp_path, "two"), "--root", root, "--overrides", "seed=1")
    assert env.read_text() == text.replace(overrides, "seed=1")


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path, root):
    done = install("--wheel", make_wheel(tmp_path), "--root", root, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would run" in done.stdout
    assert not root.exists()
    for_real = install("--wheel", make_wheel(tmp_path), "--dry-run")
    assert for_real.returncode == 0, for_real.stderr
    assert "would run: systemctl enable -q farm.service" in for_real.stdout


def test_recordings_go_where_it_was_told_and_the_next_update_leaves_that_alone(tmp_path, root):
    wheel = make_wheel(tmp_path)
    done = install("--wheel", wheel, "--root", root, "--recordings", "s3://games/machine-1/")
    assert done.returncode == 0, done.stderr
    said = root / "etc/farm/recordings.env"
    assert said.read_text().splitlines()[-1] == "FARM_RECORDINGS=s3://games/machine-1"
    before = said.stat().st_mtime_ns
    assert "nothing has changed" in install("--wheel", wheel, "--root", root).stdout
    assert said.stat().st_mtime_ns == before
    for_real = install("--wheel", wheel, "--recordings", "s3://games", "--dry-run")
    assert "systemctl enable -q --now farm-recordings.timer" in for_real.stdout


def test_it_runs_from_a_wheel_where_the_unit_lies_beside_it(tmp_path, root):
    """tools/deploy/farm.yaml unpacks the wheel and runs the script in it."""
    deploy = tmp_path / "deploy"
    shutil.copytree(ROOT / "systemd", deploy / "systemd")
    shutil.copy(SCRIPT, deploy)
    script = deploy / "install.sh"
    done = install("--wheel", make_wheel(tmp_path), "--root", root, script=script)
    assert done.returncode == 0, done.stderr
    assert all((root / place).exists() for place in PLACES.values())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "--wheel is missing"),
        (["--wheel"], "--wheel needs a value"),
        (["--wheel", "/absent.whl"], "no wheel at /absent.whl"),
        (["--wheels", "x"], "unknown option --wheels"),
        (["--wheel", "x", "--overrides", "a=1\nb=2"], "--overrides must be one line"),
        (["--wheel", "x", "--recordings", "/mnt/games"], "not s3://BUCKET/PREFIX"),
        (["--wheel", "x", "--recordings", "s3://"], "not s3://BUCKET/PREFIX"),
        (["--wheel", "x", "--recordings", "s3://games/a b"], "not s3://BUCKET/PREFIX"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(root, args, words):
    done = install("--root", root, *args)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_wheel_in_s3_is_fetched_with_the_aws_command(tmp_path, root):
    wheel = make_wheel(tmp_path)
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text(f'#!/bin/sh\n[ "$4" = s3://b/k/{wheel.name} ] && cp {wheel} "$5"\n')
    aws.chmod(0o755)
    path = f"{aws.parent}:{os.environ['PATH']}"
    done = install("--wheel", f"s3://b/k/{wheel.name}", "--root", root, PATH=path)
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (root / "opt/farm/.wheel").read_text().strip() == digest


SECRET = {"tls.crt": "certificate\n", "tls.key": "key\n", "tokens": "eval observe ab12\n"}


def store(aws, secret):
    verb = "create-secret" if secret is SECRET else "put-secret-value"
    name = ["--name" if secret is SECRET else "--secret-id", "farm-tls"]
    command = ["aws", "secretsmanager", verb, *name, "--secret-string", json.dumps(secret)]
    subprocess.run(command, env=aws, check=True, capture_output=True)


@pytest.mark.deploy
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_certificate_key_and_tokens_come_from_a_secret_and_are_the_farms_alone(aws, tmp_path, root):
    args = ("--wheel", make_wheel(tmp_path), "--root", root, "--tls-secret", "farm-tls")
    missing = install(*args, **aws)
    assert missing.returncode == 1
    assert "cannot read the secret farm-tls" in missing.stderr
    store(aws, SECRET)
    assert install(*args, **aws).returncode == 0
    for name, text in SECRET.items():
        file = root / "etc/farm" / name
        assert (file.read_text(), file.stat().st_mode & 0o777) == (text, 0o600)
    before = (root / "etc/farm/tls.crt").stat().st_mtime_ns
    store(aws, SECRET | {"tls.key": "another\n"})
    rotated = install(*args, **aws)
    assert f"writes {root}/etc/farm/tls.key" in rotated.stdout
    assert "nothing has changed" in rotated.stdout  # that a restart would be needed for
    assert (root / "etc/farm/tls.key").read_text() == "another\n"
    assert (root / "etc/farm/tls.crt").stat().st_mtime_ns == before
    store(aws, {"tls.crt": "certificate"})
    wrong = install(*args, **aws)
    assert wrong.returncode == 1
    assert "no JSON object with tls.crt, tls.key and tokens" in wrong.stderr
    assert (root / "etc/farm/tls.key").read_text() == "another\n"


@pytest.mark.deploy
def test_shellcheck_has_nothing_to_say():
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
