"""Processes that share standard output do not mix their lines."""

import collections
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import farm
from farm.telemetry.render import MAX_LINE_BYTES

ROOT = Path(farm.__file__).resolve().parents[1]
N_PROCESSES = 4
N_LINES = 1_500

SCRIPT = f"""
import sys
from farm.telemetry import log
log.configure(role="rollout", worker=int(sys.argv[1]), fmt="json")
logger = log.get_logger()
print("ready", file=sys.stderr, flush=True)
sys.stdin.readline()
for number in range({N_LINES}):
    logger.info("burst", number=number, text=chr(97 + number % 26) * (number * 37 % 6000))
"""


def start(worker: int, output: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(worker)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.PIPE,
    )


def test_lines_of_several_processes_on_one_pipe_stay_whole():
    read_fd, write_fd = os.pipe()
    children = [start(worker, write_fd) for worker in range(N_PROCESSES)]
    os.close(write_fd)
    try:
        for child in children:
            assert child.stderr.readline() == b"ready\n"
        for child in children:  # all at once
            child.stdin.write(b"go\n")
            child.stdin.close()
        with os.fdopen(read_fd, "rb") as stream:
            lines = stream.read().splitlines()
        assert [child.wait(60) for child in children] == [0] * N_PROCESSES
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stderr.close()
    seen = collections.defaultdict(list)
    for line in lines:
        assert len(line) < MAX_LINE_BYTES
        event = json.loads(line)
        seen[event["worker"]].append(event["number"])
    assert seen == {worker: list(range(N_LINES)) for worker in range(N_PROCESSES)}
    switches = sum(
        json.loads(one)["worker"] != json.loads(two)["worker"]
        for one, two in itertools.pairwise(lines)
    )
    assert switches > N_PROCESSES, "the processes wrote one after the other: nothing was tried"
