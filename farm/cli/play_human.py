"""`farm play --human`: one game on the terminal, against whoever else is in it."""

import asyncio
import contextlib
import os
import signal
import sys
from typing import Final

from rich.console import Console
from rich.live import Live

from farm.cli.keyboard import keyboard, meanings
from farm.cli.play_board import picture
from farm.cli.play_events import winners_text
from farm.cli.play_person import KEYS, Ask, Command, Person
from farm.client import (
    ActionResult,
    AsyncGameClient,
    AsyncGamePlay,
    CreatedGame,
    GameOptions,
    JoinedGame,
    Retry,
)
from farm.errors import EXIT_OK, GameRejectedError, UsageError

RETRY: Final = Retry(deadline_s=60.0)
LOOK_S: Final = 0.25
"""Longest time between two looks: at the size of the terminal, and at the connection."""
LINGER_S: Final = 600.0
"""Longest time for which the end of a game is shown."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class Table:
    """Where a person sits: one game, its client, and the terminal.

    Args:
        client: entered.
        person: what was told and heard.
        created: the game, if the person made it.
        joined: the seat.
    """

    def __init__(
        self,
        client: AsyncGameClient,
        person: Person,
        created: CreatedGame | None,
        joined: JoinedGame,
    ) -> None:
        self._client = client
        self._person = person
        self._created = created
        self._joined = joined
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._leaves = asyncio.Event()

    async def sit(self, keys_fd: int, live: Live) -> None:
        """Play until the game is over."""
        loop = asyncio.get_running_loop()
        loop.add_reader(keys_fd, self._read_keys, keys_fd)
        async with self._client.play(self._joined.game_id, self._joined.token) as play:
            tasks = [
                asyncio.create_task(self._follow(play)),
                asyncio.create_task(self._carry_out(play)),
            ]
            try:
                while not (tasks[0].done() or tasks[1].done()):
                    self._person.is_connected = play.is_connected
                    self._draw(live)
                    await self._wait()
                for task in tasks:
                    if task.done():
                        task.result()
                await self._linger(live)
            finally:
                loop.remove_reader(keys_fd)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _linger(self, live: Live) -> None:
        """Show the end until a key is pressed."""
        self._person.news.append("that was it; any key leaves")
        self._draw(live)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leaves.wait(), LINGER_S)

    def _draw(self, live: Live) -> None:
        console = live.console
        drawn = picture(
            self._person,
            width=console.width,
            height=console.height,
            has_colours=console.color_system is not None and not console.no_color,
        )
        live.update(drawn, refresh=True)

    async def _wait(self) -> None:
        """Until something changes, or for a look."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), LOOK_S)
        self._changed.clear()

    def _read_keys(self, keys_fd: int) -> None:
        pressed = os.read(keys_fd, 64)
        if self._person.is_over or not pressed:
            self._leaves.set()
        for key in meanings(pressed, KEYS):
            if (command := self._person.press(key)) is not None:
                self._commands.put_nowait(command)
        self._changed.set()

    async def _follow(self, play: AsyncGamePlay) -> None:
        """Take in what the game tells, to its end."""
        while (received := await play.receive()) is not None:
            if isinstance(received, ActionResult):
                self._person.answered(received)
            else:
                if self._person.update is None or self._person.update.phase != received.phase:
                    # Who sits where is settled when the game begins.
                    stats = await self._client.stats(self._joined.game_id, self._joined.token)
                    self._person.info = stats.game
                self._person.take(received)
            self._changed.set()

    async def _carry_out(self, play: AsyncGamePlay) -> None:
        """Send what the keys have asked for."""
        while True:
            command = await self._commands.get()
            try:
                if isinstance(command, Ask):
                    await self._ask(command)
                else:
                    key = await play.submit(
                        *command.moves, expected_tick=command.expected_tick, clear=command.clear
                    )
                    self._person.sent(key, command)
            except (GameRejectedError, UsageError) as error:
                self._person.news.append(str(error))
            self._changed.set()

    async def _ask(self, command: Ask) -> None:
        game_id, created = self._joined.game_id, self._created
        if command.what == "surrender":
            await self._client.surrender(game_id, self._joined.token)
        elif created is not None and command.what == "pause":
            await self._client.pause(game_id, created.owner_token)
        elif created is not None:
            await self._client.resume(game_id, created.owner_token)


def play_human(
    address: str,
    *,
    name: str,
    game_id: int | None,
    seat: int | None,
    seat_token: str | None,
    options: GameOptions,
) -> int:
    """Play one game on the terminal.

    Raises:
        UsageError: standard input or output is no terminal that can be drawn on.
        ClientError: there is no farm, or no such game.
    """
    console = Console(highlight=False)
    with keyboard() as keys_fd:
        if keys_fd is None or not sys.stdout.isatty() or console.is_dumb_terminal:
            raise UsageError(
                "--human needs a terminal for its keys and its board: standard input and output "
                "are to be one (and TERM not dumb); --agent plays without"
            )
        evening = _Evening(address, name, options)
        try:
            return asyncio.run(evening.play(keys_fd, console, game_id, seat, seat_token))
        finally:
            evening.say_how_it_stands()


class _Evening:
    """From making or joining a game to its last word."""

    def __init__(self, address: str, name: str, options: GameOptions) -> None:
        self._address = address
        self._name = name
        self._options = options
        self._joined: JoinedGame | None = None
        self._person: Person | None = None

    async def play(
        self,
        keys_fd: int,
        console: Console,
        game_id: int | None,
        seat: int | None,
        seat_token: str | None,
    ) -> int:
        """Play; the exit code."""
        stopped: list[int] = []
        task = asyncio.current_task()
        assert task is not None
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, _stop, task, stopped, number)
        try:
            async with AsyncGameClient(self._address, retry=RETRY) as client:
                created = None
                if game_id is None:
                    created = await client.create(**self._options)
                    game_id = created.game_id
                self._joined = await self._join(client, game_id, seat, seat_token)
                info = self._joined.info
                assert info is not None
                self._person = Person(info, self._joined.seat, is_owner=created is not None)
                table = Table(client, self._person, created, self._joined)
                with Live(console=console, auto_refresh=False, screen=True) as live:
                    await table.sit(keys_fd, live)
        except asyncio.CancelledError:
            if not stopped:
                raise
            return 128 + stopped[0]
        return EXIT_OK

    def say_how_it_stands(self) -> None:
        """Below what was on the terminal before: how the game ended, or how to go on with it."""
        joined, person = self._joined, self._person
        if joined is None or person is None:
            return
        if person.update is not None and person.is_over:
            phase = person.update.phase.name.lower()
            who = winners_text(person.update.winners, person.info)
            print(f"game {joined.game_id}  {phase}  {who}  {person.update.turn} turns")
        elif person.seen is not None and not person.seen.is_alive:
            print(f"game {joined.game_id} goes on; you are out")
        else:
            print(
                f"game {joined.game_id} goes on without you; come back with\n"
                f"  farm play --human --game {joined.game_id} --seat-token {joined.token}"
            )

    async def _join(
        self, client: AsyncGameClient, game_id: int, seat: int | None, seat_token: str | None
    ) -> JoinedGame:
        if seat_token is None:
            return await client.join(game_id, name=self._name, seat=seat)
        return await rejoined(client, game_id, seat_token)


async def rejoined(client: AsyncGameClient, game_id: int, seat_token: str) -> JoinedGame:
    """The seat that a token plays."""
    update = await client.state(game_id, seat_token)
    stats = await client.stats(game_id, seat_token)
    return JoinedGame(game_id, getattr(update, "seat", 0), seat_token, stats.game)


def _stop(task: "asyncio.Task[int]", stopped: list[int], number: int) -> None:
    stopped.append(number)
    task.cancel()
