"""Every error the farm raises on purpose, and the exit code each one stands for.

FarmError                      70  anything of the farm's own
├─ UsageError                   2  the command line is off
├─ ConfigError                 78  a config value is wrong; carries the key
├─ ResourceError               69  the machine lacks something
│  ├─ AddressInUseError            a port is taken
│  ├─ SharedMemoryFullError        /dev/shm has too little room
│  ├─ InstanceRunningError         a live farm has this instance name
│  ├─ LeftoversError               a dead farm of this name owes something that it kept
│  └─ FileAccessError              a file cannot be opened, read or written
├─ SegmentError                70  a shared-memory segment cannot be used
│  ├─ SegmentAbsentError           nobody made it
│  ├─ SegmentNotReadyError         it is being made
│  ├─ SegmentLayoutError           it has another magic, layout version or size
│  └─ SegmentFullError             every place that it has is taken
├─ LifecycleError              70  a move that a lifecycle does not allow: a bug of ours
├─ CorruptDataError            70  bytes that fail their checksum or their shape
│  └─ ReplayError                  a file of recorded games cannot be understood; carries its path
├─ RequestError                70  a service refuses a request; rpc/status.py has the status
│  ├─ InvalidRequestError          it cannot be understood or is out of bounds
│  ├─ UnauthenticatedError         the caller shows no token that is known
│  ├─ ForbiddenError               the caller's role may not do that
│  ├─ NotFoundError                it names something that is not there
│  ├─ ConflictError                it does not go with what is there, or with this farm
│  ├─ TooManyStreamsError          `serve.max_streams` are open
│  ├─ NoRoomError                  a ring had no room for `serve.client_timeout_s`
│  ├─ SilentClientError            the caller took nothing for `serve.client_timeout_s`
│  ├─ StoppingError                the farm is stopping
│  ├─ LimitError                   a limit of the caller's is reached; carries when to try again
│  └─ GameError                    a game refuses; carries the reason, see games.proto
└─ ClientError                 69  what a client of a farm meets
   ├─ UnavailableError             no farm answers at the address
   ├─ RejectedError                the farm refused the request; carries the status
   │  └─ GameRejectedError         a game refused it; carries the reason, see games.proto
   └─ SpecMismatchError            client and farm disagree on the spec fingerprint

Exit codes are those of sysexits(3): 69 EX_UNAVAILABLE, 70 EX_SOFTWARE, 78 EX_CONFIG; and 75
EX_TEMPFAIL of `farm drain`: its time is over and something is left.
"""

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_INCOMPLETE = 75
EXIT_CONFIG = 78


class FarmError(Exception):
    """Root of the tree; the message carries the values and the next step."""

    exit_code = EXIT_INTERNAL


class UsageError(FarmError):
    """The command line cannot be understood."""

    exit_code = EXIT_USAGE


class ConfigError(FarmError):
    """A config value is unknown, of the wrong type, or impossible beside another.

    Args:
        key: dotted path of the value, such as `match.seats`; empty for the config as a whole.
        reason: what is wrong and what would be right.
    """

    exit_code = EXIT_CONFIG

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}" if key else reason)
        self.key = key
        self.reason = reason


class ResourceError(FarmError):
    """The machine lacks something that the farm needs."""

    exit_code = EXIT_UNAVAILABLE


class AddressInUseError(ResourceError):
    """Another process listens on the address."""


class SharedMemoryFullError(ResourceError):
    """There is less room in /dev/shm than the segments need."""


class InstanceRunningError(ResourceError):
    """A live farm already has this instance name."""


class LeftoversError(ResourceError):
    """What a dead farm of this name left is owed to somebody, and cannot be gone on with."""


class FileAccessError(ResourceError):
    """A file cannot be opened, read or written."""


class SegmentError(FarmError):
    """A shared-memory segment cannot be used."""


class SegmentAbsentError(SegmentError):
    """No segment of that name exists."""


class SegmentNotReadyError(SegmentError):
    """The segment exists, and its maker has not finished it."""


class SegmentLayoutError(SegmentError):
    """The segment has another magic, layout version or size than this build reads."""


class SegmentFullError(SegmentError):
    """Every place that the segment has is taken."""


class LifecycleError(FarmError):
    """A state machine was asked for a move that its table does not have."""


class CorruptDataError(FarmError):
    """Bytes that fail their checksum or do not have the promised shape."""


class ReplayError(CorruptDataError):
    """A file of recorded games cannot be understood, or holds a game that cannot be played.

    Args:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class RequestError(FarmError):
    """A service refuses what a caller asks; the message goes to the caller."""


class InvalidRequestError(RequestError):
    """The request cannot be understood or is out of bounds."""


class UnauthenticatedError(RequestError):
    """The caller shows no token that the farm knows."""


class ForbiddenError(RequestError):
    """The role of the caller's token may not do that."""


class NotFoundError(RequestError):
    """The request names something that is not there."""


class ConflictError(RequestError):
    """The request does not go with what is there: another policy, another spec, a group in use."""


class TooManyStreamsError(RequestError):
    """As many streams are open as `serve.max_streams` allows."""


class NoRoomError(RequestError):
    """What the caller hands in found no room for `serve.client_timeout_s`: nobody drains it."""


class SilentClientError(RequestError):
    """The caller took or acknowledged nothing for `serve.client_timeout_s`."""


class StoppingError(RequestError):
    """The farm is stopping."""


class LimitError(RequestError):
    """A limit of the caller's is reached.

    Args:
        message: which limit, its value, and what to do.
        retry_after_s: when another try may succeed.
    """

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class GameError(RequestError):
    """A game, or the host of the games, refuses what a caller asks.

    Args:
        reason: name of a Reason in proto/farm/rpc/v1/games.proto, such as `NOT_YOUR_CELL`.
        message: what is wrong and what would be right.
        move: number of the move within its request, from 0.
        tick: of WRONG_TICK, the game's.
        retry_after_s: of LIMIT, when another try may succeed.

    Attributes:
        game_id: the game, once whoever handles the call knows it; else 0.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        move: int = 0,
        tick: int = 0,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.move = move
        self.tick = tick
        self.retry_after_s = retry_after_s
        self.game_id = 0


class ClientError(FarmError):
    """Something a client of a farm met."""

    exit_code = EXIT_UNAVAILABLE


class UnavailableError(ClientError):
    """No farm answers at the address."""


class RejectedError(ClientError):
    """The farm refused the request.

    Args:
        status: name of the gRPC status, such as `INVALID_ARGUMENT`.
        detail: the server's message.
        retry_after_s: when another try may succeed, where a limit refused it; else None.
    """

    def __init__(self, status: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class GameRejectedError(RejectedError):
    """A game, or the host of the games, refused the request.

    Args:
        status: name of the gRPC status; of a refused action within a stream that of its reason.
        detail: the server's message.
        reason: name of a Reason in proto/farm/rpc/v1/games.proto, such as `NOT_YOUR_CELL`.
        game_id: the game; 0 where it is about none.
        move: number of the move within its request, from 0.
        tick: of WRONG_TICK, the game's.
        retry_after_s: of LIMIT, when another try may succeed.
    """

    def __init__(
        self,
        status: str,
        detail: str,
        *,
        reason: str,
        game_id: int = 0,
        move: int = 0,
        tick: int = 0,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(status, detail)
        self.reason = reason
        self.game_id = game_id
        self.move = move
        self.tick = tick
        self.retry_after_s = retry_after_s


class SpecMismatchError(ClientError):
    """Client and farm were built from different specs."""
