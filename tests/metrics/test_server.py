"""The server on a real socket, with clients as they should not be."""

import asyncio
import contextlib
import socket
import struct
from http import HTTPStatus

import pytest

from farm.errors import AddressInUseError, ConfigError
from farm.metrics.request import MAX_HEAD_BYTES, Response
from farm.metrics.server import Server, listen

GET = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
DEADLINE_S = 30.0
NEVER_S = 600.0


def answer(request):
    status = {"/busy": HTTPStatus.SERVICE_UNAVAILABLE}.get(request.path, HTTPStatus.OK)
    if request.path == "/fault":
        raise RuntimeError("a fault")
    return Response(status, b"x" * (1 << 22) if request.path == "/large" else b"page\n")


def served(scenario, **limits):
    """Run `scenario(server, connect)` beside a server; what it returns."""

    async def run():
        server = Server(answer, **limits)
        sockets, address = listen("127.0.0.1:0", key="address")
        await server.start(sockets)
        port = int(address.rpartition(":")[2])
        clients = []

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            clients.append(writer)
            return reader, writer

        try:
            return await asyncio.wait_for(scenario(server, connect), DEADLINE_S)
        finally:
            server.close()
            for writer in clients:
                writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(*(writer.wait_closed() for writer in clients))

    return asyncio.run(run())


async def ask(connect, request=GET):
    reader, writer = await connect()
    writer.write(request)
    return await reader.read(-1)


async def until(condition):
    """Within the scenario's deadline."""
    while not condition():  # noqa: ASYNC110 - what is waited for is of the server, not of ours
        await asyncio.sleep(0.002)


def test_a_page_is_answered_whole_and_the_connection_ends():
    async def scenario(server, connect):
        text = await ask(connect)
        await until(lambda: server.outcomes["ok"] == 1)
        return text

    text = served(scenario)
    assert text.startswith(b"HTTP/1.1 200 OK\r\n")
    assert text.endswith(b"\r\n\r\npage\n")


def test_a_head_may_come_in_pieces():
    async def scenario(_server, connect):
        reader, writer = await connect()
        for byte in GET:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        return await reader.read(-1)

    assert b"200 OK" in served(scenario)


def test_silent_and_slow_clients_keep_no_scraper_waiting():
    async def scenario(server, connect):
        idle = [await connect() for _ in range(5)]
        for _, writer in idle[:3]:
            writer.write(b"GET /met")
        pages = [await ask(connect) for _ in range(20)]
        assert server.outcomes["slow"] == 0
        return pages

    pages = served(scenario, head_s=NEVER_S)
    assert all(page.endswith(b"page\n") for page in pages)


def test_a_client_that_does_not_ask_in_time_is_cut_off():
    async def scenario(server, connect):
        reader, writer = await connect()
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        try:
            text = await reader.read(-1)
        except ConnectionError:
            text = b""
        await until(lambda: server.outcomes["slow"] == 1)
        return text

    assert served(scenario, head_s=0.05) == b""


def test_a_client_that_does_not_take_its_page_is_cut_off():
    async def scenario(server, connect):
        reader, writer = await connect()
        reader._transport.pause_reading()  # and the kernel's buffers are full soon
        writer.write(GET.replace(b"/metrics", b"/large"))
        await until(lambda: server.outcomes["slow"] == 1)
        assert (await ask(connect)).endswith(b"page\n")

    served(scenario, send_s=0.1)


def test_a_flood_of_connections_costs_the_oldest_its_place_and_no_scrape():
    async def scenario(server, connect):
        flood = [await connect() for _ in range(30)]
        page = await ask(connect)
        assert server.outcomes["cut"] >= 30 - 8
        # The first are cut, the last are still there.
        first, last = flood[0][0], flood[-1]
        with contextlib.suppress(ConnectionError):
            assert await first.read(-1) == b""
        last[1].write(GET)
        return page, await last[0].read(-1)

    for page in served(scenario, head_s=NEVER_S, max_connections=8):
        assert page.endswith(b"page\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 2 * MAX_HEAD_BYTES, 431),
    ],
)
def test_garbage_is_refused_and_counted(request_bytes, status):
    async def scenario(server, connect):
        reader, writer = await connect()
        writer.write(request_bytes)
        line = await reader.readline()
        await until(lambda: server.outcomes["refused"] == 1)
        return line

    assert served(scenario).startswith(f"HTTP/1.1 {status} ".encode())


def test_unreadiness_is_counted_apart():
    async def scenario(server, connect):
        text = await ask(connect, GET.replace(b"/metrics", b"/busy"))
        await until(lambda: server.outcomes["unready"] == 1)
        return text

    assert served(scenario).startswith(b"HTTP/1.1 503 ")


def test_clients_that_vanish_are_forgotten():
    async def scenario(server, connect):
        reset = struct.pack("ii", 1, 0)
        for _ in range(10):
            _, writer = await connect()
            writer.write(b"GET /")
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.transport.abort()
        await until(lambda: server.outcomes["left"] == 10)
        assert not server._open
        return await ask(connect)

    assert served(scenario, head_s=NEVER_S).endswith(b"page\n")


def test_a_fault_of_ours_ends_its_own_request_only():
    async def scenario(server, connect):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        try:
            text = await ask(connect, GET.replace(b"/metrics", b"/fault"))
        except ConnectionError:
            text = b""
        await until(lambda: server.outcomes["failed"] == 1)
        return text, await ask(connect)

    text, page = served(scenario)
    assert text == b""
    assert page.endswith(b"page\n")


def test_a_taken_port_is_refused_with_its_key():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AddressInUseError, match=f"{address}.*some.key"):
            listen(address, key="some.key")


def test_a_host_without_an_address_is_a_wrong_config():
    with pytest.raises(ConfigError) as info:
        listen("no-such-host.invalid:0", key="some.key")
    assert info.value.key == "some.key"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
def test_a_free_port_is_taken_on_any_kind_of_host(host):
    try:
        sockets, address = listen(f"{host}:0", key="address")
    except OSError:
        pytest.skip(f"this machine has no {host}")
    port = int(address.rpartition(":")[2])
    assert address == f"{host}:{port}"
    assert port > 0
    for one in sockets:
        assert one.getsockname()[1] == port
        one.close()


def test_a_unix_socket_is_listened_on_like_a_port(tmp_path):
    path = tmp_path / "m"

    async def run():
        server = Server(answer)
        sockets, address = listen(f"unix:{path}", key="some.key")
        assert address == f"unix:{path}"
        await server.start(sockets)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GET)
        text = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        server.close()
        return text

    assert asyncio.run(run()).endswith(b"page\n")
    with pytest.raises(ConfigError, match="not there"):
        listen(f"unix:{tmp_path}/no/m", key="some.key")
