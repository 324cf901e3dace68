"""What an agent is: a program that plays one seat.

class Greedy(Agent):
def act(self, observation):
return max(observation.moves(), key=lambda m: observation.army_at(m.start), default=None)

print(run(Greedy(), "127.0.0.1:50051", map="20x20", bots={1: "random"}))
"""

from farm.client.games.conduct import GameResult
from farm.client.games.moves import Action
from farm.client.games.observation import GameObservation
from farm.errors import GameRejectedError


class Agent:
    """Plays one seat of one game after another; made to be subclassed.

    Attributes:
        name: what others see, up to 32 bytes of UTF-8.
    """

    name = "agent"

    def act(self, observation: GameObservation) -> Action:
        """Choose: called once for each tick that waits for this seat.

        Returns:
            A `Move`; several in a list, made tick by tick before this is called again; the index of
            an action; or None, which passes.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it acts")

    def on_start(self, observation: GameObservation) -> None:
        """A game begins, or is joined again: called before everything else of it."""

    def on_update(self, observation: GameObservation) -> None:
        """Something happened, whether or not there is anything to do: `events` says what."""

    def on_refused(self, observation: GameObservation, error: GameRejectedError) -> None:
        """The game refused what `act` chose, and this seat passes: `error.reason` says why."""

    def on_end(self, result: GameResult) -> None:
        """The game is over."""


class AsyncAgent:
    """As `Agent`, for an agent that waits: for a model that answers elsewhere, for a person.

    Attributes:
        name: what others see, up to 32 bytes of UTF-8.
    """

    name = "agent"

    async def act(self, observation: GameObservation) -> Action:
        """Choose: called once for each tick that waits for this seat; see `Agent.act`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it acts")

    async def on_start(self, observation: GameObservation) -> None:
        """A game begins, or is joined again: called before everything else of it."""

    async def on_update(self, observation: GameObservation) -> None:
        """Something happened, whether or not there is anything to do: `events` says what."""

    async def on_refused(self, observation: GameObservation, error: GameRejectedError) -> None:
        """The game refused what `act` chose, and this seat passes: `error.reason` says why."""

    async def on_end(self, result: GameResult) -> None:
        """The game is over."""
