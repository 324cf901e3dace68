"""Names on the wire and the limits of a message, the same for both ends.

There is no generated service code: a server registers generic handlers under these names, a client
opens calls by them, and both handle messages as bytes where parsing them would be waste.
"""

EXPERIENCE_SERVICE = "farm.rpc.v1.ExperienceService"

GAME_SERVICE = "farm.rpc.v1.GameService"
"""The first games host in `GetFarmInfoResponse.endpoints`; further ones have `/1`, `/2`, ... behind
it."""

METRICS_ENDPOINT = "metrics"
"""Beside the services in `GetFarmInfoResponse.endpoints`: HTTP, not gRPC."""

SUBSCRIBE = "Subscribe"
STREAM_EXPERIENCES = "StreamExperiences"
GET_EXPERIENCE_STATS = "GetExperienceStats"
REMOVE_GROUP = "RemoveGroup"
GET_BALANCE = "GetBalance"
SUBMIT_EXPERIENCES = "SubmitExperiences"
GET_FARM_INFO = "GetFarmInfo"

CREATE_GAME = "CreateGame"
LIST_GAMES = "ListGames"
JOIN_GAME = "JoinGame"
SUBMIT_ACTION = "SubmitAction"
GET_GAME_STATE = "GetGameState"
STREAM_GAME = "StreamGame"
PLAY = "Play"
PLAY_MANY = "PlayMany"
SURRENDER = "Surrender"
PAUSE_GAME = "PauseGame"
RESUME_GAME = "ResumeGame"
CANCEL_GAME = "CancelGame"
GET_GAME_STATS = "GetGameStats"

ERROR_METADATA = "farm-error-bin"
"""Trailing metadata of a refused call of the game service: a serialised ErrorDetail."""

RETRY_METADATA = "retry-after-ms"
"""Trailing metadata of a call refused by a limit of its client's: when another try may succeed, in
milliseconds."""

DEFAULT_GROUP = "default"
"""The group of a subscriber that names none."""

MAX_MESSAGE_BYTES = 1 << 25
"""Longest message to a client: above `serve.max_batch_bytes`, whose bound is half of it."""
MAX_REQUEST_BYTES = 1 << 20
"""Longest message to the farm, and with it the longest trajectory that can be submitted; a longer
one ends its call with RESOURCE_EXHAUSTED before anybody reads it. No config changes it: it is an
agreement of both ends."""
MAX_FILTER_VALUES = 1024
"""Values in one list of a request."""


def method_path(method: str, service: str = EXPERIENCE_SERVICE) -> str:
    """What a call to a method is addressed to: `/package.Service/Method`."""
    return f"/{service}/{method}"
