"""Every n-th rollout game is kept as a replay that plays again to the same state."""

import numpy as np
import pytest
from msgspec import structs

from farm.config.schema import FarmConfig, GamesConfig, MatchConfig, RingConfig, WorkerConfig
from farm.policies.lineup import draw_lineup, lineup
from farm.policies.registry import POLICY_NAMES
from farm.replay.files import read_replays
from farm.replay.simulate import verify
from farm.shm.control import NEXT_GAME_OFFSET
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import create_ring
from farm.telemetry.log import get_logger
from farm.worker import tape
from farm.worker.plan import make_plan, make_scratch
from farm.worker.recording import Keeper
from farm.worker.rollout import RECORDED, UNRECORDED, Rollout

SEED = 7
MATCH = MatchConfig(
    board="9x11", seats=("expander|hunter:2", "random", "hunter"), max_turns=60, cities=3
)
CONFIG = FarmConfig(
    match=MATCH,
    worker=WorkerConfig(games=6, steps=16, record_every=3),
    ring=RingConfig(bytes=1 << 20),
)


def worker_of(config, **fields):
    return structs.replace(config, worker=structs.replace(config.worker, **fields))


class Player:
    """A rollout whose records nobody wants."""

    def __init__(self, instance, config):
        self.segment = create_ring(instance, 0, config.ring.bytes)
        self.control = np.zeros(NEXT_GAME_OFFSET + 8, np.uint8)
        self.consumer = RingConsumer(self.segment)
        self.recorded = []
        self.skipped = 0
        made = self.made(config)
        ring = RingProducer(self.segment)
        self.rollout = Rollout(*made, config.worker.games, self.control, ring)

    def made(self, config):
        plan = make_plan(config, SEED)
        return plan, make_scratch(plan, worker=0, generation=1, config_epoch=1)

    @property
    def n_begun(self):
        return int(self.control[NEXT_GAME_OFFSET:].view(np.uint64)[0])

    def play(self, n_games):
        """Until so many games have begun, which is some more than have ended."""
        for _ in range(20_000):
            if self.n_begun >= n_games:
                return
            assert self.rollout.poll(0, 1) > 0
            self.recorded += self.rollout.take_recorded()
            self.skipped += int(self.rollout.counts[UNRECORDED])
            while self.consumer.peek() is not None:
                pass
            self.consumer.release()
        raise AssertionError("it does not come to that")

    @property
    def numbers(self):
        return [int(replay.game_id) for replay in self.recorded]


@pytest.fixture
def start(instance):
    players = []

    def start_player(config=CONFIG):
        players.append(Player(instance, config))
        return players[0]

    yield start_player
    for player in players:
        player.segment.unlink()


def assert_agrees(replay):
    verdict = verify(replay)
    assert verdict.agrees
    assert verdict.n_hashes == 1
    assert verdict.is_over
    assert verdict.n_ticks == replay.n_ticks


def test_every_so_manieth_game_is_recorded_and_plays_again_to_the_same_state(start):
    player = start()
    player.play(60)
    assert set(range(0, 48, 3)) <= set(player.numbers)
    assert all(number % 3 == 0 for number in player.numbers)
    assert len(set(player.numbers)) == len(player.numbers)
    for replay in player.recorded:
        assert_agrees(replay)
    assert {len(verify(replay).winners) for replay in player.recorded} >= {1}
    assert player.skipped == 0


def test_a_replay_names_the_policies_that_were_drawn(start):
    player = start()
    player.play(30)
    for replay in player.recorded:
        codes = np.zeros(3, np.int32)
        number = np.uint64(int(replay.game_id))
        draw_lineup(lineup(MATCH.seats), np.uint64(SEED), number, codes)
        assert replay.players == tuple(POLICY_NAMES[code] for code in codes)


@pytest.mark.parametrize(
    "match",
    [
        MatchConfig(map="official", seats=("random", "expander"), max_turns=20),
        MatchConfig(map="official", pad=False, seats=("random", "expander"), max_turns=20),
        MatchConfig(
            map="toy", board="8x9", seats=("hunter",) * 4, teams=(5, 3, 5, 3), max_turns=100
        ),
    ],
)
def test_games_on_every_map_are_recorded(start, match):
    player = start(structs.replace(CONFIG, match=match))
    player.play(20)
    assert len(player.recorded) >= 3
    for replay in player.recorded:
        assert_agrees(replay)


def test_games_on_a_given_map_are_recorded(start, tmp_path):
    board = tmp_path / "map.txt"
    board.write_text("G0 . S7 C45 .\n. M D N3 .\nS D9 . . .\n. . M . G1\n")
    match = MatchConfig(
        map="fixed", map_file=str(board), seats=("hunter", "expander"), max_turns=100
    )
    player = start(structs.replace(CONFIG, match=match))
    player.play(20)
    assert len(player.recorded) >= 3
    for replay in player.recorded:
        assert_agrees(replay)


def test_nothing_is_recorded_by_default(start):
    config = structs.replace(CONFIG, worker=WorkerConfig(games=6, steps=16))
    player = start(config)
    assert config.worker.record_every == 0
    assert player.rollout.cohorts.take_turn().tape.state.size == 0
    player.play(30)
    assert player.recorded == []
    assert player.rollout.counts[RECORDED] == 0


def test_a_live_change_starts_and_stops_the_recording(start):
    player = start(worker_of(CONFIG, record_every=0))
    player.play(20)
    assert player.recorded == []
    player.rollout.follow(*player.made(worker_of(CONFIG, record_every=2)))
    first = player.n_begun
    player.play(60)
    assert player.numbers
    assert min(player.numbers) >= first
    assert len(player.rollout.cohorts) == 1
    player.rollout.follow(*player.made(worker_of(CONFIG, record_every=0)))
    last = player.n_begun
    player.play(120)
    assert max(player.numbers) < last
    for replay in player.recorded:
        assert_agrees(replay)


def test_a_game_of_a_changed_match_is_recorded_as_it_was_set_up(start):
    player = start(worker_of(CONFIG, record_every=1))
    player.play(20)
    other = MatchConfig(board="14x12", seats=("random", "hunter"), max_turns=60, cities=3)
    player.rollout.follow(
        *player.made(worker_of(structs.replace(CONFIG, match=other), record_every=1))
    )
    player.play(60)
    assert {replay.map.height for replay in player.recorded} == {9, 14}
    for replay in player.recorded:
        assert_agrees(replay)


def test_more_games_than_there_is_room_for_are_left_out_by_count(start, monkeypatch):
    monkeypatch.setattr(tape, "MAX_TAPE_BYTES", 1)
    player = start(worker_of(CONFIG, record_every=1))
    player.play(60)
    assert 1 <= len(player.recorded) < 60
    assert player.skipped + len(player.recorded) + 1 >= player.n_begun
    for replay in player.recorded:
        assert_agrees(replay)


def kept_in(folder):
    return sorted(int(path.name.partition("-")[0]) for path in folder.glob("*.replay"))


def test_replays_are_kept_in_the_state_folder_and_the_oldest_go(start, tmp_path):
    player = start(worker_of(CONFIG, record_every=1))
    player.play(20)
    config = structs.replace(CONFIG, games=GamesConfig(journal_dir=str(tmp_path / "state")))
    keeper = Keeper("blue", 2, SEED, get_logger())
    assert not (tmp_path / "state").exists()
    assert keeper.keep(player.recorded[:5], config) == 5
    folder = tmp_path / "state" / "blue" / "rollouts" / "2"
    assert kept_in(folder) == sorted(player.numbers[:5])
    (found,) = read_replays(folder / f"{player.numbers[0]}-7.replay")
    assert found.replay == player.recorded[0]
    keeper.keep(player.recorded[5:6], worker_of(config, record_keep=2))
    assert kept_in(folder) == sorted(player.numbers[4:6])


def test_replays_that_cannot_be_written_are_lost_with_one_warning(start, tmp_path, capfd):
    player = start(worker_of(CONFIG, record_every=1))
    player.play(20)
    (tmp_path / "state").write_bytes(b"")
    config = structs.replace(CONFIG, games=GamesConfig(journal_dir=str(tmp_path / "state")))
    keeper = Keeper("blue", 2, SEED, get_logger())
    assert keeper.keep(player.recorded, config) == 0
    output = "".join(capfd.readouterr())
    assert output.count("replay_not_kept") == 1
    assert "set games.journal_dir" in output
    (tmp_path / "state").unlink()
    assert keeper.keep(player.recorded[:1], config) == 1


def test_games_that_found_no_room_are_reported_once(capfd):
    keeper = Keeper("blue", 2, SEED, get_logger())
    for _ in range(3):
        keeper.miss(5)
    assert "".join(capfd.readouterr()).count("raise worker.record_every") == 1
