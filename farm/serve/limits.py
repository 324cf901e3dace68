"""Limits for each client: who is at one is told so with the time of the next try, or is held back.

Clients are told apart as `farm.serve.caller` has them. What each may have is `limits` of the
config; how that is counted is in `quota.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio

from farm.config.schema import LimitsConfig
from farm.errors import LimitError
from farm.serve.caller import caller, host_of, set_caller
from farm.serve.interceptor import answer, is_stream, method_of, with_method
from farm.serve.quota import NS_PER_S, Clients, Way, byte_wait_ns, take_bytes, try_admit
from farm.telemetry.log import Logger

COUNTERS = {
    "open_streams": "refused_streams",
    "calls_in_flight": "refused_calls",
    "calls_per_second": "refused_rate",
}
"""Limit that a call was refused by: counter in the child's slot."""
HELD_COUNTERS = {Way.IN: "held_in_ns", Way.OUT: "held_out_ns"}
LOOK_S = 0.05
"""Longest sleep of who is held back: so soon a new limit counts, and the end of the farm."""
TELL_NS = 10 * NS_PER_S
"""Between two lines of the log about one client: a flood of calls shall be none of lines."""


class Limiter:
    """Keeps account of every client of a server.

    Attributes:
        limits: in force; replaced when the config changes.

    Args:
        limits: in force.
        count: adds to a counter of this child, by name.
        log: gets who was refused.
    """

    def __init__(
        self, limits: LimitsConfig, count: Callable[[str, int], None], log: Logger
    ) -> None:
        self.limits = limits
        self._count = count
        self._log = log
        self._clients = Clients()

    @contextmanager
    def admission(self, name: str, *, is_stream: bool) -> Iterator[None]:
        """A call of a client, for as long as it lasts.

        Raises:
            LimitError: the client is at a limit.
        """
        client, now_ns = self._clients.of(name), time.monotonic_ns()
        refusal = try_admit(client, self.limits, is_stream=is_stream, now_ns=now_ns)
        if refusal is not None:
            self._count(COUNTERS[refusal.key], 1)
            client.n_untold += 1
            if not client.told_ns or now_ns - client.told_ns >= TELL_NS:
                self._log.warning(
                    "client_limited",
                    client=name,
                    limit=f"limits.{refusal.key}",
                    refused_calls=client.n_untold,
                )
                client.n_untold, client.told_ns = 0, now_ns
            retry_s = refusal.retry_ns / NS_PER_S
            raise LimitError(
                f"{name} {refusal.about} (limits.{refusal.key}); try again in {retry_s:.3g} s",
                retry_after_s=retry_s,
            )
        try:
            yield
        finally:
            client.opened(is_stream=is_stream, change=-1)

    async def hold(self, way: Way, is_over: Callable[[], bool]) -> None:
        """Wait until the caller of the present call may have its next message.

        Args:
            way: which way that goes.
            is_over: whether there is nothing to wait for any more.
        """
        began_ns = now_ns = time.monotonic_ns()
        while (wait_ns := self._wait_ns(way, now_ns)) and not is_over():
            await asyncio.sleep(min(LOOK_S, wait_ns / NS_PER_S))
            now_ns = time.monotonic_ns()
        if now_ns > began_ns:
            self._count(HELD_COUNTERS[way], now_ns - began_ns)

    def passed(self, way: Way, n_bytes: int) -> None:
        """A message of the present call's caller has gone its way."""
        client = self._clients.of(caller())
        take_bytes(client, self.limits, way, n_bytes, time.monotonic_ns())

    def _wait_ns(self, way: Way, now_ns: int) -> int:
        return byte_wait_ns(self._clients.of(caller()), self.limits, way, now_ns)


class LimitInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Refuses the calls of who is at a limit, and says who calls where no token does.

    Stands behind ErrorInterceptor and before AccessInterceptor: who is refused there for want of a
    token is limited too, by the address that it comes from.

    Args:
        limiter: keeps account.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Hand out the handler of a call, which begins with the account of its client."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method, streams = method_of(handler), is_stream(handler)

        async def limited(request: Any, context: Any) -> Any:
            # Only now is the peer known; a token was looked at in this very task, before.
            if not caller():
                set_caller(host_of(context.peer()))
            with self._limiter.admission(caller(), is_stream=streams):
                return await answer(method, request, context)

        return with_method(handler, limited)
