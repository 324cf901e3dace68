"""The one place where an error of a handler becomes a status.

Errors meant for the caller carry their message. Any other is a fault of ours: the caller gets an
id, the log gets the id and everything else, and nothing of the inside leaks. What a game or a limit
refuses comes with an ErrorDetail in the trailing metadata `farm-error-bin`.
"""

import asyncio
import inspect
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from farm.errors import GameError, LimitError
from farm.rpc.names import ERROR_METADATA
from farm.rpc.status import status_of, trailing_of
from farm.rpc.v1 import games_pb2
from farm.serve.caller import caller, host_of, set_caller
from farm.telemetry.log import Logger

_ID_BYTES = 6
_MS_PER_S = 1_000
_MAX_DETAIL = 400
"""Characters of a message that are sent. It travels in metadata, twice, of which a client takes
8 KiB; a longer one, such as one that quotes a request, would reach it as another error."""

_FACTORIES = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
_METHODS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def method_of(handler: Any) -> Callable[..., Any]:
    """The method of a handler, whatever its kind."""
    kind = (handler.request_streaming, handler.response_streaming)
    method: Callable[..., Any] = getattr(handler, _METHODS[kind])
    return method


def is_stream(handler: Any) -> bool:
    """Whether a handler's call has more than one message either way."""
    return bool(handler.request_streaming or handler.response_streaming)


async def answer(method: Callable[..., Any], request: Any, context: Any) -> Any:
    """Run a method, of either form: a coroutine function, or an asynchronous generator's."""
    if not inspect.isasyncgenfunction(method):
        return await method(request, context)
    async for message in method(request, context):
        await context.write(message)
    return None


def with_method(handler: Any, method: Callable[..., Any]) -> Any:
    """A handler of the same kind as another, with a method of its own."""
    kind = (handler.request_streaming, handler.response_streaming)
    return _FACTORIES[kind](method, handler.request_deserializer, handler.response_serializer)


class ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Wraps every handler of the server.

    Args:
        log: gets the faults.
        on_error: called once for each call that ends in an error.
    """

    def __init__(self, log: Logger, on_error: Callable[[], None]) -> None:
        self._log = log
        self._on_error = on_error

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Hand out the handler of a call, guarded; None where there is none (UNIMPLEMENTED)."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        guarded = self._guard(method_of(handler), handler_call_details.method)
        return with_method(handler, guarded)

    def _guard(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def guarded(request: Any, context: Any) -> Any:
            if not caller():
                set_caller(host_of(context.peer()))
            try:
                return await answer(method, request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                if context.cancelled():
                    raise  # the caller has gone: gRPC ends the call, there is nobody to tell
                if isinstance(error, grpc.aio.InternalError):
                    # An operation on the call failed, as its connection broke, and we meet it
                    # before gRPC has counted the call as cancelled: the caller has gone, too.
                    raise asyncio.CancelledError from error
                await self._abort(error, name, context)

        return guarded

    async def _abort(self, error: Exception, name: str, context: Any) -> None:
        self._on_error()
        status = status_of(error)
        detail = str(error)[:_MAX_DETAIL]
        if status is grpc.StatusCode.INTERNAL:
            error_id = secrets.token_hex(_ID_BYTES)
            detail = f"internal error {error_id}; the farm's log has it under that id"
            self._log.error("rpc_failed", method=name, error_id=error_id, exc_info=error)
        elif not isinstance(error, LimitError):  # of which the limiter tells, now and then
            self._log.info("rpc_refused", method=name, status=status.name, detail=detail)
        trailing: list[tuple[str, str | bytes]] = [*trailing_of(error)]
        if (refusal := error_detail(error)) is not None:
            trailing.append((ERROR_METADATA, refusal.SerializeToString()))
        await context.abort(status, detail, tuple(trailing))


def error_detail(error: Exception) -> games_pb2.ErrorDetail | None:
    """What a program is told of an error beside its status; None where the status says it all."""
    if isinstance(error, LimitError):
        return games_pb2.ErrorDetail(
            reason=games_pb2.LIMIT,
            message=str(error)[:_MAX_DETAIL],
            retry_after_ms=_whole_ms(error.retry_after_s),
        )
    if not isinstance(error, GameError):
        return None
    return games_pb2.ErrorDetail(
        reason=error.reason,
        game_id=error.game_id,
        move=error.move,
        retry_after_ms=_whole_ms(error.retry_after_s),
        message=str(error)[:_MAX_DETAIL],
        tick=error.tick,
    )


def _whole_ms(seconds: float) -> int:
    """Rounded up: who comes back after it is not too early."""
    return math.ceil(seconds * _MS_PER_S)
