"""Who may call what: a bearer token's role against a table of methods.

Health is anybody's who can connect, for load balancers. Reflection tells what there is and needs
`observe`. What the table does not name needs `admin`. A stream that is open when its token is
removed goes on; the token opens no other.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from farm.config.tokens import ROLES, find_bearer, read_tokens
from farm.errors import ConfigError, ForbiddenError, RequestError, UnauthenticatedError
from farm.rpc import names
from farm.rpc.names import method_path
from farm.serve.interceptor import with_method
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
_BEARER = "bearer "


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Refuses calls without a token of the role that they need; stands behind ErrorInterceptor.

    Args:
        file: of the tokens; a changed one counts from the next call on. One that cannot be read
            changes nothing.
        log: gets what is loaded, and what cannot be.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(self, file: str, log: Logger) -> None:
        self._file = file
        self._log = log
        self._seen = self._signature()
        self._bearers = read_tokens(file)

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
        refusal = self._refusal(method, handler_call_details.invocation_metadata)
        if refusal is None:
            return handler

        async def refuse(_request: Any, _context: Any) -> Any:
            raise refusal

        return with_method(handler, refuse)

    def _refusal(self, method: str, metadata: Any) -> RequestError | None:
        self._follow_file()
        given = [value for key, value in metadata or () if key == "authorization"]
        if len(given) != 1 or not str(given[0]).lower().startswith(_BEARER):
            return UnauthenticatedError("this farm asks for a token: `authorization: Bearer TOKEN`")
        bearer = find_bearer(self._bearers, str(given[0])[len(_BEARER) :].strip())
        if bearer is None:
            return UnauthenticatedError("the farm does not know this token")
        needed = NEEDS.get(method, "admin")
        if needed not in ROLES[bearer.role]:
            return ForbiddenError(
                f"{bearer.name} has role {bearer.role}, and {method} needs {needed}"
            )
        return None

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
            self._log.info("tokens_loaded", tokens=len(self._bearers))

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = Path(self._file).stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
