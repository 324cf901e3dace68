"""The instance manager: games are made, joined, played and ended here. Synchronous, one thread.

Nothing here reads a clock or draws a number: times and sources of secrets are arguments. Whoever
has called something calls `poll` soon, and at `next_due_ns` at the latest.
"""

import hmac
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from farm.config.schema import GamesConfig, RewardConfig
from farm.engine.queues import forget_orders, try_enqueue
from farm.engine.reset import reset_game
from farm.errors import FileAccessError, GameError
from farm.games import kernels
from farm.games.bus import EventBus
from farm.games.creations import Created, Creations, answer
from farm.games.events import Kind
from farm.games.game import HostedGame
from farm.games.journal import Journal
from farm.games.lifecycle import OPEN, PLAYED, Phase
from farm.games.orders import Action, check_moves, sight_of
from farm.games.presence import NS_PER_S, Presence
from farm.games.register import OnFault, Register
from farm.games.seats import MAX_PLAYER_BYTES, Accepted, digest_of
from farm.games.shares import first_cost_ns
from farm.games.slots import STILL, Slots
from farm.games.spec import MAX_KEY, GameSpec, check, check_name, settings_of
from farm.games.turns import Turns
from farm.policies.registry import policy_info

LOOK_NS = 100_000_000
"""Between two looks at who is there and what has expired."""


class Joined(NamedTuple):
    """The answer to a join."""

    seat: int
    token: str


class Sources(NamedTuple):
    """Where new numbers and secrets come from."""

    new_id: Callable[[], int]
    """Unique within the farm."""
    new_seed: Callable[[], int]
    new_token: Callable[[], str]


class Host:
    """The games of one host.

    Attributes:
        register: of the games.
        turns: their ticks.
        presence: who is there.
        creations: what was made with which key.

    Args:
        config: in force.
        reward: what a tick is worth.
        slots: where the boards are.
        bus: told of everything.
        sources: of numbers and secrets.
        journal: None keeps none, until `register.journal` is set.
        on_fault: told of faults of the host's own.
    """

    def __init__(
        self,
        config: GamesConfig,
        reward: RewardConfig,
        slots: Slots,
        bus: EventBus,
        sources: Sources,
        *,
        journal: Journal | None = None,
        on_fault: OnFault,
    ) -> None:
        self.register = Register(slots, bus, journal, on_fault)
        self._config = config
        self._slots = slots
        self._sources = sources
        self.turns = Turns(self.register, reward)
        self.presence = Presence(self.register, config)
        self.creations = Creations()
        self._next_look_ns = 0

    def follow(self, config: GamesConfig, reward: RewardConfig) -> None:
        """Go on by a changed config; what needs a restart stays as it was."""
        self._config = self.presence.config = config
        self.turns.follow(reward)

    def game(self, game_id: int) -> HostedGame:
        """A game; raises GameError UNKNOWN_GAME."""
        return self.register.find(game_id)

    def games(self) -> Iterator[HostedGame]:
        """All that can be asked about, by id."""
        return iter(self.register.by_id.values())

    def create(
        self, spec: GameSpec, *, caller: str, now_ns: int, wall_ns: int, key: str = ""
    ) -> Created:
        """Make a game.

        Raises:
            GameError: BAD_REQUEST, LIMIT.
            FileAccessError: its journal cannot be begun.
        """
        _check_key(key)
        if (before := self.creations.find(caller, key)) is not None:
            return before
        spec = check(spec, self._config)
        self._check_share(caller)
        if spec.seed is None:
            spec = structs.replace(spec, seed=self._sources.new_seed())
        row = self._slots.take()
        try:
            created, game = self._make(spec, row, caller, key, wall_ns)
        except BaseException:
            self._slots.give_back(row)
            raise
        game.since_ns = now_ns
        self.creations.note(game)
        self.register.tell(game, Kind.GAME_CREATED)
        self._start_if_full(game, now_ns, wall_ns)
        return created

    def join(
        self,
        game_id: int,
        *,
        name: str,
        now_ns: int,
        wall_ns: int,
        seat: int | None = None,
        key: str = "",
    ) -> Joined:
        """Take a seat; the last one starts the game.

        Raises:
            GameError: UNKNOWN_GAME, BAD_REQUEST, SEAT_TAKEN, GAME_FULL, WRONG_PHASE.
        """
        game = self.game(game_id)
        _check_key(key)
        if len(name.encode("utf-8", "surrogatepass")) > MAX_PLAYER_BYTES:
            raise GameError("BAD_REQUEST", f"name: at most {MAX_PLAYER_BYTES} bytes of UTF-8")
        check_name(name)
        for number, held in enumerate(game.seats):
            if key and held.join_key == key and (held.token or game.is_open):
                self.presence.touch(game, number, now_ns)
                # The host that gave the first token may be gone, and it is kept nowhere.
                token = held.token or self._give_token(game, number, held.name, key, now_ns)
                return Joined(number, token)
        taken = self._free_seat(game, seat)
        token = self._give_token(game, taken, name, key, now_ns)
        self.register.tell(game, Kind.PLAYER_JOINED, seat=taken, text=name)
        self._start_if_full(game, now_ns, wall_ns)
        return Joined(taken, token)

    def seat_of(self, game: HostedGame, token: str) -> int:
        """The seat of a token; raises GameError BAD_TOKEN."""
        seat = game.seat_of(digest_of(token))
        if seat is None:
            raise GameError("BAD_TOKEN", f"this is the token of no seat of game {game.game_id}")
        return seat

    def viewer_of(self, game: HostedGame, token: str) -> int | None:
        """The seat of a token, None for a spectator's; raises GameError BAD_TOKEN."""
        digest = digest_of(token)
        if game.spectator_digest and hmac.compare_digest(game.spectator_digest, digest):
            return None
        return self.seat_of(game, token)

    def is_owner(self, game: HostedGame, token: str) -> bool:
        """Whether this is the token of a game's owner."""
        return hmac.compare_digest(game.owner_digest, digest_of(token))

    def check_owner(self, game: HostedGame, token: str) -> None:
        """Raise GameError BAD_TOKEN unless this is the token of a game's owner."""
        if not self.is_owner(game, token):
            raise GameError("BAD_TOKEN", f"this is not the owner's token of game {game.game_id}")

    def submit(self, game: HostedGame, seat: int, action: Action, now_ns: int) -> Accepted:
        """Take an action of a seat: it is in the journal when this returns.

        Raises:
            GameError: why it is refused; nothing has changed then.
        """
        self.presence.touch(game, seat, now_ns)
        held = game.seats[seat]
        try:
            _check_key(action.key)
            if action.key and action.key in held.answers:
                return held.answers[action.key]
            self._check_action(game, seat, action)
            answer = self._take(game, seat, action, now_ns)
        except GameError as error:
            held.refuse(error.reason)
            raise
        held.remember(action.key, answer)
        return answer

    def submit_many(
        self,
        rows: NDArray[np.int64],
        seats: NDArray[np.int64],
        actions: NDArray[np.int32],
        now_ns: int,
    ) -> None:
        """Take packed actions, of games that are played; the journal has them with their tick."""
        slots = self._slots
        kernels.submit_many(slots.games, slots.queues, slots.clocks, rows, seats, actions, now_ns)

    def surrender(self, game: HostedGame, seat: int, now_ns: int, wall_ns: int) -> None:
        """Let a seat leave; raises GameError WRONG_PHASE, SEAT_DEAD."""
        self.presence.touch(game, seat, now_ns)
        _check_phase(game, PLAYED, "surrenders are taken")
        self._check_alive(game, seat)
        self.presence.surrender(game, seat, now_ns, wall_ns)

    def pause(self, game: HostedGame, now_ns: int, wall_ns: int) -> None:
        """Stop the clock; raises GameError WRONG_PHASE."""
        _check_phase(game, {Phase.RUNNING}, "a game is paused")
        self._write_move(game, Phase.PAUSED, wall_ns)
        self.register.move(game, Phase.PAUSED, now_ns)
        clocks, row = self._slots.clocks, game.row
        clocks.runs[row] = 0
        clocks.due_ns[row] = STILL
        self.register.tell(game, Kind.GAME_PAUSED)

    def resume(self, game: HostedGame, now_ns: int, wall_ns: int) -> None:
        """Let the clock go on, with a whole tick before it; raises GameError WRONG_PHASE."""
        _check_phase(game, {Phase.PAUSED}, "a game is resumed")
        self._write_move(game, Phase.RUNNING, wall_ns)
        self.register.move(game, Phase.RUNNING, now_ns)
        self._wind(game, now_ns)
        self.register.tell(game, Kind.GAME_RESUMED)

    def cancel(self, game: HostedGame, now_ns: int, wall_ns: int, text: str = "") -> None:
        """Call a game off; raises GameError WRONG_PHASE."""
        _check_phase(game, OPEN, "a game is called off")
        self.register.end(game, Phase.CANCELLED, now_ns, wall_ns, text)

    def touch(self, game: HostedGame, seat: int, now_ns: int) -> None:
        """The agent of a seat has called."""
        self.presence.touch(game, seat, now_ns)

    def attach(self, game: HostedGame, seat: int, now_ns: int) -> None:
        """The agent of a seat has opened a stream."""
        game.seats[seat].n_streams += 1
        self.presence.touch(game, seat, now_ns)

    def detach(self, game: HostedGame, seat: int, now_ns: int) -> None:
        """A stream of a seat has ended."""
        game.seats[seat].n_streams -= 1
        game.seats[seat].seen_ns = now_ns

    def poll(self, now_ns: int, wall_ns: int) -> int:
        """Play what is due, and let time have its effects; how many ticks were played."""
        act_timeout_ns = int(self._config.act_timeout_s * NS_PER_S)
        n_ticks = self.turns.play(now_ns, wall_ns, act_timeout_ns)
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + LOOK_NS
            self._look(now_ns, wall_ns)
        return n_ticks

    def settle(self, took_ns: int) -> None:
        """Say how long the last `poll` took, with what it set off, if it played anything."""
        self.turns.settle(took_ns)

    def next_due_ns(self, now_ns: int) -> int:
        """When `poll` has to be called at the latest, if nobody calls anything before."""
        if self.turns.has_more:
            return now_ns
        return max(min(int(self._slots.clocks.due_ns.min()), self._next_look_ns), now_ns)

    def _make(
        self, spec: GameSpec, row: int, caller: str, key: str, wall_ns: int
    ) -> tuple[Created, HostedGame]:
        new_token = self._sources.new_token
        game = HostedGame(self._sources.new_id(), spec, self._slots, row)
        game.caller, game.created_ns = caller, wall_ns
        if key:
            game.key_digest, game.key_salt = digest_of(key), new_token()
            created = answer(key, game)
        else:
            created = Created(game.game_id, new_token(), new_token() if spec.spectators else "")
        game.owner_digest = digest_of(created.owner_token)
        if spec.spectators:
            game.spectator_digest = digest_of(created.spectator_token)
        self.register.add(game)
        return created, game

    def _check_share(self, caller: str) -> None:
        limit = self._config.max_games_per_client
        n_open = sum(game.caller == caller for game in self.register.open_games())
        if n_open >= limit:
            raise GameError(
                "LIMIT",
                f"{caller} has {n_open} open games (games.max_games_per_client); try again when "
                "one has ended",
                retry_after_s=1.0,
            )

    def _give_token(self, game: HostedGame, seat: int, name: str, key: str, now_ns: int) -> str:
        """A token of a seat, in place of the one before if there was any."""
        token = self._sources.new_token()
        if self.register.journal is not None:
            self.register.journal.joined(game.game_id, seat, name, digest_of(token), key=key)
        game.seats[seat].take(name, token, key, now_ns)
        return token

    def _free_seat(self, game: HostedGame, wanted: int | None) -> int:
        """The seat that somebody gets who wants this one, or any."""
        if wanted is not None and not 0 <= wanted < game.spec.n_seats:
            raise GameError("BAD_REQUEST", f"seat: {wanted} in a game of {game.spec.n_seats} seats")
        free = [number for number, seat in enumerate(game.seats) if seat.is_free]
        if wanted is not None and wanted not in free:
            raise GameError("SEAT_TAKEN", f"seat {wanted} of game {game.game_id} is taken")
        if not free:
            raise GameError("GAME_FULL", f"game {game.game_id} has no free seat")
        _check_phase(game, {Phase.LOBBY}, "a seat is taken")
        return free[0] if wanted is None else wanted

    def _start_if_full(self, game: HostedGame, now_ns: int, wall_ns: int) -> None:
        if any(seat.is_free for seat in game.seats):
            return
        try:
            self._write_move(game, Phase.RUNNING, wall_ns)
        except FileAccessError as error:
            # Nobody would come any more who could start it.
            self.register.fail(game, error, now_ns, wall_ns)
            raise
        self.lay_out(game)
        self.register.move(game, Phase.RUNNING, now_ns)
        game.started_ns = wall_ns
        self.register.n_started += 1
        self._wind(game, now_ns)
        self.register.tell(game, Kind.GAME_STARTED)

    def lay_out(self, game: HostedGame) -> None:
        """Set up the board of a game, and who plays."""
        slots, row = self._slots, game.row
        reset_game(
            slots.games, row, np.uint64(game.spec.seed or 0), np.uint64(0), settings_of(game.spec)
        )
        for number, seat in enumerate(game.seats):
            if seat.policy:
                slots.clocks.bot[row, number] = policy_info(seat.policy).code
        if game.spec.no_fog:
            slots.clocks.shows_all[row] = 1
            kernels.show_all(slots.games, slots.clocks, row)
        slots.clocks.tick_ns[row] = game.spec.tick_ms * 1_000_000
        slots.clocks.cost_ns[row] = first_cost_ns(game.n_cells, game.spec.n_seats)

    def _wind(self, game: HostedGame, now_ns: int) -> None:
        """Start the clock of a game."""
        clocks, row = self._slots.clocks, game.row
        patience_ns = int(self._config.act_timeout_s * NS_PER_S)
        clocks.runs[row] = 1
        clocks.asked_ns[row] = now_ns
        clocks.due_ns[row] = now_ns + (int(clocks.tick_ns[row]) or patience_ns)
        self.presence.hurry(game, now_ns)

    def _check_alive(self, game: HostedGame, seat: int) -> None:
        if not game.is_alive(seat):
            raise GameError("SEAT_DEAD", f"seat {seat} of game {game.game_id} is out")

    def _check_action(self, game: HostedGame, seat: int, action: Action) -> None:
        _check_phase(game, PLAYED, "actions are taken")
        self._check_alive(game, seat)
        if action.expected_tick is not None and action.expected_tick != game.tick:
            raise GameError(
                "WRONG_TICK",
                f"the game is at tick {game.tick}, not {action.expected_tick}; ask for the state "
                "and act again",
                tick=game.tick,
            )
        waiting = 0 if action.clear else game.queued(seat)
        n_most = self._slots.queues.orders.shape[2]
        if waiting + len(action.moves) > n_most:
            raise GameError(
                "LIMIT",
                f"{waiting} moves wait and {n_most} can (games.max_queue); send the others later",
                retry_after_s=max(game.spec.tick_ms / 1000, 0.01),
            )
        sight = sight_of(game.frame(seat), game.height, game.width, game.n_allies[seat])
        check_moves(sight, action.moves, is_next=not waiting)

    def _take(self, game: HostedGame, seat: int, action: Action, now_ns: int) -> Accepted:
        """Write an accepted action, and let it have its effects."""
        slots, row = self._slots, game.row
        queues, clocks = slots.queues, slots.clocks
        is_awaited = not game.queued(seat)
        waiting = 0 if action.clear else game.queued(seat)
        answer = Accepted(game.tick, waiting + len(action.moves))
        self._write_waiting(game, seat)
        if self.register.journal is not None:
            self.register.journal.accepted(
                game.game_id,
                game.tick,
                seat,
                action.moves,
                clear=action.clear,
                key=action.key,
                queued=answer.queued,
            )
        if action.clear:
            forget_orders(queues, row, seat)
        for move in action.moves:
            try_enqueue(queues, row, seat, move)
        clocks.written[row, seat] = answer.queued
        clocks.accepted[row, seat] += 1
        self._note_act(row, seat, now_ns, is_awaited=is_awaited)
        return answer

    def _note_act(self, row: int, seat: int, now_ns: int, *, is_awaited: bool) -> None:
        """As `kernels.acted`, whose call costs more than this."""
        clocks = self._slots.clocks
        if is_awaited and clocks.runs[row] and not clocks.acted[row, seat]:
            took_ns = max(now_ns - int(clocks.asked_ns[row]), 0)
            times = clocks.act_ns[row, seat]
            times[kernels.SUM] += took_ns
            times[kernels.LONGEST] = max(times[kernels.LONGEST], took_ns)
            times[kernels.COUNT] += 1
        clocks.acted[row, seat] = 1

    def _write_waiting(self, game: HostedGame, seat: int) -> None:
        """Packed orders that wait go to the journal, before others come behind them."""
        queues, clocks, row = self._slots.queues, self._slots.clocks, game.row
        n_written, n_waiting = int(clocks.written[row, seat]), int(queues.n_orders[row, seat])
        if n_written == n_waiting or self.register.journal is None:
            return
        first, capacity = int(queues.first[row, seat]), queues.orders.shape[2]
        moves = tuple(
            tuple(queues.orders[row, seat, (first + place) % capacity].tolist())
            for place in range(n_written, n_waiting)
        )
        self.register.journal.accepted(
            game.game_id, game.tick, seat, moves, clear=False, key="", queued=n_waiting
        )
        clocks.written[row, seat] = n_waiting

    def _write_move(self, game: HostedGame, phase: Phase, wall_ns: int) -> None:
        if self.register.journal is not None:
            self.register.journal.moved(game.game_id, game.tick, int(phase), wall_ns)

    def _look(self, now_ns: int, wall_ns: int) -> None:
        """Expiry, and who is there."""
        lobby_ns = int(self._config.lobby_s * NS_PER_S)
        for game in list(self.register.open_games()):
            try:
                if game.phase is not Phase.RUNNING and now_ns - game.since_ns > lobby_ns:
                    self.cancel(game, now_ns, wall_ns, "nobody came, or came back, in time")
                else:
                    self.presence.look(game, now_ns, wall_ns)
            except Exception as error:  # noqa: BLE001 - one game's fault is that game's end
                self.register.fail(game, error, now_ns, wall_ns)
        self.register.forget(now_ns, int(self._config.keep_s * NS_PER_S))
        if len(self.creations) > 2 * len(self.register.by_id):
            self.creations.forget(self.register.by_id)


def _check_key(key: str) -> None:
    if len(key) > MAX_KEY:
        raise GameError("BAD_REQUEST", f"key: at most {MAX_KEY} characters")


def _check_phase(game: HostedGame, phases: frozenset[Phase] | set[Phase], what: str) -> None:
    if game.phase not in phases:
        names = " or ".join(sorted(phase.name.lower() for phase in phases))
        raise GameError(
            "WRONG_PHASE",
            f"game {game.game_id} is {game.phase.name.lower()}; {what} while it is {names}",
        )
