"""Experiences of hosted games: what comes out of the ring is what was played, or is counted."""

import time
from collections import defaultdict

import numpy as np
import pytest

from farm.client.decode import Trajectory
from farm.engine.batch import Batch, reset_games
from farm.engine.queues import surrender_player
from farm.engine.settings import settings, toy_settings
from farm.engine.state import OUTCOME, TERMINATED, TRUNCATED, allocate
from farm.games.recorder import About, Player, Recorder, about_of, sources_of
from farm.games.warm_up import compile_kernels
from farm.rpc.v1 import experience_pb2
from farm.shm.balance import read_balance
from farm.shm.control import ControlBlock
from farm.shm.groups import FIRST_HOST_RING, Amount, create_groups
from farm.shm.ring import (
    RingConsumer,
    RingProducer,
    drop,
    next_sequence,
    publish,
    try_claim,
)
from farm.shm.ring_layout import attach_ring, create_ring
from farm.spec.actions import pass_action
from farm.spec.observation import frame_bytes
from farm.spec.trajectory import N_STEPS_OFFSET, RECORD_HEADER, policy_hash

RING = FIRST_HOST_RING + 2
STEPS = 8
GAME_ID = 4711
WALL_NS = 1_700_000_000_000_000_000
PLAYERS = (Player("ada"), Player("hunter", 3), Player("björn"), Player("random", 1))


class Host:
    """Plays one game of random legal moves, has it recorded, and keeps what happened."""

    def __init__(self, instance, game_settings, *, seed=0, steps=STEPS, capacity=1 << 20):
        self.control = ControlBlock.create(instance, 1)
        self.slot = self.control.children[0]
        self.instance, self.rng = instance, np.random.default_rng(seed)
        create_ring(instance, RING, capacity).close()
        self.segment = attach_ring(instance, RING)
        self.rings_of_the_bell = 0
        self.batch = Batch(1, game_settings, seed=seed)
        games, n_seats = self.batch.games, self.batch.n_seats
        actions, rewards = np.zeros((1, n_seats), np.int32), np.zeros((1, n_seats), np.float32)
        self.actions, self.rewards = actions[0], rewards[0]
        self.sources = sources_of(games, 0, actions=actions, rewards=rewards)
        self.frames = [self.sources.frames.copy()]
        self.played = []
        self.recorder = self.replace(generation=1, steps=steps)

    def replace(self, generation, steps=STEPS):
        """A recorder in a new process, as it were."""
        return Recorder(
            RingProducer(self.segment, generation),
            self.slot,
            ring=RING,
            generation=generation,
            steps=steps,
            config_epoch=5,
            published=self._published,
            wall_ns=lambda: WALL_NS,
        )

    def _published(self):
        self.rings_of_the_bell += 1

    def begin(self):
        about = about_of(self.batch.games, 0, GAME_ID)
        self.recorder.begin(about, self.sources, PLAYERS[: self.batch.n_seats])

    def tick(self, *, recorded=True):
        """Play a tick; True while the game goes on."""
        alive = self.sources.alive.astype(bool)
        mask = self.batch.legal_mask()[0]
        self.actions[:] = [
            self.rng.choice(np.flatnonzero(mask[seat])) if alive[seat] else -1
            for seat in range(self.batch.n_seats)
        ]
        self.batch.step(self.actions[None])
        self.rewards[:] = self.rng.normal(size=self.batch.n_seats)
        self.played.append((self.actions.copy(), self.rewards.copy(), alive))
        self.frames.append(self.sources.frames.copy())
        if recorded:
            self.recorder.ticked(GAME_ID)
        return not self.batch.over[0]

    def play(self, n_ticks=10_000):
        """Play to the end of the game, or so many ticks; how many there were."""
        ticks = 0
        while ticks < n_ticks:
            ticks += 1
            if not self.tick():
                break
        return ticks

    def take(self):
        """Records in the ring: header and message of each; they are released."""
        consumer = RingConsumer(self.segment)
        found = []
        while (record := consumer.peek()) is not None:
            raw = bytes(record)
            (header,) = np.frombuffer(raw, RECORD_HEADER, 1)
            entry = raw[RECORD_HEADER.itemsize :]
            (message,) = experience_pb2.ExperienceBatch.FromString(entry).trajectories
            found.append((header, message))
            record.release()
        consumer.release()
        return found

    def taken(self):
        """Trajectories in the ring, as a client has them."""
        return [Trajectory(message) for _, message in self.take()]

    def close(self):
        self.recorder = None
        self.segment.close()
        self.control.unlink()
        self.control.close()


@pytest.fixture
def host_of(instance):
    hosts = []

    def make(game_settings=None, **more):
        chosen = toy_settings(5, 5, 2, max_ticks=400) if game_settings is None else game_settings
        hosts.append(Host(instance, chosen, **more))
        hosts[-1].begin()
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


def by_seat(trajectories):
    found = defaultdict(list)
    for one in trajectories:
        found[one.seat].append(one)
    return found


def agree(host, seat, trajectories):
    """Whether these are what the seat saw and did, step by step, from the first tick on."""
    tick = 0
    for one in trajectories:
        one.verify()
        assert one.first_tick == tick
        until = tick + one.n_steps
        for frame, seen in zip(one.frames, host.frames[tick : until + 1], strict=True):
            assert frame.tobytes() == seen[seat].tobytes()
        for step, (actions, rewards, alive) in enumerate(host.played[tick:until]):
            assert alive[seat]
            assert one.action[step] == actions[seat]
            assert one.reward[step] == rewards[seat]
        assert not one.log_prob.any()
        tick = until
    return tick


@pytest.mark.parametrize("seed", range(3))
def test_a_game_comes_out_of_the_ring_as_every_seat_saw_and_played_it(host_of, seed):
    host = host_of(settings(6, 6, 4, mountains=0.1, cities=2, max_ticks=300), seed=seed)
    n_ticks = host.play()
    host.recorder.ended(GAME_ID)
    assert host.recorder.publish() > 0
    found = by_seat(host.taken())
    for seat in range(4):
        died_at = int(host.batch.games.died_at[0, seat])
        expected = n_ticks if died_at < 0 else died_at + 1
        assert agree(host, seat, found[seat]) == expected
        assert [one.n_steps for one in found[seat][:-1]] == [STEPS] * (len(found[seat]) - 1)
        *others, last = found[seat]
        assert not any(one.terminated or one.truncated for one in others)
        over = died_at >= 0 or host.batch.outcome[0] == TERMINATED
        assert (last.terminated, last.truncated) == (over, not over)


def test_the_rules_end_some_games_and_the_last_tick_others(host_of):
    """What the test above needs in order to be about all of it."""
    outcomes = set()
    host = host_of(settings(6, 6, 4, mountains=0.1, cities=2, max_ticks=300), seed=0)
    for seed in range(3):
        batch = Batch(1, host.batch.settings, seed=seed)
        rng = np.random.default_rng(seed)
        while not batch.over[0]:
            mask = batch.legal_mask()[0]
            alive = batch.games.alive[0]
            choice = [
                rng.choice(np.flatnonzero(m)) if a else -1 for m, a in zip(mask, alive, strict=True)
            ]
            batch.step(np.array([choice], np.int32))
            rng.normal(size=4)
        outcomes.add(int(batch.outcome[0]))
        outcomes.update("death" for died in batch.games.died_at[0] if died >= 0)
    assert outcomes >= {TRUNCATED, "death"}


def test_a_record_says_what_filters_and_statistics_ask_for(host_of):
    host = host_of()
    host.play(STEPS)
    host.recorder.publish()
    records = host.take()
    assert len(records) == 2
    for seat, (header, message) in enumerate(records):
        rewards = np.array([rewards[seat] for _, rewards, _ in host.played])
        assert (header["sequence"], message.sequence) == (seat, seat)
        assert (header["worker"], message.worker) == (RING, RING)
        assert (header["game_id"], message.game_id) == (GAME_ID, GAME_ID)
        assert (header["first_tick"], header["last_tick"], header["n_steps"]) == (0, STEPS, STEPS)
        assert header["policy_hash"] == policy_hash(PLAYERS[seat].policy)
        assert header["reward_sum"] == pytest.approx(rewards.sum(dtype=np.float64))
        assert (header["reward_min"], header["reward_max"]) == (rewards.min(), rewards.max())
        assert (header["wall_time_ns"], message.wall_time_ns) == (WALL_NS, WALL_NS)
        assert (message.policy, message.policy_version) == PLAYERS[seat]
        assert (message.config_epoch, message.generation, message.has_memory) == (5, 1, False)


def test_teammates_count_as_allies(host_of):
    host = host_of(toy_settings(6, 6, 4, teams=(0, 0, 0, 1), max_ticks=100))
    host.play(STEPS)
    host.recorder.publish()
    assert [one.n_allies for one in host.taken()] == [2, 2, 2, 0]


def test_a_game_smaller_than_its_slot_takes_its_own_part_of_it(host_of):
    """Slots are as large as the largest game allowed."""
    host = host_of()
    games = allocate(3, 20 * 20, 6)
    size = games.frames.shape[2]
    reset_games(games, np.uint64(1), np.arange(3, dtype=np.uint64), host.batch.settings)
    clear = np.full((3, 6, size), 7, np.uint8)
    rows = {"actions": np.ones((3, 6), np.int32), "rewards": np.ones((3, 6), np.float32)}
    assert about_of(games, 2, 9) == About(9, 5, 5, (0, 0))
    seen, shown = (sources_of(games, 2, frames=frames, **rows) for frames in (None, clear))
    assert seen.frames.shape == (2, frame_bytes(25, 2))
    assert np.shares_memory(seen.frames, games.frames[2])
    assert np.shares_memory(shown.frames, clear[2])
    assert all(len(part) == 2 for part in (seen.actions, seen.rewards, seen.alive))


def test_a_seat_that_surrendered_ends_with_the_tick_after(host_of):
    host = host_of(toy_settings(6, 6, 3, max_ticks=100))
    host.play(3)
    surrender_player(host.batch.games, 0, 1)
    host.tick()
    host.recorder.publish()
    (quitter,) = host.taken()
    assert (quitter.seat, quitter.n_steps) == (1, 4)
    assert (quitter.terminated, quitter.truncated) == (True, False)
    host.play(20)
    host.recorder.ended(GAME_ID)
    host.recorder.publish()
    assert {one.seat for one in host.taken()} == {0, 2}


def test_a_game_that_was_called_off_is_cut(host_of):
    host = host_of()
    host.play(3)
    host.recorder.ended(GAME_ID)
    host.recorder.publish()
    trajectories = host.taken()
    assert [one.n_steps for one in trajectories] == [3, 3]
    assert [(one.terminated, one.truncated) for one in trajectories] == [(False, True)] * 2


def test_a_game_that_ends_with_its_chunk_leaves_nothing_behind(host_of):
    host = host_of(toy_settings(6, 6, 2, max_ticks=STEPS))
    host.play()
    host.recorder.ended(GAME_ID)
    host.recorder.publish()
    trajectories = host.taken()
    assert [one.n_steps for one in trajectories] == [STEPS, STEPS]
    assert all(one.truncated for one in trajectories)


def test_no_trajectory_is_of_two_players(host_of):
    host = host_of()
    host.play(3)
    host.recorder.replaced(GAME_ID, 0, Player("expander", 2))
    host.play(STEPS)
    host.recorder.publish()
    found = by_seat(host.taken())
    told = [(one.n_steps, one.policy, one.policy_version) for one in found[0]]
    assert told == [(3, "ada", 0), (STEPS, "expander", 2)]
    assert [one.policy for one in found[1]] == ["hunter", "hunter"]
    for seat in (0, 1):
        assert agree(host, seat, found[seat]) == 3 + STEPS


def test_chunks_that_begin_after_a_change_have_its_length(host_of):
    host = host_of()
    host.play(3)
    host.recorder.steps, host.recorder.config_epoch = 5, 6
    host.play(STEPS - 3 + 5)
    host.recorder.publish()
    told = [(one.n_steps, one.config_epoch) for one in by_seat(host.taken())[0]]
    assert told == [(STEPS, 6), (5, 6)]


def test_the_bell_rings_once_for_what_is_published_and_not_for_nothing(host_of):
    host = host_of()
    host.play(STEPS)
    assert host.take() == [], "nothing is visible before it is published"
    assert [host.recorder.publish(), host.recorder.publish()] == [2, 0]
    assert host.rings_of_the_bell == 1
    counters = host.slot.counters_dict()
    assert (counters["records"], counters["experiences"]) == (2, 2 * STEPS)


def test_games_that_are_not_recorded_are_let_pass(host_of):
    host = host_of()
    host.recorder.ticked(1)
    host.recorder.replaced(1, 0, Player("x"))
    host.recorder.ended(1)
    assert host.recorder.publish() == 0


def test_a_full_ring_drops_by_count_and_the_balance_is_exact(host_of, instance):
    host = host_of(settings(20, 20, 4, max_ticks=10_000), capacity=1 << 16)
    with create_groups(instance, run_id=1, capacity=1 << 16, n_rings=0) as groups:
        host.play(100 * STEPS)
        host.recorder.publish()
        balance = read_balance(
            groups, [(RING, host.segment)], experiences_at=N_STEPS_OFFSET, running=True
        )
    assert balance.exact
    (ring,) = balance.rings
    assert ring.attempted == Amount(400, 400 * STEPS)
    dropped, published = ring.dropped["ring_full"], ring.published
    assert dropped.records > 10
    assert dropped + published == ring.attempted
    counters = host.slot.counters_dict()
    assert (counters["records"], counters["experiences"]) == (
        published.records,
        published.experiences,
    )
    assert (counters["dropped_records"], counters["dropped_experiences"]) == (
        dropped.records,
        dropped.experiences,
    )
    taken = host.taken()
    assert len(taken) == published.records
    host.play(STEPS)
    host.recorder.publish()
    assert host.taken()[0].sequence == 400, "what was dropped has used its sequences up"


def test_a_record_larger_than_half_of_its_ring_is_dropped(host_of):
    host = host_of(settings(64, 64, 2, max_ticks=500), capacity=1 << 12)
    host.play(STEPS)
    assert host.recorder.publish() == 0
    assert host.slot.counter("dropped_records") == 2


def test_the_next_host_goes_on_where_the_one_before_published(host_of):
    host = host_of()
    host.play(STEPS)
    host.recorder.publish()
    host.play(STEPS)  # claimed, and never published
    host.recorder = host.replace(generation=2)
    assert host.slot.counter("aborted_records") == 2
    host.begin()
    host.play(STEPS)
    host.recorder.publish()
    told = [(one.sequence, one.generation, one.first_tick) for one in host.taken()]
    assert told == [(0, 1, 0), (1, 1, 0), (2, 2, 2 * STEPS), (3, 2, 2 * STEPS)]


def test_passes_of_the_quick_and_the_slow_are_actions_like_any_other(host_of):
    host = host_of()
    for _ in range(STEPS):
        host.batch.step(np.full((1, 2), pass_action(25), np.int32))
        host.actions[:] = pass_action(25)
        host.recorder.ticked(GAME_ID)
    host.recorder.publish()
    for one in host.taken():
        assert set(one.action) == {pass_action(25)}


def test_nothing_is_left_to_compile_after_the_warm_up(host_of):
    compile_kernels()
    kernels = (try_claim, publish, drop, next_sequence)
    before = [len(kernel.signatures) for kernel in kernels]
    host = host_of(settings(64, 64, 2, max_ticks=500), capacity=1 << 12)
    host.play(STEPS)  # drops
    host.recorder.publish()
    assert [len(kernel.signatures) for kernel in kernels] == before


def test_a_tick_of_a_duel_costs_next_to_nothing(host_of):
    """Five microseconds are the budget; this is no bench, and lets a busy machine be slow."""
    host = host_of(toy_settings(10, 10, 2, max_ticks=10_000), steps=256)
    took_ns = []
    for _ in range(255):
        began_ns = time.perf_counter_ns()
        host.recorder.ticked(GAME_ID)
        took_ns.append(time.perf_counter_ns() - began_ns)
    assert np.median(took_ns) < 25_000
    assert host.sources.status[OUTCOME] == 0
