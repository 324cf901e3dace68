"""The same seed gives the same bytes, whoever plays and wherever; and kernels compile once."""

import json
import os
import subprocess
import sys

import pytest
from worker.digests import MATCH, N_GAMES, digests
from worker.test_rollout import Worker

from farm.config.schema import MatchConfig
from farm.worker.rollout import play_batch

COMPILE_S = 900


def digests_of_a_process(root, n_workers, **environment):
    done = subprocess.run(
        [sys.executable, root / "tests" / "worker" / "digests.py", str(n_workers)],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}", **environment},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=COMPILE_S,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def alone():
    """The games as one worker of this process plays them."""
    return digests(1)


def test_every_seat_of_every_game_is_there(alone):
    assert len(alone) == N_GAMES
    for places in alone.values():
        assert {f"seat {seat} tick 0" for seat in range(MATCH.n_seats)} <= set(places)
        assert len(set(places.values())) == len(places) > MATCH.n_seats


def test_eight_workers_write_the_same_bytes_as_one(alone):
    assert digests(8) == alone


def test_a_second_process_writes_the_same_bytes(alone, pytestconfig):
    assert digests_of_a_process(pytestconfig.rootpath, 8) == alone


@pytest.mark.slow
@pytest.mark.timeout(2 * COMPILE_S)
def test_kernels_compiled_anew_write_the_same_bytes(alone, pytestconfig, tmp_path):
    environment = {"FARM_CACHE_DIR": str(tmp_path)}
    assert digests_of_a_process(pytestconfig.rootpath, 1, **environment) == alone
    assert list(tmp_path.glob("*/*/rollout.play_batch-*.nbc")), "it did compile them"


def test_the_kernel_of_the_worker_is_compiled_once_whatever_is_played(instance):
    matches = (MATCH, MatchConfig(board="12x7", seats=("random",) * 2, cities=0))
    for index, match in enumerate((*matches, *matches)):
        worker = Worker(instance, match=match, memory=index > 1, games=1 + index, index=index)
        assert worker.poll() > 0
        worker.segment.unlink()
    assert len(play_batch.signatures) == 1
