"""A games host as a child of the farm: wiring, readiness, the duty loop, and how it stops."""

import asyncio
import time

from farm.config.exposure import exposed
from farm.errors import EXIT_OK
from farm.rpc.names import GAME_SERVICE
from farm.serve.access import AccessInterceptor
from farm.serve.interceptor import ErrorInterceptor
from farm.serve.server import bind, check_health, make_server
from farm.serve.tls import certificates_of, check_handshake
from farm.shm.control import ChildState
from farm.supervisor.child import ChildContext

MAX_CALLS = 10_240
"""Calls at once, of any kind. Above the bound of `games.max_streams`."""
HEALTH_S = 10.0
"""Time for the port to answer after it was bound."""
GRACE_S = 1.0
"""Time for calls to end after their streams were told to."""
