"""The image of the Containerfile, built and run by buildah without a daemon.

Exercised: every instruction of the file, with the wheels built and installed from a package index
as it says; the image's settings; a whole farm in it, as its user, that compiles, serves and stops.
Where no registry answers, its base image is a stand-in made of Debian's packages, with Debian's
Python.

Not exercised: an engine that isolates it (buildah's chroot isolation shares this machine's network,
processes and /dev/shm) and that runs the health check; that is run by test_container.py.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tools" / "deploy" / "Containerfile"
(BASE,) = set(re.findall(r"^FROM (\S+)", FILE.read_text(), re.MULTILINE))
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
PULL_S, MAKE_S, RUN_S = 120, 900, 600
STAND_IN = "python3,python3-pip,ca-certificates"

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(2_000),
    pytest.mark.skipif(
        shutil.which("buildah") is None or os.geteuid() != 0,
        reason="needs buildah and root: apt install buildah",
    ),
]


class Buildah:
    """A store of its own."""

    def __init__(self, folder):
        self._options = [
            "--storage-driver",
            "vfs",
            "--root",
            folder / "a",
            "--runroot",
            folder / "b",
        ]

    def run(self, *words, timeout_s=MAKE_S, check=True):
        done = subprocess.run(
            ["buildah", *self._options, *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd=ROOT,
        )
        assert not check or done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
        return done


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    yield Buildah(folder)
    shutil.rmtree(folder, ignore_errors=True)  # a gigabyte, which pytest would keep


@pytest.fixture(scope="module")
def image(buildah, tmp_path_factory):
    """The image's settings; it is named `farm`."""
    try:
        pulled = buildah.run("pull", "-q", BASE, timeout_s=PULL_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        pulled = False
    if not pulled:
        _make_base(buildah, tmp_path_factory.mktemp("base"))
    isolation = ["--isolation", "chroot", "--pull-never", "--format", "docker"]
    buildah.run("bud", *isolation, "-t", "farm", "-f", FILE, ".")
    return json.loads(buildah.run("inspect", "--type", "image", "localhost/farm").stdout)["Docker"]


def _make_base(buildah, folder):
    """An image of the base's name: Debian's Python by the names that the base has for it."""
    if shutil.which("debootstrap") is None:
        pytest.skip(f"{BASE} cannot be pulled, and there is no debootstrap to make a stand-in with")
    command = ["debootstrap", "--variant=minbase", f"--include={STAND_IN}", "bookworm"]
    subprocess.run(
        [*command, folder, MIRROR], check=True, timeout=MAKE_S, stdout=subprocess.DEVNULL
    )
    for marker in folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    (folder / "usr/bin/python").symlink_to("python3")
    authorities = "etc/ssl/certs/ca-certificates.crt"  # those of this machine, if it has its own
    if Path("/", authorities).exists():
        shutil.copy(Path("/", authorities), folder / authorities)
    container = buildah.run("from", "scratch").stdout.strip()
    buildah.run("copy", "-q", container, folder, "/")
    buildah.run("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", container)
    buildah.run("commit", "-q", container, f"docker.io/library/{BASE}")
    buildah.run("rm", container)
    shutil.rmtree(folder)


def test_it_is_built_with_its_settings(image):
    config = image["config"]
    assert config["User"] == "farm"
    assert config["Entrypoint"] == ["farm"]
    assert config["Cmd"][:2] == ["up", "env=prod"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["ExposedPorts"] == {"50051/tcp": {}}
    assert config["Volumes"] == {"/var/cache/farm": {}}
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]


def test_a_farm_in_it_compiles_serves_and_stops_as_an_ordinary_user(image, buildah, instance):
    del image
    container = buildah.run("from", "--pull-never", "localhost/farm").stdout.strip()
    run = ["run", "--isolation", "chroot", container, "--"]
    addresses = ("serve.address=127.0.0.1:0", "telemetry.metrics_address=127.0.0.1:0")
    options = (*addresses, f"instance={instance}", "ring=small", "worker.count=1", "--seconds=2")
    done = buildah.run(*run, "farm", "up", "env=prod", *options, timeout_s=RUN_S)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    said = [line["event"] for line in events]
    assert said.index("kernels_ready") < said.index("farm_ready") < said.index("farm_stopped")
    (balance,) = [line for line in events if line["event"] == "balance"]
    assert balance["exact"]
    assert balance["experiences"]["published"] > 0
    user, kept = buildah.run(*run, "sh", "-c", "id -un; ls /var/cache/farm").stdout.split("\n", 1)
    assert user == "farm"
    assert "started-" in kept
