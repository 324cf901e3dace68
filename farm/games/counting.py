"""The counters of a host, copied to its slot now and then."""

from farm.games.host import Host
from farm.shm.control import ChildSlot


class Counting:
    """Copies what the host counts.

    Attributes:
        n_ticks: played.

    Args:
        slot: of the host in the control block; what a host before it counted stays.
        host: the games.
    """

    def __init__(self, slot: ChildSlot, host: Host) -> None:
        self.n_ticks = 0
        self._slot = slot
        self._register = host.register
        self._told: dict[str, int] = {}

    def write(self) -> None:
        """Say what happened since the last time, and how things are."""
        register = self._register
        clocks = register.slots.clocks
        accepted, rejected = register.statistics.accepted, register.statistics.rejected
        n_connected = 0
        for game in register.open_games():
            n_seats = game.spec.n_seats
            accepted += int(clocks.accepted[game.row, :n_seats].sum())
            rejected += int(clocks.rejected[game.row, :n_seats].sum())
            rejected += sum(sum(seat.rejected.values()) for seat in game.seats)
            n_connected += sum(seat.connected for seat in game.seats)
        self._add("env_steps", self.n_ticks)
        self._add("games_started", register.n_started)
        self._add("games_finished", register.n_finished)
        self._add("actions_accepted", accepted)
        self._add("actions_rejected", rejected)
        self._slot.set("games_open", register.n_open)
        self._slot.set("seats_connected", n_connected)

    def _add(self, counter: str, total: int) -> None:
        self._slot.add(counter, total - self._told.get(counter, 0))
        self._told[counter] = total
