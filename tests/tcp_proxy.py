"""A network that can fail: a TCP proxy of real sockets, in a thread of the test's own process.

Every connection to it is one to the target, bytes go both ways, and an end of one side is an end of
the other. On demand it

    cut        resets every connection (RST both ways), as a router that was switched off and on
    down, up   and refuses those that come, until it is up again
    hold, flow forwards nothing and tells nobody, as a cable that was pulled: what is sent fills the
               buffers of the kernel, and then the sender waits
    forget     lets go of the clients' ends of what is held and keeps the target's: to the target,
               these clients have vanished without a word
    delay_s    every piece arrives that much later
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque

PIECE_BYTES = 1 << 16
LIMIT_BYTES = 1 << 18
"""Bytes of one direction on their way; more are not read."""
LOOK_S = 0.02
"""Longest time until an order is followed."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() a reset."""


class _Way:
    """One direction of a connection."""

    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.pieces = deque()
        self.n_bytes = 0
        self.has_ended = False
        self.is_done = False

    def read(self, due_s):
        piece = self.source.recv(PIECE_BYTES)
        if piece:
            self.pieces.append((due_s, piece))
            self.n_bytes += len(piece)
        else:
            self.has_ended = True

    def write(self, now_s):
        while self.pieces and self.pieces[0][0] <= now_s:
            due_s, piece = self.pieces.popleft()
            try:
                n_sent = self.sink.send(piece)
            except BlockingIOError:
                n_sent = 0
            self.n_bytes -= n_sent
            if n_sent < len(piece):
                self.pieces.appendleft((due_s, piece[n_sent:]))
                return
        if self.has_ended and not self.pieces and not self.is_done:
            self.is_done = True
            with contextlib.suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)


class _Link:
    """A client's connection and the one made for it."""

    def __init__(self, client, server):
        self.client = client
        self.server = server
        self.ways = (_Way(client, server), _Way(server, client))
        for end in (client, server):
            end.settimeout(0)

    @property
    def is_over(self):
        return all(way.is_done for way in self.ways)

    def reset(self):
        for end in (self.client, self.server):
            _reset(end)

    def close(self):
        self.client.close()
        self.server.close()


class TcpProxy:
    """Forwards until `close`.

    Attributes:
        address: where clients connect, `host:port`.
        delay_s: added to every piece from now on.
        n_links: connections made so far.
    """

    def __init__(self, target):
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.delay_s = 0.0
        self.n_links = 0
        self._links = []
        self._forgotten = []
        self._is_down = self._is_held = self._is_closed = False
        self._orders = deque()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self):
        """Reset every connection; new ones are taken."""
        self._order(self._cut)

    def down(self):
        """Reset every connection and each that comes."""
        self._is_down = True
        self._order(self._cut)

    def up(self):
        """Take connections again."""
        self._is_down = False

    def hold(self):
        """Forward nothing, either way."""
        self._is_held = True
        self._order(lambda: None)

    def flow(self):
        """Forward again, from where it was held."""
        self._is_held = False

    def forget(self):
        """Let go of the clients; the target hears nothing of it, now or later, until `close`."""
        self._order(self._forget)

    def close(self):
        """Stop; every connection is reset."""
        self._is_closed = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy does not stop"

    def _order(self, order):
        """Have it followed by the proxy's own thread, before this returns."""
        followed = threading.Event()
        self._orders.append((order, followed))
        assert followed.wait(10), "the proxy follows no order"

    def _run(self):
        while not self._is_closed:
            while self._orders:
                order, followed = self._orders.popleft()
                order()
                followed.set()
            self._round()
        self._cut()
        for end in self._forgotten:
            _reset(end)
        self._listener.close()

    def _round(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            now_s = time.monotonic()
            if not self._is_held:
                self._watch(selector, now_s)
            ready = {key.fileobj: events for key, events in selector.select(LOOK_S)}
        if self._listener in ready:
            self._accept()
        if self._is_held:
            return
        now_s = time.monotonic()
        for link in list(self._links):
            try:
                for way in link.ways:
                    if ready.get(way.source, 0) & selectors.EVENT_READ and not way.has_ended:
                        way.read(now_s + self.delay_s)
                    way.write(now_s)
            except OSError:
                link.reset()
                self._links.remove(link)
                continue
            if link.is_over:
                link.close()
                self._links.remove(link)

    def _watch(self, selector, now_s):
        wanted = {}
        for link in self._links:
            for way in link.ways:
                if not way.has_ended and way.n_bytes < LIMIT_BYTES:
                    wanted[way.source] = wanted.get(way.source, 0) | selectors.EVENT_READ
                if way.pieces and way.pieces[0][0] <= now_s:
                    wanted[way.sink] = wanted.get(way.sink, 0) | selectors.EVENT_WRITE
        for end, events in wanted.items():
            selector.register(end, events)

    def _accept(self):
        client, _ = self._listener.accept()
        if self._is_down:
            _reset(client)
            return
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            _reset(client)
            return
        self.n_links += 1
        self._links.append(_Link(client, server))

    def _cut(self):
        for link in self._links:
            link.reset()
        self._links.clear()

    def _forget(self):
        for link in self._links:
            self._forgotten.append(link.server)
            _reset(link.client)
        self._links.clear()


def _reset(end):
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()
