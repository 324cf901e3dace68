"""A running farm that keeps some of its rollout games, as `farm replay` reads them."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(700)

SMALL = ("match.board=8x8", "match.max_turns=40", "match.cities=2", "worker.games=8", "seed=11")


def farm(*arguments):
    """What a command of the farm printed."""
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def test_recording_is_turned_on_in_a_running_farm_and_every_replay_agrees(
    farm_up, instance, tmp_path, wait_until
):
    up = farm_up(*SMALL, f"games.journal_dir={tmp_path}", "ring.when_full=drop_newest")
    folder = tmp_path / instance / "rollouts" / "0"
    assert not folder.exists()
    farm("set", "worker.record_every=10", "worker.record_keep=20", "--instance", instance)
    wait_until(lambda: folder.exists() and len(list(folder.iterdir())) >= 20, what="20 replays")
    farm("set", "worker.record_every=0", "--instance", instance)
    up.stop()
    numbers = [int(path.name.partition("-")[0]) for path in folder.glob("*-b.replay")]
    assert len(numbers) == 20
    assert all(number % 10 == 0 for number in numbers)
    (sums,) = farm("replay", "--check", tmp_path).splitlines()
    assert sums.startswith("20 games, ")
    assert "20 hashes compared, 0 mismatches" in sums
