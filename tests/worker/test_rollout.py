"""A worker's records hold the games as they were played, whoever played them, and none is lost."""

import numpy as np
import pytest
from msgspec import structs

from farm.client import Trajectory, group_by_shape, stack
from farm.config.schema import FarmConfig, MatchConfig, RingConfig, WorkerConfig
from farm.engine.batch import Batch
from farm.engine.state import TERMINATED, TRUNCATED
from farm.errors import ConfigError, UsageError
from farm.policies.lineup import lineup
from farm.policies.registry import policy_info
from farm.policies.rollout import play
from farm.rpc.v1 import experience_pb2
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import EXPERIENCES, SEQUENCE, RingConsumer, RingProducer
from farm.shm.ring_layout import RingView, create_ring, unpublished
from farm.spec import tiles
from farm.spec.trajectory import RECORD_HEADER, policy_hash
from farm.worker import rollout
from farm.worker.plan import make_plan, make_scratch
from farm.worker.rollout import Rollout

MATCH = MatchConfig(board="9x11", seats=("expander|hunter:2", "random"), max_turns=60, cities=3)
SEED = 7
BLOCK = RingConfig(bytes=1 << 18)
DROP_NEWEST = RingConfig(bytes=1 << 18, when_full="drop_newest")
SAMPLE = RingConfig(bytes=1 << 18, when_full="sample", sample=0.25)


class Worker:
    """A rollout on a ring of its own, without the process around it."""

    def __init__(
        self,
        instance,
        *,
        match=MATCH,
        games=3,
        steps=16,
        memory=False,
        index=0,
        control=None,
        ring=BLOCK,
    ):
        worker = WorkerConfig(games=games, steps=steps, memory=memory)
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
    size = batch.frames.dtype.itemsize
    frames = [batch.games.frames[0, :, :size].copy()]
    out = np.zeros((1, 2, size), np.uint8)
    codes, actions = np.zeros((2, 2), np.int32)
    next_game = np.array([10**6], np.uint64)
    weights = lineup(MATCH.seats)
    arguments = (1, np.uint64(SEED), next_game, settings, codes, actions, out)
    for _ in range(max_ticks):
        ended = play(batch.games, weights, *arguments)
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


def test_a_player_who_dies_while_others_play_on_gets_minus_one_once_and_no_further_step(
    make_worker,
):
    crowd = MatchConfig(board="8x9", seats=("expander",) * 3 + ("random",), max_turns=150, cities=2)
    n_outlived = 0
    for trajectories in make_worker(match=crowd, steps=32).play_games(8).values():
        end = max(t.first_tick + t.n_steps for t in trajectories)
        for seat in range(crowd.n_seats):
            mine = sorted((t for t in trajectories if t.seat == seat), key=lambda t: t.first_tick)
            alive = np.concatenate([t.obs["alive"][:, 0] for t in mine])
            reward = np.concatenate([t.reward for t in mine])
            assert alive.all(), "a step was taken by a dead player"
            assert not reward[:-1].any()
            died = not mine[-1].next_obs["alive"][-1, 0]
            assert (reward[-1] == -1) == died
            assert mine[-1].terminated or not died
            n_outlived += died and mine[-1].first_tick + mine[-1].n_steps < end
    assert n_outlived > 3


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
        assert trajectory.policy in MATCH.seats[trajectory.seat]
        assert trajectory.policy_version == policy_info(trajectory.policy).version
        assert header["policy_hash"] == policy_hash(trajectory.policy)
        assert header["last_tick"] == trajectory.first_tick + trajectory.n_steps
        assert trajectory.wall_time_ns == 123


OFFICIAL = MatchConfig(map="official", seats=("expander", "random"), max_turns=40)
SEATS_2V2 = ("expander", "random", "random", "expander")
CORNERS = "G0 . . . .\n. M M . .\n. C40 . . .\n. . . . G1\n"


def trajectories_of(games):
    return [trajectory for those in games.values() for trajectory in those]


def test_padded_official_games_of_any_size_stack_into_one_batch(make_worker):
    played = trajectories_of(make_worker(match=OFFICIAL).play_games(6))
    batch = stack(played)
    assert batch.obs["tile"].shape[1:] == (23, 23)
    assert len(batch) == sum(trajectory.n_steps for trajectory in played)


def test_official_games_of_their_own_sizes_stack_by_shape(make_worker):
    match = structs.replace(OFFICIAL, pad=False)
    played = trajectories_of(make_worker(match=match).play_games(12))
    groups = group_by_shape(played)
    assert len(groups) > 3
    with pytest.raises(UsageError, match="group_by_shape"):
        stack(played)
    n_rows = 0
    for shape, group in groups.items():
        batch = stack(group)
        assert batch.obs["tile"].shape[1:] == (shape.height, shape.width)
        assert batch.legal_mask.shape[1] == 8 * shape.height * shape.width + 1
        assert batch.legal_mask[np.arange(len(batch)), batch.action].mean() > 0.95
        n_rows += len(batch)
    assert n_rows == sum(trajectory.n_steps for trajectory in played)


def test_a_game_of_its_own_size_is_the_padded_one_without_the_mountains_around(make_worker):
    own = make_worker(match=structs.replace(OFFICIAL, pad=False)).play_games(4)
    padded = make_worker(match=OFFICIAL).play_games(4)
    for number, trajectories in own.items():
        for seat in (0, 1):
            small, large = (
                next(t for t in group if t.seat == seat and t.first_tick == 0)
                for group in (trajectories, padded[number])
            )
            height, width = small.shape.height, small.shape.width
            tile = stack([large]).obs["tile"][0]
            assert (tile[:height, :width] == stack([small]).obs["tile"][0]).all()
            assert (tile[height:] >> 5 == tiles.OBSTACLE).all()
            assert (tile[:, width:] >> 5 == tiles.OBSTACLE).all()


def test_games_are_played_on_a_map_file_and_in_teams(make_worker, tmp_path):
    file = tmp_path / "map.txt"
    file.write_text(CORNERS)
    fixed = structs.replace(MATCH, map="fixed", map_file=str(file))
    batch = stack(trajectories_of(make_worker(match=fixed).play_games(2)))
    assert batch.obs["tile"].shape[1:] == (4, 5)
    own = (batch.obs["tile"][batch.tick == 0] & tiles.OWNER_MASK) == tiles.SELF
    cells = own.reshape(len(own), -1).argmax(axis=1)
    assert set(zip(batch.seat[batch.tick == 0].tolist(), cells.tolist(), strict=True)) == {
        (0, 0),
        (1, 19),
    }
    teams = structs.replace(OFFICIAL, seats=SEATS_2V2, teams=(0, 1, 1, 0))
    allied = stack(trajectories_of(make_worker(match=teams).play_games(1)))
    assert set(allied.n_allies.tolist()) == {1}
    assert allied.obs["tile"].shape[1:] == (26, 26)


def test_a_map_file_that_is_gone_when_the_worker_starts_is_a_config_error(tmp_path):
    gone = structs.replace(MATCH, map="fixed", map_file=str(tmp_path / "map.txt"))
    with pytest.raises(ConfigError, match="No such file"):
        make_plan(FarmConfig(match=gone), SEED)


def test_a_seats_policy_is_drawn_for_every_game_and_kept_to_its_end(make_worker):
    games = make_worker().play_games(12)
    drawn = [{t.policy for t in trajectories if t.seat == 0} for trajectories in games.values()]
    assert all(len(policies) == 1 for policies in drawn)
    assert set.union(*drawn) == {"expander", "hunter"}
    assert {t.policy for trajectories in games.values() for t in trajectories if t.seat} == {
        "random"
    }


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
