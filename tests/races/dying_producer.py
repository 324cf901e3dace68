"""A producer that stops for good at a stage of its work: `INSTANCE STAGE`. It is then killed there.

It publishes 5 records of 100 experiences in all, and is at work on 3 more of 30.
"""
# ruff: noqa: T201 - the test reads standard output

import signal
import sys

from farm.shm import ring
from farm.shm.atomics import add_to_cell
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import CHECKPOINT_OFFSET, LINE_BYTES, SAVED_TAIL, STAMP, attach_ring


def arrive(stage):
    if stage == sys.argv[2]:
        print(f'{{"event": "{stage}"}}', flush=True)
        signal.pause()


producer = RingProducer(attach_ring(sys.argv[1], 0), generation=1)
mem, cursor = producer.mem, producer.cursor
for number in range(5):
    producer.try_claim(100, 20)[:] = bytes([number]) * 100
producer.publish(n_games=1)

rooms = [producer.try_claim(1000, 10) for _ in range(2)]
arrive("claimed")
rooms[0][:700] = b"\xee" * 700
arrive("half filled")
for room in rooms:
    room[:] = b"\xee" * 1000
producer.try_claim(0, 10)
arrive("filled")
# The steps of `publish`, one by one.
line = CHECKPOINT_OFFSET + (int(cursor[ring.LAST_STAMP]) + 1) % 2 * LINE_BYTES
segment = producer.segment
before = segment.load(line + STAMP)
segment.store(line + STAMP, 0)
segment.store(line + SAVED_TAIL, int(cursor[ring.CLAIMED]))
arrive("checkpoint half written")
segment.store(line + STAMP, before)
cursor[ring.EXPERIENCES] += ring._claimed_experiences(cursor)
ring._checkpoint(mem, cursor)
arrive("checkpoint written")
add_to_cell(mem, ring.TAIL_OFFSET, int(cursor[ring.CLAIMED] - cursor[ring.PUBLISHED]))
arrive("published")
