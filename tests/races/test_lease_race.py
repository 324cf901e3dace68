"""Processes that want the same instance at the same moment."""

import signal
import subprocess
import sys

import pytest

from farm.shm.control import ControlBlock
from farm.shm.ring_layout import create_ring
from farm.shm.segment import list_segments, segment_name

# Standard input says when to take the instance and when to leave it.
CONTENDER = """
import sys
from farm.errors import InstanceRunningError
from farm.shm.control import ControlBlock
block = None
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "take":
        try:
            block = ControlBlock.create(sys.argv[1], 1)
            print("won", flush=True)
        except InstanceRunningError as error:
            print(error, flush=True)
    else:
        block.unlink()
        block.close()
        print("left", flush=True)
"""


@pytest.fixture
def contenders(instance):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, instance],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(3)
    ]
    for contender in started:
        assert contender.stdout.readline() == "ready\n"
    yield started
    for contender in started:
        contender.kill()
        contender.communicate()


def take(contenders):
    """All of them try at once; `(winners, answers of the others)`."""
    for contender in contenders:
        contender.stdin.write("take\n")
    answers = {contender: contender.stdout.readline().strip() for contender in contenders}
    winners = [contender for contender, answer in answers.items() if answer == "won"]
    return winners, [answer for answer in answers.values() if answer != "won"]


def leave(winner):
    winner.stdin.write("leave\n")
    assert winner.stdout.readline() == "left\n"


def test_exactly_one_gets_a_free_instance_and_the_others_learn_its_pid(contenders, instance):
    for _ in range(30):
        winners, refusals = take(contenders)
        assert len(winners) == 1
        assert all(f"process {winners[0].pid};" in refusal for refusal in refusals)
        assert list_segments(instance) == [segment_name(instance, "control")]
        leave(winners[0])


def test_exactly_one_gets_the_instance_of_a_dead_farm(contenders, instance):
    for _ in range(30):
        _leave_remains(instance)
        winners, refusals = take(contenders)
        assert len(winners) == 1
        assert len(refusals) == 2
        assert list_segments(instance) == [segment_name(instance, "control")]
        leave(winners[0])


def test_a_killed_owner_is_followed_at_once(contenders, instance):
    remaining = list(contenders)
    while remaining:
        winners, _ = take(remaining)
        assert len(winners) == 1
        winners[0].send_signal(signal.SIGKILL)
        winners[0].wait(60)
        remaining.remove(winners[0])
    assert list_segments(instance) == [segment_name(instance, "control")]


def _leave_remains(instance):
    """What a farm leaves that is killed: its segments, and no lock."""
    block = ControlBlock.create(instance, 1)
    create_ring(instance, 0, 4096).close()
    block.close()
