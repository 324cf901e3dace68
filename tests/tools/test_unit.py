"""The units, as systemd's own tools judge them: syntax and sandbox. They start nothing.

What starts them is in test_booted.py.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from farm.config.fields import field_index

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "systemd"
UNIT, TEMPLATE = FOLDER / "farm.service", FOLDER / "farm@.service"
RECORDINGS, TIMER = FOLDER / "farm-recordings.service", FOLDER / "farm-recordings.timer"
MAX_EXPOSURE = 20
"""Of 100, the unit of --threshold; what is left open is explained at the end of the unit."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed here"
)


def settings(unit):
    """Names and values in order; a name may come more than once."""
    return re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE)


@needs_systemd
@pytest.mark.parametrize(
    ("unit", "name"),
    [
        (UNIT, "farm.service"),
        (TEMPLATE, "farm@blue.service"),
        (RECORDINGS, "farm-recordings.service"),
        (TIMER, "farm-recordings.timer"),
    ],
)
def test_systemd_finds_nothing_wrong_with_it(tmp_path, unit, name):
    for one in {unit, RECORDINGS}:
        text = re.sub("(/opt/farm/bin/farm|(?<==)aws) ", "/bin/true ", one.read_text())
        (tmp_path / one.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, TEMPLATE, RECORDINGS], ids=["farm", "farm@", "recordings"])
def test_its_sandbox_leaves_little_open(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_user_and_folders_are_made_below_another_root(tmp_path):
    (tmp_path / "etc").mkdir()
    for tool in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        file = FOLDER / f"farm.{tool[0].removeprefix('systemd-')}"
        done = subprocess.run(
            [*tool, f"--root={tmp_path}", file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc/passwd").read_text().splitlines()
    (user,) = [line for line in users if line.startswith("farm:")]
    assert user.endswith(":/var/lib/farm:/usr/sbin/nologin")
    for folder in ("var/lib/farm", "var/cache/farm"):
        status = (tmp_path / folder).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (int(user.split(":")[2]), 0o700)


def test_the_farm_alone_notifies_and_kernels_can_be_compiled():
    found = dict(settings(UNIT))
    assert (found["Type"], found["NotifyAccess"]) == ("notify", "exec")
    assert "MemoryDenyWriteExecute" not in found
    assert "ProcSubset" not in found
    assert float(found["WatchdogSec"]) > 10


def test_an_instance_is_the_same_but_for_its_name_and_what_it_has_of_its_own():
    own = {
        "Description": " %i",
        "ConfigurationDirectory": " farm-%i",
        "RuntimeDirectory": "-%i",
    }
    expected = []
    for name, value in settings(UNIT):
        added = own.get(name, "")
        if name == "ExecReload":
            added = " --instance %i"
        elif name in {"ExecStart", "ExecStartPre"}:
            value = value.replace("--config-dir", "--config-dir /etc/farm-%i --config-dir")  # noqa: PLW2901
            value = value.replace("env=prod", "env=prod instance=%i")  # noqa: PLW2901
        expected.append((name, value + added))
        if name == "EnvironmentFile":
            expected.append((name, "-/etc/farm-%i/farm.env"))
    assert settings(TEMPLATE) == expected


def test_every_time_out_of_the_unit_is_explained_beside_it():
    readme = (FOLDER / "README.md").read_text()
    timed = [name for name, _ in settings(UNIT) if re.search(r"(Sec|Burst)$", name)]
    assert len(timed) >= 6
    assert [name for name in timed if f"`{name}" not in readme] == []
    keys = set(re.findall(r"`((?:supervisor|serve|worker|config)\.\w+)`", readme))
    assert keys <= set(field_index())
    assert {"supervisor.stop_s", "serve.drain_s", "supervisor.warm_up_s"} <= keys


def test_every_line_of_the_environment_file_is_a_variable_or_a_comment():
    lines = (FOLDER / "farm.env").read_text().splitlines()
    assert "FARM_OVERRIDES=" in lines
    assert all(re.match(r"(#|[A-Z_]+=|$)", line) for line in lines)
    named = {line.lstrip("#").partition("=")[0] for line in lines if re.match(r"#?[A-Z_]+=", line)}
    assert {"FARM_OVERRIDES", "FARM_CACHE_DIR", "OTEL_EXPORTER_OTLP_ENDPOINT"} <= named
