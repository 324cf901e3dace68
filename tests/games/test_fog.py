"""Nobody sees through fog by any call: whole games against an engine of the test's own.

The test plays the same orders on a board of its own, drawn from the same seed and settings, and
holds every byte that a seat receives against the frame that the rules show that seat.
"""

import numpy as np
import pytest
from hosting import Eyes, pass_rows

from farm.engine.batch import reset_games
from farm.engine.queues import allocate_queues, step_queued, try_enqueue
from farm.engine.settings import settings
from farm.engine.state import OUTCOME, PLAYING, allocate
from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb
from farm.spec import frame_dtype
from farm.spec.actions import decode_action, legal_mask
from farm.spec.observation import frame_bytes
from farm.spec.tiles import FOG, OWNER_MASK

pytestmark = pytest.mark.timeout(300)

SIDE = 9
N_CELLS = SIDE * SIDE


class Mirror:
    """The same game on a board of the test's own."""

    def __init__(self, seed, n_seats, max_turns, teams=None):
        self.n_seats = n_seats
        self.games = allocate(1, N_CELLS, n_seats)
        self.queues = allocate_queues(1, n_seats, 16)
        drawn = settings(
            SIDE, SIDE, n_seats, mountains=0.15, cities=8, max_ticks=2 * max_turns, teams=teams
        )
        reset_games(self.games, np.uint64(seed), np.zeros(1, np.uint64), drawn)

    def play(self, orders):
        """A tick with an order or None of each seat."""
        for seat, order in enumerate(orders):
            if order is not None:
                assert try_enqueue(self.queues, 0, seat, order)
        step_queued(self.games, self.queues, 0)

    @property
    def is_over(self):
        return self.games.status[0, OUTCOME] != PLAYING

    def frame(self, seat):
        return self.games.frames[0, seat, : frame_bytes(N_CELLS, self.n_seats)].copy()

    def sees(self, seat):
        """bool[n_cells]: what is in the seat's sight."""
        return self.frame(seat)[2 * N_CELLS : 3 * N_CELLS] & OWNER_MASK != FOG


def random_order(frame, n_seats, n_allies, rng):
    """A move that the frame shows to be possible, or None; (start, end, half)."""
    seen = frame.view(frame_dtype(SIDE, SIDE, n_seats))[0]
    legal = np.flatnonzero(legal_mask(seen["tile"], seen["army"], n_allies)[:-1])
    if not legal.size or rng.random() < 0.1:
        return None
    cell, direction, half = decode_action(int(rng.choice(legal)))
    return cell, cell + (-SIDE, SIDE, -1, 1)[direction], half


def start(calls, seed, n_seats, max_turns, **fields):
    created = calls.create(
        uniform=pb.UniformMap(height=SIDE, width=SIDE, mountains=0.15, cities=8),
        n_seats=n_seats,
        seed=seed,
        max_turns=max_turns,
        **fields,
    )
    return created, [calls.join(created.game_id, f"p{n}").token for n in range(n_seats)]


def check_event(event, seat, after):
    """What happened on a cell is told to those alone who see the cell, or knew it as their home."""
    if event.kind in {pb.GENERAL_CAPTURED, pb.CITY_CAPTURED}:
        is_home = event.kind == pb.GENERAL_CAPTURED and event.seat == seat
        assert is_home or after.sees(seat)[event.cell]
    else:
        assert not event.HasField("cell")


@pytest.mark.parametrize(("n_seats", "teams"), [(2, None), (4, None), (4, [0, 1, 0, 1])])
def test_streams_and_states_show_a_seat_its_frame_and_nothing_else(shared, n_seats, teams):
    seed, max_turns = 40 + n_seats, 60
    rng = np.random.default_rng(n_seats)
    created, tokens = start(shared, seed, n_seats, max_turns, teams=teams)
    n_allies = 1 if teams else 0
    mirror = Mirror(seed, n_seats, max_turns, teams)
    streams = [shared.stream(created.game_id, token) for token in tokens]
    eyes = [Eyes() for _ in tokens]
    for seat, stream in enumerate(streams):
        first = next(stream)
        assert first.observation.n_allies == n_allies
        assert eyes[seat].see(first).tobytes() == mirror.frame(seat).tobytes()
    tick = 0
    while not mirror.is_over:
        orders = [random_order(eyes[seat].frame, n_seats, n_allies, rng) for seat in range(n_seats)]
        alive = mirror.games.alive[0].copy()
        for seat, order in enumerate(orders):
            if alive[seat]:
                moves = (
                    [] if order is None else [pb.Move(start=order[0], end=order[1], half=order[2])]
                )
                shared.unary(
                    names.SUBMIT_ACTION,
                    game_id=created.game_id,
                    token=tokens[seat],
                    action=pb.Action(moves=moves, expected_tick=tick),
                )
        mirror.play([order if alive[seat] else None for seat, order in enumerate(orders)])
        tick += 1
        for seat, stream in enumerate(streams):
            update = stream.until(lambda one, tick=tick: one.tick >= tick)
            assert update.tick == tick
            truth = mirror.frame(seat).tobytes()
            assert eyes[seat].see(update).tobytes() == truth
            for event in update.events:
                check_event(event, seat, mirror)
            if tick % 7 == 0:
                state = shared.state(created.game_id, tokens[seat])
                assert state.observation.frame == truth
                check_stats(shared.stats(created.game_id, tokens[seat]), seat, n_seats, teams)
    assert tick > 20
    for stream in streams:
        assert not [one for one in stream if one.tick > tick]


def check_stats(stats, seat, n_seats, teams):
    """Of enemies there is the scoreboard and no more."""
    if stats.game.phase != pb.PHASE_RUNNING:
        return
    teams = teams or list(range(n_seats))
    for player in stats.players:
        is_enemy = teams[player.seat] != teams[seat]
        assert player.HasField("cities") is not is_enemy
        if is_enemy:
            counted = (player.actions_accepted, player.act_max_ms, dict(player.actions_rejected))
            assert counted == (0, 0, {})
    assert not stats.HasField("seed")


def test_rows_of_play_many_are_the_frames_of_their_seats(shared):
    seed, max_turns = 77, 40
    created, tokens = start(shared, seed, 2, max_turns)
    mirror = Mirror(seed, 2, max_turns)
    opening = pb.PlayManyOpen(
        seats=[pb.SeatKey(game_id=created.game_id, token=token) for token in tokens]
    )
    stream = shared.talk(names.PLAY_MANY, pb.PlayManyRequest(open=opening))
    opened = next(stream).opened
    assert opened.frame_bytes == frame_bytes(N_CELLS, 2)
    rng = np.random.default_rng(5)
    n_seen = 0
    for message in stream:
        update = message.update
        frames = np.frombuffer(update.frames, np.uint8).reshape(-1, opened.frame_bytes)
        rows = np.frombuffer(update.rows, "<i4")
        for row, frame in zip(rows, frames, strict=True):
            assert frame.tobytes() == mirror.frame(opened.rows[row].seat).tobytes()
        n_seen += rows.size
        if mirror.is_over:
            continue
        orders = [random_order(mirror.frame(seat), 2, 0, rng) for seat in range(2)]
        mirror.play(orders)
        stream.send(many_actions(opened, [encoded(order) for order in orders]))
    assert mirror.is_over
    assert n_seen > 40


def encoded(order):
    if order is None:
        return 8 * N_CELLS
    start_cell, end, half = order
    return start_cell * 8 + (-SIDE, SIDE, -1, 1).index(end - start_cell) * 2 + half


def many_actions(opened, actions):
    message = pass_rows(opened, range(len(actions)))
    message.actions.actions = np.asarray(actions, "<i4").tobytes()
    return message


def test_an_obstacle_in_fog_is_accepted_like_any_other_cell(shared):
    board = "G0 . . . M .\n" + "\n".join(". . . . . ." for _ in range(4)) + "\n. . . . . G1\n"
    created = shared.create(board=board)
    anna, bob = (shared.join(created.game_id, name).token for name in ("anna", "bob"))
    for _ in range(2):
        for token in (anna, bob):
            shared.submit(created.game_id, token)
    answered = shared.submit(created.game_id, anna, (0, 1), (1, 2), (2, 3), (3, 4), (4, 5))
    assert answered.queued == 5
