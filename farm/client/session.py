"""What both faces share beside the core: calls as values, and what to do when one fails."""

from dataclasses import dataclass
from typing import Any, Final, Self

import grpc

from farm.client.balance import Balance, Gap, gaps
from farm.client.core import Inbox
from farm.client.options import SubscribeOptions, Wanted, filter_of, group_policy
from farm.client.retry import Backoff, Retry
from farm.errors import ClientError, UsageError
from farm.rpc import names
from farm.rpc.status import error_of, is_transient, retry_after_s
from farm.rpc.v1 import experience_pb2

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
CLOSE_S: Final = 2.0
"""Time for the farm to take the last acknowledgements when a stream is closed."""

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", names.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", names.MAX_REQUEST_BYTES),
    # A farm whose machine is gone says nothing: ask it now and then.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    # `Retry` decides when to try again; the channel must not sit out a longer wait of its own.
    ("grpc.initial_reconnect_backoff_ms", 50),
    # By its name a wait; in gRPC's core it is the time that one try has to get a connection, which
    # on a busy machine takes longer than the waits around it.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Two clients in a process are two connections, each with a flow-control window of its own.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended.

    Attributes:
        code: its status.
        detail: the farm's message.
        retry_after_s: when to try again, where the farm says so.
    """

    code: grpc.StatusCode
    detail: str
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: Any) -> Self:
        """From what gRPC raises, in either face."""
        return cls(error.code(), error.details(), retry_after_s(error.trailing_metadata()))

    def error(self, address: str) -> ClientError:
        """What a client raises for it."""
        return error_of(self.code, self.detail, address, retry_after_s=self.retry_after_s)


ENDED: Final = Ending(grpc.StatusCode.UNAVAILABLE, "the farm ended the stream")


@dataclass(frozen=True, slots=True)
class StreamCall:
    """How a stream is opened.

    Attributes:
        method: its name.
        request: the first message, serialised.
        takes_acks: whether acknowledgements may follow.
        group: the group it joins; empty for a stream beside the groups.
        metadata: goes with the call.
    """

    method: str
    request: bytes
    takes_acks: bool
    group: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """What the call is addressed to."""
        return names.method_path(self.method)


def subscribe_call(options: SubscribeOptions) -> StreamCall:
    """`Subscribe`, as a member of a group.

    Raises:
        UsageError: the policy is none.
    """
    group = options.get("group") or names.DEFAULT_GROUP
    opening = experience_pb2.SubscribeOpen(
        credit_bytes=options.get("credit_bytes", 0),
        group=group,
        filter=filter_of(options),
        policy=group_policy(options.get("policy", "")),
    )
    request = experience_pb2.SubscribeRequest(open=opening)
    return StreamCall(names.SUBSCRIBE, request.SerializeToString(), takes_acks=True, group=group)


def stream_call(wanted: Wanted) -> StreamCall:
    """`StreamExperiences`, beside the groups."""
    request = experience_pb2.StreamExperiencesRequest(filter=filter_of(wanted))
    return StreamCall(names.STREAM_EXPERIENCES, request.SerializeToString(), takes_acks=False)


class Session:
    """One stream across its connections.

    Args:
        address: of the farm, for messages.
        call: how the stream is opened.
        retry: how long and how often to try.
    """

    def __init__(self, address: str, call: StreamCall, retry: Retry) -> None:
        self.call = call
        self.inbox = Inbox()
        self._address = address
        self._backoff = Backoff(retry)

    def receive(self, message: bytes) -> None:
        """Take in a message; raises what `Inbox.receive` raises."""
        self.inbox.receive(message)
        self._backoff.connected()

    def gaps(self, balance: Balance) -> tuple[Gap, ...]:
        """What has not arrived, beside the farm's own counts.

        Raises:
            UsageError: the stream is of no group, or the group is gone.
        """
        if not self.call.group:
            raise UsageError("a stream beside the groups may skip: only a subscription has gaps")
        return gaps(self.inbox.seen, balance, self.call.group)

    def failed(self, ending: Ending, now_s: float, jitter: float) -> float:
        """The connection ended: how many seconds to wait before the next.

        Raises:
            UnavailableError: no farm answered within the policy's deadline.
            RejectedError: the farm refuses, and would again.
        """
        was_connected = self.inbox.received.connections > 0
        self.inbox.disconnected()
        wait_s = None
        asked_s = ending.retry_after_s
        if is_transient(ending.code, was_connected=was_connected, retry_after_s=asked_s):
            wait_s = self._backoff.next_wait_s(now_s, jitter, at_least_s=asked_s or 0.0)
        if wait_s is None:
            raise ending.error(self._address)
        return wait_s
