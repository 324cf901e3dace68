"""A worker's records hold the games as they were played, whoever played them, and none is lost."""

import numpy as np
import pytest

from farm.client import Trajectory, stack
from farm.config.schema import FarmConfig, MatchConfig, RingConfig, WorkerConfig
from farm.engine.batch import Batch
from farm.engine.state import TERMINATED, TRUNCATED
from farm.policies.registry import policy_info
from farm.policies.rollout import play
from farm.rpc.v1 import experience_pb2
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import EXPERIENCES, SEQUENCE, RingConsumer, RingProducer
from farm.shm.ring_layout import RingView, create_ring, unpublished
from farm.spec.trajectory import RECORD_HEADER
from farm.worker import rollout
from farm.worker.plan import make_plan, make_scratch
from farm.worker.rollout import Rollout

MATCH = MatchConfig(board="9x11", seats=("expander", "random"), max_turns=60, cities=3)
SEED = 7
BLOCK = RingConfig(bytes=1 << 18)
DROP_NEWEST = RingConfig(bytes=1 << 18, when_full="drop_newest")
SAMPLE = RingConfig(bytes=1 << 18, when_full="sample", sample=0.25)


class Worker:
    """A rollout on a ring of its own, without the process around it."""

    def __init__(
        self, instance, *, match=MATCH, games=3, steps=16, index=0, control=None, ring=BLOCK
    ):
        worker = WorkerConfig(games=games, steps=steps)
        self.config = FarmConfig(match=match, worker=worker, ring=ring)
        self.control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8) if control is None else control
        self.segment = create_ring(instance, index, self.config.ring.bytes)
        plan = make_plan(self.config, SEED)
        scratch = make_scratch(plan, worker=index, generation=1, config_epoch=4)
        self.ring = RingProducer(self.segment)
        self.rollout = Rollout(plan, scratch, games, self.control, self.ring)
        self.consumer = RingConsumer(self.segment)

    def poll(self):
        return self.rollout.poll(0, 123)

    def take(self):
        """Everything published: (header, trajectory) pairs, released."""
        taken = []
        while (record := self.consumer.peek()) is not None:
            data = bytes(record)
            batch = experience_pb2.ExperienceBatch.FromString(data[RECORD_HEADER.itemsize :])
            header = np.frombuffer(data, RECORD_HEADER, 1)[0]
            taken.append((header, Trajectory(batch.trajectories[0])))
        self.consumer.release()
        return taken

    def play_games(self, n_games):
        """Trajectories by game number, until games 0 to n_games - 1 are over."""
        games = {}
        open_games = set(range(n_games))
        while open_games:
            assert self.poll() > 0
            for _, trajectory in self.take():
                games.setdefault(trajectory.game_id, []).append(trajectory)
                seats_ended = {t.seat for t in games[trajectory.game_id] if is_last(t)}
                if len(seats_ended) == trajectory.n_seats:
                    open_games.discard(trajectory.game_id)
        return {number: games[number] for number in range(n_games)}


def is_last(trajectory):
    return trajectory.terminated or trajectory.truncated


@pytest.fixture
def make_worker(instance):
    workers = []

    def make(**options):
        worker = Worker(instance, **{"index": len(workers), **options})
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        worker.segment.unlink()


def play_alone(number, max_ticks=120):
    """Frames of one game, tick by tick, from the engine without a worker: [tick, seat, bytes]."""
    settings = make_plan(FarmConfig(match=MATCH), SEED).settings
    batch = Batch(1, settings, seed=SEED, first_game=number)
    codes = np.array([policy_info(name).code for name in MATCH.seats], np.int32)
    size = batch.frames.dtype.itemsize
    frames = [batch.games.frames[0, :, :size].copy()]
    out = np.zeros((1, 2, size), np.uint8)
    actions = np.zeros(2, np.int32)
    next_game = np.array([10**6], np.uint64)
    for _ in range(max_ticks):
        ended = play(batch.games, codes, 1, np.uint64(SEED), next_game, settings, actions, out)
        frames.append(out[0].copy())
        if ended:
            break
    return np.stack(frames)


def test_the_frames_are_those_of_the_game_tick_by_tick(make_worker):
    games = make_worker().play_games(4)
    for number, trajectories in games.items():
        expected = play_alone(number)
        for seat in (0, 1):
            mine = sorted((t for t in trajectories if t.seat == seat), key=lambda t: t.first_tick)
            ticks = 0
            for trajectory in mine:
                assert trajectory.first_tick == ticks
                rows = expected[ticks : ticks + trajectory.n_steps + 1, seat]
                assert trajectory.frames.tobytes() == rows.tobytes()
                ticks += trajectory.n_steps
            assert ticks == len(expected) - 1


def test_a_game_is_the_same_bytes_whoever_plays_it_among_how_many(make_worker):
    alone = make_worker(games=1).play_games(6)
    control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8)
    team = [make_worker(games=2, control=control) for _ in range(8)]
    shared = {}
    while any(
        number not in shared or len({t.seat for t in shared[number] if is_last(t)}) < 2
        for number in alone
    ):
        for worker in team:
            worker.poll()
            for _, trajectory in worker.take():
                shared.setdefault(trajectory.game_id, []).append(trajectory)
    for number, trajectories in alone.items():
        assert len(trajectories) > 2
        by_place = {(t.seat, t.first_tick): t.decode() for t in shared[number]}
        assert by_place == {(t.seat, t.first_tick): t.decode() for t in trajectories}


def test_actions_are_legal_and_log_probabilities_those_of_the_policy(make_worker):
    worker = make_worker()
    worker.poll()
    for header, trajectory in worker.take():
        batch = stack([trajectory])
        assert batch.legal_mask[np.arange(trajectory.n_steps), trajectory.action].all()
        legal_moves = batch.legal_mask[:, :-1].sum(axis=1)
        if trajectory.policy == "random":
            expected = -np.log(np.maximum(legal_moves, 1))
            np.testing.assert_allclose(trajectory.log_prob, expected, rtol=1e-5, atol=1e-6)
        assert header["n_steps"] == trajectory.n_steps


def test_the_winner_gets_one_the_loser_minus_one_and_everyone_else_nothing(make_worker):
    games = make_worker(match=MatchConfig(board="9x11", seats=("expander",) * 2, max_turns=400))
    outcomes = set()
    for trajectories in games.play_games(12).values():
        last = {t.seat: t for t in trajectories if is_last(t)}
        total = {t.seat: 0.0 for t in trajectories}
        for trajectory in trajectories:
            total[trajectory.seat] += float(trajectory.reward.sum())
            assert not trajectory.reward[:-1].any()
        if last[0].truncated:
            assert total == {0: 0.0, 1: 0.0}
            outcomes.add(TRUNCATED)
        else:
            assert sorted(total.values()) == [-1.0, 1.0]
            assert last[0].terminated
            assert last[1].terminated
            outcomes.add(TERMINATED)
            loser = min(total, key=total.get)
            assert last[loser].next_obs["alive"][-1].tolist() == [0, 1]
    assert TERMINATED in outcomes


def test_a_full_ring_stops_the_play_and_nothing_is_lost_when_it_goes_on(make_worker):
    worker = make_worker(games=4)
    while worker.poll():
        pass
    assert worker.poll() == 0
    counted = int(worker.ring.cursor[EXPERIENCES])
    first = worker.take()
    assert sum(t.n_steps for _, t in first) == counted
    assert worker.poll() > 0
    second = worker.take()
    sequences = [t.sequence for _, t in first + second]
    assert sequences == list(range(len(sequences)))
    assert int(worker.rollout.counts[rollout.RECORDS]) == len(second)


def test_every_trajectory_passes_its_checksum_and_names_its_origin(make_worker):
    worker = make_worker()
    worker.poll()
    for header, trajectory in worker.take():
        trajectory.verify()
        assert (trajectory.worker, trajectory.generation, trajectory.config_epoch) == (0, 1, 4)
        assert trajectory.policy == MATCH.seats[trajectory.seat]
        assert header["last_tick"] == trajectory.first_tick + trajectory.n_steps
        assert trajectory.wall_time_ns == 123


# What a full ring does to its worker.


def by_place(taken):
    """What was played, by what names it whatever else was written."""
    return {(t.game_id, t.seat, t.first_tick): (t.n_steps, t.decode()) for _, t in taken}


def play_beside_a_reader(worker, n_polls):
    """Everything that a worker plays in some batches, taken as it comes."""
    taken = []
    for _ in range(n_polls):
        worker.poll()
        taken += worker.take()
    return taken


@pytest.fixture
def in_step(monkeypatch):
    """Workers play one chunk a batch, however quick the machine is."""
    monkeypatch.setattr(Rollout, "_pace", lambda *_: None)


def accounts(worker):
    """Records and experiences by what became of them, and how many were attempted in all."""
    saved = RingView(worker.segment).checkpoint()
    counts = {
        "published": (saved.records, saved.experiences),
        "dropped": (saved.dropped_records, saved.dropped_experiences),
        "sampled": (saved.sampled_records, saved.sampled_experiences),
    }
    assert unpublished(worker.segment, saved) == (0, 0)
    return counts


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize("policy", [DROP_NEWEST, SAMPLE], ids=["drop_newest", "sample"])
def test_a_worker_that_drops_plays_on_and_counts_every_experience(make_worker, policy):
    worker = make_worker(ring=policy)
    ticks = 0
    for _ in range(600):
        assert worker.poll() > 0, "it never waits"
        ticks += int(worker.rollout.counts[rollout.TICKS])
    counts = accounts(worker)
    taken = worker.take()
    assert counts["published"] == (len(taken), sum(t.n_steps for _, t in taken))
    assert counts["dropped"][0] > 0
    assert (counts["sampled"][0] > 0) == (policy is SAMPLE)
    # Two living seats make two experiences a tick; a game ends with the death of either.
    assert sum(n_experiences for _, n_experiences in counts.values()) == 2 * ticks


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize("policy", [DROP_NEWEST, SAMPLE], ids=["drop_newest", "sample"])
def test_what_is_written_is_what_a_lossless_worker_writes_and_gaps_are_the_drops(
    make_worker, policy
):
    everything = by_place(play_beside_a_reader(make_worker(), 600))
    worker = make_worker(ring=policy)
    taken = []
    for _ in range(3):
        for _ in range(200):
            worker.poll()
        taken += worker.take()
    written = by_place(taken)
    assert len(written) == len(taken) < len(everything)
    # Sequence and time differ; so does the worker; all that was played is the same.
    assert written == {place: everything[place] for place in written}
    counts = accounts(worker)
    sequences = [t.sequence for _, t in taken]
    assert sequences == sorted(set(sequences))
    n_attempts = sum(n_records for n_records, _ in counts.values())
    assert n_attempts - len(sequences) == counts["dropped"][0] + counts["sampled"][0]
    assert n_attempts == len(everything)
    worker.take()
    worker.poll()
    following = worker.take()[0][1].sequence
    assert following == n_attempts, "the next sequence goes on behind the dropped ones"


@pytest.mark.usefixtures("in_step")
def test_a_sample_is_its_part_of_the_records_and_the_same_one_every_time(make_worker):
    def sample(worker, n_polls=3_000):
        half = worker.config.ring.bytes // 2
        taken = []
        while RingView(worker.segment).used_bytes < half:
            worker.poll()
        first = int(worker.ring.cursor[SEQUENCE])
        for _ in range(n_polls):
            worker.poll()
            # Taken and not released: the ring stays between half full and full.
            if RingView(worker.segment).used_bytes > 1.5 * half:
                taken += release_down_to(worker, half)
        kept = [t.sequence for t in taken + release_down_to(worker, 0) if t.sequence >= first]
        last = int(worker.ring.cursor[SEQUENCE])
        return set(kept), last - first

    def release_down_to(worker, n_bytes):
        taken = []
        while RingView(worker.segment).used_bytes > n_bytes:
            record = bytes(worker.consumer.peek())
            batch = experience_pb2.ExperienceBatch.FromString(record[RECORD_HEADER.itemsize :])
            taken.append(batch.trajectories[0])
            worker.consumer.release()
        return taken

    workers = [make_worker(ring=SAMPLE) for _ in range(2)]
    kept, n_attempts = sample(workers[0])
    share = len(kept) / n_attempts
    # Four standard deviations of a share of 0.25 among some 6,000 records.
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / n_attempts)
    assert RingView(workers[0].segment).dropped == 0
    other, _ = sample(workers[1])
    assert len(kept ^ other) > 0.2 * n_attempts, "another worker keeps other ones"
    workers[0].segment.unlink()
    again, _ = sample(make_worker(ring=SAMPLE, index=0))
    assert again == kept


@pytest.mark.usefixtures("in_step")
def test_below_half_full_a_sample_is_everything(make_worker):
    sampling, lossless = make_worker(ring=SAMPLE), make_worker()
    taken = play_beside_a_reader(sampling, 200)
    assert by_place(taken) == by_place(play_beside_a_reader(lossless, 200))
    assert accounts(sampling)["sampled"] == (0, 0)
