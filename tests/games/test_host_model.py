"""The host under any sequence of calls, against what its table and the rules allow."""

from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from playing import Playing, duel_spec, games_config

from farm.engine.state import TICK
from farm.errors import GameError
from farm.games.events import Kind
from farm.games.lifecycle import MOVES, OPEN, Phase

pytestmark = pytest.mark.timeout(300)

SPECS = st.sampled_from(
    [
        {},
        {"tick_ms": 100},
        {"bots": {1: "hunter"}},
        {"bots": {0: "random", 1: "expander"}},
        {"n_seats": 4, "teams": (0, 1, 0, 1), "no_fog": True},
        {"n_seats": 3, "bots": {2: "expander"}, "rules": "simple", "spectators": True},
        {"max_turns": 2},
        {"n_seats": 5},
        {"height": 13},
        {"bots": {1: "nobody"}},
    ]
)
CELLS = st.integers(-1, 70)
MOVES_OF_ONE = st.lists(st.tuples(CELLS, CELLS, st.integers(0, 1)), max_size=3)
ENDS = {
    Kind.GAME_ENDED: Phase.ENDED,
    Kind.GAME_CANCELLED: Phase.CANCELLED,
    Kind.GAME_FAILED: Phase.ERROR,
}


class AnyCalls(RuleBasedStateMachine):
    """Calls what a service might; a GameError is an answer, everything else a fault."""

    def __init__(self):
        super().__init__()
        self.host = Playing(
            games_config(
                max_games=4,
                max_games_per_client=3,
                max_queue=4,
                quiet_s=1,
                reconnect_grace_s=2,
                absent="expander",
                lobby_s=20,
                keep_s=20,
                act_timeout_s=5,
            )
        )
        self.games = []
        self.phases = {}
        self.ticks = {}
        self.n_streams = Counter()

    def attempt(self, act, *args, **fields):
        """The answer, or None where the host refuses."""
        try:
            return act(*args, **fields)
        except GameError:
            return None

    @rule(spec=SPECS, caller=st.sampled_from("ab"), key=st.sampled_from(["", "k1", "k2"]))
    def create(self, spec, caller, key):
        game = self.attempt(self.host.create, duel_spec(**spec), caller=caller, key=key)
        if game is not None and game not in self.games:
            self.games.append(game)

    @precondition(lambda self: self.games)
    @rule(data=st.data(), seat=st.none() | st.integers(-1, 4), key=st.sampled_from(["", "k"]))
    def join(self, data, seat, key):
        game = self.a_game(data)
        n_free = sum(held.is_free for held in game.seats)
        phase = game.phase
        joined = self.attempt(self.host.join, game, seat=seat, key=key)
        if joined is not None and not key:
            assert phase is Phase.LOBBY
            assert sum(held.is_free for held in game.seats) == n_free - 1
            assert self.host.host.seat_of(game, joined.token) == joined.seat

    @precondition(lambda self: self.games)
    @rule(data=st.data(), moves=MOVES_OF_ONE, clear=st.booleans(), at=st.none() | st.integers(0, 3))
    def submit(self, data, moves, clear, at):
        game, seat = self.a_seat(data)
        before, waiting = game.phase, game.queued(seat)
        answer = self.attempt(
            self.host.submit, game, seat, *moves, clear=clear, expected_tick=at, key=f"{at}"
        )
        if answer is None:
            assert game.queued(seat) == waiting
        elif game.queued(seat) != waiting:
            assert before in {Phase.RUNNING, Phase.PAUSED}

    @precondition(lambda self: any(game.is_played for game in self.games))
    @rule(data=st.data(), legal=st.booleans(), seed=st.integers(0, 99))
    def act(self, data, legal, seed):
        """Let every living agent of a game act, so that games go on."""
        game = data.draw(st.sampled_from([game for game in self.games if game.is_played]))
        rng = np.random.default_rng(seed)
        for seat, held in enumerate(game.seats):
            if held.digest and game.is_alive(seat):
                move = self.host.random_move(game, seat, rng) if legal else None
                self.attempt(self.host.submit, game, seat, *([move] if move else []))

    @precondition(lambda self: any(game.is_played for game in self.games))
    @rule(data=st.data(), actions=st.lists(st.integers(-2, 600), min_size=1, max_size=4))
    def act_packed(self, data, actions):
        game = data.draw(st.sampled_from([game for game in self.games if game.is_played]))
        seats = np.arange(len(actions)) % game.spec.n_seats
        rows = np.full(len(actions), game.row)
        packed = np.array(actions, np.int32)
        self.host.host.submit_many(rows, seats, packed, self.host.now_ns)

    @precondition(lambda self: self.games)
    @rule(data=st.data(), what=st.sampled_from(["pause", "resume", "cancel"]))
    def control(self, data, what):
        game = self.a_game(data)
        before = game.phase
        act = getattr(self.host.host, what)
        wanted = {"pause": Phase.PAUSED, "resume": Phase.RUNNING, "cancel": Phase.CANCELLED}[what]
        if wanted in MOVES[before] and (what != "resume" or before is Phase.PAUSED):
            act(game, self.host.now_ns, self.host.wall_ns)
            assert game.phase is wanted
        else:
            with pytest.raises(GameError, match=before.name.lower()):
                act(game, self.host.now_ns, self.host.wall_ns)
            assert game.phase is before

    @precondition(lambda self: self.games)
    @rule(data=st.data())
    def surrender(self, data):
        game, seat = self.a_seat(data)
        self.attempt(self.host.host.surrender, game, seat, self.host.now_ns, self.host.wall_ns)
        if game.is_played:
            assert not game.is_alive(seat)

    @precondition(lambda self: self.games)
    @rule(data=st.data(), opens=st.booleans())
    def connect(self, data, opens):
        game, seat = self.a_seat(data)
        if not game.seats[seat].digest:
            return
        if opens:
            self.n_streams[game.game_id, seat] += 1
            self.host.host.attach(game, seat, self.host.now_ns)
        elif self.n_streams[game.game_id, seat]:
            self.n_streams[game.game_id, seat] -= 1
            self.host.host.detach(game, seat, self.host.now_ns)

    @rule(after_s=st.sampled_from([0.0, 0.0, 0.05, 0.5, 3.0, 25.0]))
    def poll(self, after_s):
        ticks = {game.game_id: game.tick for game in self.games}
        n_ticks = self.host.poll(after_s)
        assert n_ticks == sum(game.tick - ticks[game.game_id] for game in self.games)
        assert all(game.tick - ticks[game.game_id] <= 1 for game in self.games)

    def a_game(self, data):
        return data.draw(st.sampled_from(self.games[-6:]))

    def a_seat(self, data):
        """A seat that an agent plays, in preference to any other."""
        game = self.a_game(data)
        held = [number for number, seat in enumerate(game.seats) if seat.digest and game.is_played]
        return game, data.draw(st.sampled_from(held or range(game.spec.n_seats)))

    @invariant()
    def every_phase_is_reached_by_the_table(self):
        for game in self.games:
            before = self.phases.get(game.game_id, Phase.LOBBY)
            reached, wave = {before}, {before}
            while wave:  # several moves may lie between two looks
                wave = set().union(*(MOVES[phase] for phase in wave)) - reached
                reached |= wave
            assert game.phase in reached
            self.phases[game.game_id] = game.phase

    @invariant()
    def rows_are_of_open_games_and_of_one_each(self):
        slots, known = self.host.slots, self.host.host.register
        rows = [game.row for game in self.games if game.phase in OPEN]
        assert len(set(rows)) == len(rows) == slots.n_taken == known.n_open
        assert all(game.row == -1 for game in self.games if game.phase not in OPEN)
        assert all(known.by_row[game.row] is game for game in self.games if game.is_open)
        running = {game.row for game in self.games if game.phase is Phase.RUNNING}
        assert set(slots.clocks.runs.nonzero()[0].tolist()) == running

    @invariant()
    def boards_are_as_the_rules_have_them(self):
        for game in self.games:
            if not game.has_board:
                continue
            board = game.board
            for seat in range(game.spec.n_seats):
                mine = board.owner == seat
                assert mine.sum() == board.land[seat]
                assert board.army[mine].sum() == board.total_army[seat]
                assert 0 <= game.queued(seat) <= 4
            if game.is_open:
                assert self.host.slots.games.status[game.row, TICK] == game.tick
            assert game.tick >= self.ticks.get(game.game_id, 0)
            self.ticks[game.game_id] = game.tick

    @invariant()
    def events_count_up_and_end_as_the_game_did(self):
        for game in self.games:
            told = [event for game_id, event in self.host.events if game_id == game.game_id]
            assert [event.sequence for event in told] == list(range(1, len(told) + 1))
            ends = [ENDS[event.kind] for event in told if event.kind in ENDS]
            assert ends == ([] if game.is_open else [game.phase])

    @invariant()
    def nothing_failed(self):
        assert self.host.faults == []


AnyCalls.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_no_sequence_of_calls_is_a_fault_of_ours = AnyCalls.TestCase
