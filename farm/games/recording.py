"""Which games are recorded, and what the recorder is told of them, from the bus."""

from farm.games.bus import EventBus, TicksPlayed
from farm.games.events import ENDS, Event, Kind
from farm.games.game import HostedGame
from farm.games.recorder import Player, Recorder, about_of, sources_of
from farm.games.slots import Slots
from farm.policies.registry import policy_info


class Recording:
    """Records the games that collect experiences.

    Args:
        recorder: takes them down.
        slots: where the games are.
        bus: tells of them.
    """

    def __init__(self, recorder: Recorder, slots: Slots, bus: EventBus) -> None:
        self._recorder = recorder
        self._slots = slots
        self._recorded: set[int] = set()
        bus.subscribe(self._on_start, Kind.GAME_STARTED)
        bus.subscribe(self._on_change, Kind.PLAYER_REPLACED, Kind.PLAYER_RECONNECTED)
        bus.subscribe(self._on_end, *ENDS)
        bus.subscribe_ticks(self._on_ticks)

    def follow(self, steps: int, config_epoch: int) -> None:
        """Go on by a changed config."""
        self._recorder.steps, self._recorder.config_epoch = steps, config_epoch

    def begin(self, game: HostedGame) -> None:
        """Record a game from its present tick on, if it collects experiences."""
        if not game.spec.collect:
            return
        slots, row = self._slots, game.row
        sources = sources_of(
            slots.games,
            row,
            actions=slots.clocks.chosen,
            rewards=slots.clocks.reward,
            frames=slots.clocks.clear if game.spec.no_fog else None,
        )
        players = [_player(game, seat) for seat in range(game.spec.n_seats)]
        self._recorder.begin(about_of(slots.games, row, game.game_id), sources, players)
        self._recorded.add(game.game_id)

    def publish(self) -> None:
        """Make visible what was written."""
        self._recorder.publish()

    def _on_start(self, game: HostedGame, _event: Event) -> None:
        self.begin(game)

    def _on_change(self, game: HostedGame, event: Event) -> None:
        if game.game_id in self._recorded and event.seat is not None:
            self._recorder.replaced(game.game_id, event.seat, _player(game, event.seat))

    def _on_end(self, game: HostedGame, _event: Event) -> None:
        if game.game_id in self._recorded:
            self._recorded.discard(game.game_id)
            self._recorder.ended(game.game_id)

    def _on_ticks(self, played: TicksPlayed) -> None:
        if not self._recorded:
            return
        for game in played.games:
            if game.game_id not in self._recorded:
                continue
            try:
                self._recorder.ticked(game.game_id)
            except Exception as error:  # noqa: BLE001 - one game's fault is that game's end
                self._recorded.discard(game.game_id)
                self._recorder.abandon(game.game_id)
                played.faults.append((game, error))


def _player(game: HostedGame, seat: int) -> Player:
    held = game.seats[seat]
    policy = held.policy or held.stand_in
    return Player(policy, policy_info(policy).version) if policy else Player(held.name)
