"""Whose games play first where time is short: fair queueing among clients (pure).

A round plays what is due, up to a bound on the time it is expected to take. What is expected of a
game is learnt from rounds that were measured, and they are paid for by who created the games that
played. Where more is due than fits, clients go by what they have had: whoever has had least is
next, a game at a time, and of one client's games the one that has waited longest. Nobody saves up
a share: a client that comes back after a while begins level with those that were served last
(start-time fair queueing: Goyal, Vin, Cheng, SIGCOMM 1996). So a client gets an equal part of the
host and what the others leave of theirs; alone it gets everything.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_TICK_NS: Final = 50
"""Of the first tick of a game, for each cell and seat: the dearest that was ever seen, hunters on a
busy machine. Dear games so come one at a time until they are known."""
_LEAST_NS: Final = 1_000
_MOST_RISE: Final = 4.0
"""A tick is expected to take at most so many times what it was: a round in which the machine did
something else is no measure of its games."""
_NO_CLIENT: Final = -1


def first_cost_ns(n_cells: int, n_seats: int) -> int:
    """What a tick of a game is expected to take before one was measured."""
    return max(_TICK_NS * n_cells * n_seats, _LEAST_NS)


class Shares:
    """What each client has had.

    Args:
        n_rows: rows for games.
    """

    def __init__(self, n_rows: int) -> None:
        self._account = np.full(n_rows, _NO_CLIENT, np.int64)
        """int64[n_rows]: whose the game of a row is."""
        self._had_ns = np.zeros(n_rows)
        """float64[n_rows], by account."""
        self._n_games = [0] * n_rows
        """By account."""
        self._accounts: dict[str, int] = {}
        self._gone_ns: dict[str, float] = {}
        """What clients have had that have no game: to make another is no new beginning."""
        self._free = list(range(n_rows))
        self._level_ns = 0.0
        """What who was served last had had; nobody counts as having had less."""
        self._last_rows = np.zeros(0, np.int64)
        """int64[k]: of the last round, those whose games are still there."""
        self._last_ns = 0
        """What it was expected to take."""

    @property
    def n_clients(self) -> int:
        """Clients that have games."""
        return len(self._accounts)

    def enter(self, row: int, client: str) -> None:
        """A client has a game in a row."""
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = self._free.pop()
            self._had_ns[account] = max(self._gone_ns.pop(client, 0.0), self._level_ns)
        self._account[row] = account
        self._n_games[account] += 1

    def leave(self, row: int) -> None:
        """It has it no more."""
        account = int(self._account[row])
        self._account[row] = _NO_CLIENT
        self._last_rows = self._last_rows[self._last_rows != row]
        self._n_games[account] -= 1
        if not self._n_games[account]:
            client = next(name for name, one in self._accounts.items() if one == account)
            del self._accounts[client]
            self._free.append(account)
            self._note_gone(client, float(self._had_ns[account]))

    def choose(
        self,
        rows: NDArray[np.int64],
        costs_ns: NDArray[np.int64],
        since_ns: NDArray[np.int64],
        most_ns: int,
    ) -> NDArray[np.int64]:
        """Of games that are due, those that play in this round: at least one.

        Args:
            rows: int64[n], of these games.
            costs_ns: int64[n], what a tick of each is expected to take.
            since_ns: int64[n], since when each has waited.
            most_ns: what they may take together, unless the first takes more.

        Returns:
            int64[k], some of `rows`.
        """
        accounts = self._account[rows]
        order = np.lexsort((since_ns, accounts))
        accounts, costs_ns = accounts[order], costs_ns[order]
        until = np.cumsum(costs_ns)
        firsts = np.diff(accounts, prepend=_NO_CLIENT).nonzero()[0]
        of_others = np.repeat((until - costs_ns)[firsts], np.diff(firsts, append=rows.size))
        ends = np.maximum(self._had_ns[accounts], self._level_ns) + until - of_others
        starts = ends - costs_ns
        turns = np.argsort(starts, kind="stable")
        n_fit = np.searchsorted(np.cumsum(costs_ns[turns]), most_ns, side="right")
        # Who has all of its games in the round may want more at once, and has had less than those
        # that would begin later.
        first_end = ends[np.append(firsts[1:], rows.size) - 1].min()
        n_level = np.searchsorted(starts[turns], first_end, side="right")
        return rows[order[turns[: max(int(min(n_fit, n_level)), 1)]]]

    def _note_gone(self, client: str, had_ns: float) -> None:
        """Keep what a client has had as long as that is more than anybody's beginning."""
        self._gone_ns[client] = had_ns
        if len(self._gone_ns) > self._account.size:
            level_ns = self._level_ns
            ahead = {name: had for name, had in self._gone_ns.items() if had > level_ns}
            # Of more than there can be games, the last.
            self._gone_ns = dict(list(ahead.items())[-self._account.size :])

    def charge(self, rows: NDArray[np.int64], costs_ns: NDArray[np.int64]) -> None:
        """Have a round paid for as it is expected, until `settle` says what it took.

        Args:
            rows: int64[n], that played.
            costs_ns: int64[n], what a tick of each is expected to take.
        """
        self._last_rows, self._last_ns = rows, int(costs_ns.sum())
        if self.n_clients < 2:  # noqa: PLR2004 - who is alone has no share
            return
        accounts = self._account[rows]
        served = np.unique(accounts)
        had_ns = np.maximum(self._had_ns[served], self._level_ns)
        self._level_ns = float(had_ns.min())
        self._had_ns[served] = had_ns
        np.add.at(self._had_ns, accounts, costs_ns)

    def settle(self, costs_ns: NDArray[np.int64], took_ns: int) -> None:
        """Say what the last round took: it costs that much, and its games are expected to.

        Args:
            costs_ns: int64[n_rows], what a tick of each row is expected to take.
            took_ns: the whole round, with what it set off.

        Writes:
            costs_ns.
        """
        rows, self._last_rows = self._last_rows, self._last_rows[:0]
        if not rows.size:
            return
        expected = costs_ns[rows]
        ratio = min(took_ns / self._last_ns, _MOST_RISE)
        if self.n_clients > 1:
            np.add.at(self._had_ns, self._account[rows], expected * (ratio - 1.0))
        costs_ns[rows] = np.maximum(expected * (1.0 + ratio) / 2.0, _LEAST_NS)
