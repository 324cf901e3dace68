"""The rows of one PlayMany stream as arrays: which seats they are, what is new of them, packed.

What happens to a row between two messages is kept as marks and a sum of rewards, so that a learner
that reads late costs nothing more. A row is told of its end once; after it comes nothing but the
first frame of the next game, if the stream goes on to one.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.state import OUTCOME, TERMINATED, TICK
from farm.games.game import HostedGame
from farm.games.slots import Slots
from farm.rpc.v1 import games_pb2

IS_TERMINATED: Final = 1
IS_TRUNCATED: Final = 2
WAITS: Final = 4
IS_FIRST: Final = 8
MAX_FRAMES_BYTES: Final = 1 << 23
"""Of the frames in one message; a stream with more gets several. A quarter of what a message to a
client may be."""


class Rows:
    """Seats by row: game by game, seats in the order asked for.

    Attributes:
        games: the game of each row.
        seat: int32[n_rows].

    Args:
        slots: where the games are.
        seats: game and seat of each row; all games of one height, width and number of seats.
        frame_bytes: of a frame.
    """
