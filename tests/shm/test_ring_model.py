"""The ring against a deque: any sequence of what both sides can do, deaths included."""

import itertools
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from farm.shm import ring
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import (
    CHECKPOINT_OFFSET,
    HEAD_OFFSET,
    LINE_BYTES,
    SAVED_TAIL,
    TAIL_OFFSET,
    RingView,
    create_ring,
    max_payload_bytes,
    record_bytes,
    unpublished,
)
from farm.shm.successor import create_successor, fill, is_settled

CAPACITY = 4096
LARGEST = max_payload_bytes(CAPACITY)
SIZES = st.one_of(
    st.integers(0, 40),
    st.sampled_from([LARGEST, LARGEST - 1, LARGEST - 8, CAPACITY // 4 - 8]),
    st.integers(0, LARGEST),
)
STARTS = st.sampled_from([0, 8, CAPACITY - 8, 2**63 - CAPACITY - 64, 2**63 - 8, 2**64 - 64])
NUMBERS = itertools.count()


class RingMachine(RuleBasedStateMachine):
    """The model: deques of (sequence, payload), and byte positions that never wrap."""

    @initialize(start=STARTS)
    def make(self, start):
        self.capacity = CAPACITY
        self.segment = create_ring("model", next(NUMBERS), CAPACITY)
        self.segment.unlink()
        for offset in (TAIL_OFFSET, HEAD_OFFSET, CHECKPOINT_OFFSET + SAVED_TAIL):
            self.segment.store(offset, start)
        self.segment.store(CHECKPOINT_OFFSET + LINE_BYTES + SAVED_TAIL, start)
        self.producer = RingProducer(self.segment)
        self.consumer = RingConsumer(self.segment)
        self.view = RingView(self.segment)
        self.head = self.tail = self.claimed = self.taken_to = start
        self.pending, self.published, self.taken = deque(), deque(), deque()
        self.sequence = 0
        # Records and experiences by what became of them; `saved` is what outlives the producer.
        self.counts = dict.fromkeys(("published", "dropped", "sampled", "aborted"), (0, 0))
        self.attempted = (0, 0)
        self.saved = dict(self.counts)

    def teardown(self):
        if hasattr(self, "segment"):
            self.producer = self.consumer = self.view = None
            self.segment.close()

    def _attempt(self, n_records, n_experiences):
        self.sequence += n_records
        self.attempted = plus(self.attempted, (n_records, n_experiences))

    def _count(self, what, n_records, n_experiences):
        self.counts[what] = plus(self.counts[what], (n_records, n_experiences))

    def _pending(self):
        return len(self.pending), sum(n_experiences for *_, n_experiences in self.pending)

    def _save(self):
        self.saved = dict(self.counts)

    def _put(self, n_bytes, held_bytes, n_experiences):
        """Claim `held_bytes`, shrink to `n_bytes` if that is less, and fill."""
        place = self.claimed % self.capacity
        record = record_bytes(held_bytes)
        skip = self.capacity - place if place + record > self.capacity else 0
        fits = self.claimed + skip + record - self.head <= self.capacity
        assert ring.next_sequence(self.producer.cursor) == self.sequence
        room = self.producer.try_claim(held_bytes, n_experiences)
        assert (room is not None) == fits
        if room is None:
            return
        payload = (self.sequence % 251).to_bytes() * n_bytes
        room[:n_bytes] = payload
        if n_bytes < held_bytes:
            ring.shrink(self.producer.mem, self.producer.cursor, n_bytes)
        self.claimed += skip + record_bytes(n_bytes)
        self.pending.append((payload, self.claimed, n_experiences))
        self._attempt(1, n_experiences)

    @rule(n_bytes=SIZES, n_experiences=st.integers(0, 40))
    def claim(self, n_bytes, n_experiences):
        self._put(n_bytes, n_bytes, n_experiences)

    @rule(n_bytes=SIZES, held_bytes=SIZES, n_experiences=st.integers(0, 40))
    def claim_and_shrink(self, n_bytes, held_bytes, n_experiences):
        self._put(min(n_bytes, held_bytes), held_bytes, n_experiences)

    @rule()
    def publish(self):
        self.producer.publish()
        self._count("published", *self._pending())
        self.published.extend(self.pending)
        self.pending.clear()
        self.tail = self.claimed
        self._save()

    @rule()
    def abandon(self):
        assert ring.abandon(self.producer.mem, self.producer.cursor) == len(self.pending)
        self._count("aborted", *self._pending())
        self.sequence -= len(self.pending)
        self.pending.clear()
        self.claimed = self.tail
        self._save()

    @rule(n_records=st.integers(0, 5), reason=st.sampled_from(["dropped", "sampled"]))
    def drop(self, n_records, reason):
        code = {"dropped": ring.RING_FULL, "sampled": ring.SAMPLED}[reason]
        ring.drop(self.producer.mem, self.producer.cursor, code, n_records, 2 * n_records)
        self._attempt(n_records, 2 * n_records)
        self._count(reason, n_records, 2 * n_records)
        if not self.pending:
            self._save()

    @rule(n_bytes=st.integers(0, CAPACITY))
    def park(self, n_bytes):
        full = self.claimed + n_bytes - self.head > self.capacity
        assert ring.park(self.producer.mem, self.producer.cursor, n_bytes) == full
        assert ring.is_parked(self.consumer.mem) == full
        ring.unpark(self.producer.mem)

    @rule()
    def kill_the_producer(self):
        self.producer = RingProducer(self.segment, self.segment.generation + 1)
        self.pending.clear()
        self.claimed = self.tail
        self.counts = {**self.saved, "aborted": (0, 0)}
        self.counts["aborted"] = minus(self.attempted, total(self.counts))
        self.sequence = total(self.counts)[0] - self.counts["aborted"][0]
        self._save()

    @precondition(lambda self: self.head == self.tail)
    @rule(capacity=st.sampled_from([CAPACITY, 2 * CAPACITY, 8 * CAPACITY]))
    def replace_the_ring(self, capacity):
        """By one of another capacity, between the death of a producer and its replacement."""
        assert is_settled(self.segment)
        successor = create_successor("model", next(NUMBERS), capacity)
        successor.unlink()
        fill(self.segment, successor)
        self.producer = self.consumer = self.view = None
        self.segment.close()
        self.segment, self.capacity = successor, capacity
        self.consumer, self.view = RingConsumer(successor), RingView(successor)
        self.kill_the_producer()

    @rule()
    def peek(self):
        record = self.consumer.peek()
        if not self.published:
            assert record is None
            return
        self.taken.append(self.published.popleft())
        payload, self.taken_to, _ = self.taken[-1]
        assert bytes(record) == payload

    @rule()
    def release(self):
        self.consumer.release()
        self.head = self.taken_to
        self.taken.clear()

    @precondition(lambda self: self.taken)
    @rule()
    def kill_the_consumer(self):
        self.consumer = RingConsumer(self.segment)
        self.published.extendleft(reversed(self.taken))
        self.taken.clear()
        self.taken_to = self.head

    @invariant()
    def the_view_agrees(self):
        if hasattr(self, "segment"):
            seen = self.view.checkpoint()
            assert {
                "published": (seen.records, seen.experiences),
                "dropped": (seen.dropped_records, seen.dropped_experiences),
                "sampled": (seen.sampled_records, seen.sampled_experiences),
                "aborted": (seen.aborted_records, seen.aborted_experiences),
            } == self.saved
            assert self.view.used_bytes == self.tail - self.head
            in_hand = minus(unpublished(self.segment, seen), self.saved["aborted"])
            assert plus(total(self.saved), in_hand) == self.attempted


def plus(one, other):
    return one[0] + other[0], one[1] + other[1]


def minus(one, other):
    return one[0] - other[0], one[1] - other[1]


def total(counts):
    return tuple(map(sum, zip(*counts.values(), strict=True)))


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
