"""Which actions are on their way, and what is sent again on a new connection. Pure.

Every action has a key of its own, and the game gives the first answer to a key that comes again.
So whatever had no answer when a connection died is sent again, in its order: what the game had
taken in is not done twice, what it had not is done now.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from farm.client.games.moves import ActionResult, Move, action_message
from farm.errors import CorruptDataError, UsageError
from farm.rpc.v1 import games_pb2

MAX_UNANSWERED: Final = 64
"""Keys of a seat that a game remembers: more could be done twice."""


class Keys:
    """Keys that nobody else uses.

    Args:
        prefix: unlike that of any other client of the seat.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._n_made = 0

    def next(self) -> str:
        """The next one."""
        self._n_made += 1
        return f"{self._prefix}-{self._n_made}"


class Outbox:
    """The actions of one seat that wait for their answer.

    Args:
        keys: makes their keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._unanswered: OrderedDict[str, games_pb2.Action] = OrderedDict()

    def __len__(self) -> int:
        return len(self._unanswered)

    def add(
        self, moves: Sequence[Move], *, expected_tick: int | None = None, clear: bool = False
    ) -> games_pb2.Action:
        """An action to send.

        Raises:
            UsageError: too many have no answer yet, or a cell is none of any board.
        """
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise UsageError(
                f"{MAX_UNANSWERED} actions have no answer yet: receive some before the next"
            )
        key = self._keys.next()
        action = action_message(moves, key=key, expected_tick=expected_tick, clear=clear)
        self._unanswered[key] = action
        return action

    def answered(self, result: ActionResult) -> None:
        """An answer came.

        Raises:
            CorruptDataError: to nothing that was sent.
        """
        if self._unanswered.pop(result.key, None) is None:
            raise CorruptDataError(f"an answer to {result.key!r}, which was not asked")

    def resend(self) -> tuple[games_pb2.Action, ...]:
        """What a new connection sends again, in order."""
        return tuple(self._unanswered.values())
