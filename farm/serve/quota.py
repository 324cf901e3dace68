"""What one client has of a service at a moment, and whether it may have more. Pure.

    streams     counted while they are open       one more is refused
    calls       counted while they are answered   one more is refused
    new calls   a bucket of calls a second        refused while it has none
    bytes       a bucket each way                 held back while it is in debt: nothing is lost

A refused call costs its client nothing of these: it may try again as soon as there is room.
"""

from collections import OrderedDict
from enum import StrEnum
from typing import NamedTuple

from farm.config.schema import LimitsConfig

NS_PER_S = 1_000_000_000
MAX_CLIENTS = 4096
"""Clients that are remembered. One with something open is never forgotten: if there are as many of
those as this, a server remembers more, and no more than it has calls (`server.MAX_CALLS`)."""
CALL_BURST_NS = NS_PER_S
"""Of unused time that calls may make up for: a second's worth of them at once."""
BYTE_BURST_NS = NS_PER_S // 4
"""The same of bytes. Short, as a message is sent whole whenever there is no debt; and longer than a
busy machine keeps the service from sending, or the rate would be below what was set."""
STREAM_RETRY_NS = NS_PER_S
"""When a client at its streams is told to try again: nobody knows when it closes one."""
CALL_RETRY_NS = NS_PER_S // 10
"""The same of calls, which are over sooner."""


class Way(StrEnum):
    """Which way bytes go, as the service sees it."""

    IN = "in"
    OUT = "out"


class Bucket:
    """How far ahead of a rate somebody is, which is all that a token bucket knows.

    Kept as the time at which one who goes on at the rate exactly would be here. Rates are no part
    of it: what is taken costs time, by the rate of the moment, and a new rate leaves debts alone.
    """

    __slots__ = ("_even_ns",)

    def __init__(self) -> None:
        self._even_ns = 0

    def wait_ns(self, cost_ns: int, burst_ns: int, now_ns: int) -> int:
        """Time until something can be taken that leaves it at most `burst_ns` ahead; 0 for now."""
        return max(0, max(self._even_ns, now_ns) + cost_ns - burst_ns - now_ns)

    def take(self, cost_ns: int, now_ns: int) -> None:
        """Something is taken, whether there is room or not."""
        self._even_ns = max(self._even_ns, now_ns) + cost_ns


class Client:
    """One client.

    Attributes:
        n_streams: open.
        n_calls: unary ones that are being answered.
        new_calls: of either kind.
        bytes: each way.
        n_untold: refusals that no log line told of yet.
        told_ns: when one did; 0 for never.
    """

    __slots__ = ("bytes", "n_calls", "n_streams", "n_untold", "new_calls", "told_ns")

    def __init__(self) -> None:
        self.n_streams = 0
        self.n_calls = 0
        self.new_calls = Bucket()
        self.bytes = {way: Bucket() for way in Way}
        self.n_untold = 0
        self.told_ns = 0

    @property
    def is_busy(self) -> bool:
        """Whether it has anything open."""
        return self.n_streams > 0 or self.n_calls > 0

    def opened(self, *, is_stream: bool, change: int = 1) -> None:
        """It has one stream or call more, or fewer."""
        if is_stream:
            self.n_streams += change
        else:
            self.n_calls += change


class Clients:
    """Every client that has something open, and of the others as many as `most` in all allow.

    Args:
        most: MAX_CLIENTS.
    """

    def __init__(self, most: int = MAX_CLIENTS) -> None:
        self._most = most
        self._by_name: OrderedDict[str, Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_name)

    def of(self, name: str) -> Client:
        """The client of a name; a new one takes the place of whoever was silent longest."""
        client = self._by_name.get(name)
        if client is None:
            while len(self._by_name) >= self._most and self._try_forget_one():
                pass
            client = self._by_name[name] = Client()
        self._by_name.move_to_end(name)
        return client

    def _try_forget_one(self) -> bool:
        for name, client in self._by_name.items():
            if not client.is_busy:
                del self._by_name[name]
                return True
        return False


class Refusal(NamedTuple):
    """Why a call is not taken."""

    key: str
    """The limit, as `limits` of the config has it."""
    about: str
    """In words, without the client's name."""
    retry_ns: int
    """Time after which another try may succeed."""


def try_admit(
    client: Client, limits: LimitsConfig, *, is_stream: bool, now_ns: int
) -> Refusal | None:
    """Take a new call into account, or say why it is refused.

    Whoever is admitted has to call `client.opened(..., change=-1)` at the end.
    """
    if is_stream and client.n_streams >= limits.open_streams:
        about = f"has {client.n_streams} streams open, as many as it may"
        return Refusal("open_streams", about, STREAM_RETRY_NS)
    if not is_stream and client.n_calls >= limits.calls_in_flight:
        about = f"waits for {client.n_calls} answers, as many as it may"
        return Refusal("calls_in_flight", about, CALL_RETRY_NS)
    if (rate := limits.calls_per_second) is not None:
        cost_ns = NS_PER_S // rate
        wait_ns = client.new_calls.wait_ns(cost_ns, CALL_BURST_NS, now_ns)
        if wait_ns:
            return Refusal("calls_per_second", f"makes more than {rate} calls a second", wait_ns)
        client.new_calls.take(cost_ns, now_ns)
    client.opened(is_stream=is_stream)
    return None


def byte_wait_ns(client: Client, limits: LimitsConfig, way: Way, now_ns: int) -> int:
    """How long the next message of a client is held back; 0 for not at all."""
    if rate_of(limits, way) is None:
        return 0
    return client.bytes[way].wait_ns(0, BYTE_BURST_NS, now_ns)


def take_bytes(client: Client, limits: LimitsConfig, way: Way, n_bytes: int, now_ns: int) -> None:
    """A message of a client has gone its way."""
    if (rate := rate_of(limits, way)) is not None:
        client.bytes[way].take(n_bytes * NS_PER_S // rate, now_ns)


def rate_of(limits: LimitsConfig, way: Way) -> int | None:
    """Bytes a second that one client may have; None for any number."""
    return limits.bytes_per_second_in if way is Way.IN else limits.bytes_per_second_out
