"""The handlers of ExperienceService. Requests come in and messages go out as bytes.

A stream's handler asks the pump for one batch at a time and waits until gRPC has taken it, so that
a client that stops reading holds one message here, what flow control has in flight, and no more.
"""

import asyncio
import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from farm.config.patterns import GROUP
from farm.errors import (
    ConflictError,
    InvalidRequestError,
    SilentClientError,
    StoppingError,
    TooManyStreamsError,
)
from farm.rpc import names
from farm.rpc.names import DEFAULT_GROUP
from farm.rpc.v1 import experience_pb2
from farm.serve.balance import balance_message
from farm.serve.describe import Describer
from farm.serve.filters import compile_filter
from farm.serve.hub import Opening
from farm.serve.limits import Limiter
from farm.serve.member import Member
from farm.serve.policy import compile_policy
from farm.serve.pump import Pump
from farm.serve.quota import Way
from farm.serve.stream import Stream
from farm.serve.submit import Intake, Tally
from farm.serve.trail import trail
from farm.shm.control import ChildSlot
from farm.spec.fingerprint import spec_fingerprint
from farm.telemetry.tracing import Attributes

Result = TypeVar("Result")
Request = TypeVar("Request", bound=Message)


class ExperienceService:
    """Handlers by method name: `handlers()`.

    Args:
        pump: makes the batches.
        describer: answers the unary calls.
        slot: this child's part of the control block: the number of streams.
        intake: takes trajectories in; None if the farm has no ring for them.
        limiter: holds back who has had its share of bytes.
    """

    def __init__(
        self,
        pump: Pump,
        describer: Describer,
        slot: ChildSlot,
        intake: Intake | None,
        limiter: Limiter,
    ) -> None:
        self._pump = pump
        self._describer = describer
        self._slot = slot
        self._intake = intake
        self._limiter = limiter
        self._n_streams = 0

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        methods = {
            names.SUBSCRIBE: grpc.stream_stream_rpc_method_handler(self.subscribe),
            names.STREAM_EXPERIENCES: grpc.unary_stream_rpc_method_handler(self.stream_experiences),
            names.GET_EXPERIENCE_STATS: grpc.unary_unary_rpc_method_handler(self.get_stats),
            names.REMOVE_GROUP: grpc.unary_unary_rpc_method_handler(self.remove_group),
            names.GET_BALANCE: grpc.unary_unary_rpc_method_handler(self.get_balance),
            names.SUBMIT_EXPERIENCES: grpc.stream_unary_rpc_method_handler(self.submit),
            names.GET_FARM_INFO: grpc.unary_unary_rpc_method_handler(self.get_info),
        }
        return grpc.method_handlers_generic_handler(names.EXPERIENCE_SERVICE, methods)

    async def subscribe(self, _requests: Any, context: Any) -> None:
        """Deliver leases to a member of a group, and take its acknowledgements."""
        self._admit(context)
        opening = compile_opening(await self._read_opening(context))
        with self._pump.membership(opening) as member:
            member.trail = trail()
            member.trail.opened(_terms(member))
            await context.write(self._describer.started(member.credit.limit_bytes))
            acks = asyncio.ensure_future(self._take_acks(member, context))
            try:
                await self._deliver(member, context, acks)
            finally:
                _let_go(acks)

    async def stream_experiences(self, request: bytes, context: Any) -> None:
        """Deliver what passes a filter, beside the groups."""
        self._admit(context)
        wanted = compile_filter(_parse(experience_pb2.StreamExperiencesRequest, request).filter)
        with self._observer(wanted) as stream:
            stream.trail = trail()
            stream.trail.opened({})
            await context.write(self._describer.started(0))
            await self._deliver(stream, context, None)

    async def get_stats(self, request: bytes, _context: Any) -> bytes:
        """Statistics."""
        wanted = _parse(experience_pb2.GetExperienceStatsRequest, request)
        reply = self._describer.stats(list(wanted.game_ids), per_seat=wanted.per_seat)
        return reply.SerializeToString()

    async def remove_group(self, request: bytes, _context: Any) -> bytes:
        """Forget a group."""
        name = _parse(experience_pb2.RemoveGroupRequest, request).group or DEFAULT_GROUP
        abandoned = self._pump.hub.groups.remove(name)
        self._pump.wake.set()
        reply = experience_pb2.RemoveGroupResponse(abandoned_records=abandoned)
        return reply.SerializeToString()

    async def get_balance(self, request: bytes, _context: Any) -> bytes:
        """Where every record is."""
        _parse(experience_pb2.GetBalanceRequest, request)
        return balance_message(self._pump).SerializeToString()

    async def submit(self, _requests: Any, context: Any) -> bytes:
        """Take trajectories in."""
        self._admit(context)
        if self._intake is None:
            raise ConflictError("this farm has no ring for submitted trajectories")
        opening = await self._read_submission(context, self._intake)
        if opening is None or opening.WhichOneof("kind") != "open":
            raise InvalidRequestError("the first message of a submission is `open`")
        if opening.open.spec_fingerprint != spec_fingerprint():
            raise ConflictError(
                f"the sender has spec {opening.open.spec_fingerprint:016x}, the farm "
                f"{spec_fingerprint():016x}; install the same version of farm on both sides"
            )
        tally = Tally()
        trail().opened({})
        try:
            await self._take_in(context, self._intake, tally)
        finally:
            trail().happened("taken", _counts(tally))
        return tally.response.SerializeToString()

    async def get_info(self, request: bytes, _context: Any) -> bytes:
        """Discovery."""
        _parse(experience_pb2.GetFarmInfoRequest, request)
        return self._describer.info().SerializeToString()

    def _admit(self, context: Any) -> None:
        """Count the call as a stream until gRPC is done with it."""
        limit = self._describer.live.config.serve.max_streams
        if self._n_streams >= limit:
            raise TooManyStreamsError(
                f"{limit} streams are open (serve.max_streams); close one or raise the limit"
            )
        self._count_stream(1)
        context.add_done_callback(lambda _context: self._count_stream(-1))

    def _count_stream(self, change: int) -> None:
        self._n_streams += change
        self._slot.set("streams", self._n_streams)

    @contextmanager
    def _observer(self, wanted: Any) -> Iterator[Stream]:
        stream = self._pump.hub.open_stream(wanted)
        try:
            yield stream
        finally:
            self._pump.hub.close_stream(stream)

    async def _read_opening(self, context: Any) -> experience_pb2.SubscribeOpen:
        timeout_s = self._describer.live.config.serve.client_timeout_s
        try:
            message = await asyncio.wait_for(context.read(), timeout_s)
        except TimeoutError:
            raise SilentClientError(f"no `open` within {timeout_s} s") from None
        if message is grpc.aio.EOF:
            raise InvalidRequestError("the stream ended before its `open`")
        request = _parse(experience_pb2.SubscribeRequest, message)
        if request.WhichOneof("kind") != "open":
            raise InvalidRequestError("the first message of a subscription is `open`")
        return request.open

    async def _read_submission(
        self, context: Any, intake: Intake
    ) -> experience_pb2.SubmitRequest | None:
        """The next message of a submission, in its time; None at its end.

        Raises:
            StoppingError: the farm stops.
        """
        await self._limiter.hold(Way.IN, lambda: intake.is_closed)
        read = asyncio.ensure_future(context.read())
        closed = asyncio.ensure_future(intake.until_closed())
        try:
            await asyncio.wait({read, closed}, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():
                raise StoppingError("the farm is stopping")
            message = read.result()
        finally:
            closed.cancel()
            _let_go(read)
        if message is grpc.aio.EOF:
            return None
        self._limiter.passed(Way.IN, len(message))
        return _parse(experience_pb2.SubmitRequest, message)

    async def _take_in(self, context: Any, intake: Intake, tally: Tally) -> None:
        """Take the batches of a submission, to its end."""
        while (request := await self._read_submission(context, intake)) is not None:
            if request.WhichOneof("kind") != "batch":
                raise InvalidRequestError("behind `open` a submission takes only `batch`")
            timeout_s = self._describer.live.config.serve.client_timeout_s
            await intake.take(request.batch.trajectories, tally, timeout_s)

    async def _take_acks(self, member: Member, context: Any) -> None:
        """Read acknowledgements until the client half-closes."""
        while (message := await context.read()) is not grpc.aio.EOF:
            request = _parse(experience_pb2.SubscribeRequest, message)
            if request.WhichOneof("kind") != "ack":
                raise InvalidRequestError("behind `open` a subscription takes only `ack`")
            self._pump.acknowledge(member, list(request.ack.batch_ids))

    async def _deliver(
        self, reader: Member | Stream, context: Any, acks: asyncio.Future[None] | None
    ) -> None:
        """Send batches until the client half-closes or an error ends the stream."""
        while True:
            message = await _unless_ended(acks, self._next_batch(reader), None)
            if message is None:
                return
            timeout_s = self._describer.live.config.serve.client_timeout_s
            await _unless_ended(acks, context.write(message), timeout_s)

    async def _next_batch(self, reader: Member | Stream) -> bytes:
        """A batch, in its time: while it is held back, its records lie in the ring, unleased."""
        await self._limiter.hold(Way.OUT, lambda: self._pump.is_closed)
        message = await self._pump.next_batch(reader)
        self._limiter.passed(Way.OUT, len(message))
        return message


def compile_opening(wanted: experience_pb2.SubscribeOpen) -> Opening:
    """Check what a subscriber asks for.

    Raises:
        InvalidRequestError: no group can have such a name or policy, or the filter is off.
    """
    name = wanted.group or DEFAULT_GROUP
    if not re.fullmatch(GROUP, name):
        raise InvalidRequestError(f"group {name!r}: a name is 1 to 32 of a-z, 0-9, - and _")
    return Opening(
        group=name,
        policy=compile_policy(wanted.policy),
        wanted=compile_filter(wanted.filter),
        credit_bytes=wanted.credit_bytes,
    )


def _terms(member: Member) -> Attributes:
    """What a member's stream is opened with, for its span."""
    return {
        "farm.group": member.group.name,
        "farm.policy": str(member.group.policy),
        "farm.credit_bytes": member.credit.limit_bytes,
    }


def _counts(tally: Tally) -> Attributes:
    """What became of a submission, for its span."""
    return {
        "farm.accepted_records": tally.response.accepted_records,
        "farm.rejected_records": tally.response.rejected_records,
    }


async def _unless_ended(
    acks: asyncio.Future[None] | None, step: Awaitable[Result], timeout_s: float | None
) -> Result | None:
    """Await a step of delivery; None if the client half-closed before it was done.

    Raises:
        SilentClientError: the client has read nothing for too long.
        InvalidRequestError: the client acknowledged what it does not have.
    """
    task = asyncio.ensure_future(step)
    try:
        waiting: set[asyncio.Future[Any]] = {task} if acks is None else {task, acks}
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if acks is not None and acks.done():
            acks.result()
            return None
        if not task.done():
            raise SilentClientError(f"the client has read nothing for {timeout_s} s")
        return task.result()
    finally:
        _let_go(task)


def _let_go(task: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more."""
    if not task.cancel() and not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it as lost


def _parse(kind: type[Request], message: bytes) -> Request:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InvalidRequestError(
            f"{len(message)} bytes that are no {kind.DESCRIPTOR.full_name}"
        ) from None
