"""Who waits for news of which game: streams and long polls.

The bus marks them, synchronously; each looks for itself what is new when its turn comes. A mark is
a mark: ticks that come faster than a reader takes them are one piece of news, and nothing piles up.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Watches:
    """Those who wait, by game."""

    def __init__(self) -> None:
        self._of_game: dict[int, set[asyncio.Event]] = {}
        self._of_all: set[asyncio.Event] = set()

    @contextmanager
    def watch(self, game_id: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is news of a game; whoever waits clears it."""
        news = asyncio.Event()
        self._of_game.setdefault(game_id, set()).add(news)
        try:
            yield news
        finally:
            waiting = self._of_game[game_id]
            waiting.discard(news)
            if not waiting:
                del self._of_game[game_id]

    @contextmanager
    def everything(self, news: asyncio.Event) -> Iterator[None]:
        """Have an event set with `tell_all` alone, as it hears of games by other ways."""
        self._of_all.add(news)
        try:
            yield
        finally:
            self._of_all.discard(news)

    def tell(self, game_id: int) -> None:
        """There is news of a game."""
        for news in self._of_game.get(game_id, ()):
            news.set()

    def tell_each(self, game_ids: Iterable[int]) -> None:
        """There is news of some games."""
        of_game = self._of_game
        for game_id in game_ids:
            for news in of_game.get(game_id, ()):
                news.set()

    def tell_all(self) -> None:
        """There is news for everybody, such as that the host stops."""
        for waiting in (self._of_all, *self._of_game.values()):
            for news in waiting:
                news.set()
