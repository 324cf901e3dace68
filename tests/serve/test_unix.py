"""The service on a unix socket: both faces, tokens, and the file's life."""

import asyncio
import hashlib
import socket
import stat

import pytest
from handmade import Spec

from farm.client import NO_RETRY, AsyncClient, Client, Tls
from farm.config.exposure import exposed
from farm.errors import AddressInUseError, RejectedError, UnavailableError, UsageError

pytestmark = pytest.mark.timeout(60)
a_thread_that_fails = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


@pytest.fixture
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("s") / "farm.sock"


def test_a_client_gets_experiences_and_is_told_the_address(serve, path):
    serving = serve(address=f"unix:{path}")
    serving.ring.write(*[Spec()] * 3)
    assert serving.address == f"unix:{path}"
    with Client(serving.address, retry=NO_RETRY) as client:
        taken = client.subscribe()
        assert [next(taken).sequence for _ in range(3)] == [0, 1, 2]
        assert f"unix:{path}" in client.info().endpoints.values()


def test_the_asyncio_face_goes_the_same_way(serve, path):
    serving = serve(address=f"unix:{path}")
    serving.ring.write(Spec())

    async def take():
        async with AsyncClient(serving.address, retry=NO_RETRY) as client:
            return (await anext(client.subscribe())).sequence

    assert asyncio.run(take()) == 0


def test_the_socket_is_its_users_alone_and_gone_after_a_stop(serve, path):
    serving = serve(address=f"unix:{path}")
    assert serving.address
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert serving.stop_service() == 0
    assert not path.exists()


def test_a_socket_left_behind_is_no_obstacle(serve, path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with Client(serve(address=f"unix:{path}").address, retry=NO_RETRY) as client:
        assert client.info().instance


@a_thread_that_fails
def test_a_second_service_leaves_the_first_its_socket(serve, path, instance):
    serving = serve(address=f"unix:{path}")
    assert serving.address
    second = type(serving)(f"{instance}2", address=f"unix:{path}")
    try:
        second._thread.join(30)
        assert isinstance(second.result, AddressInUseError)
    finally:
        second.close()
    with Client(serving.address, retry=NO_RETRY) as client:
        assert client.info().instance == instance


def test_tokens_are_asked_for_there_too_and_need_no_tls(serve, path, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"ours observe {hashlib.sha256(b'secret').hexdigest()}")
    file.chmod(0o600)
    address = serve(address=f"unix:{path}", security={"tokens_file": str(file)}).address
    with Client(address, retry=NO_RETRY, token="secret") as client:
        assert client.info().instance
    with Client(address, retry=NO_RETRY) as client:
        with pytest.raises(RejectedError) as refused:
            client.info()
        assert refused.value.status == "UNAUTHENTICATED"


def test_without_tokens_all_that_come_over_the_socket_are_one_client(serve, path):
    serving = serve(address=f"unix:{path}", limits={"open_streams": 1})
    with Client(serving.address, retry=NO_RETRY) as one, Client(serving.address) as other:
        stream = one.stream()
        stream._receive()
        with pytest.raises(RejectedError, match="unix has 1 streams open"):
            Client(serving.address, retry=NO_RETRY).stream()._receive()
        assert other.info().instance


def test_a_socket_is_no_exposure(serve, path):
    assert exposed(serve(address=f"unix:{path}").config) == {}


def test_a_client_says_that_nobody_is_there(path):
    with (
        Client(f"unix:{path}", retry=NO_RETRY) as client,
        pytest.raises(UnavailableError, match=rf"unix:{path}: .*No such file"),
    ):
        client.info()


def test_tls_that_is_asked_for_is_refused_and_that_of_the_environment_is_for_networks(
    serve, path, monkeypatch
):
    address = serve(address=f"unix:{path}").address
    with pytest.raises(UsageError, match="without TLS"):
        Client(address, tls=Tls("ca.pem"))
    monkeypatch.setenv("FARM_TLS_CA", "/nowhere/ca.pem")
    with Client(address, retry=NO_RETRY) as client:
        assert client.info().instance
