"""The HTTP server: bounded in connections, bytes and time, so that no client keeps another waiting.

    head of a request    MAX_HEAD_BYTES, within HEAD_S of the connection
    response             taken within SEND_S, or the connection is cut
    connections          MAX_CONNECTIONS; one more cuts the oldest, which has waited long enough

A scraper's request is there with its connection and is answered at once: it is among the oldest
only if as many others came within the same moment. Each request ends with one outcome, counted.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias

from farm.config.patterns import socket_path
from farm.errors import AddressInUseError
from farm.metrics.request import END, MAX_HEAD_BYTES, TOO_LONG, Request, Response, parse
from farm.supervisor import ports
from farm.supervisor.sockets import own_sockets

HEAD_S = 5.0
"""For the head of a request to be there."""
SEND_S = 10.0
"""For a response to be taken; Prometheus' own default for a scrape."""
MAX_CONNECTIONS = 64
BACKLOG = 128
"""Connections that wait to be accepted, while a page is made."""

Answer: TypeAlias = Callable[[Request], Response]

OUTCOMES = ("ok", "unready", "refused", "slow", "cut", "left", "failed")
"""A request was answered with 200, with 503, or as one that is not understood; ran out of time; was
cut to make room; was left by its client; met a fault of ours, whose traceback is in the log."""
_OUTCOME_OF = {HTTPStatus.OK: "ok", HTTPStatus.SERVICE_UNAVAILABLE: "unready"}


class Server:
    """Answers requests until it is closed.

    Attributes:
        outcomes: requests by how they ended, see OUTCOMES.

    Args:
        answer: makes the response to a request; must not wait.
        head_s: HEAD_S.
        send_s: SEND_S.
        max_connections: MAX_CONNECTIONS.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        head_s: float = HEAD_S,
        send_s: float = SEND_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
        self._answer = answer
        self._head_s = head_s
        self._send_s = send_s
        self._max_connections = max_connections
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: list[socket.socket]) -> None:
        """Take connections on listening sockets, which are ours from now on."""
        for one in sockets:
            is_local = one.family is socket.AF_UNIX
            start = asyncio.start_unix_server if is_local else asyncio.start_server
            server = await start(self._serve, sock=one, limit=MAX_HEAD_BYTES)
            self._servers.append(server)

    def close(self) -> None:
        """Take no more connections and cut those there are."""
        for server in self._servers:
            server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one outcome."""
        if len(self._open) >= self._max_connections:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        outcome = "failed"
        try:
            outcome = await self._exchange(reader, writer)
        except TimeoutError:
            outcome = "slow"
        except (OSError, asyncio.IncompleteReadError):
            outcome = "left"
        finally:
            # Whoever was cut is not in the table any more.
            self.outcomes[outcome if writer in self._open else "cut"] += 1
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Read a request, answer it, and see the answer off."""
        try:
            async with asyncio.timeout(self._head_s):
                parsed = parse(await reader.readuntil(END))
        except asyncio.LimitOverrunError:
            parsed = TOO_LONG
        response = parsed if isinstance(parsed, Response) else self._answer(parsed)
        # No low-water mark: `drain` then waits until the kernel has all of it.
        writer.transport.set_write_buffer_limits(high=0)
        async with asyncio.timeout(self._send_s):
            writer.write(response.encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        return _OUTCOME_OF.get(response.status, "refused")


def listen(address: str, *, key: str) -> tuple[list[socket.socket], str]:
    """Listen on every address of a host; on its first, if the port is 0; or on a unix socket.

    Args:
        address: `host:port`, or `unix:/path`.
        key: config key that it comes from, for messages.

    Returns:
        The sockets, and the address with the port that was taken.

    Raises:
        AddressInUseError: somebody listens there.
        ConfigError: the host has no address, or the socket no folder.
        ResourceError: the machine does not let us listen there.
    """
    ports.check_free(address, key=key)
    if (path := socket_path(address)) is not None:
        with own_sockets():
            local = socket.socket(socket.AF_UNIX)
            local.bind(path)
        local.listen(BACKLOG)
        return [local], address
    host, port = ports.split(address)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    for family, _, _, _, place in found if port else found[:1]:
        try:
            sockets.append(socket.create_server(place[:2], family=family, backlog=BACKLOG))
        except OSError as error:
            failure = error
    if not sockets:
        raise AddressInUseError(
            f"{address} ({key}) was taken by another process for a moment: {failure.strerror}; "
            "start again"
        ) from failure
    bound = sockets[0].getsockname()[1]
    return sockets, f"{address.rpartition(':')[0]}:{bound}"
