"""Who may call what: a bearer token's role against a table of methods.

Health is anybody's who can connect, for load balancers. Reflection tells what there is and needs
`observe`. What the table does not name needs `admin`. A stream ends soon after its token was taken
out of the file, or may not do this any longer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from farm.config.tokens import ROLES, Bearer, find_bearer, read_tokens
from farm.errors import ConfigError, ForbiddenError, RequestError, UnauthenticatedError
from farm.rpc import names
from farm.rpc.names import method_path
from farm.serve.caller import set_caller
from farm.serve.interceptor import answer, is_stream, method_of, with_method
from farm.telemetry.log import Logger

_PLAY = (
    names.CREATE_GAME,
    names.JOIN_GAME,
    names.SUBMIT_ACTION,
    names.GET_GAME_STATE,
    names.STREAM_GAME,
    names.PLAY,
    names.PLAY_MANY,
    names.SURRENDER,
    names.PAUSE_GAME,
    names.RESUME_GAME,
    names.CANCEL_GAME,
    names.GET_GAME_STATS,
)
NEEDS = {
    method_path(names.GET_FARM_INFO): "observe",
    method_path(names.GET_EXPERIENCE_STATS): "observe",
    method_path(names.GET_BALANCE): "observe",
    method_path(names.STREAM_EXPERIENCES): "observe",
    method_path(names.SUBSCRIBE): "train",
    method_path(names.SUBMIT_EXPERIENCES): "train",
    method_path(names.REMOVE_GROUP): "admin",
    method_path(names.LIST_GAMES, names.GAME_SERVICE): "observe",
    **{method_path(method, names.GAME_SERVICE): "play" for method in _PLAY},
    method_path("ServerReflectionInfo", "grpc.reflection.v1alpha.ServerReflection"): "observe",
}
OPEN = frozenset(method_path(method, "grpc.health.v1.Health") for method in ("Check", "Watch"))
LOOK_S = 1.0
"""Between two looks at the file while streams are open that might have to end."""
_BEARER = "bearer "


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Refuses calls without a token of the role that they need; stands behind ErrorInterceptor.

    Says who calls (`farm.serve.caller`), by the name of the token.

    Args:
        file: of the tokens; a changed one counts from the next call on, and for streams that are
            open within `LOOK_S`. One that cannot be read changes nothing.
        log: gets what is loaded, and what cannot be.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(self, file: str, log: Logger) -> None:
        self._file = file
        self._log = log
        self._seen = self._signature()
        self._bearers = read_tokens(file)
        self._open: dict[asyncio.Timeout, tuple[Bearer, str]] = {}
        self._next_look: asyncio.TimerHandle | None = None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Hand out the handler of a call, or one that refuses it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method in OPEN:
            return handler
        try:
            bearer = self._bearer_of(method, handler_call_details.invocation_metadata)
        except RequestError as error:
            return with_method(handler, _refusing(error))
        set_caller(f"token {bearer.name}")
        if not is_stream(handler):
            return handler
        return with_method(handler, self._ending(method_of(handler), bearer, method))

    def _bearer_of(self, method: str, metadata: Any) -> Bearer:
        """Whose token a call shows; raises a RequestError if it may not be made."""
        self._follow_file()
        given = [value for key, value in metadata or () if key == "authorization"]
        if len(given) != 1 or not str(given[0]).lower().startswith(_BEARER):
            raise UnauthenticatedError("this farm asks for a token: `authorization: Bearer TOKEN`")
        bearer = find_bearer(self._bearers, str(given[0])[len(_BEARER) :].strip())
        if bearer is None:
            raise UnauthenticatedError("the farm does not know this token")
        if not _may(bearer, method):
            raise ForbiddenError(
                f"{bearer.name} has role {bearer.role}, and {method} needs {_need(method)}"
            )
        return bearer

    def _ending(self, run: Callable[..., Any], bearer: Bearer, method: str) -> Callable[..., Any]:
        """The method of a stream, which ends when its token may not make the call any longer."""
        taken_back = UnauthenticatedError(
            f"the token of this stream ({bearer.name}) was taken back"
        )

        async def ending(request: Any, context: Any) -> Any:
            if self._is_void(bearer, method):  # since it was looked at, as the request arrived
                raise taken_back
            scope = asyncio.timeout(None)
            try:
                async with scope:
                    self._open[scope] = (bearer, method)
                    self._look_later()
                    return await answer(run, request, context)
            except TimeoutError:
                if not scope.expired():
                    raise
                raise taken_back from None
            finally:
                self._open.pop(scope, None)

        return ending

    def _look_later(self) -> None:
        if self._open and self._next_look is None:
            self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._next_look = None
        self._follow_file()
        self._look_later()

    def _follow_file(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._bearers = read_tokens(self._file)
        except ConfigError as error:
            self._log.error("tokens_not_loaded", error=str(error))
        else:
            ended = self._end_streams()
            self._log.info("tokens_loaded", tokens=len(self._bearers), ended_streams=ended)

    def _end_streams(self) -> int:
        """End the open streams whose token is not there any more, or has another role."""
        over = [scope for scope, held in self._open.items() if self._is_void(*held)]
        for scope in over:
            del self._open[scope]
            scope.reschedule(asyncio.get_running_loop().time())
        return len(over)

    def _is_void(self, bearer: Bearer, method: str) -> bool:
        """Whether a token is not in the file any more, or in another role that may not do this."""
        return not any(one.digest == bearer.digest and _may(one, method) for one in self._bearers)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = Path(self._file).stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _need(method: str) -> str:
    return NEEDS.get(method, "admin")


def _may(bearer: Bearer, method: str) -> bool:
    return _need(method) in ROLES[bearer.role]


def _refusing(error: RequestError) -> Callable[..., Any]:
    """A method that refuses whatever it is asked."""

    async def refuse(_request: Any, _context: Any) -> Any:
        raise error

    return refuse
