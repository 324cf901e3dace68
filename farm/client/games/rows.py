"""One agent for each row of many seats: arrays become observations, answers become arrays."""

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from farm.client.games.agent import Agent
from farm.client.games.conduct import GameResult
from farm.client.games.many_arrays import ManyStep, SeatArrays
from farm.client.games.moves import Move, index_of, moves_of
from farm.client.games.observation import GameObservation
from farm.client.games.values import Phase
from farm.client.games.view import frame_of


class RowAgents:
    """Agents of games that are each played once.

    Args:
        seats: reset already, or about to be.
        make_agent: makes the agent of a row.
    """

    def __init__(self, seats: SeatArrays, make_agent: Callable[[int], Agent]) -> None:
        self._seats = seats
        self._make_agent = make_agent
        self._agents: list[Agent] = []
        self._waiting: list[deque[Move]] = []
        self._n_actions: NDArray[np.int64] = np.zeros(0, np.int64)
        self._results: dict[int, GameResult] = {}

    def take(self, step: ManyStep) -> None:
        """A step came: tell the agents."""
        if not self._agents:
            n_rows = len(self._seats)
            self._agents = [self._make_agent(row) for row in range(n_rows)]
            self._waiting = [deque() for _ in range(n_rows)]
            self._n_actions = np.zeros(n_rows, np.int64)
        for row in np.flatnonzero(step.first).tolist():
            self._agents[row].on_start(self._observe(row, step.frames[row]))
        for row in np.flatnonzero(step.to_move).tolist():
            self._agents[row].on_update(self._observe(row, step.frames[row]))
        for row, frame in zip(step.final_rows.tolist(), step.final_frames, strict=True):
            result = self._result(row, frame, was_cut=bool(step.truncated[row]))
            self._results[row] = result
            self._agents[row].on_end(result)

    def choose(self) -> NDArray[np.int32]:
        """int32[n_rows]: an action for each row that waits, the pass for others."""
        seats = self._seats
        actions = np.full(len(seats), seats.passing, np.int32)
        for row in np.flatnonzero(seats.to_move).tolist():
            actions[row] = self._choose(row)
            self._n_actions[row] += 1
        return actions

    def results(self) -> list[GameResult]:
        """How it went, by row; of use once all games are over."""
        return [self._results[row] for row in range(len(self._seats))]

    def _choose(self, row: int) -> int:
        """The next move that waits and is possible, else what the agent says."""
        observation = self._observe(row, self._seats.frames[row])
        size = (observation.height, observation.width)
        waiting = self._waiting[row]
        if not waiting:
            waiting.extend(moves_of(self._agents[row].act(observation), *size))
        while waiting:
            move = waiting.popleft()
            if observation.is_legal(move):
                return index_of(move, *size)
        return observation.passing

    def _observe(self, row: int, frame: np.void) -> GameObservation:
        seats = self._seats
        return GameObservation(
            game_id=int(seats.game_id[row]),
            tick=int(seats.tick[row]),
            phase=Phase.RUNNING,
            to_move=bool(seats.to_move[row]),
            seat=int(seats.seat[row]),
            n_seats=seats.n_seats,
            n_allies=int(seats.n_allies[row]),
            height=seats.height,
            width=seats.width,
            frame=frame_of(frame.tobytes(), seats.height, seats.width, seats.n_seats),
        )

    def _result(self, row: int, frame: np.void, *, was_cut: bool) -> GameResult:
        seats = self._seats
        n_friends = 1 + int(seats.n_allies[row])
        alive = frame["alive"]
        won = not was_cut and bool(alive[:n_friends].any()) and not alive[n_friends:].any()
        seat = int(seats.seat[row])
        return GameResult(
            game_id=int(seats.game_id[row]),
            seat=seat,
            phase=Phase.ENDED,
            winners=(seat,) if won else (),
            ticks=int(seats.tick[row]),
            actions=int(self._n_actions[row]),
            refused={},
        )
