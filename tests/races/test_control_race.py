"""Readers of the control block beside a writer in another process."""

import json
import time

import pytest

from farm.shm.control import ControlBlock

WRITER = """
import sys, time
from farm.shm.control import ControlBlock
block = ControlBlock.attach(sys.argv[1])
child = block.children[0]
texts = ["a" * 60, "b" * 7, "c" * 33]
print('{"event": "writing"}', flush=True)
deadline = time.monotonic() + 60
epoch = 1
while child.config_epoch == 0 and time.monotonic() < deadline:
    size = epoch * 7919 % 65537
    block.store_config(epoch, bytes([epoch % 256]) * size)
    child.exit_reason = texts[epoch % 3]
    child.set("records", epoch << 32 | epoch)
    epoch += 1
print('{"event": "done", "epochs": %d}' % epoch, flush=True)
"""


@pytest.fixture
def block(instance):
    made = ControlBlock.create(instance, 1)
    yield made
    made.unlink()
    made.close()


def test_a_reader_never_sees_half_of_anything(start_process, instance, block):
    writer = start_process(["-c", WRITER, instance])
    writer.wait_for("writing")
    child = block.children[0]
    epochs, texts = set(), set()
    deadline = time.monotonic() + 30.0
    last = 0
    while len(epochs) < 200 and time.monotonic() < deadline:
        epoch, blob = block.load_config()
        assert blob == bytes([epoch % 256]) * (epoch * 7919 % 65537 if epoch else 0)
        assert epoch >= last
        last = epoch
        epochs.add(epoch)
        texts.add(child.exit_reason)
        records = child.counter("records")
        assert records >> 32 == records & 0xFFFF_FFFF
    child.config_epoch = 1
    writer.wait_for("done")
    assert len(epochs) == 200
    assert texts <= {"", "a" * 60, "b" * 7, "c" * 33}


ADDER = """
import sys
from farm.shm.atomics import add_to_cell
from farm.shm.control import NEXT_GAME_OFFSET, ControlBlock
block = ControlBlock.attach(sys.argv[1])
print('{"event": "ready"}', flush=True)
taken = [add_to_cell(block.mem, NEXT_GAME_OFFSET, 1) for _ in range(100_000)]
assert taken == sorted(set(taken))
print('{"event": "done"}', flush=True)
"""


def test_no_game_number_is_given_twice(start_process, instance, block):
    workers = [start_process(["-c", ADDER, instance]) for _ in range(3)]
    for worker in workers:
        worker.wait_for("done")
        assert worker.wait() == 0, json.dumps(worker.text)
    assert block.next_game == 300_000
