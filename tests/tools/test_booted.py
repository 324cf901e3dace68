"""The service on a real systemd, which is booted in namespaces of its own (boot.sh).

Exercised, with the systemd, journald, sysusers and tmpfiles of this machine and the real kernel's
namespaces, seccomp filters and user namespaces: tools/install.sh as root, twice; a first start that
compiles inside the sandbox; READY, STATUS and reloads by systemctl, by signal and by a bad file; a
crash, a hang under the watchdog, a config that cannot work; a stop; an instance of farm@.service
beside farm.service; and the drop-in by which a machine on EC2 logs to a file.

Not exercised: what needs controllers of cgroups (DevicePolicy, OOMPolicy), as there may be none to
give away; network-online.target, which is there at once; a boot with everything else that a machine
has enabled; dependencies from a package index, which the test's own environment stands in for.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOT = Path(__file__).with_name("boot.sh")
SYSTEMD = Path("/lib/systemd/systemd")
BOOT_S = 60.0
FIRST_START_S = 540.0
CALM_S = 60.0
"""For what takes seconds on a machine that is not busy."""
OVERRIDES = "worker.count=1 worker.games=8 ring=small"
BLUE = "serve.address=127.0.0.1:50151 telemetry.metrics_address=127.0.0.1:9474"
SHARED_MATCH = Path("/etc/farm/match/default.yaml")


def missing():
    """What this machine lacks for such a boot; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root, for namespaces and mounts"
    absent = [name for name in ("unshare", "nsenter", "pivot_root") if not shutil.which(name)]
    if not SYSTEMD.exists() or absent:
        return f"needs {', '.join(absent) or SYSTEMD}: apt install systemd util-linux mount"
    words = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--net", "mount", "-t"]
    for kind in ("tmpfs", "cgroup2"):
        trial = subprocess.run([*words, kind, "x", "/mnt"], capture_output=True, check=False)
        if trial.returncode != 0:
            return f"may not mount {kind} in a namespace: {trial.stderr.decode().strip()}"
    return ""


REASON = missing()
pytestmark = [
    pytest.mark.systemd,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(REASON), reason=f"no systemd can be booted here: {REASON}"),
]


class Machine:
    """A booted systemd and what runs under it."""

    def __init__(self, pid):
        self.pid = pid

    def run(self, *command, code=0, timeout_s=CALM_S):
        """What a command in there prints; of one that is to fail, what it says of that."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", *map(str, command)],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "PIP_NO_INDEX": "1"}
            | {"PYTHON": "/opt/test/python/bin/python3"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert code is None or done.returncode == code, f"{done.stdout}{done.stderr}{self.log()}"
        return done.stderr if code else done.stdout

    def farm(self, *arguments):
        """A command of the farm, as its user would run it; its JSON."""
        user = ["setpriv", "--reuid=farm", "--regid=farm", "--init-groups"]
        return json.loads(self.run(*user, "/opt/farm/bin/farm", *arguments, "--json"))

    def write(self, path, text):
        script = 'mkdir -p "$(dirname "$0")" && printf %s "$1" >"$0"'
        self.run("sh", "-c", script, path, text)

    def show(self, unit="farm"):
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit).splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def wait(self, unit="farm", timeout_s=CALM_S, **wanted):
        """The properties of a unit once they are these."""
        until = time.monotonic() + timeout_s
        while True:
            found = self.show(unit)
            if all(found.get(name) == value for name, value in wanted.items()):
                return found
            got = {name: found.get(name) for name in wanted}
            assert time.monotonic() < until, f"{got}, not {wanted}\n{self.log()}"
            time.sleep(0.1)

    def log(self, unit="farm"):
        command = ["nsenter", f"--target={self.pid}", "--all", "--root", "journalctl", "--no-pager"]
        return subprocess.run(
            [*command, "-u", unit], capture_output=True, text=True, check=False
        ).stdout

    def install(self, *options):
        return self.run(
            "bash",
            "/opt/test/farm/tools/install.sh",
            "--wheel",
            "/opt/test/wheel/" + WHEEL[0],
            *options,
            timeout_s=FIRST_START_S,
        )


WHEEL = []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder with the wheel, built as a user builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, timeout=CALM_S * 5)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def machine(wheel, tmp_path_factory):
    """A machine on which the farm is installed, with a config of its own, and serves."""
    work = tmp_path_factory.mktemp("boot")
    seen = {
        sys.base_prefix: "/opt/test/python",
        sysconfig.get_path("purelib"): "/opt/test/site",
        ROOT: "/opt/test/farm",
        wheel.parent: "/opt/test/wheel",
    }
    pairs = [f"{folder}={place}" for folder, place in seen.items()]
    boot = subprocess.Popen(["unshare", "--mount", BOOT, work, *pairs], start_new_session=True)
    try:
        booted = Machine(_init_of(boot))
        WHEEL[:] = [wheel.name]
        booted.run("/opt/test/python/bin/python3", "-m", "venv", "/opt/farm")
        (site,) = booted.run("sh", "-c", "echo /opt/farm/lib/python3*/site-packages").split()
        booted.write(f"{site}/of_the_test.pth", "/opt/test/site\n")
        for unit in ("farm", "farm@"):  # an interpreter that was moved does not find its library
            place = f"/etc/systemd/system/{unit}.service.d/python.conf"
            booted.write(place, "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/test/python/lib\n")
        booted.install("--overrides", OVERRIDES, "--no-start")
        booted.run("systemctl", "start", "farm", timeout_s=FIRST_START_S)
        yield booted
    finally:
        boot.terminate()
        boot.wait(CALM_S)


def _init_of(boot):
    """The pid, out here, of the systemd that was booted, once it is up."""
    until = time.monotonic() + BOOT_S
    while time.monotonic() < until:
        assert boot.poll() is None, "the boot failed; see above"
        for pid in _descendants(boot.pid):
            name = Path(f"/proc/{pid}/comm")
            if name.exists() and name.read_text().strip() == "systemd":
                machine = Machine(pid)
                state = machine.run("systemctl", "is-system-running", code=None)
                if state.strip() in {"running", "degraded"}:
                    return pid
        time.sleep(0.1)
    raise AssertionError(f"systemd did not come up within {BOOT_S} s")


def _descendants(pid):
    file = Path(f"/proc/{pid}/task/{pid}/children")
    for child in file.read_text().split() if file.exists() else ():
        yield int(child)
        yield from _descendants(int(child))


def restarted(machine, before, timeout_s=CALM_S):
    """Properties once another process serves than before."""
    until = time.monotonic() + timeout_s
    while (found := machine.show())["MainPID"] in {before["MainPID"], "0"} or (
        found["ActiveState"] != "active"
    ):
        assert time.monotonic() < until, machine.log()
        time.sleep(0.1)
    return found


def match_with(machine, max_turns):
    packaged = (ROOT / "conf" / "match" / "default.yaml").read_text()
    lines = [line for line in packaged.splitlines() if not line.startswith("max_turns:")]
    machine.write(SHARED_MATCH, "\n".join([*lines, f"max_turns: {max_turns}", ""]))


def max_turns(machine):
    return machine.farm("config", "--running")["config"]["match"]["max_turns"]


def test_it_compiles_in_its_sandbox_before_it_starts_and_serves_when_systemctl_returns(machine):
    found = machine.show()
    assert (found["ActiveState"], found["SubState"], found["NRestarts"]) == (
        "active",
        "running",
        "0",
    )
    assert found["StatusText"].startswith("Serving at 127.0.0.1:50051")
    assert (found["User"], found["CacheDirectory"]) == ("farm", "farm")
    log = machine.log()
    assert log.index("kernels_ready") < log.index("farm_starting")
    owner, mode = machine.run("stat", "-c", "%U %a", "/var/cache/farm").split()
    assert (owner, mode) == ("farm", "700")
    assert machine.run("find", "/var/cache/farm", "-name", "*.nbc").count("\n") > 5
    assert machine.farm("top", "--once")


def test_to_install_it_again_changes_and_restarts_nothing(machine):
    before = machine.show()["MainPID"]
    assert "nothing has changed" in machine.install()
    assert machine.show()["MainPID"] == before


def test_a_reload_returns_when_the_change_is_in_force(machine):
    before = machine.show()
    match_with(machine, 123)
    machine.run("systemctl", "reload", "farm")
    assert max_turns(machine) == 123
    after = machine.wait(ActiveState="active")
    assert after["MainPID"] == before["MainPID"]


def test_a_reload_by_signal_is_one_to_systemd_too(machine):
    before = machine.wait(ActiveState="active")
    match_with(machine, 124)
    machine.run("kill", "-HUP", before["MainPID"])
    until = time.monotonic() + CALM_S
    changed = "StateChangeTimestampMonotonic"
    while (now := machine.show())[changed] == before[changed] or now["ActiveState"] != "active":
        assert time.monotonic() < until, machine.log()
    assert max_turns(machine) == 124


def test_a_file_that_cannot_work_is_refused_and_the_farm_plays_on(machine):
    before = machine.wait(ActiveState="active")
    match_with(machine, "many")
    said = machine.run("systemctl", "reload", "farm", code=1)
    assert "farm.service" in said
    after = machine.wait(ActiveState="active", MainPID=before["MainPID"])
    assert "refused" in after["StatusText"]
    assert "match.max_turns" in after["StatusText"]
    assert "status=78" in machine.log()
    match_with(machine, 125)
    machine.run("systemctl", "reload", "farm")
    assert "refused" not in machine.wait(ActiveState="active")["StatusText"]
    assert max_turns(machine) == 125


def test_a_farm_that_was_killed_is_started_again_and_goes_on_with_its_rings(machine):
    before = machine.show()
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "farm")
    after = restarted(machine, before)
    assert after["NRestarts"] == "1"
    assert "rings_adopted" in machine.log()


def test_a_farm_that_hangs_is_ended_by_the_watchdog_and_started_again(machine):
    drop_in = "/etc/systemd/system/farm.service.d/hurry.conf"
    machine.write(drop_in, "[Service]\nWatchdogSec=3\nTimeoutAbortSec=5\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "farm")
    before = machine.show()
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "farm")
    restarted(machine, before)
    assert "Watchdog timeout" in machine.log()
    machine.run("rm", drop_in)
    machine.run("systemctl", "daemon-reload")


def test_a_second_farm_runs_beside_it_with_files_of_its_own(machine):
    overrides = f"FARM_OVERRIDES={OVERRIDES} {BLUE}\n"
    machine.write("/etc/farm-blue/farm.env", overrides)
    match_with(machine, 126)
    machine.write("/etc/farm-blue/supervisor/mine.yaml", "silence_s: 21\n")
    machine.write("/etc/farm-blue/farm.env", overrides.replace("ring=", "supervisor=mine ring="))
    machine.run("systemctl", "start", "farm@blue", timeout_s=FIRST_START_S)
    found = machine.show("farm@blue")
    assert found["StatusText"].startswith("Serving at 127.0.0.1:50151")
    assert machine.show()["ActiveState"] == "active"
    running = machine.farm("config", "--running", "--instance", "blue")["config"]
    assert running["instance"] == "blue"
    assert (running["match"]["max_turns"], running["supervisor"]["silence_s"]) == (126, 21)
    machine.write("/etc/farm-blue/supervisor/mine.yaml", "silence_s: 22\n")
    machine.run("systemctl", "reload", "farm@blue")
    running = machine.farm("config", "--running", "--instance", "blue")["config"]
    assert running["supervisor"]["silence_s"] == 22
    machine.run("systemctl", "stop", "farm@blue")
    assert machine.show("farm@blue")["Result"] == "success"
    assert "/dev/shm/farm-blue" not in machine.run("find", "/dev/shm")


def test_with_the_log_of_a_machine_on_ec2_it_starts_and_writes_there(machine):
    template = (ROOT / "tools" / "deploy" / "farm.yaml").read_text()
    (lines,) = re.findall(
        r"install -d /etc/systemd.*?log\.conf$", template, re.DOTALL | re.MULTILINE
    )
    machine.run("bash", "-euc", lines)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "farm")
    assert "farm_ready" in machine.run("cat", "/var/log/farm/farm.log")
    machine.run("rm", "/etc/systemd/system/farm.service.d/log.conf")
    machine.run("systemctl", "daemon-reload")


def test_a_stop_drains_and_is_a_success(machine):
    machine.run("systemctl", "restart", "farm")
    machine.run("systemctl", "stop", "farm")
    found = machine.show()
    assert (found["ActiveState"], found["Result"]) == ("inactive", "success")
    assert "farm_stopped" in machine.log().rpartition("Stopping farm.service")[2]


def test_a_config_that_cannot_work_is_not_tried_again(machine):
    machine.install("--overrides", "worker.cout=1", "--no-start")
    machine.run("systemctl", "start", "farm", code=1)
    found = machine.show()
    assert (found["ActiveState"], found["ExecMainStatus"]) == ("failed", "78")
    assert found["NRestarts"] == "0"
    assert "worker.cout" in machine.log().rpartition("Starting farm.service")[2]
