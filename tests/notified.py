"""The other side of the notify protocol: what systemd would receive, on a real datagram socket."""

import socket
import threading
import time


class Manager:
    """Receives.

    Args:
        address: a path, or a name in the abstract namespace after an `@`.
    """

    def __init__(self, address):
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self._socket.settimeout(0.0)

    def receive(self):
        """The messages so far, each a list of its lines."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(65_536).decode().split("\n"))
            except BlockingIOError:
                return messages

    def close(self):
        self._socket.close()


class Listener:
    """A manager that listens all the time, and notes when it heard what."""

    def __init__(self, address):
        self.heard = []
        self._manager = Manager(address)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while not self._stopping.wait(0.002):
            for lines in self._manager.receive():
                self.heard.append((time.monotonic_ns(), lines))

    def close(self):
        self._stopping.set()
        self._thread.join(10)
        self._manager.close()
