"""Kills producers between any two stores, again and again: `INSTANCE N SEED`.

Each producer is a fork of this warm, single-threaded interpreter. It publishes a little, comes to
its failpoint, says so, and stops there; SIGKILL ends it. What it does is decided before the fork,
so that what must be in the ring is known without asking it. The last line says how it went.
"""
# ruff: noqa: T201 - the test reads standard output

import json
import os
import random
import select
import signal
import sys
from collections import Counter
from dataclasses import dataclass

from farm.shm import ring
from farm.shm.ring import RingConsumer
from farm.shm.ring_layout import RingView, attach_ring, unpublished

N_STORES = {"claim": 2, "payload": 8, "drop": 14, "publish": 13}
"""Stages, and how far a producer can get in each."""
CLAIM_EXPERIENCES, DROP_EXPERIENCES, DROP_RECORDS = 5, 9, 2
LARGEST = 900
UNFINISHED = 0xEE
"""Byte of payloads that are perhaps never published."""
DEADLINE_S = 30.0

instance, n_rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
segment = attach_ring(instance, 0)
mem = segment.mem
arrivals, arrived = os.pipe()


@dataclass(frozen=True)
class Round:
    """What one producer does."""

    published: list[bytes]
    stage: str
    n_stores: int
    """It stops before the next one; of the stage payload, eighths of a payload."""
    claims: list[int]
    """Sizes of the records that it has claimed at its failpoint."""
    reason: int

    @property
    def is_done(self):
        return self.n_stores == N_STORES[self.stage]


def draw(chance):
    stage = chance.choice(list(N_STORES))
    n_claims = {"claim": 1, "drop": 0}.get(stage, chance.randrange(1, 4))
    return Round(
        [bytes([chance.randrange(200)]) * chance.randrange(LARGEST) for _ in range(n_claims)],
        stage,
        chance.randrange(N_STORES[stage] + 1),
        [chance.randrange(LARGEST) for _ in range(n_claims)],
        chance.choice([ring.RING_FULL, ring.SAMPLED]),
    )


# In the fork.


def stop_here():
    os.write(arrived, b".")
    while True:
        signal.pause()


def stop_before(n_stores):
    """From here on the producer's kernels run as Python, and stop before a store."""
    left = n_stores

    def store_release(_mem, at, value):
        nonlocal left
        if left == 0:
            stop_here()
        left -= 1
        store(_mem, at, value)

    def store(_mem, at, value):
        segment.store(at, int(value) % (1 << 64))

    ring.store_release = store_release
    ring.store_word = store
    for part in ("_checkpoint", "_attempt"):
        setattr(ring, part, getattr(ring, part).py_func)


def claim(kernel, cursor, n_bytes):
    at = kernel(mem, cursor, n_bytes, CLAIM_EXPERIENCES)
    assert at > 0, "the ring is empty and takes it"
    return mem[at : at + n_bytes]


def produce(plan):
    cursor = ring.recover(segment)
    for payload in plan.published:
        claim(ring.try_claim, cursor, len(payload)).data[:] = payload
        ring.publish(mem, cursor, 0)
    if plan.stage == "drop":
        stop_before(plan.n_stores)
        ring.drop.py_func(mem, cursor, plan.reason, DROP_RECORDS, DROP_EXPERIENCES)
    elif plan.stage == "claim":
        stop_before(plan.n_stores)
        claim(ring.try_claim.py_func, cursor, plan.claims[0])
    else:
        for n_bytes in plan.claims:
            filled = n_bytes if plan.stage == "publish" else n_bytes * plan.n_stores // 8
            claim(ring.try_claim, cursor, n_bytes)[:filled] = UNFINISHED
    if plan.stage == "publish":
        stop_before(plan.n_stores)
        ring.publish.py_func(mem, cursor, 0)
    stop_here()


# In the parent.


def account(model, plan):
    """Add what a producer must have done; the payloads that are to come out."""
    payloads = list(plan.published)
    finished = plan.stage == "publish" and plan.is_done
    if finished:
        payloads += [bytes([UNFINISHED]) * n_bytes for n_bytes in plan.claims]
    model["published"] += len(payloads)
    model["published_experiences"] += CLAIM_EXPERIENCES * len(payloads)
    if plan.stage == "drop" and plan.is_done:
        kind = "dropped" if plan.reason == ring.RING_FULL else "sampled"
        model[kind] += DROP_RECORDS
        model[kind + "_experiences"] += DROP_EXPERIENCES
    elif plan.stage in {"drop", "claim"}:
        n_records, n_experiences = (
            (DROP_RECORDS, DROP_EXPERIENCES) if plan.stage == "drop" else (1, CLAIM_EXPERIENCES)
        )
        # The first store counts the records, the second the experiences.
        model["aborted"] += n_records * (plan.n_stores > 0)
        model["aborted_experiences"] += n_experiences * (plan.n_stores > 1)
    elif not finished:
        model["aborted"] += len(plan.claims)
        model["aborted_experiences"] += CLAIM_EXPERIENCES * len(plan.claims)
    return payloads


def found():
    """The ring's own account, a dead producer's claims being aborted."""
    saved = RingView(segment).checkpoint()
    aborted, aborted_experiences = unpublished(segment, saved)
    assert saved.sequence == saved.records + saved.dropped_records + saved.sampled_records
    return Counter(
        published=saved.records,
        published_experiences=saved.experiences,
        dropped=saved.dropped_records,
        dropped_experiences=saved.dropped_experiences,
        sampled=saved.sampled_records,
        sampled_experiences=saved.sampled_experiences,
        aborted=aborted,
        aborted_experiences=aborted_experiences,
    )


def drain(consumer):
    """What is there, without releasing it."""
    payloads = []
    while (record := consumer.peek()) is not None:
        payloads.append(bytes(record))
    return payloads


def kill_one(plan):
    """Let a producer come to its failpoint and kill it; what was visible before the kill."""
    child = os.fork()
    if child == 0:
        try:
            produce(plan)
        finally:
            os._exit(1)
    try:
        assert select.select([arrivals], [], [], DEADLINE_S)[0], "no producer arrives"
        os.read(arrivals, 1)
        return drain(RingConsumer(segment))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def main():
    chance = random.Random(seed)
    model, errors, stages = Counter(), [], Counter()
    for kernel in (ring.try_claim, ring.publish):  # compiled before the first fork
        private, cursor = mem.copy(), ring.recover(segment)
        kernel(private, cursor, *((8, 0) if kernel is ring.try_claim else (0,)))
    for number in range(n_rounds):
        plan = draw(chance)
        expected = account(model, plan)
        alive = kill_one(plan)
        consumer = RingConsumer(segment)
        dead = drain(consumer)
        consumer.release()
        if not alive == dead == expected:
            errors.append([number, plan.stage, plan.n_stores, "payloads"])
        if found() != model:
            errors.append([number, plan.stage, plan.n_stores, dict(found()), dict(model)])
        stages[plan.stage] += 1
    attempts = sum(n for kind, n in model.items() if not kind.endswith("_experiences"))
    print(
        json.dumps({"event": "done", "errors": errors[:3], "stages": stages, "attempts": attempts})
    )


if __name__ == "__main__":
    main()
