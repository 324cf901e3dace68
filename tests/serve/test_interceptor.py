"""What the handlers' errors become, where no real caller can be made to cause them at will."""

import asyncio
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest
from grpc._cython.cygrpc import ExecuteBatchError

from farm.serve.interceptor import ErrorInterceptor
from farm.telemetry.log import get_logger


class Context:
    """A call that gRPC does not know to be cancelled."""

    def __init__(self):
        self.status = None

    def cancelled(self):
        return False

    async def abort(self, status, _detail, _trailing):
        self.status = status


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
