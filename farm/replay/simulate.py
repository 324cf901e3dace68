"""Playing a replay again on the engine's kernels, and comparing it with its digests (pure).

The digest of a state is the beginning of the md5 of `owners|armies|generals`, each list joined by
commas: owners with -1 for neutral cells and -2 for mountains, generals with -1 for those captured
or neutralised.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import structs

from farm.engine.queues import (
    allocate_queues,
    forget_orders,
    neutralise_player,
    step_queued,
    surrender_player,
    try_enqueue,
)
from farm.engine.reset import reset_game
from farm.engine.state import OUTCOME, PLAYING, TICK, WINNER, Games, allocate
from farm.replay.boards import settings_of
from farm.replay.digest import digest_bytes
from farm.replay.model import FORGET, AnyMap, GivenMap, Leave, Order, Replay, Rules

_ROW = 0
"""The one game of the batch."""


class Playback:
    """A replay as it is played; it starts before the first tick.

    Args:
        replay: the game.

    Raises:
        ValueError: the engine cannot set this game up.
    """

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.n_seats = replay.map.n_seats
        self.games = _set_up(replay.map, replay.rules, replay.max_ticks)
        self.height, self.width = int(self.games.height[_ROW]), int(self.games.width[_ROW])
        self.n_cells = self.height * self.width
        capacity = queue_capacity(replay.orders, self.n_seats)
        self._queues = allocate_queues(1, self.n_seats, capacity)
        self._next_order = 0
        self._next_leave = 0

    def step(self) -> None:
        """Play a tick with the orders that are due."""
        tick = self.tick
        for order in self.orders_due():
            if order.start == FORGET:
                forget_orders(self._queues, _ROW, order.seat)
            else:
                # The capacity is the longest queue there can be.
                try_enqueue(self._queues, _ROW, order.seat, (order.start, order.end, order.half))
            self._next_order += 1
        leaves = self.replay.leaves
        while self._next_leave < len(leaves) and leaves[self._next_leave].tick <= tick:
            self._leave(leaves[self._next_leave].seat)
            self._next_leave += 1
        step_queued(self.games, self._queues, _ROW)

    def orders_due(self) -> list[Order]:
        """The orders that arrive for the next tick."""
        orders, tick = self.replay.orders, self.tick
        end = self._next_order
        while end < len(orders) and orders[end].tick <= tick:
            end += 1
        return list(orders[self._next_order : end])

    def leaves_due(self) -> list[Leave]:
        """Who leaves, or is neutralised, before the next tick."""
        leaves, tick = self.replay.leaves, self.tick
        end = self._next_leave
        while end < len(leaves) and leaves[end].tick <= tick:
            end += 1
        return list(leaves[self._next_leave : end])

    @property
    def tick(self) -> int:
        """Ticks played."""
        return int(self.games.status[_ROW, TICK])

    @property
    def is_over(self) -> bool:
        """Whether the game has ended by its rules, or at its last tick."""
        return bool(self.games.status[_ROW, OUTCOME] != PLAYING)

    @property
    def has_more(self) -> bool:
        """Whether another tick was recorded, and can be played.

        Ticks with a recorded digest are played in any case.
        """
        tick = self.tick
        return tick < self.replay.n_ticks and (tick < self.replay.n_hashes or not self.is_over)

    @property
    def winners(self) -> tuple[int, ...]:
        """Seats of the side that won; empty while none has."""
        side = self.games.status[_ROW, WINNER]
        return tuple(int(seat) for seat in np.flatnonzero(self.games.side[_ROW] == side))

    def digest(self) -> bytes:
        """Digest of the state, 6 bytes."""
        games = self.games
        return digest_bytes(games.owner[_ROW], games.army[_ROW], games.general[_ROW])

    def _leave(self, seat: int) -> None:
        if self.games.alive[_ROW, seat]:
            surrender_player(self.games, _ROW, seat)
        elif not self.replay.rules.neutralise_after:
            neutralise_player(self.games, _ROW, seat)


class Verdict(NamedTuple):
    """How a replay compares with its re-simulation."""

    n_ticks: int
    """Ticks played."""
    n_hashes: int
    """Ticks whose digest was compared."""
    first_mismatch: int | None
    """Ticks played when the state first had another digest than the recorded one."""
    winners: tuple[int, ...]
    """Seats of the side that won; empty when the recording ends before the game does."""
    is_over: bool
    height: int
    width: int

    @property
    def agrees(self) -> bool:
        """Whether no digest differs; also when there was none to compare."""
        return self.first_mismatch is None


def verify(replay: Replay, *, on_tick: Callable[[Playback], None] | None = None) -> Verdict:
    """Play a replay to its end, or to the first state that differs from the recorded one.

    Args:
        replay: the game.
        on_tick: called at the start and after each tick.

    Raises:
        ValueError: the engine cannot set this game up.
    """
    playback = Playback(replay)
    if on_tick:
        on_tick(playback)
    n_hashes = 0
    first_mismatch = None
    while playback.has_more and first_mismatch is None:
        playback.step()
        if on_tick:
            on_tick(playback)
        expected = replay.hash_after(playback.tick)
        if expected:
            n_hashes += 1
            if playback.digest() != expected:
                first_mismatch = playback.tick
    return Verdict(
        playback.tick,
        n_hashes,
        first_mismatch,
        playback.winners,
        playback.is_over,
        playback.height,
        playback.width,
    )


def with_hashes(replay: Replay) -> Replay:
    """The replay with digests of our own play of it, and ending where the game ends.

    Raises:
        ValueError: the engine cannot set this game up.
    """
    digests: list[bytes] = []
    verdict = verify(
        structs.replace(replay, hashes=b"", final_hash=b""),
        on_tick=lambda playback: digests.append(playback.digest()),
    )
    return structs.replace(
        replay, n_ticks=verdict.n_ticks, hashes=b"".join(digests[1:]), final_hash=b""
    )


def queue_capacity(orders: Sequence[Order], n_seats: int) -> int:
    """The longest that a queue can become: each tick takes at least one order off it.

    Args:
        orders: in order of ticks.
        n_seats: seats of the game.
    """
    waiting = [0] * n_seats
    since = [0] * n_seats
    longest = 1
    for order in orders:
        seat = order.seat
        before = max(waiting[seat] - (order.tick - since[seat]), 0)
        waiting[seat] = 0 if order.start == FORGET else before + 1
        since[seat] = order.tick
        longest = max(longest, waiting[seat])
    return longest


def _set_up(board: AnyMap, rules: Rules, max_ticks: int) -> Games:
    """The game at its start, in arrays of its size."""
    seed = game_number = np.uint64(0)
    if not isinstance(board, GivenMap):
        seed, game_number = np.uint64(board.seed), np.uint64(board.game_number)
    game_settings = settings_of(board, rules, max_ticks=max_ticks)
    games = allocate(1, board.height * board.width, board.n_seats)
    reset_game(games, _ROW, seed, game_number, game_settings)
    n_cells = int(games.height[_ROW] * games.width[_ROW])
    if n_cells < games.owner.shape[1]:
        # It has a size of its own, known only now.
        games = allocate(1, n_cells, board.n_seats)
        reset_game(games, _ROW, seed, game_number, game_settings)
    return games
