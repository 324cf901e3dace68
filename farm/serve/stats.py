"""Statistics over the headers of records: totals, per seat, and per game among the newest. Pure.

Every record is counted once, when it is seen in its ring, whoever takes it later; and many at a
time, as counting 300 costs as much as counting 3,000. Totals and seats go back to the start of the
service; rows per game are computed over a window of the newest headers, so that memory stays
bounded whatever number of games is played.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.errors import InvalidRequestError, NotFoundError
from farm.rpc.names import MAX_FILTER_VALUES
from farm.spec.limits import MAX_SEATS
from farm.spec.trajectory import RECORD_HEADER

PENDING_HEADERS = 1 << 12
"""Headers collected before they are counted; a question counts what is there."""
MAX_GAMES = MAX_FILTER_VALUES
"""Games that one question may name."""
REMEMBERED_GAMES = 1 << 16
"""Finished games whose numbers are kept, so that each counts once though its seats end apart."""


@dataclass(frozen=True, slots=True)
class StatsRow:
    """Statistics over some trajectories; the fields of the wire's ExperienceStats."""

    trajectories: int = 0
    experiences: int = 0
    games_finished: int = 0
    """Games with at least one seat's last trajectory among those counted."""
    reward_mean: float = 0.0
    """Of the reward of a trajectory summed over its steps; 0 if there is none."""
    reward_min: float = 0.0
    reward_max: float = 0.0
    oldest_ns: int = 0
    newest_ns: int = 0


class _Tally:
    """A running row; for a seat, every finished trajectory is another game."""

    def __init__(self) -> None:
        self.trajectories = 0
        self.experiences = 0
        self.games_finished = 0
        self._reward_sum = 0.0
        self._reward_min = np.inf
        self._reward_max = -np.inf
        self._oldest_ns = (1 << 64) - 1
        self._newest_ns = 0

    def add(self, headers: NDArray[np.void], *, games_finished: int) -> None:
        """Count headers: RECORD_HEADER[n], n above 0."""
        reward = headers["reward_sum"]
        wall_time_ns = headers["wall_time_ns"]
        self.trajectories += len(headers)
        self.experiences += int(headers["n_steps"].sum(dtype=np.int64))
        self.games_finished += games_finished
        self._reward_sum += float(reward.sum())
        self._reward_min = min(self._reward_min, float(reward.min()))
        self._reward_max = max(self._reward_max, float(reward.max()))
        self._oldest_ns = min(self._oldest_ns, int(wall_time_ns.min()))
        self._newest_ns = max(self._newest_ns, int(wall_time_ns.max()))

    def row(self) -> StatsRow:
        """The row so far."""
        if self.trajectories == 0:
            return StatsRow()
        return StatsRow(
            trajectories=self.trajectories,
            experiences=self.experiences,
            games_finished=self.games_finished,
            reward_mean=self._reward_sum / self.trajectories,
            reward_min=self._reward_min,
            reward_max=self._reward_max,
            oldest_ns=self._oldest_ns,
            newest_ns=self._newest_ns,
        )


class Statistics:
    """Counts headers.

    Args:
        window: newest headers kept for rows per game.
    """

    def __init__(self, window: int) -> None:
        self._pending = np.zeros(PENDING_HEADERS, dtype=RECORD_HEADER)
        self._n_pending = 0
        self._window = np.zeros(window, dtype=RECORD_HEADER)
        self._n_seen = 0
        self._total = _Tally()
        self._seats = [_Tally() for _ in range(MAX_SEATS)]
        self._finished: dict[int, None] = {}

    def room(self) -> NDArray[np.uint8]:
        """Where the next headers go: uint8[64 * n], n above 0; then say how many with `add`."""
        return self._pending[self._n_pending :].view(np.uint8)

    def add(self, n_headers: int) -> None:
        """So many headers were written to `room()`, of records not counted before."""
        self._n_pending += n_headers
        if self._n_pending == len(self._pending):
            self._count_pending()

    def total(self) -> StatsRow:
        """Everything counted."""
        self._count_pending()
        return self._total.row()

    def per_seat(self) -> dict[int, StatsRow]:
        """A row for each seat that was seen."""
        self._count_pending()
        return {seat: tally.row() for seat, tally in enumerate(self._seats) if tally.trajectories}

    def per_game(self, game_ids: list[int]) -> dict[int, StatsRow]:
        """A row for each of these games, over the window; one pass over it, however many they are.

        Args:
            game_ids: at most `MAX_GAMES`, in any order, repeats allowed.

        Raises:
            InvalidRequestError: there are too many of them.
            NotFoundError: none of the newest trajectories is of that game.
        """
        if len(game_ids) > MAX_GAMES:
            raise InvalidRequestError(f"{len(game_ids)} games; at most {MAX_GAMES} are allowed")
        if not game_ids:
            return {}
        self._count_pending()
        kept = self._window[: min(self._n_seen, len(self._window))]
        wanted = np.unique(np.array(game_ids, dtype=np.uint64))
        parts = _split(kept, wanted)
        rows: dict[int, StatsRow] = {}
        for game_id, headers in zip(wanted.tolist(), parts, strict=True):
            if len(headers) == 0:
                raise NotFoundError(
                    f"game {game_id} is not among the newest {len(kept)} trajectories "
                    "(serve.stats_records keeps more)"
                )
            tally = _Tally()
            tally.add(headers, games_finished=int(_is_last(headers).any()))
            rows[game_id] = tally.row()
        return rows

    def _count_pending(self) -> None:
        headers = self._pending[: self._n_pending]
        self._n_pending = 0
        if len(headers) == 0:
            return
        done = _is_last(headers)
        self._total.add(headers, games_finished=self._count_finished(headers["game_id"][done]))
        for seat in np.unique(headers["seat"]):
            if seat < MAX_SEATS:
                mine = headers["seat"] == seat
                self._seats[seat].add(headers[mine], games_finished=int(done[mine].sum()))
        self._keep(headers)

    def _count_finished(self, game_ids: NDArray[np.uint64]) -> int:
        """How many of these games had not finished yet; they have now."""
        fresh = [game_id for game_id in set(game_ids.tolist()) if game_id not in self._finished]
        self._finished.update(dict.fromkeys(fresh))
        for _ in range(len(self._finished) - REMEMBERED_GAMES):
            del self._finished[next(iter(self._finished))]
        return len(fresh)

    def _keep(self, headers: NDArray[np.void]) -> None:
        size = len(self._window)
        newest = headers[-size:]
        start = (self._n_seen + len(headers) - len(newest)) % size
        first = min(len(newest), size - start)
        self._window[start : start + first] = newest[:first]
        self._window[: len(newest) - first] = newest[first:]
        self._n_seen += len(headers)


def _split(headers: NDArray[np.void], game_ids: NDArray[np.uint64]) -> list[NDArray[np.void]]:
    """The headers of each game, in their order.

    Args:
        headers: RECORD_HEADER[n].
        game_ids: uint64[k], ascending, no repeats, k from 1 to `MAX_GAMES`.

    Returns:
        k arrays, some of them empty.
    """
    game_id = np.ascontiguousarray(headers["game_id"])
    place = np.minimum(np.searchsorted(game_ids, game_id), len(game_ids) - 1)
    chosen = np.flatnonzero(game_ids[place] == game_id)
    # Sixteen bits: numpy sorts those by radix, in time that grows with n alone.
    game = place[chosen].astype(np.uint16)
    ordered = headers[chosen[np.argsort(game, kind="stable")]]
    ends = np.cumsum(np.bincount(game, minlength=len(game_ids)))
    return np.split(ordered, ends[:-1])


def _is_last(headers: NDArray[np.void]) -> NDArray[np.bool]:
    """bool[n]: whether a trajectory is its seat's last of a game."""
    last: NDArray[np.bool] = (headers["terminated"] | headers["truncated"]) != 0
    return last
