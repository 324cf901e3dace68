"""The one place where the farm's errors and gRPC status codes meet.

error                  status                a client then
InvalidRequestError    INVALID_ARGUMENT      gives up
UnauthenticatedError   UNAUTHENTICATED       gives up
ForbiddenError         PERMISSION_DENIED     gives up
NotFoundError          NOT_FOUND             gives up
ConflictError          FAILED_PRECONDITION   gives up
TooManyStreamsError    RESOURCE_EXHAUSTED    gives up, or tries again if it was connected before
NoRoomError            RESOURCE_EXHAUSTED    gives up
SilentClientError      DEADLINE_EXCEEDED     connects again
LimitError             RESOURCE_EXHAUSTED    tries again after a while
StoppingError          UNAVAILABLE           connects again
GameError              by its reason         acts by the reason (`GAME_STATUS`)
anything else          INTERNAL              gives up; the message is an id found in the farm's log
of gRPC itself         CANCELLED             connects again: a server that ends cancels its calls
"""

import math
from collections.abc import Iterable, Mapping

import grpc

from farm.errors import (
    ClientError,
    ConflictError,
    ForbiddenError,
    GameError,
    InvalidRequestError,
    LimitError,
    NoRoomError,
    NotFoundError,
    RejectedError,
    SilentClientError,
    StoppingError,
    TooManyStreamsError,
    UnauthenticatedError,
    UnavailableError,
)
from farm.rpc.names import RETRY_METADATA

_STATUS: dict[type[BaseException], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ConflictError: grpc.StatusCode.FAILED_PRECONDITION,
    TooManyStreamsError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NoRoomError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    SilentClientError: grpc.StatusCode.DEADLINE_EXCEEDED,
    StoppingError: grpc.StatusCode.UNAVAILABLE,
}

GAME_STATUS: Mapping[str, grpc.StatusCode] = {
    "BAD_REQUEST": grpc.StatusCode.INVALID_ARGUMENT,
    "OFF_BOARD": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_ADJACENT": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_YOUR_CELL": grpc.StatusCode.FAILED_PRECONDITION,
    "MOUNTAIN": grpc.StatusCode.FAILED_PRECONDITION,
    "NOTHING_TO_MOVE": grpc.StatusCode.FAILED_PRECONDITION,
    "WRONG_TICK": grpc.StatusCode.ABORTED,
    "WRONG_PHASE": grpc.StatusCode.FAILED_PRECONDITION,
    "GAME_FULL": grpc.StatusCode.FAILED_PRECONDITION,
    "SEAT_TAKEN": grpc.StatusCode.FAILED_PRECONDITION,
    "SEAT_DEAD": grpc.StatusCode.FAILED_PRECONDITION,
    "UNKNOWN_GAME": grpc.StatusCode.NOT_FOUND,
    "BAD_TOKEN": grpc.StatusCode.PERMISSION_DENIED,
    "LIMIT": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""The status of a GameError by its reason: every Reason of games.proto but the unspecified one."""

_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_NO_CONNECTION = "failed to connect to all addresses"
"""How gRPC begins a list of every address it tried; its end says why."""
_OPENSSL = "OPENSSL_internal:"
"""Behind it, in that list, what went wrong in a handshake."""
_NO_TLS = "WRONG_VERSION_NUMBER"
_CLOSED = "Socket closed"
_HINT = "it may want TLS, or a certificate of this client that it trusts"
_MS_PER_S = 1_000
_MAX_RETRY_S = 3_600.0
_BUSY = grpc.StatusCode.RESOURCE_EXHAUSTED


def status_of(error: BaseException) -> grpc.StatusCode:
    """The status a caller gets for an error; INTERNAL for one that no caller should meet."""
    if isinstance(error, GameError):
        return GAME_STATUS[error.reason]
    return _STATUS.get(type(error), grpc.StatusCode.INTERNAL)


def trailing_of(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that goes with the status of an error."""
    if isinstance(error, LimitError):
        return ((RETRY_METADATA, str(max(1, math.ceil(error.retry_after_s * _MS_PER_S)))),)
    return ()


def retry_after_s(trailing: Iterable[tuple[str, object]] | None) -> float | None:
    """When to try again, in seconds, by the trailing metadata of a call; None if it says nothing.

    What is no number of milliseconds, or more than an hour, is as good as nothing.
    """
    for key, value in trailing or ():
        if key == RETRY_METADATA and str(value).isascii() and str(value).isdigit():
            wait_s = int(str(value)) / _MS_PER_S
            return wait_s if wait_s <= _MAX_RETRY_S else None
    return None


def error_of(
    code: grpc.StatusCode, detail: str, address: str, *, retry_after_s: float | None = None
) -> ClientError:
    """What a client raises for a call that ended with `code`."""
    if code in _TRANSIENT:
        reason = _no_connection(detail) if detail.startswith(_NO_CONNECTION) else detail
        return UnavailableError(f"no farm answers at {address}: {reason}")
    return RejectedError(code.name, detail, retry_after_s=retry_after_s)


def _no_connection(detail: str) -> str:
    detail = detail.removesuffix(": OK")  # the verdict on a certificate that was not come to
    handshake = detail.rpartition(_OPENSSL)[2] if _OPENSSL in detail else ""
    if handshake.startswith(_NO_TLS):
        return "it speaks no TLS there"
    if handshake:
        return f"the TLS handshake failed, {handshake}"
    reason = detail.rpartition(": ")[2]
    return f"{reason}; {_HINT}" if reason == _CLOSED else reason


def is_transient(
    code: grpc.StatusCode, *, was_connected: bool, retry_after_s: float | None = None
) -> bool:
    """Whether a stream that ended with `code` is worth another try.

    A client that reconnects may meet its own old stream, which the farm has not given up yet; one
    that is at a limit is told when to come again.
    """
    return code in _TRANSIENT or (code == _BUSY and (was_connected or retry_after_s is not None))
