"""Unix sockets as addresses: free, taken, left behind, and who may call them."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farm.errors import AddressInUseError, ConfigError, ResourceError
from farm.supervisor.ports import answers, check_free, clean_up, reachable
from farm.supervisor.sockets import own_sockets

KEY = "serve.address"


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A short path for a socket: pytest's own folders may be too long for one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "s"


def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


@pytest.fixture
def left_behind(path):
    """A socket of a process that was killed."""
    script = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); "
    script += "s.listen(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, path], check=False)
    assert stat.S_ISSOCK(path.lstat().st_mode)
    return path


def test_a_path_with_nothing_at_it_is_free_and_stays_so(path):
    check_free(f"unix:{path}", key=KEY)
    check_free(f"unix:{path}", key=KEY)
    assert not path.exists()
    listen(path).close()


def test_a_socket_that_somebody_listens_on_is_taken_and_stays(path):
    with listen(path):
        with pytest.raises(AddressInUseError, match=rf"{path} is taken .* another serve\.address"):
            check_free(f"unix:{path}", key=KEY)
        assert answers(f"unix:{path}", 1.0)


def test_a_socket_whose_listener_was_killed_is_removed(left_behind):
    assert not answers(f"unix:{left_behind}", 1.0)
    check_free(f"unix:{left_behind}", key=KEY)
    assert not left_behind.exists()


def test_a_socket_with_a_full_queue_is_taken(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(str(path))
        with pytest.raises(AddressInUseError):
            check_free(f"unix:{path}", key=KEY)
        for one in waiting:
            one.close()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_a_file_that_is_no_socket_is_not_touched(path, make):
    make(path)
    with pytest.raises(ResourceError, match="no socket; remove it"):
        check_free(f"unix:{path}", key=KEY)
    clean_up(f"unix:{path}")
    assert path.exists()


def test_a_link_to_nowhere_is_an_obstacle(path):
    path.symlink_to("nowhere")
    with pytest.raises(ResourceError, match="no socket"):
        check_free(f"unix:{path}", key=KEY)


def test_a_folder_that_is_not_there_is_an_error_of_the_config_with_the_next_step(path):
    with pytest.raises(ConfigError, match=r"folder .*/no is not there; make it.*Runtime") as error:
        check_free(f"unix:{path.parent}/no/s", key=KEY)
    assert error.value.key == KEY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(path):
    path.parent.chmod(0o500)
    with pytest.raises(ResourceError, match="Permission denied"):
        check_free(f"unix:{path}", key=KEY)


def test_a_file_in_the_place_of_the_folder_is_named(path):
    path.touch()
    with pytest.raises(ResourceError, match="Not a directory"):
        check_free(f"unix:{path}/s", key=KEY)


@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o600), (0o077, 0o600), (0o007, 0o660), (0o000, 0o660)]
)
def test_a_socket_is_its_users_alone_or_its_groups_too_by_the_umask(path, umask, mode):
    before = os.umask(umask)
    try:
        with own_sockets():
            listen(path).close()
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == mode


def test_cleaning_up_removes_what_is_dead_and_nothing_else(left_behind):
    clean_up(f"unix:{left_behind}")
    assert not left_behind.exists()
    clean_up(f"unix:{left_behind}")
    clean_up("127.0.0.1:1")
    clean_up(None)
    with listen(left_behind):
        clean_up(f"unix:{left_behind}")
        assert left_behind.exists()


def test_a_socket_is_called_by_its_own_address():
    assert reachable("unix:/run/farm/default.sock") == "unix:/run/farm/default.sock"
