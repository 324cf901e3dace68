"""PlayMany: one learner, many seats of many games, packed (rows.py has what is hot).

A round of a learner is one message in and one out, whatever the number of games: its actions go to
the queues in one kernel call, the games they complete are stepped in another, and what came of it
is gathered by index. Rows whose ticks were played while the learner was not reading are sent once,
with their rewards added up; a game's end and the next one's beginning are never skipped, as the
next begins when the end is sent.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc.aio
import numpy as np

from farm.errors import GameError
from farm.games.desk import Desk, parse
from farm.games.rows import Rows
from farm.games.streams import let_go, read_opening, write
from farm.rpc.v1 import games_pb2
