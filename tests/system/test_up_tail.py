"""`farm up --tail`: a farm and its client in one terminal, or in none."""

import fcntl
import hashlib
import os
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import trustme

from farm.shm.segment import list_segments

pytestmark = pytest.mark.timeout(600)

SMALL = (
    "worker.games=4",
    f"ring.bytes={1 << 20}",
    "serve.address=127.0.0.1:0",
    "telemetry.metrics_address=127.0.0.1:0",
)
ON_A_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
"""Becomes the command in its arguments, with standard input as its controlling terminal."""
SIZE = (24, 140)
"""Rows and columns."""
CTRL_C = b"\x03"
DEADLINE_S = 540.0


def command(instance, *options):
    return [sys.executable, "-m", "farm.cli.main", "up", *options, f"instance={instance}", *SMALL]


def running_under(instance):
    """Processes whose command line names the instance, or a tail of this test."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if any(instance in word for word in words):
            found.append(words)
    return found


def test_the_tail_of_a_farm_with_tls_and_tokens_shows_what_its_environment_has(instance, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("127.0.0.1")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"tail train {hashlib.sha256(b'secret').hexdigest()}\n")
    for file in (tmp_path / "cert.pem", tokens):
        file.chmod(0o600)
    security = {"tls_cert": "cert.pem", "tls_key": "cert.pem", "tokens_file": "tokens"}
    options = [f"security.{key}={tmp_path / file}" for key, file in security.items()]
    done = subprocess.run(
        command(instance, "--tail", "--seconds", "2", *options),
        env={**os.environ, "FARM_TLS_CA": str(tmp_path / "ca.pem"), "FARM_TOKEN": "secret"},
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"experiences" in done.stdout


def test_without_a_terminal_the_tail_has_standard_output_and_the_farm_standard_error(instance):
    done = subprocess.run(
        command(instance, "--tail", "--seconds", "2"),
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, err
    assert "experiences" in out
    assert "farm_ready" not in out
    assert '"event":"farm_ready"' in err
    after_ready = err[err.index("farm_ready") :].splitlines()[1:]
    assert not [line for line in after_ready if '"level":"info"' in line]
    assert list_segments(instance) == []
    assert running_under(instance) == []


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, words):
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            # As Python knows it: pytest's readline has put COLUMNS=80 into the C library's.
            env=dict(os.environ),
        )
        os.close(slave)
        self.text = ""

    def read_until(self, word, timeout_s=DEADLINE_S):
        deadline = time.monotonic() + timeout_s
        while word not in self.text:
            assert time.monotonic() < deadline, self.text
            self.text += self._read()

    def press(self, keys):
        os.write(self._master, keys)

    def wait(self, timeout_s=60.0):
        """The return code; reads along, as a terminal does."""
        deadline = time.monotonic() + timeout_s
        while (returncode := self.process.poll()) is None:
            assert time.monotonic() < deadline, self.text
            self.text += self._read()
        return returncode

    def _read(self):
        if not select.select([self._master], [], [], 0.2)[0]:
            return ""
        try:
            return os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # EIO: nobody has the other end open any more
            time.sleep(0.01)
            return ""

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(instance):
    shown = Terminal(command(instance, "--tail"))
    yield shown
    shown.close()


def test_ctrl_c_ends_the_tail_and_drains_the_farm(terminal, instance):
    terminal.read_until("loss: 0")
    terminal.press(CTRL_C)
    assert terminal.wait() == 0
    assert "Traceback" not in terminal.text
    assert list_segments(instance) == []
    assert running_under(instance) == []
