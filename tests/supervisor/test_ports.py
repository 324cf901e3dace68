import socket

import pytest

from farm.errors import AddressInUseError, ConfigError, ResourceError
from farm.supervisor.ports import answers, check_free, reachable, split


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(server):
    host, port = server.getsockname()[:2]
    return f"{host}:{port}"


def test_a_free_port_is_free_and_stays_so():
    check_free("127.0.0.1:0", key="serve.address")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address_of(server)
    check_free(address, key="serve.address")
    check_free(address, key="serve.address")


def test_a_port_that_somebody_listens_on_is_taken_and_the_message_names_address_and_key(listener):
    address = address_of(listener)
    with pytest.raises(AddressInUseError, match=rf"{address} is taken .* another serve\.address"):
        check_free(address, key="serve.address")


def test_a_port_shared_by_so_reuseport_is_taken_too():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(AddressInUseError):
            check_free(address_of(server), key="serve.address")


def test_connections_of_an_earlier_server_are_no_obstacle(listener):
    """The server's side closes first, so that its port is left in TIME_WAIT."""
    address = address_of(listener)
    client = socket.create_connection(listener.getsockname())
    connection, _ = listener.accept()
    listener.close()
    connection.close()
    client.close()
    check_free(address, key="serve.address")


def test_a_host_without_address_is_an_error_of_the_config():
    with pytest.raises(ConfigError, match=r"serve\.address: no\.such\.host\.invalid:1"):
        check_free("no.such.host.invalid:1", key="serve.address")


def test_an_address_of_another_machine_cannot_be_listened_on():
    with pytest.raises(ResourceError, match=r"192\.0\.2\.1:50051"):  # TEST-NET-1, RFC 5737
        check_free("192.0.2.1:50051", key="serve.address")


def test_a_listener_answers_and_a_closed_port_does_not(listener):
    address = address_of(listener)
    assert answers(address, 1.0)
    listener.close()
    assert not answers(address, 1.0)


def test_a_server_on_every_interface_is_called_over_loopback():
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert answers(f"0.0.0.0:{server.getsockname()[1]}", 1.0)


@pytest.fixture
def resolved(monkeypatch):
    """Gives `host.test` these addresses, in this order."""

    def resolve(*hosts):
        def getaddrinfo(_host, port, **_options):
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port)) for host in hosts]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


def test_a_port_that_is_taken_on_the_second_address_of_a_host_is_taken(listener, resolved):
    port = listener.getsockname()[1]
    resolved("127.0.0.2", "127.0.0.1")
    with pytest.raises(AddressInUseError, match=r"host\.test"):
        check_free(f"host.test:{port}", key="serve.address")


def test_one_address_of_a_host_that_can_be_listened_on_is_enough(resolved):
    resolved("192.0.2.1", "127.0.0.1")  # TEST-NET-1, RFC 5737
    check_free("host.test:0", key="serve.address")
    resolved("192.0.2.1", "203.0.113.7")
    with pytest.raises(ResourceError, match=r"host\.test"):
        check_free("host.test:0", key="serve.address")


@pytest.mark.parametrize(
    ("listened", "called"),
    [
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("[::]:50051", "[::1]:50051"),
        ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ("farm.test:1", "farm.test:1"),
    ],
)
def test_who_listens_on_every_interface_is_reached_over_loopback(listened, called):
    assert reachable(listened) == called


def test_an_ipv6_address_loses_its_brackets():
    assert split("[::1]:50051") == ("::1", 50051)
