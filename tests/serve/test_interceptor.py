"""What the handlers' errors become, where no real caller can be made to cause them at will."""

import asyncio
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest
from grpc._cython.cygrpc import ExecuteBatchError

from farm.errors import ConflictError, GameError, LimitError
from farm.rpc.names import ERROR_METADATA
from farm.rpc.v1 import games_pb2
from farm.serve.interceptor import ErrorInterceptor
from farm.telemetry.log import get_logger


class Context:
    """A call that gRPC does not know to be cancelled."""

    def __init__(self):
        self.status = None
        self.detail = ""
        self.metadata = ()

    def cancelled(self):
        return False

    def peer(self):
        return "ipv4:127.0.0.1:4711"

    async def abort(self, status, detail, metadata=()):
        self.status = status
        self.detail = detail
        self.metadata = metadata


def call(error, context):
    """Let a handler fail; how often that was counted as an error."""
    errors = []

    async def fail(_request, _context):
        raise error

    async def run():
        interceptor = ErrorInterceptor(get_logger(), lambda: errors.append(1))
        inner = grpc.stream_stream_rpc_method_handler(fail)

        async def continuation(_details):
            return inner

        details = SimpleNamespace(method="/a/b")
        handler = await interceptor.intercept_service(continuation, details)
        await handler.stream_stream(None, context)

    try:
        asyncio.run(run())
    finally:
        context.n_errors = len(errors)


def test_a_connection_that_breaks_in_the_middle_of_a_write_is_a_caller_that_has_gone(capfd):
    context = Context()
    with pytest.raises(asyncio.CancelledError):
        call(ExecuteBatchError("Failed grpc_call_start_batch"), context)
    assert (context.status, context.n_errors) == (None, 0)
    assert "rpc_failed" not in "".join(capfd.readouterr())


def test_any_other_error_is_a_fault_of_ours(capfd):
    context = Context()
    call(RuntimeError("broken"), context)
    assert (context.status, context.n_errors) == (grpc.StatusCode.INTERNAL, 1)
    assert "rpc_failed" in "".join(capfd.readouterr())


def detail_of(error):
    """The status and the ErrorDetail that a caller gets for an error."""
    context = Context()
    call(error, context)
    value = dict(context.metadata)[ERROR_METADATA]
    return context.status, games_pb2.ErrorDetail.FromString(value)


def test_what_a_game_refuses_carries_its_reason_in_the_trailing_metadata():
    error = GameError("WRONG_TICK", "tick 7 is over", move=2, tick=9, retry_after_s=0.0015)
    error.game_id = 4711
    assert detail_of(error) == (
        grpc.StatusCode.ABORTED,
        games_pb2.ErrorDetail(
            reason=games_pb2.WRONG_TICK,
            game_id=4711,
            move=2,
            retry_after_ms=2,
            message="tick 7 is over",
            tick=9,
        ),
    )


def test_a_limit_says_when_another_try_may_succeed():
    status, detail = detail_of(LimitError("too many calls", retry_after_s=0.25))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (detail.reason, detail.retry_after_ms) == (games_pb2.LIMIT, 250)


def test_other_refusals_have_a_status_alone():
    context = Context()
    call(ConflictError("another policy"), context)
    assert (context.status, context.metadata) == (grpc.StatusCode.FAILED_PRECONDITION, ())


def test_a_message_that_quotes_a_long_request_fits_into_metadata():
    context = Context()
    call(GameError("BAD_REQUEST", "\N{SNOWMAN}" * 100_000), context)
    ((_, value),) = context.metadata
    assert len(context.detail.encode()) * 3 + len(value) * 4 / 3 < 8192


@pytest.mark.parametrize("reason", games_pb2.Reason.keys()[1:])
def test_every_reason_of_the_protocol_can_be_told(reason):
    _, detail = detail_of(GameError(reason, "no"))
    assert games_pb2.Reason.Name(detail.reason) == reason
